"""Where we may go, and where a token may: to the FHIR base it was issued for, and nowhere else. Knows URLs and addresses, opens none.

Links of pages pass `on_same_base`, endpoints on other hosts the list of their issuer; whichever it is, `Reach` has the last word when the
connection is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from yarl import URL

from shared.fhir.outcome import NotFhir, Refused

# Backslashes, blanks and control characters are read differently by different URL parsers, encoded dots and slashes by different servers.
_AMBIGUOUS = re.compile(r"[\x00-\x20\x7f\\]|^[^?#]*(?:%2e|%2f|%5c|/\.{1,2}(?:[/?#]|$))", re.IGNORECASE)


def fhir_base(text: str, *, with_token: bool = False) -> URL:
    """The base URL of a FHIR server, without a trailing slash.

    Plain http is for servers that ask for no token, and for this machine. Raises Refused, naming what is wrong.
    """
    url = _parsed(text, encoded=False)
    if url is None or url.scheme not in ("http", "https") or not url.host:
        raise Refused("That is not the base URL of a FHIR server; it looks like https://server.example/fhir.")
    if url.user is not None or url.password is not None or url.query_string or url.fragment:
        raise Refused(f"The base URL on {url.host} must have no user name, query or fragment: give the token in the settings.")
    if with_token and url.scheme == "http" and not is_loopback(url):
        raise Refused(f"{url.host} would get the token over plain http: use its https address.")
    return URL(str(url).rstrip("/"), encoded=True)


def on_same_base(base: URL, link: str) -> URL:
    """The link of a page, to be followed as it stands. Raises NotFhir when it leaves the base it came from (FC-02, SE-10)."""
    url = _parsed(link)
    if url is not None and not url.absolute:
        url = _parsed(str(URL(f"{base}/").join(url)))
    if url is not None and not url.fragment and below(base, url):
        return url
    elsewhere = url.host if url is not None and url.absolute else "an address that cannot be read"
    other = "" if is_metadata(elsewhere or "") else ", or use the base URL it believes in"
    raise NotFhir(
        f"The FHIR server at {base} links its next page to {elsewhere}, which is not below that base, so it was not followed: "
        f"set the server's own public address to the base URL you use{other}."
    )


def on_listed_host(base: URL, link: str, hosts: Sequence[str]) -> URL:
    """The address of something large that the server at `base` keeps elsewhere: on its own host and port, or on one of `hosts` over https.

    A relative one is resolved against the base. Raises NotFhir, naming the host.
    """
    url = _parsed(link)
    if url is not None and not url.absolute:
        url = _parsed(str(URL(f"{base}/").join(url)))
    if url is None or url.scheme not in ("http", "https") or url.fragment or url.user is not None or url.password is not None:
        raise NotFhir(f"The FHIR server at {base} names an address that cannot be read, so it was not asked.")
    if _origin(url) == _origin(base):
        return url
    if not listed(url, hosts):
        text = f"The FHIR server at {base} sends us to {url.host_port_subcomponent}, which is not that server, so it was not asked"
        raise NotFhir(f"{text}: {listing(base, url)}.")
    if url.scheme != "https" and not is_loopback(url):
        raise NotFhir(f"The FHIR server at {base} sends us to {url.host} over plain http, so it was not asked: it has to be https.")
    return url


def listed(url: URL, hosts: Sequence[str]) -> bool:
    """Whether the host is on the list of an issuer: an entry without a port is the usual port of the scheme, and no other."""
    return bool({url.host_port_subcomponent, f"{url.host_subcomponent}:{url.port}"} & set(hosts))


def listing(base: URL, url: URL) -> str:
    """What to do about an address on no list, without a full stop: a name or a public address may be right, another hardly is."""
    where = url.host_port_subcomponent
    file = "in the file of FIGARO_ISSUERS (without one, write it as docs/backend-services.md shows)"
    try:
        ip = _plain(ip_address(url.host or ""))
    except ValueError:
        return f"if that is right, add {where} to `hosts` of the issuer {file}"
    if ip in _METADATA:
        return "it is where a cloud tells its machines their secrets, which is never asked: ask that server's operators why it names it"
    if ip.is_global or (ip.is_loopback and is_loopback(base)):
        return f"if that is right, add {where} to `hosts` of the issuer {file}"
    only = f"only where that network may be named in FIGARO_FHIR_NETWORKS at all, add {where} to `hosts` of the issuer {file}"
    return f"it is no public address: ask that server's operators for one; {only}"


def is_metadata(address: str) -> bool:
    """Whether that is the address of a cloud's metadata service, which no setting opens."""
    try:
        return _plain(ip_address(address.partition("%")[0])) in _METADATA
    except ValueError:
        return False


def below(base: URL, url: URL) -> bool:
    """Whether the URL is the base or stands below it: only there does its token go (SE-10)."""
    return _origin(url) == _origin(base) and _below(base, url)


def is_loopback(url: URL) -> bool:
    """Whether the host is this very machine."""
    try:
        return ip_address(url.host or "").is_loopback
    except ValueError:
        return url.host == "localhost"


def _parsed(text: str, *, encoded: bool = True) -> URL | None:
    if _AMBIGUOUS.search(text):
        return None
    try:
        url = URL(text, encoded=encoded)
        return None if url.absolute and not url.host else url
    except ValueError:
        return None


def _origin(url: URL) -> tuple[str, str | None, int | None, str | None, str | None]:
    return url.scheme, url.host, url.port, url.user, url.password


def _below(base: URL, url: URL) -> bool:
    root = base.raw_path.rstrip("/")
    return url.raw_path.rstrip("/") == root or url.raw_path.startswith(f"{root}/")


class Reach:
    """Which addresses may be connected to: public ones, those in `networks` (CIDR), and a base URL's own where that names an address.

    It is asked with the address that a name has resolved to, at the moment of connecting, so that a name that changes its mind between
    look-up and connection gains nothing (SE-09). Addresses of cloud metadata services are never allowed. Raises Refused for no CIDR.
    """

    def __init__(self, networks: Iterable[str] = (), bases: Iterable[URL | str] = ()) -> None:
        self._networks = [_network(text) for text in networks]
        for base in bases:
            self._networks += _named(URL(base).host or "")

    def allows(self, address: str) -> bool:
        """Whether this numeric address may be connected to."""
        try:
            ip = _plain(ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        if ip in _METADATA or (ip.version == 6 and {IPv4Address(int(ip) & 0xFFFFFFFF), ip.sixtofour} & _METADATA):
            return False
        if any(ip in network for network in self._networks):
            return True
        if ip.version == 6 and (ip not in _PUBLIC or ip.sixtofour or ip.teredo):
            return False
        return ip.is_global and not ip.is_multicast


# AWS, Azure, Google and OpenStack; containers on AWS; AWS over IPv6; Alibaba; Azure's own server; Oracle.
_METADATA: frozenset[IPv4Address | IPv6Address | None] = frozenset(
    map(ip_address, ("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"))
)
_NAT64 = ip_network("64:ff9b::/96")
_PUBLIC = ip_network("2000::/3")  # all that IANA gives out; the rest is for one site, or wraps IPv4 in ways of old or of the house


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError:
        raise Refused(f"{text[:50]!r} is no network: write it like 10.20.0.0/16 in FIGARO_FHIR_NETWORKS.", code="value") from None


def _named(host: str) -> list[IPv4Network | IPv6Network]:
    if host == "localhost":
        return [ip_network("127.0.0.0/8"), ip_network("::1")]
    try:
        return [ip_network(host)]
    except ValueError:
        return []


def _plain(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address wraps, else itself."""
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped:
            return ip.ipv4_mapped
        if ip in _NAT64:
            return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip
