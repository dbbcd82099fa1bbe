"""The answer written one resource after another, where the server takes no transaction.

Every create is conditional on an identifier of ours, as in the transaction, so a run that was cut off is finished by the next one and
nothing is doubled. The order is that of need: what is referred to comes first, then the CarePlan, then what is withdrawn (the earlier
CarePlan last of that), and the Provenance at the very end: where it stands, the rest does.
"""

from __future__ import annotations

from typing import Any

from services.recommend.decision import CAREPLAN
from services.recommend.published import Earlier, plain
from services.recommend.replaced import withdraw
from shared.fhir.client import FhirClient
from shared.fhir.create_once import create_once
from shared.fhir.outcome import FigaroError, Gone, NotFound
from shared.fhir.write_mode import Offer
from shared.fhir.written import Written

Json = dict[str, Any]


async def complete(server: FhirClient, offer: Offer, plan: Earlier) -> bool:
    """Whether everything was written with this CarePlan. False where the server can keep no Provenance that would tell."""
    if not offer.takes("Provenance"):
        return False
    return await _provenance(server, offer, f"figaro-{plan.under(CAREPLAN)}", plan.reference)


async def write_in_order(server: FhirClient, offer: Offer, bundle: Json) -> bool:
    """Writes the entries of the transaction; whether the CarePlan came into being by it. May be repeated at any time."""
    made: dict[str, Written] = {}
    created = resumed = False
    for entry in (e for e in bundle["entry"] if e["request"]["method"] == "POST"):
        resource, identifier = _resolved(entry["resource"], made), entry["request"]["ifNoneExist"].removeprefix("identifier=")
        conditional = offer.conditional(resource["resourceType"])
        made[entry["fullUrl"]] = written = await create_once(server, resource, identifier, conditional=conditional, resumed=resumed)
        created = created or (written.type == "CarePlan" and written.created)
        # Where something of this decision is there already, an earlier run was broken off: the first thing that seems to be missing may
        # only not be found yet. What comes after that was never sent.
        resumed = not written.created and (resumed or written.type != "Device")
    changes = [e for e in bundle["entry"] if e["request"]["method"] == "PUT"]
    for entry in reversed([e for e in changes if e["resource"]["resourceType"] != "Provenance"]):
        await withdraw(server, entry["resource"], entry["request"]["ifMatch"].removeprefix('W/"').removesuffix('"'))
    for entry in (e for e in changes if e["resource"]["resourceType"] == "Provenance"):
        await _assert(server, offer, _resolved(entry["resource"], made, versioned=True), entry["resource"]["id"])
    return created


async def _assert(server: FhirClient, offer: Offer, resource: Json, name: str) -> None:
    plan = next((t["reference"] for t in resource["target"] if t["reference"].startswith("CarePlan/")), "")
    if await _provenance(server, offer, name, plan.split("/_history/")[0]):
        return
    if _named(offer):
        await server.update(resource)
    else:
        await server.create({key: value for key, value in resource.items() if key != "id"})


async def _provenance(server: FhirClient, offer: Offer, name: str, plan: str) -> bool:
    """Whether ours stands: under its own id, or, where the server gives out the ids, as what a Device of ours says of the plan."""
    if not _named(offer):
        said = [plain(entry.resource) for entry in await server.search("Provenance", {"target": plan}) if entry.type == "Provenance"]
        return any(_about(one, plan) for one in said)  # a server may ignore the parameter
    try:
        await server.read("Provenance", name)
    except (NotFound, Gone):
        return False
    return True


def _about(provenance: Json, plan: str) -> bool:
    places = [str(target.get("reference", "")).split("/_history/")[0] for target in provenance.get("target", ())]
    return any(place == plan or place.endswith(f"/{plan}") for place in places)


def _named(offer: Offer) -> bool:
    capability = offer.said.of("Provenance")
    return capability is not None and capability.update_create


def _resolved(value: Any, made: dict[str, Written], *, versioned: bool = False) -> Any:
    """With every address within the transaction turned into that on the server."""
    if isinstance(value, list):
        return [_resolved(one, made, versioned=versioned) for one in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("reference")
    if isinstance(reference, str) and reference.startswith("urn:uuid:"):
        if reference not in made:
            raise FigaroError("The CarePlan was not finished: it refers to something of its own that is written later.")
        there = made[reference]
        return {**value, "reference": there.versioned if versioned else there.reference}
    return {name: _resolved(one, made, versioned=versioned) for name, one in value.items()}
