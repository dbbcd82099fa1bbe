"""A derived stage as a FHIR Observation (mCODE 4.0.0, mcode-cancer-stage), preliminary until a clinician accepts it.

Used where recommend writes a CarePlan and where staging answers `$stage`. Source of the shape: mCODE 4.0.0, FHIR R4 Observation.
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.fhir.assertion import FIGARO, Json, observation
from shared.fhir.codes import FIGO_CODES, NCIT, SNOMED
from shared.oncology.record import Record
from shared.oncology.stage import EditionStage, Staging

_EDITIONS = {"figo-2018": ("C186617", "FIGO 2018"), "figo-2009": ("C186618", "FIGO 2009")}
_NATURE = {"r": ("260998006", "r (imaging)"), "p": ("261023001", "p (pathology)")}
_INSTANTIATES = "http://hl7.org/fhir/StructureDefinition/workflow-instantiatesCanonical"


def stage_observation(record: Record, staging: Staging, edition: str, *, members: Sequence[Json] = (), issued: str | None = None) -> Json:
    """The derived stage of one edition, without identifier. `members` refer to its T, N and M; `issued` is an instant."""
    derived = staging.editions[edition]
    code, title = _EDITIONS[edition]
    sources = {source for b in derived.because for source in b.sources}
    common = observation(record, staging.primary.condition, sources, profile="mcode-cancer-stage", issued=issued)
    rules = {"url": _INSTANTIATES, "valueCanonical": f"{FIGARO}/Library/{edition}-cervix|{staging.knowledge.edition}"}
    resource: Json = {
        **common,
        "extension": [rules, *common.get("extension", ())],
        "code": {
            "coding": [
                {"system": SNOMED, "code": "385361009"},
                {"system": SNOMED, "code": "385367008"},
                {"system": NCIT, "code": code, "display": f"{title} Stage"},
            ]
        },
        "method": {"coding": [{"system": SNOMED, "code": "106250008"}], "text": title},
        "note": [{"text": note(staging, edition)}],
        **_value(derived),
    }
    if members:
        resource["hasMember"] = list(members)
    return resource


def note(staging: Staging, edition: str) -> str:
    """One sentence each: what decided, what it could be and for want of what, what was recorded."""
    derived = staging.editions[edition]
    words = ["Derived by rule, not yet reviewed."]
    words += [f"{b.says} ({b.reference}{'' if b.checked else ', not checked against the source'})." for b in derived.because]
    if derived.could_be:
        words.append(f"Could be {', '.join(derived.could_be)}.")
    if derived.missing:
        words.append("Missing: " + "; ".join(m.ask for m in derived.missing) + ".")
    words += [f"Recorded as {r.stage}{f' ({r.edition})' if r.edition else ''}." for r in staging.recorded]
    return " ".join(words).replace("..", ".").replace(".).", ").")


def _value(derived: EditionStage) -> Json:
    if derived.stage is None:
        system = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
        return {"dataAbsentReason": {"coding": [{"system": system, "code": "unknown"}], "text": "no finding settles a stage"}}
    coding = {"system": NCIT, "code": FIGO_CODES[derived.stage], "display": f"FIGO Stage {derived.stage}"}
    value: Json = {"valueCodeableConcept": {"coding": [coding], "text": derived.label}}
    if derived.suffix:
        nature, text = _NATURE[derived.suffix]
        value["component"] = [
            {
                "code": {"coding": [{"system": SNOMED, "code": "277366005"}]},
                "valueCodeableConcept": {"coding": [{"system": SNOMED, "code": nature}], "text": text},
            }
        ]
    return value
