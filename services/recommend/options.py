"""One candidate as FHIR: its option-intent MedicationRequests and ServiceRequests, and its action in the RequestGroup.

Shape: CarePlan → RequestGroup (exactly one) → one action per regimen, with its citations in `documentation`, the only slot that R4 gives a
citation on a request. Source: FHIR R4 4.0.1 RequestGroup, MedicationRequest, ServiceRequest; mCODE 4.0.0 extensions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from shared.fhir.assertion import FIGARO
from shared.fhir.codes import ATC, RXNORM, SNOMED
from shared.oncology.recommendation import REFERENCE_ONLY, Candidate, DoseAmount, EvidenceFigure, Radiotherapy
from shared.oncology.stage import Staging

Json = dict[str, Any]
_MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/"
_INTENTS = {"curative": "373808002", "palliative": "363676003", "supportive": "399707004"}
_BASES = {"mg/m2": "301898006", "mg/kg": "363804004"}
_FIXED = "1157245009"
_MODALITIES = {"external-beam": "1156506007", "nodal-boost": "1156506007", "palliative": "1156506007", "brachytherapy": "394902000"}
UNCHECKED = "not checked against the source"


class Drug(NamedTuple):
    """The codes of a drug: name, RxNorm ingredient, ATC."""

    name: str
    rxnorm: str | None
    atc: str | None


class Option(NamedTuple):
    """One request of a candidate, not yet identified."""

    key: str
    title: str
    resource: Json


def options(candidate: Candidate, staging: Staging, drugs: dict[str, Drug], knowledge: str) -> list[Option]:
    """The requests of a candidate: one a drug, one a course of radiotherapy; one service where it has neither."""
    canonical = f"{FIGARO}/PlanDefinition/{candidate.regimen}|{knowledge}"
    found = [_medication(candidate, dose, drugs, canonical, number) for number, dose in enumerate(candidate.doses, 1)]
    found += [_radiotherapy(candidate, course, canonical, number) for number, course in enumerate(candidate.radiotherapy, 1)]
    if not found:
        found = [Option("service", candidate.title, _service(candidate, canonical, {"code": {"text": candidate.title}}))]
    for option in found:
        option.resource["subject"] = {"reference": staging.patient}
        if staging.primary.condition:
            option.resource["reasonReference"] = [{"reference": staging.primary.condition}]
    return found


def action(candidate: Candidate, references: list[tuple[str, str]]) -> Json:
    """The candidate as an action: rank, reasons, citations, and the requests (title, reference) that it stands for."""
    documentation = [document(figure) for figure in candidate.evidence]
    found: Json = {
        "id": f"regimen-{candidate.rank}",
        "prefix": str(candidate.rank),
        "title": candidate.title,
        "description": describe(candidate),
        "code": [{"coding": [{"system": f"{FIGARO}/CodeSystem/regimen", "code": candidate.regimen, "display": candidate.title}]}],
        "groupingBehavior": "logical-group",
        "selectionBehavior": "all",
        "requiredBehavior": "could",
        "action": [{"title": title, "resource": {"reference": reference}} for title, reference in references],
    }
    if documentation:
        found["documentation"] = documentation
    return found


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


def document(figure: EvidenceFigure) -> Json:
    """A citation, with its figure in words where the figure was checked against the work."""
    found: Json = {"type": "citation", "label": figure.id, "citation": figure.citation}
    if figure.doi:
        found["url"] = f"https://doi.org/{figure.doi}"
    said = sentence(figure)
    if said:
        found["display"] = said
    return found


def sentence(figure: EvidenceFigure) -> str | None:
    """A checked figure as one would say it: endpoint, hazard ratio with its interval, medians, n, population. None where unchecked."""
    if not figure.checked or figure.endpoint is None:
        return None
    parts = []
    if figure.hazard_ratio is not None:
        interval = f" ({figure.level or 95} % CI {figure.ci[0]:.2f} to {figure.ci[1]:.2f})" if figure.ci else ""
        parts.append(f"HR {figure.hazard_ratio:.2f}{interval}")
    if figure.months:
        parts.append(f"median {figure.months[0]:g} against {figure.months[1]:g} months")
    if figure.p:
        parts.append(f"p {figure.p}")
    if figure.says:
        parts.append(figure.says)
    if figure.n:
        parts.append(f"n {figure.n}")
    if figure.population:
        parts.append(figure.population)
    return f"{figure.endpoint}: {', '.join(parts)}" if parts else None


def dose_words(dose: DoseAmount, *, amount: bool = True) -> str:
    """The dose rule with its days, and with `amount` what it comes to for this patient, where that could be computed."""
    daily = dose.cycle_days == 1
    days = f", day {', '.join(map(str, dose.day))}" if dose.day and not daily else ""
    cycle = f", every {dose.cycle_days} days" if dose.cycle_days and not daily else ""
    comes_to = f"; {dose.amount:g} {dose.unit} for this patient" if amount and dose.amount is not None else ""
    mark = "" if dose.checked else f"; {UNCHECKED}"
    return f"{dose.rule}{days}{cycle}{comes_to} ({REFERENCE_ONLY}{mark})"


def schedule_words(candidate: Candidate) -> list[str]:
    """Each activity of the schedule: what, how it is given, when, and how often."""
    return [
        f"{a.activity}: {a.repeats or f'day {a.day}'}" + (f", from day {a.day}" if a.repeats and a.day > 1 else "")
        for a in candidate.schedule
    ]


def course_words(course: Radiotherapy) -> str:
    """A course of radiotherapy as its total, fractions and EQD2 in gray."""

    def gray(value: tuple[float, float] | float) -> str:
        return f"{value[0]:g} to {value[1]:g}" if isinstance(value, tuple) else f"{value:g}"

    words = [f"{course.course.replace('-', ' ')} to the {course.target}"]
    if course.total_gy is not None:
        words.append(f"{gray(course.total_gy)} Gy")
    if course.fractions is not None:
        words.append(f"in {gray(course.fractions)} fractions")
    if course.gy_per_fraction is not None:
        words.append(f"of {gray(course.gy_per_fraction)} Gy")
    return " ".join(words) + f" ({REFERENCE_ONLY}{'' if course.checked else f'; {UNCHECKED}'})"


def _medication(candidate: Candidate, dose: DoseAmount, drugs: dict[str, Drug], canonical: str, number: int) -> Option:
    drug = drugs.get(dose.drug, Drug(dose.drug, None, None))
    coding = [{"system": RXNORM, "code": drug.rxnorm, "display": drug.name}] if drug.rxnorm else []
    coding += [{"system": ATC, "code": drug.atc}] if drug.atc else []
    # What is ruled out stays listed with its rule, and without an amount that somebody might take for a proposal.
    proposed = candidate.verdict != "ruled-out"
    timing = [words for words in schedule_words(candidate) if words.startswith(f"{dose.drug} ")]
    dosage: Json = {"text": ". ".join([dose_words(dose, amount=proposed), *timing])}
    if proposed and dose.amount is not None:
        ucum = {"value": dose.amount, "unit": dose.unit, "system": "http://unitsofmeasure.org", "code": dose.unit}
        dosage["doseAndRate"] = [{"doseQuantity": ucum}]
    basis = next((code for unit, code in _BASES.items() if dose.rule.endswith(unit)), None if dose.rule.startswith("AUC") else _FIXED)
    extension = [_concept("mcode-procedure-intent", _INTENTS[candidate.intent])] if candidate.intent in _INTENTS else []
    extension += [_concept("mcode-normalization-basis", basis)] if basis else []
    resource: Json = {
        "resourceType": "MedicationRequest",
        "extension": extension,
        "status": "draft",
        "intent": "option",
        "medicationCodeableConcept": {**({"coding": coding} if coding else {}), "text": drug.name},
        "instantiatesCanonical": [canonical],
        "dosageInstruction": [dosage],
    }
    return Option(f"drug-{number}-{dose.drug}", f"{drug.name} {dose.rule}", resource)


def _radiotherapy(candidate: Candidate, course: Radiotherapy, canonical: str, number: int) -> Option:
    modality = _MODALITIES.get(course.course)
    resource = _service(
        candidate,
        canonical,
        {
            "category": [{"coding": [{"system": SNOMED, "code": "108290001"}]}],
            "code": {
                "coding": [{"system": SNOMED, "code": "1217123003"}],
                "text": f"Radiotherapy course: {course.course.replace('-', ' ')}",
            },
            "note": [{"text": course_words(course)}],
        },
    )
    if modality:
        inner = _concept("mcode-radiotherapy-modality", modality)
        resource["extension"].append({"url": _MCODE + "mcode-radiotherapy-modality-and-technique", "extension": [inner]})
    return Option(f"radiotherapy-{number}-{course.course}", course.course.replace("-", " ").capitalize(), resource)


def _service(candidate: Candidate, canonical: str, more: Json) -> Json:
    extension = [_concept("mcode-procedure-intent", _INTENTS[candidate.intent])] if candidate.intent in _INTENTS else []
    return {
        "resourceType": "ServiceRequest",
        "extension": extension,
        "instantiatesCanonical": [canonical],
        "status": "draft",
        "intent": "option",
        **more,
    }


def _concept(name: str, code: str) -> Json:
    return {"url": _MCODE + name, "valueCodeableConcept": {"coding": [{"system": SNOMED, "code": code}]}}
