"""`/cds-services`: CDS Hooks 2.0. Answers in line, from what the EHR sends along; opens no case and writes to no FHIR server.

The order is: how often, who, size, what, answer. A refusal is an OperationOutcome; a 401 says `WWW-Authenticate: Bearer`.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Final

import msgspec
import structlog
from fastapi import APIRouter, Depends, Request, Response

from services.ingest.access import permitted
from services.ingest.hooks.kept import feedback_of
from services.ingest.hooks.prefetch import templates
from services.ingest.hooks.request import asked
from services.ingest.limiting import limited, limited_for
from services.ingest.running import ingest_of
from shared.fhir.outcome import NotFound, Refused, Unavailable
from shared.service.access import from_here
from shared.smart.hooks import Caller

LIMIT: Final = 10_000_000  # bytes of a call with its prefetch
USAGE: Final = (
    "Answers for patients with cancer of the cervix, and with no card for others. A prefetch key that is missing is not taken for "
    "'no data': the card says what was not looked at. The patient and her conditions are needed."
)
SERVICES: Final = {
    "figaro-patient-view": ("patient-view", "FIGO stage and regimen options", "FIGO stage, metastatic sites, what is missing, candidates"),
    "figaro-order-select": ("order-select", "Anticancer drugs against Figaro's rules", "What stands against a drug that is being ordered"),
    "figaro-order-sign": ("order-sign", "Anticancer drugs against Figaro's rules", "What stands against the drugs that are being signed"),
}
router = APIRouter(prefix="/cds-services", tags=["CDS Hooks"])
log = structlog.get_logger("figaro.ingest")


async def _caller(request: Request) -> Caller:
    """Who calls. The path is that of the route, below the public address: neither Host nor a proxy has a say in it (CH-51)."""
    path = request.scope["route"].path.format(**request.path_params)
    trust = ingest_of(request).hooks.trust
    caller = await trust.caller(request.headers.get("authorization"), path)
    if caller.client.auth == "none" and request.headers.get("origin") not in trust.origins:
        from_here(request)
    limited_for(request, "hooks", caller.issuer.id)
    return caller


Calling = Annotated[Caller, Depends(_caller)]
knocked = [Depends(limited("hooks"))]


@router.get("", dependencies=knocked)
async def services(_: Calling) -> Response:
    """Discovery (CH-01)."""
    listed = [
        {"hook": hook, "title": title, "description": says, "id": name, "prefetch": templates(), "usageRequirements": USAGE}
        for name, (hook, title, says) in SERVICES.items()
    ]
    return _json({"services": listed})


@router.post("/{service}", dependencies=knocked)
async def called(request: Request, service: str, caller: Calling) -> Response:
    """The cards for a patient or for orders."""
    hook = _known(service)
    hooks = ingest_of(request).hooks
    base = caller.issuer.base
    call = await asyncio.to_thread(asked, await _body(request), hook, base)
    cards = await hooks.answering.cards(call, base)
    log.info("hook_answered", issuer=caller.issuer.id, service=service, cards=[one.kind for one in cards])
    if cards:
        try:
            await asyncio.to_thread(hooks.kept.given, caller.name, service, cards)
        except Unavailable:
            log.warning("cards_not_kept", issuer=caller.issuer.id)  # a clinician's warning does not wait for our book-keeping
    return _json({"cards": [one.card for one in cards]})


@router.post("/{service}/feedback", dependencies=knocked)
async def told(request: Request, service: str, caller: Calling) -> Response:
    """What people did with cards; told twice it counts once (CH-40)."""
    _known(service)
    found = feedback_of(await _body(request))
    new = await asyncio.to_thread(ingest_of(request).hooks.kept.told, caller.name, service, found)
    log.info("hook_feedback", issuer=caller.issuer.id, service=service, told=len(found), new=new)
    return Response(status_code=200)


@router.get("/{service}/feedback", dependencies=[Depends(permitted)])
async def shown(request: Request, service: str) -> Response:
    """For people with the API secret: how many cards of each kind, and what became of them."""
    _known(service)
    return _json(await asyncio.to_thread(ingest_of(request).hooks.kept.shown, service))


def _known(service: str) -> str:
    """The hook of a service. Raises NotFound."""
    if service not in SERVICES:
        raise NotFound("There is no CDS service of this id: GET /cds-services lists them.")
    return SERVICES[service][0]


async def _body(request: Request) -> bytes:
    """The body. Raises Refused where it is too large; it is read to its end, so that the sender hears why."""
    body, size = bytearray(), 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= LIMIT:
            body += chunk
    if size > LIMIT:
        text = f"A call of more than {LIMIT // 1_000_000} MB is not read: prefetch what /cds-services asks for, and no more."
        raise Refused(text, status=413, code="too-long")
    return bytes(body)


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
