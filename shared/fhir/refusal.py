"""What went wrong in an exchange with a FHIR server, as one of our errors: one sentence with what, where, and what to do.

Opens no connection. The server's own words stay in `outcome`: they may quote the patient (FC-13).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
from yarl import URL

from shared.fhir.answer import from_stranger, issues_of
from shared.fhir.outcome import FigaroError, NotFhir, Unavailable
from shared.fhir.reach import OutOfReach


@dataclass(frozen=True)
class Reply:
    """What came back. Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media(self) -> str:
        """The media type without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_json(self) -> bool:
        """Whether the body is called JSON, or is not called anything and looks like it."""
        return "json" in self.media or (not self.media and self.body.lstrip()[:1] == b"{")

    @property
    def date(self) -> datetime | None:
        """When the server says that it answered."""
        return _moment(self.headers.get("date", ""))


def unreached(error: Exception, place: str, *, connect: float, read: float, writing: bool) -> Unavailable:
    """The error for an exchange that broke. `outcome_unknown` where a write may have arrived; `connect` and `read` are in seconds."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Unavailable(f"{place} has a host name that does not resolve: check the base URL and the network.")
        case aiohttp.ClientConnectorSSLError():
            return Unavailable(f"{place} does not speak TLS there: is its address http, or the port another?", code="security")
        case aiohttp.ClientConnectorCertificateError():
            return Unavailable(f"{place} shows a TLS certificate that this machine does not trust: install its issuer.", code="security")
        case aiohttp.ConnectionTimeoutError():
            return Unavailable(f"{place} does not take connections within {connect:g} s: check address and firewall.")
        case aiohttp.InvalidUrlClientError():
            return Unavailable(f"{place} has a host that is neither a name nor an address: write it out.", code="security")
        case aiohttp.ClientConnectorError(os_error=OutOfReach(never=True)):
            why = "it is where a cloud tells its machines their secrets: look at who gives out that name or address."
            return Unavailable(f"{place} leads where nothing is ever asked, so it was not asked: {why}", code="security")
        case aiohttp.ClientConnectorError(os_error=OutOfReach()):
            advice = 'if that is meant, name the network in FIGARO_FHIR_NETWORKS, such as ["10.20.0.0/16"].'
            return Unavailable(f"{place} has a name that leads into a private network, so it was not asked: {advice}", code="security")
        case aiohttp.ClientConnectorError():
            return Unavailable(f"{place} refuses connections: is it running, and is that its port?")
        case TimeoutError():
            late = f"{place} was silent for {read:g} s: it is overloaded or the question is too large."
            return Unavailable(late, code="timeout", outcome_unknown=writing)
        case _:
            return Unavailable(f"{place} broke the connection before its answer was complete.", outcome_unknown=writing)


def refusal(reply: Reply, place: str, *, writing: bool, quotable: bool = False, moved: str | None = None) -> FigaroError:
    """The error for a status of 300 and above; `quotable` where the exchange was about no patient, so that the server's words are not.

    `moved` is the advice on a redirect where what was asked is no FHIR base; `{host}` in it is where it leads.
    """
    if reply.status in (400, 404, 405) and "html" in reply.media:
        return no_fhir(reply, place)
    advice = _ADVICE.get(reply.status) or _ADVICE[min(reply.status // 100, 5)]
    if reply.status < 400:
        advice = (moved or advice).format(host=_host(reply.headers.get("location", "")))
    if advice.endswith(";"):
        told = any(issue.text for issue in issues_of(reply.body))
        advice = f"{advice} {_ISSUES if told and quotable else _HIDDEN if told else 'look into its log.'}"
    text = f"{place} answered {reply.status}: {advice}"
    error = from_stranger(reply.body, reply.status, retry_after=seconds(reply.headers.get("retry-after")), text=text)
    error.quotable = quotable
    if isinstance(error, Unavailable) and reply.status not in (429, 503):
        error.outcome_unknown = writing
        error.code = "transient" if reply.status in (502, 504) else "exception"
    return error


def no_fhir(reply: Reply, place: str) -> NotFhir:
    """The error for an answer in another format."""
    kind = "a web page" if "html" in reply.media else reply.media or "something unnamed"
    return NotFhir(f"{place} answered with {kind}, not FHIR JSON: is that the FHIR base, which often ends in /fhir or /r4?")


_ADVICE: Final = {
    3: "it sends us on to {host}; use that server's FHIR address as the base URL, we follow no redirects.",
    4: "it refuses the request;",
    400: "it does not understand the request;",
    401: "the token is missing, spent or unknown to it: sign in again, or check how this client is registered.",
    403: "the token does not reach this far: ask for the scope, or check what this client is allowed.",
    404: "it has no such resource or operation, or does not show it to us.",
    406: "it offers no FHIR JSON here.",
    409: "it holds a newer version or a conflicting resource: read again, then write again.",
    410: "what was asked for is deleted or has expired.",
    412: "it holds a newer version, or several resources match the condition: read again, then write again.",
    413: "the request is too large for it: send fewer resources at once.",
    422: "the resource breaks one of its rules;",
    429: "it asks us to slow down: lower the concurrency or try later.",
    5: "it failed; try again later, and look into its log.",
    503: "it is not ready; try again later.",
}


_ISSUES: Final = "its own issues tell why."
_HIDDEN: Final = "its own issues tell why and are not shown, as they may quote the patient: look into its log."


def _host(location: str) -> str:
    try:
        return URL(location).host or "another path of its own"
    except ValueError:
        return "an address that cannot be read"


def seconds(retry_after: str | None) -> float | None:
    """Retry-After, as seconds or as an HTTP date, in seconds from now; None when absent or unreadable."""
    if not retry_after:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    moment = _moment(retry_after)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds()) if moment else None


def _moment(date: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
