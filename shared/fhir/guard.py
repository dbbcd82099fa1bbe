"""Where a token may go: to the FHIR base it was issued for, and nowhere else. Knows URLs, opens none of them."""

from __future__ import annotations

import re
from ipaddress import ip_address

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
    if url is not None and _origin(url) == _origin(base) and not url.fragment and _below(base, url):
        return url
    elsewhere = url.host if url is not None and url.absolute else "an address that cannot be read"
    raise NotFhir(
        f"The FHIR server at {base} links its next page to {elsewhere}, which is not below that base, so it was not followed: "
        "set the server's own public address to the base URL you use, or use the base URL it believes in."
    )


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
