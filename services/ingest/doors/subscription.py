"""`/notifications/…`: FHIR Subscriptions of R4 (rest-hook) and of topics, and what an engine pushes by itself.

The order is: size, secret, body, one transaction, 200. A notification that is answered with 200 is stored; one that cannot be stored is
answered with 503, so that the sender tries again (SU-41). What it leads to is done later, from the FHIR server's own word.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Any, Final

import msgspec
import structlog
from fastapi import APIRouter, Depends, Request, Response

from services.ingest.inbox import Marked
from services.ingest.limiting import limited, limited_for
from services.ingest.notification import Notification, local, notification, of_address
from services.ingest.running import Ingest, ingest_in
from shared.fhir.outcome import FigaroError, Refused, Unreadable
from shared.service.rim import FHIR_JSON
from shared.smart.issuers import Issuer

LIMIT: Final = 5_000_000  # bytes, unpacked
JSON: Final = ("application/fhir+json", "application/json+fhir", "application/json", "text/json", "text/plain", "")
router = APIRouter(prefix="/notifications", tags=["notifications"], dependencies=[Depends(limited("notifications"))])
log = structlog.get_logger("figaro.ingest")


class _Sent(msgspec.Struct):
    resourceType: str = ""  # noqa: N815
    type: str = ""


@router.get("/{issuer}/{channel}/{key}")
async def looked_at(request: Request, issuer: str, channel: str, key: str) -> Response:
    """Whether address and secret are right; some engines ask before they send."""
    ingest_in(request.app).channels.admitted(issuer, channel, key, request.headers)
    return _said("Address and secret are right.")


@router.post("/{issuer}/{channel}/{key}")
async def notified(request: Request, issuer: str, channel: str, key: str) -> Response:
    """An empty ping, a resource, a Bundle, or a notification of a topic."""
    ingest, sender = _admitted(request, issuer, channel, key)
    body = await _body(request)
    return await _take(request, ingest, sender, channel, notification(body, sender.base), as_transaction=_is_transaction(body))


@router.api_route("/{issuer}/{channel}/{key}/{place:path}", methods=["PUT", "POST", "DELETE"])
async def changed(request: Request, issuer: str, channel: str, key: str, place: str) -> Response:
    """As to a FHIR server: `PUT {endpoint}/Condition/c1`, as HAPI sends it; also POST to a type, and DELETE."""
    ingest, sender = _admitted(request, issuer, channel, key)
    if request.method == "DELETE" or "xml" in _media(request):  # the address says all that is needed
        return await _take(request, ingest, sender, channel, of_address(place))
    said = notification(await _body(request), sender.base)
    if request.method == "PUT" and local(place, sender.base) is None:
        raise Unreadable("The address is not that of a resource: it looks like Condition/c1 below the endpoint.", where="the address")
    return await _take(request, ingest, sender, channel, said)


def _admitted(request: Request, issuer: str, channel: str, key: str) -> tuple[Ingest, Issuer]:
    ingest = ingest_in(request.app)
    try:
        sender = ingest.channels.admitted(issuer, channel, key, request.headers)
    except FigaroError:
        _count(request, "unknown", refused=1)
        raise
    limited_for(request, "notifications", sender.id)
    return ingest, sender


async def _take(
    request: Request, ingest: Ingest, sender: Issuer, channel: str, said: Notification, *, as_transaction: bool = False
) -> Response:
    marked: Marked = await asyncio.to_thread(ingest.inbox.accept, sender.base, channel, said)
    _count(request, sender.id, marked=marked.new, repeated=marked.repeated, own=said.own, passed=said.passed, set_aside=said.set_aside)
    log.info(
        "notified",
        issuer=sender.id,
        kind=said.kind,
        changes=marked.new,
        repeated=marked.repeated,
        own=said.own,
        passed=said.passed,
        set_aside=said.set_aside,
        alien=marked.alien,
    )
    if marked.alien:
        text, severity = "This is another Subscription's address; nothing was taken from the notification.", "warning"
    elif said.set_aside:
        text, severity = f"Stored; {said.set_aside} resources do not say which patient of this server they are of.", "warning"
    else:
        text, severity = "Stored.", "information"
    return _said(text, severity, as_transaction=as_transaction)


def _is_transaction(body: bytes) -> bool:
    """Whether HAPI has sent it as a transaction: a Bundle of its payload search criteria, or a notification of a topic."""
    try:
        sent = msgspec.json.decode(body, type=_Sent)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):  # an empty ping
        return False
    return sent.resourceType == "Bundle" and sent.type in ("transaction", "history")


def _said(text: str, severity: str = "information", *, as_transaction: bool = False) -> Response:
    """HAPI reads the reply as FHIR, and takes `{}` for an error (SU-12); of a transaction it repeats what is answered with no Bundle."""
    said: dict[str, Any] = {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": severity, "code": "informational", "details": {"text": text}}],
    }
    if as_transaction:
        said = {"resourceType": "Bundle", "type": "transaction-response", "entry": [{"response": {"status": "200", "outcome": said}}]}
    return Response(msgspec.json.encode(said), media_type=FHIR_JSON)


def _count(request: Request, issuer: str, **outcomes: int) -> None:
    for outcome, number in outcomes.items():
        if number:
            request.app.state.notices.labels(issuer, outcome.replace("_", "-")).inc(number)


def _media(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _body(request: Request) -> bytes:
    """The body, unpacked. Raises Refused where it is too large or of another kind; it is read to its end, so that the sender hears why."""
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    unpack: Any = zlib.decompressobj(wbits=31) if coding == "gzip" else None
    body, broken = bytearray(), False
    async for chunk in request.stream():
        if broken or len(body) > LIMIT:
            continue
        try:
            body += unpack.decompress(chunk, LIMIT + 1 - len(body)) if unpack else chunk
        except zlib.error:
            broken = True
    if len(body) > LIMIT:
        raise _too_large()
    if broken:
        raise Unreadable("The body says that it is gzip and is not.", where="the body")
    if coding not in ("identity", "gzip", ""):
        raise Refused("The body is packed in a way that is not understood: send it plain or as gzip.", status=415, code="not-supported")
    if body and _media(request) not in JSON:
        raise Refused("Send application/fhir+json: the payload of the Subscription says so.", status=415, code="not-supported")
    return bytes(body)


def _too_large() -> Refused:
    return Refused(f"A notification of more than {LIMIT // 1_000_000} MB is not read: send ids only.", status=413, code="too-long")
