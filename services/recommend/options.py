"""One candidate as FHIR: its option-intent MedicationRequests and ServiceRequests, and its action in the RequestGroup.

Shape: CarePlan → RequestGroup (exactly one) → one action per regimen, with its citations in `documentation`, the only slot that R4 gives a
citation on a request. Source: FHIR R4 4.0.1 RequestGroup, MedicationRequest, ServiceRequest; mCODE 4.0.0 extensions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from services.recommend.citations import document, documentation
from services.recommend.dosage import dosage, timing
from services.recommend.irradiation_request import irradiation
from shared.fhir.assertion import FIGARO, MCODE, concept, reference
from shared.fhir.codes import ATC, RXNORM, SNOMED
from shared.oncology.recommendation import Activity, Candidate, Citation, DoseAmount
from shared.oncology.stage import Staging
from shared.oncology.wording import course_words

__all__ = ["Drug", "Option", "action", "course_words", "describe", "document", "options", "regimen_canonical"]

Json = dict[str, Any]
_DAYS = "http://hl7.org/fhir/StructureDefinition/timing-daysOfCycle"
_INTENTS = {"curative": "373808002", "palliative": "363676003", "supportive": "399707004"}
_BASES = {"mg/m2": "301898006", "mg/kg": "363804004"}
_FIXED = "1157245009"


class Drug(NamedTuple):
    """The codes of a drug: name, RxNorm ingredient, ATC."""

    name: str
    rxnorm: str | None
    atc: str | None


class Option(NamedTuple):
    """One request of a candidate, not yet identified, and when it begins and recurs within the candidate."""

    key: str
    title: str
    resource: Json
    when: Json


def regimen_canonical(candidate: Candidate, edition: str) -> str:
    """The definition that the candidate was made from."""
    return f"{FIGARO}/PlanDefinition/{candidate.regimen}|{edition}"


def options(candidate: Candidate, staging: Staging, drugs: dict[str, Drug], edition: str) -> list[Option]:
    """The requests of a candidate: one a drug, one a course of radiotherapy; one service where it has neither."""
    # The schedule has one line a dose, then one a course, in their order.
    lines: list[Activity | None] = [*candidate.schedule, *[None] * (len(candidate.doses) + len(candidate.radiotherapy))]
    found = []
    for number, (dose, line) in enumerate(zip(candidate.doses, lines, strict=False), 1):
        found.append(_medication(candidate, dose, line, drugs, number))
    for number, (course, line) in enumerate(zip(candidate.radiotherapy, lines[len(candidate.doses) :], strict=False), 1):
        title = course.course.replace("-", " ").capitalize()
        resource = _service(irradiation(course, {"reference": staging.patient}))
        found.append(Option(f"radiotherapy-{number}-{course.course}", title, resource, _from(line)))
    if not found:
        found = [Option("service", candidate.title, _service({"code": {"text": candidate.title}}), {})]
    for option in found:
        intent = [_concept("mcode-procedure-intent", _INTENTS[candidate.intent])] if candidate.intent in _INTENTS else []
        option.resource["extension"] = [*intent, *option.resource.get("extension", ())]
        option.resource["instantiatesCanonical"] = [regimen_canonical(candidate, edition)]
        option.resource["subject"] = {"reference": staging.patient}
        if staging.primary.condition:
            option.resource["reasonReference"] = [reference(staging.primary.condition)]
    return found


def action(candidate: Candidate, requests: list[tuple[Option, str]], works: dict[str, Citation], edition: str) -> Json:
    """The candidate as an action: rank, reasons, what it rests on, and the requests (option, reference) that it stands for."""
    name = f"regimen-{candidate.rank}"
    return {
        "id": name,
        "prefix": str(candidate.rank),
        "title": candidate.title,
        "description": describe(candidate),
        "code": [{"coding": [{"system": f"{FIGARO}/CodeSystem/regimen", "code": candidate.regimen, "display": candidate.title}]}],
        "documentation": documentation(candidate, works, edition),
        "groupingBehavior": "logical-group",
        "selectionBehavior": "all",
        "requiredBehavior": "could",
        "action": [_part(name, number, option, url) for number, (option, url) in enumerate(requests, 1)],
    }


def describe(candidate: Candidate) -> str:
    """The verdict in a sentence, with what blocks, what warns and what is missing."""
    words = [{"eligible": "Eligible on the record.", "cannot-tell": "Cannot tell yet.", "ruled-out": "Ruled out."}[candidate.verdict]]
    words += [f"Fails: {r.says}." for r in candidate.reasons if r.verdict == "fails"]
    words += [f"Block: {b.says}." for b in candidate.blocks]
    words += [f"Caution: {c.says}." for c in candidate.cautions]
    words += [f"Missing: {m.ask}." for m in candidate.missing]
    words += [f"{r.agency}: {r.status}{f' ({r.use})' if r.use else ''}." for r in candidate.regulatory if r.checked]
    words += [f"{candidate.grade.text} ({candidate.grade.by})."] if candidate.grade else []
    words += [f"{note.rstrip('.')}." for note in candidate.notes]
    return " ".join(words).replace("..", ".")


def _part(name: str, number: int, option: Option, url: str) -> Json:
    """One request within the action; what begins later than the first says by how much."""
    found: Json = {"id": f"{name}-{number}", "title": option.title, "resource": {"reference": url}}
    when = dict(option.when)
    if (later := when.pop("later", 0)) and number > 1:
        offset = {"value": later, "unit": "d", "system": "http://unitsofmeasure.org", "code": "d"}
        found["relatedAction"] = [{"actionId": f"{name}-1", "relationship": "after-start", "offsetDuration": offset}]
    return found | when


def _medication(candidate: Candidate, dose: DoseAmount, line: Activity | None, drugs: dict[str, Drug], number: int) -> Option:
    drug = drugs.get(dose.drug, Drug(dose.drug, None, None))
    coding = [{"system": RXNORM, "code": drug.rxnorm, "display": drug.name}] if drug.rxnorm else []
    coding += [{"system": ATC, "code": drug.atc}] if drug.atc else []
    basis = next((code for unit, code in _BASES.items() if unit in dose.rule), None if dose.rule.startswith("AUC") else _FIXED)
    resource: Json = {
        "resourceType": "MedicationRequest",
        "status": "draft",
        "intent": "option",
        "medicationCodeableConcept": {**({"coding": coding} if coding else {}), "text": drug.name},
        "dosageInstruction": [dosage(dose, line, proposed=candidate.verdict != "ruled-out")],
    }
    if basis:
        resource["extension"] = [_concept("mcode-normalization-basis", basis)]
    if dose.sources:
        resource["supportingInformation"] = [reference(source) for source in dose.sources]
    when = _from(line)
    if repeat := timing(dose):
        when["timingTiming"] = repeat
        if dose.cycle_days != 1:
            when["extension"] = [{"url": _DAYS, "extension": [{"url": "day", "valueInteger": day} for day in dose.day]}]
    return Option(f"drug-{number}-{dose.drug}", f"{drug.name} {dose.rule}", resource, when)


def _from(line: Activity | None) -> Json:
    return {"later": line.day - 1} if line and line.day > 1 else {}


def _service(more: Json) -> Json:
    return {"resourceType": "ServiceRequest", "status": "draft", "intent": "option", **more}


def _concept(name: str, code: str) -> Json:
    return {"url": MCODE + name, "valueCodeableConcept": concept(SNOMED, code)}
