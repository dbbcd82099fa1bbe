"""A derived stage as a FHIR Observation (mCODE 4.0.0, mcode-cancer-stage), preliminary until a clinician accepts it.

Used where recommend writes a CarePlan and where staging answers `$stage`. Source of the shape: mCODE 4.0.0, FHIR R4 Observation.
"""

from __future__ import annotations

from typing import Any

from shared.fhir.codes import FIGO_CODES, NCIT, SNOMED
from shared.oncology.record import Record
from shared.oncology.stage import EditionStage, Staging

Json = dict[str, Any]
FIGARO = "https://figaro.example/fhir"
AIAST = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "AIAST",
    "display": "Artificial Intelligence asserted",
}
_EDITIONS = {"figo-2018": ("C186617", "FIGO 2018"), "figo-2009": ("C186618", "FIGO 2009")}
_NATURE = {"r": ("260998006", "r (imaging)"), "p": ("261023001", "p (pathology)")}
_EXTENSION = "http://hl7.org/fhir/StructureDefinition/workflow-"


def stage_observation(record: Record, staging: Staging, edition: str, *, issued: str | None = None) -> Json:
    """The derived stage of one edition, without identifier. It is effective on the day of the newest evidence; `issued` is an instant."""
    derived = staging.editions[edition]
    code, title = _EDITIONS[edition]
    sources = sorted({source for b in derived.because for source in b.sources})
    observations = [s for s in sources if s.startswith("Observation/")]
    others = [s for s in sources if not s.startswith("Observation/")]
    extensions: list[Json] = [
        {
            "url": _EXTENSION + "instantiatesCanonical",
            "valueCanonical": f"{FIGARO}/Library/{edition}-cervix|{staging.knowledge.edition}",
        },
        *({"url": _EXTENSION + "supportingInfo", "valueReference": {"reference": s}} for s in others),
    ]
    observation: Json = {
        "resourceType": "Observation",
        "meta": {"profile": ["http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-cancer-stage"], "security": [AIAST]},
        "extension": extensions,
        "status": "preliminary",
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "exam"}]}],
        "code": {
            "coding": [
                {"system": SNOMED, "code": "385361009"},
                {"system": SNOMED, "code": "385367008"},
                {"system": NCIT, "code": code, "display": f"{title} Stage"},
            ]
        },
        "subject": {"reference": staging.patient},
        "method": {"coding": [{"system": SNOMED, "code": "106250008"}], "text": title},
        "note": [{"text": note(staging, edition)}],
        **_value(derived),
    }
    if staging.primary.condition:
        observation["focus"] = [{"reference": staging.primary.condition}]
    if effective := max((f.when or f.recorded or "" for f in record.findings if f.source in sources), default=""):
        observation["effectiveDateTime"] = effective
    if issued:
        observation["issued"] = issued
    if observations:
        observation["derivedFrom"] = [{"reference": s} for s in observations]
    return observation


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
