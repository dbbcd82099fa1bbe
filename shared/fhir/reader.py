"""The one reader: FHIR R4 JSON in, a Record out. Tolerant by entry: what cannot be read is set aside, counted and named.

Raw JSON stays the record of truth; this takes out of it only what the rules ask for. Every door and every bulk file goes through here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import date as calendar_day
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from shared.fhir import resources as r4
from shared.fhir.outcome import Refused, Unreadable
from shared.oncology.record import Component, Concept, Dose, Finding, Issue, Quantity, Record, RecordedStage, Value

AIAST = "AIAST"
MCODE = "http://hl7.org/fhir/us/mcode/StructureDefinition/"
HISTOLOGY = MCODE + "mcode-histology-morphology-behavior"
LATERALITY = MCODE + "mcode-laterality-qualifier"
INTENT = MCODE + "mcode-procedure-intent"
DELIVERED = MCODE + "mcode-radiotherapy-dose-delivered-to-volume"
MODALITY = MCODE + "mcode-radiotherapy-modality-and-technique"
RELATED = "http://hl7.org/fhir/StructureDefinition/condition-related"

_HEAD = msgspec.json.Decoder(r4.Head)
_BUNDLE = msgspec.json.Decoder(r4.Bundle)
_DATE = re.compile(r"(\d{4})(?:-(0[1-9]|1[0-2])(?:-(0[1-9]|[12]\d|3[01])(?:T.*)?)?)?$")
_LOCAL = re.compile(r"(?:^|/)([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/[^/]+)?$")


class Given(NamedTuple):
    """One resource as given: its address in the bundle, and its bytes."""

    full_url: str | None
    raw: msgspec.Raw | bytes


def read_bundle(data: bytes, *, as_of: str | None = None) -> Record:
    """The record in a FHIR Bundle of one patient; raises Unreadable (not a Bundle) and Refused (none or two patients)."""
    if not data.strip():
        raise Unreadable("The input is empty. Give a FHIR Bundle of one patient.")
    try:
        bundle = _BUNDLE.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"The input is not a FHIR Bundle in JSON: {_plain(error)}") from error
    if bundle.resourceType != "Bundle":
        raise Unreadable(f"The input is a {bundle.resourceType[:40]}; give a Bundle of one patient.")
    given = [Given(entry.fullUrl, entry.resource) for entry in bundle.entry if entry.resource]
    return _Reading(as_of, bundle.timestamp).read(given)


def read_resources(patient: str, given: Iterable[bytes], *, as_of: str | None = None) -> Record:
    """The record of `patient` ("Patient/17") in resources pulled from a server. Raises Refused where they are of another patient."""
    return _Reading(as_of, None, patient).read([Given(None, raw) for raw in given])


def later(date: str, limit: str) -> bool:
    """Whether a date is surely later than the limit, at the precision that both have."""
    shared = min(len(date), len(limit))
    return date[:shared] > limit[:shared]


class _Reading:
    """One record being read."""

    def __init__(self, as_of: str | None, timestamp: str | None, patient: str | None = None) -> None:
        self.as_of = as_of
        self.limit = _latest(timestamp)
        self.expected = patient
        self.patients: set[str] = set()
        self.urls: dict[str, str] = {}
        self.medications: dict[str, r4.Medication] = {}
        self.person: r4.Patient | None = None
        self.issues: list[Issue] = []
        self.today = ""

    def read(self, given: list[Given]) -> Record:
        typed = self._typed(given)
        patient = self._patient()
        person = self.person or r4.Patient()
        birth, death = (day if day and _is_date(day) else None for day in map(_day, (person.birthDate, person.deceasedDateTime)))
        findings: dict[str, Finding] = {}
        for source, kind, resource in typed:
            if resource.modifierExtension or resource.implicitRules:
                self._set_aside("modifier-unknown", f"{source} carries a modifier that is not understood; it is not used.", source)
                continue
            finding = _READERS[kind](self, source, resource)
            if finding is not None:
                findings[source] = self._dated(finding, resource.meta, birth, death)
        return Record(
            patient=patient,
            birth_date=birth,
            sex=person.gender,
            deceased=death,
            dead=bool(person.deceasedBoolean or person.deceasedDateTime) and not (death and self.as_of and later(death, self.as_of)),
            today=self.as_of or self.today or None,
            as_of=self.as_of,
            findings=tuple(findings[key] for key in sorted(findings)),
            issues=tuple(sorted(self.issues, key=lambda issue: (issue.code, issue.sources, issue.text))),
        )

    def _typed(self, given: list[Given]) -> list[tuple[str, str, Any]]:
        newest: dict[str, tuple[str, str, Any]] = {}
        ages: dict[str, tuple[str, int, bytes]] = {}
        for position, (full_url, raw) in enumerate(given):
            source = f"entry {position + 1}"
            try:
                head = _HEAD.decode(raw)
                source = f"{head.resourceType}/{head.id}" if head.id else _local(full_url) if full_url else source
                if full_url:
                    self.urls[full_url] = source
                decoder = _DECODERS.get(head.resourceType)
                if decoder is None:
                    continue
                resource = decoder.decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self._set_aside("resource-unreadable", f"{source} cannot be read: {_plain(error)}", source)
                continue
            if any(label.code == AIAST for label in resource.meta.security):
                continue  # what a machine asserted, ourselves included, is never evidence for a stage
            age = _age(resource.meta, raw)
            if source in ages and age <= ages[source]:
                continue
            ages[source] = age
            if head.resourceType == "Patient":
                self.patients.add(source)
                self.person = resource
            elif head.resourceType == "Medication":
                self.medications[source] = resource
            else:
                newest[source] = (source, head.resourceType, resource)
        return [item for item in newest.values() if self._belongs(item)]

    def _belongs(self, item: tuple[str, str, Any]) -> bool:
        subject = getattr(item[2], "subject", None) or getattr(item[2], "patient", None)
        if subject is not None and (reference := self.local(subject)):
            self.patients.add(reference)
        return True

    def _patient(self) -> str:
        if self.expected:
            self.patients.add(self.expected)
        if len(self.patients) > 1:
            raise Refused(f"The resources are of {len(self.patients)} patients; give those of one patient at a time.")
        if not self.patients:
            raise Refused("No resource names a patient; give a Bundle with the Conditions and Observations of one patient.")
        return next(iter(self.patients))

    def local(self, reference: r4.Reference) -> str | None:
        """A reference as "Type/id", through the bundle's own addresses, without host and version."""
        text = reference.reference
        if text is None:
            return None
        return self.urls.get(text) or _local(text)

    def locals(self, references: tuple[r4.Reference, ...]) -> tuple[str, ...]:
        if not references:
            return ()
        return tuple(found for reference in references if (found := self.local(reference)))

    def _set_aside(self, code: str, text: str, source: str) -> None:
        self.issues.append(Issue(severity="warning", code=code, text=text, sources=(source,)))

    def _dated(self, finding: Finding, meta: r4.Meta, birth: str | None, death: str | None) -> Finding:
        """The finding with its dates judged: a date that contradicts the record is named and never used as a date."""
        written = _latest(meta.lastUpdated)
        wrong: dict[str, None] = {}
        for name in ("when", "until", "recorded"):
            date = getattr(finding, name)
            why = date and self._implausible(date, written, birth, death)
            if why:
                self._set_aside("date-implausible", f"{finding.source}: its date {why}; the date is not used.", finding.source)
                wrong[name] = None
            elif date and self.as_of and later(date, self.as_of):
                text = f"{finding.source}: its date is later than the date asked for; it is not today."
                self._set_aside("date-implausible", text, finding.source)
                # True, only later than asked: it still tells what lies after the staging window, and never sets today.
                return msgspec.structs.replace(finding, plausible=False, **wrong)
        if wrong:
            finding = msgspec.structs.replace(finding, plausible=False, **wrong)
        self.today = max(self.today, finding.when or "", finding.until or "", finding.recorded or "")
        return finding

    def _implausible(self, date: str, written: str | None, birth: str | None, death: str | None) -> str | None:
        """Why a date contradicts the record; None where it does not."""
        if not _is_date(date):
            return "is not a date"
        if (self.limit and later(date, self.limit)) or (written and later(date, written)):
            return "is later than the record itself"
        if death and later(date, death):
            return "is later than the patient's death"
        return "is earlier than the patient's birth" if birth and later(birth, date) else None

    # ── one resource type each ──────────────────────────────────────────────────────────────────────────────

    def condition(self, source: str, it: r4.Condition) -> Finding:
        onset = it.onsetDateTime or (it.onsetPeriod.start if it.onsetPeriod else None)
        sites, laterality = _sites(it.bodySite)
        return Finding(
            source=source,
            kind="condition",
            concept=it.code or Concept(),
            version=it.meta.versionId,
            verification=_first_code(it.verificationStatus),
            clinical=_first_code(it.clinicalStatus),
            when=_day(onset),
            recorded=_day(it.recordedDate),
            abated=_day(it.abatementDateTime),
            sites=sites,
            laterality=laterality,
            histology=next((e.valueCodeableConcept for e in it.extension if e.url == HISTOLOGY), None),
            stages=tuple(RecordedStage(s.summary, s.type, self.locals(s.assessment)) for s in it.stage),
            severity=it.severity,
            related=tuple(
                found for e in it.extension if e.url == RELATED and e.valueReference is not None and (found := self.local(e.valueReference))
            ),
            category=it.category,
        )

    def observation(self, source: str, it: r4.Observation) -> Finding:
        period = it.effectivePeriod or r4.Period()
        when = it.effectiveDateTime or it.effectiveInstant or period.end or period.start or it.issued
        sites, laterality = _sites((it.bodySite,) if it.bodySite else ())
        return Finding(
            source=source,
            kind="observation",
            concept=it.code,
            version=it.meta.versionId,
            status=it.status,
            when=_day(when),
            value=_value(it),
            components=tuple(Component(c.code, _value(c)) for c in it.component),
            sites=sites,
            laterality=laterality,
            method=it.method,
            focus=self.locals(it.focus),
            parts=self.locals(it.hasMember + it.derivedFrom),
            category=it.category,
        )

    def procedure(self, source: str, it: r4.Procedure) -> Finding:
        period = it.performedPeriod or r4.Period()
        sites, laterality = _sites(it.bodySite)
        return Finding(
            source=source,
            kind="procedure",
            concept=it.code or Concept(),
            version=it.meta.versionId,
            status=it.status,
            when=_day(it.performedDateTime or period.start),
            until=_day(period.end),
            sites=sites,
            laterality=laterality,
            intent=next((e.valueCodeableConcept for e in it.extension if e.url == INTENT), None),
            method=next(
                (part.valueCodeableConcept for e in it.extension if e.url == MODALITY for part in e.extension if part.valueCodeableConcept),
                None,
            ),
            doses=tuple(_dose(e) for e in it.extension if e.url == DELIVERED),
            focus=self.locals(it.reasonReference),
            category=(it.category,) if it.category else (),
        )

    def request(self, source: str, it: r4.MedicationRequest) -> Finding | None:
        if it.doNotPerform or it.intent in ("proposal", "plan", "option"):
            return None  # only what was ordered is evidence of treatment
        return self._drug(source, it, "medication-request", it.authoredOn, None)

    def administration(self, source: str, it: r4.MedicationAdministration) -> Finding:
        period = it.effectivePeriod or r4.Period()
        return self._drug(source, it, "medication-administration", it.effectiveDateTime or period.start, period.end)

    def statement(self, source: str, it: r4.MedicationStatement) -> Finding:
        period = it.effectivePeriod or r4.Period()
        return self._drug(source, it, "medication-statement", it.effectiveDateTime or period.start, period.end)

    def _drug(self, source: str, it: Any, kind: Any, when: str | None, until: str | None) -> Finding:
        concept = it.medicationCodeableConcept or self._medication(source, it) or Concept()
        return Finding(
            source=source, kind=kind, concept=concept, version=it.meta.versionId, status=it.status, when=_day(when), until=_day(until)
        )

    def _medication(self, source: str, it: Any) -> Concept | None:
        reference = it.medicationReference
        if reference is None or reference.reference is None:
            return None
        if reference.reference.startswith("#"):
            medication = next((m for m in map(_contained, it.contained) if m is not None and f"#{m.id}" == reference.reference), None)
        else:
            medication = self.medications.get(self.local(reference) or "")
        if medication is None:
            self._set_aside(
                "resource-unreadable", f"{source}: its medication is not in the record or cannot be read; it is not used.", source
            )
            return None
        parts = [i.itemCodeableConcept for i in medication.ingredient if i.itemCodeableConcept]
        codes = (medication.code.codings if medication.code else ()) + tuple(c for part in parts for c in part.codings)
        return Concept(codes, medication.code.text if medication.code else None)

    def allergy(self, source: str, it: r4.AllergyIntolerance) -> Finding:
        return Finding(
            source=source,
            kind="allergy",
            concept=it.code or Concept(),
            version=it.meta.versionId,
            verification=_first_code(it.verificationStatus),
            clinical=_first_code(it.clinicalStatus),
            when=_day(it.onsetDateTime),
            recorded=_day(it.recordedDate),
        )


_READERS: dict[str, Callable[[_Reading, str, Any], Finding | None]] = {
    "Condition": _Reading.condition,
    "Observation": _Reading.observation,
    "Procedure": _Reading.procedure,
    "MedicationRequest": _Reading.request,
    "MedicationAdministration": _Reading.administration,
    "MedicationStatement": _Reading.statement,
    "AllergyIntolerance": _Reading.allergy,
}
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    name: msgspec.json.Decoder(getattr(r4, name)) for name in (*_READERS, "Patient", "Medication")
}


def _local(text: str) -> str:
    """ "Type/id" of an address, without host and version; an address of another form as it is."""
    found = _LOCAL.search(text)
    return found.group(1) if found else text


def _age(meta: r4.Meta, raw: msgspec.Raw | bytes) -> tuple[str, int, bytes]:
    """What makes one of two versions of a resource the newer; of two that tell nothing, always the same one."""
    version = meta.versionId or ""
    return meta.lastUpdated or "", int(version) if version.isdecimal() else 0, bytes(raw)


def _contained(raw: msgspec.Raw) -> r4.Medication | None:
    try:
        medication: r4.Medication = _DECODERS["Medication"].decode(raw)
    except msgspec.DecodeError:
        return None
    return medication


def _plain(error: Exception) -> str:
    """The decoder's own sentence: it names the place and the type, never the value."""
    return str(error).replace(" - at `$", " at `").rstrip(".") + "."


def _day(instant: str | None) -> str | None:
    return instant[:10] if instant else None


def _is_date(text: str) -> bool:
    """Whether the text is a day, month or year that the calendar has."""
    if not _DATE.match(text):
        return False
    try:
        return bool(calendar_day.fromisoformat((text + "-01-01")[:10]))
    except ValueError:
        return False


def _latest(instant: str | None) -> str | None:
    """The day of an instant where it ends last: what was written late in the evening in Greenwich is of the next day further east."""
    try:
        return (datetime.fromisoformat(instant) + timedelta(hours=12)).date().isoformat() if instant and "T" in instant else _day(instant)
    except (ValueError, OverflowError):
        return _day(instant)


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


_EMPTY = Value()


def _value(it: r4.Observation | r4.Component) -> Value:
    low = high = None
    if it.valueRange is not None:
        low, high = _quantity(it.valueRange.low), _quantity(it.valueRange.high)
    value = Value(
        concept=it.valueCodeableConcept,
        quantity=_quantity(it.valueQuantity),
        low=low,
        high=high,
        boolean=it.valueBoolean,
        integer=it.valueInteger,
        text=it.valueString,
        absent=(_first_code(it.dataAbsentReason) or "unknown") if it.dataAbsentReason else None,
    )
    return _EMPTY if value == _EMPTY else value


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
