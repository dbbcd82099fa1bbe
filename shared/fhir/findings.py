"""One FHIR resource, one finding: what the rules read of each type. Source: FHIR R4 4.0.1, mCODE 4.0.0 extensions."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import msgspec

from shared.fhir import resources as r4
from shared.fhir.dates import day
from shared.oncology.record import Coding, Component, Concept, Dose, Finding, Quantity, RecordedStage, Value

MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/"
HISTOLOGY = MCODE + "mcode-histology-morphology-behavior"
LATERALITY = MCODE + "mcode-laterality-qualifier"
INTENT = MCODE + "mcode-procedure-intent"
DELIVERED = MCODE + "mcode-radiotherapy-dose-delivered-to-volume"
MODALITY = MCODE + "mcode-radiotherapy-modality-and-technique"
ASSERTED = "http://hl7.org/fhir/StructureDefinition/condition-assertedDate"
RELATED = "http://hl7.org/fhir/StructureDefinition/condition-related"
CRITICALITY = "http://hl7.org/fhir/allergy-intolerance-criticality"
CERTAINTY = "icd-10-gm-diagnosesicherheit"
_MEDICATION = msgspec.json.Decoder(r4.Medication)
_R = TypeVar("_R")
_STRUCTURE = msgspec.json.Decoder(r4.BodyStructure)


class References(Protocol):
    """The references of the record being read: resolved, with what stands behind them, and what could not be read."""

    medications: dict[str, r4.Medication]
    structures: dict[str, r4.BodyStructure]

    def local(self, reference: r4.Reference) -> str | None: ...

    def locals(self, references: tuple[r4.Reference, ...]) -> tuple[str, ...]: ...

    def set_aside(self, code: str, text: str, source: str) -> None: ...


def condition(refs: References, source: str, it: r4.Condition) -> Finding:
    """A Condition: its code, body site, histology, stages, and how sure it is."""
    onset = it.onsetDateTime or (it.onsetPeriod.start if it.onsetPeriod else None)
    asserted = next((e.valueDateTime for e in it.extension if e.url == ASSERTED), None)
    sites, laterality = _sites(it.bodySite)
    return Finding(
        source=source,
        kind="condition",
        concept=_diagnosis(it),
        version=it.meta.versionId,
        verification=_status(it.verificationStatus),
        clinical=_status(it.clinicalStatus),
        when=day(onset),
        recorded=day(min(filter(None, (asserted, it.recordedDate)), default=None)),
        asserted=day(asserted),
        abated=day(it.abatementDateTime),
        sites=sites,
        laterality=laterality,
        histology=next((e.valueCodeableConcept for e in it.extension if e.url == HISTOLOGY), None),
        stages=tuple([RecordedStage(s.summary, s.type, refs.locals(s.assessment)) for s in it.stage]),
        severity=it.severity,
        related=tuple(
            found for e in it.extension if e.url == RELATED and e.valueReference is not None and (found := refs.local(e.valueReference))
        ),
        category=it.category,
    )


def verification(it: r4.Condition) -> str:
    """How sure a Condition is; what says nothing is confirmed."""
    return _status(it.verificationStatus) or "confirmed"


def observation(refs: References, source: str, it: r4.Observation) -> Finding:
    """An Observation: its value and components, and the finding it is about."""
    period = it.effectivePeriod
    when = it.effectiveDateTime or it.effectiveInstant or (period and (period.end or period.start)) or it.issued
    sites, laterality = _sites((it.bodySite,)) if it.bodySite else ((), ())
    focus = refs.locals(it.focus) if it.focus else ()
    return Finding(
        source=source,
        kind="observation",
        concept=it.code,
        version=it.meta.versionId,
        status=it.status,
        when=day(when),
        value=_value(it),
        components=tuple([Component(c.code, _value(c)) for c in it.component]) if it.component else (),
        sites=sites,
        laterality=laterality,
        method=it.method,
        focus=focus,
        lesions=_lesions(refs, it, focus) if focus else (),
        parts=refs.locals(it.hasMember + it.derivedFrom) if it.hasMember or it.derivedFrom else (),
        category=it.category,
    )


def _lesions(refs: References, it: r4.Observation, focus: tuple[str, ...]) -> tuple[Concept, ...]:
    """Where the body structures are that an observation is about, those of the record and those that it contains."""
    inside = [_contained(raw, _STRUCTURE) for raw in it.contained]
    known = {f"#{structure.id}": structure for structure in inside if structure is not None}
    found = (known.get(reference) or refs.structures.get(reference) for reference in focus)
    return tuple(structure.location for structure in found if structure is not None and structure.location is not None)


def procedure(refs: References, source: str, it: r4.Procedure) -> Finding:
    """A Procedure, with the radiation it delivered (mCODE radiotherapy course summary)."""
    period = it.performedPeriod or r4.Period()
    sites, laterality = _sites(it.bodySite)
    return Finding(
        source=source,
        kind="procedure",
        concept=it.code or Concept(),
        version=it.meta.versionId,
        status=it.status,
        when=day(it.performedDateTime or period.start),
        until=day(period.end),
        sites=sites,
        laterality=laterality,
        intent=next((e.valueCodeableConcept for e in it.extension if e.url == INTENT), None),
        method=_modality(it.extension),
        related=refs.locals(it.partOf) if it.partOf else (),
        doses=tuple(_dose(e) for e in it.extension if e.url == DELIVERED),
        focus=refs.locals(it.reasonReference),
        reasons=it.reasonCode,
        category=(it.category,) if it.category else (),
    )


def _modality(extensions: tuple[r4.Extension, ...]) -> Concept | None:
    """Every modality and technique of a course as one concept: mCODE allows a course several pairs of them."""
    told = [part.valueCodeableConcept for e in extensions if e.url == MODALITY for part in e.extension if part.valueCodeableConcept]
    if len(told) < 2:
        return told[0] if told else None
    return Concept(tuple(c for concept in told for c in concept.codings), "; ".join(c.text for c in told if c.text) or None)


def request(refs: References, source: str, it: r4.MedicationRequest) -> Finding | None:
    """A MedicationRequest that was ordered."""
    if it.doNotPerform or it.intent in ("proposal", "plan", "option"):
        return None  # only what was ordered is evidence of treatment
    return _drug(refs, source, it, "medication-request", it.authoredOn, None)


def administration(refs: References, source: str, it: r4.MedicationAdministration) -> Finding:
    """A MedicationAdministration."""
    period = it.effectivePeriod or r4.Period()
    return _drug(refs, source, it, "medication-administration", it.effectiveDateTime or period.start, period.end)


def statement(refs: References, source: str, it: r4.MedicationStatement) -> Finding:
    """A MedicationStatement."""
    period = it.effectivePeriod or r4.Period()
    return _drug(refs, source, it, "medication-statement", it.effectiveDateTime or period.start, period.end)


def _drug(refs: References, source: str, it: Any, kind: Any, when: str | None, until: str | None) -> Finding:
    concept = it.medicationCodeableConcept or _medication(refs, source, it) or Concept()
    return Finding(
        source=source,
        kind=kind,
        concept=concept,
        version=it.meta.versionId,
        status=it.status,
        when=day(when),
        until=day(until),
        focus=refs.locals(it.reasonReference) if it.reasonReference else (),
        reasons=it.reasonCode,
    )


def _medication(refs: References, source: str, it: Any) -> Concept | None:
    reference = it.medicationReference or r4.Reference()
    if (reference.reference or "").startswith("#"):
        inside = (_contained(raw, _MEDICATION) for raw in it.contained)
        medication = next((m for m in inside if m is not None and f"#{m.id}" == reference.reference), None)
    else:
        medication = refs.medications.get(refs.local(reference) or "")
    if medication is None:
        refs.set_aside("resource-unreadable", f"{source}: its medication is not in the record or cannot be read; it is not used.", source)
        return None
    parts = [i.itemCodeableConcept for i in medication.ingredient if i.itemCodeableConcept]
    codes = (medication.code.codings if medication.code else ()) + tuple(c for part in parts for c in part.codings)
    return Concept(codes, medication.code.text if medication.code else None)


def allergy(refs: References, source: str, it: r4.AllergyIntolerance) -> Finding:
    """An AllergyIntolerance; its severity is its criticality, a code of FHIR."""
    return Finding(
        source=source,
        kind="allergy",
        concept=it.code or Concept(),
        version=it.meta.versionId,
        verification=_first_code(it.verificationStatus),
        clinical=_first_code(it.clinicalStatus),
        when=day(it.onsetDateTime),
        recorded=day(it.recordedDate),
        severity=Concept((Coding(CRITICALITY, it.criticality),)) if it.criticality else None,
    )


def _contained(raw: msgspec.Raw, decoder: msgspec.json.Decoder[_R]) -> _R | None:
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None


def _diagnosis(it: r4.Condition) -> Concept:
    """The code of a condition. The German certainty that stands in an extension is put where it also stands: behind the ICD-10 code."""
    if it.code is None:
        return Concept()
    whole = _certainty(it.extension)
    return Concept(
        tuple([Coding(c.system, _certain(c, _certainty(c.extension) or whole), c.display) for c in it.code.coding]),
        it.code.text,
    )


def _certainty(extensions: tuple[r4.Extension, ...]) -> str | None:
    """The letter G, V, A or Z (http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit); some senders give it as a plain code."""
    if not extensions:
        return None
    given = [e for e in extensions if e.url.endswith(CERTAINTY)]
    return next((letter for e in given if (letter := e.valueCoding.code if e.valueCoding else e.valueCode)), None)


def _certain(coding: r4.ExtendedCoding, letter: str | None) -> str | None:
    return f"{coding.code} {letter}" if letter and coding.code and "icd-10" in (coding.system or "") else coding.code


def _status(concept: Concept | None) -> str | None:
    """The code of HL7's own system where it is among the codings, else the first, else the text."""
    if concept is None:
        return None
    for coding in concept.codings:
        if coding.code and "/condition-" in (coding.system or ""):
            return coding.code
    return _first_code(concept) or concept.text


def _first_code(concept: Concept | None) -> str | None:
    return concept.codings[0].code if concept and concept.codings else None


def _sites(sites: tuple[r4.Site, ...]) -> tuple[tuple[Concept, ...], tuple[Any, ...]]:
    if not sites:
        return (), ()
    sides = tuple(
        coding
        for site in sites
        for e in site.extension
        if e.url == LATERALITY and e.valueCodeableConcept
        for coding in e.valueCodeableConcept.codings
    )
    return tuple(Concept(site.coding, site.text) for site in sites), sides


def _value(it: r4.Observation | r4.Component) -> Value:
    span = it.valueRange
    return Value(
        it.valueCodeableConcept,
        _quantity(it.valueQuantity) if it.valueQuantity else None,
        _quantity(span.low) if span else None,
        _quantity(span.high) if span else None,
        it.valueBoolean,
        it.valueInteger,
        it.valueString,
        (_first_code(it.dataAbsentReason) or "unknown") if it.dataAbsentReason else None,
    )


def _quantity(quantity: r4.Quantity | None) -> Quantity | None:
    if quantity is None or quantity.value is None:
        return None
    return Quantity(quantity.value, quantity.unit, quantity.comparator, quantity.system, quantity.code)


def _dose(extension: r4.Extension) -> Dose:
    """Dose delivered to one volume; mCODE states it in cGy."""
    total = fractions = volume = None
    for part in extension.extension:
        if part.valueQuantity is not None and part.valueQuantity.value is not None:
            centi = (part.valueQuantity.code or part.valueQuantity.unit) == "cGy"
            total = part.valueQuantity.value / 100 if centi else part.valueQuantity.value
        elif part.valueUnsignedInt is not None or part.valueInteger is not None:
            fractions = part.valueUnsignedInt if part.valueUnsignedInt is not None else part.valueInteger
        elif part.valueReference is not None:
            volume = part.valueReference.reference
    return Dose(total, fractions, volume)
