"""The one reader: FHIR R4 JSON in, a Record out. Tolerant by entry: what cannot be read is set aside, counted and named.

Raw JSON stays the record of truth; this takes out of it only what the rules ask for. Every door and every bulk file goes through here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from shared.fhir import findings
from shared.fhir import resources as r4
from shared.fhir.dates import day, is_date, later, latest
from shared.fhir.outcome import Refused, Unreadable
from shared.oncology.record import Finding, Issue, Record

AIAST = "AIAST"
_HEAD = msgspec.json.Decoder(r4.Head)
_BUNDLE = msgspec.json.Decoder(r4.Bundle)
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
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise Unreadable(f"The input is not a FHIR Bundle in JSON: {_plain(error)}") from error
    if bundle.resourceType != "Bundle":
        raise Unreadable(f"The input is a {bundle.resourceType[:40]}; give a Bundle of one patient.")
    given = [Given(entry.fullUrl, entry.resource) for entry in bundle.entry if entry.resource]
    return _Reading(as_of, bundle.timestamp).read(given)


def read_resources(patient: str, given: Iterable[bytes], *, as_of: str | None = None) -> Record:
    """The record of `patient` ("Patient/17") in resources pulled from a server. Raises Refused where they are of another patient."""
    return _Reading(as_of, None, patient).read([Given(None, raw) for raw in given])


class _Reading:
    """One record being read."""

    def __init__(self, as_of: str | None, timestamp: str | None, patient: str | None = None) -> None:
        self.as_of = as_of
        self.limit = latest(timestamp)
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
        birth, death = (day if day and is_date(day) else None for day in map(day, (person.birthDate, person.deceasedDateTime)))
        found: dict[str, Finding] = {}
        for source, kind, resource in typed:
            if _modified(resource):
                self.set_aside("modifier-unknown", f"{source} carries a modifier that is not understood; it is not used.", source)
                continue
            finding = _READERS[kind](self, source, resource)
            if finding is not None:
                found[source] = self._dated(finding, resource.meta, birth, death)
        return Record(
            patient=patient,
            birth_date=birth,
            sex=person.gender,
            deceased=death,
            dead=bool(person.deceasedBoolean or person.deceasedDateTime) and not (death and self.as_of and later(death, self.as_of)),
            today=self.as_of or self.today or None,
            as_of=self.as_of,
            findings=tuple(found[key] for key in sorted(found)),
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
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
                self.set_aside("resource-unreadable", f"{source} cannot be read: {_plain(error)}", source)
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

    def set_aside(self, code: str, text: str, source: str) -> None:
        self.issues.append(Issue(severity="warning", code=code, text=text, sources=(source,)))

    def _dated(self, finding: Finding, meta: r4.Meta, birth: str | None, death: str | None) -> Finding:
        """The finding with its dates judged: a date that contradicts the record is named and never used as a date."""
        written = latest(meta.lastUpdated)
        wrong: dict[str, None] = {}
        for name in ("when", "until", "recorded"):
            date = getattr(finding, name)
            why = date and self._implausible(date, written, birth, death)
            if why:
                self.set_aside("date-implausible", f"{finding.source}: its date {why}; the date is not used.", finding.source)
                wrong[name] = None
            elif date and self.as_of and later(date, self.as_of):
                text = f"{finding.source}: its date is later than the date asked for; it is not today."
                self.set_aside("date-implausible", text, finding.source)
                # True, only later than asked: it still tells what lies after the staging window, and never sets today.
                return msgspec.structs.replace(finding, plausible=False, **wrong)
        if wrong:
            finding = msgspec.structs.replace(finding, plausible=False, **wrong)
        self.today = max(self.today, finding.when or "", finding.until or "", finding.recorded or "")
        return finding

    def _implausible(self, date: str, written: str | None, birth: str | None, death: str | None) -> str | None:
        """Why a date contradicts the record; None where it does not."""
        if not is_date(date):
            return "is not a date"
        if (self.limit and later(date, self.limit)) or (written and later(date, written)):
            return "is later than the record itself"
        if death and later(date, death):
            return "is later than the patient's death"
        return "is earlier than the patient's birth" if birth and later(birth, date) else None


_READERS: dict[str, Callable[[findings.References, str, Any], Finding | None]] = {
    "Condition": findings.condition,
    "Observation": findings.observation,
    "Procedure": findings.procedure,
    "MedicationRequest": findings.request,
    "MedicationAdministration": findings.administration,
    "MedicationStatement": findings.statement,
    "AllergyIntolerance": findings.allergy,
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


def _modified(resource: Any) -> bool:
    """Whether anything in the resource says that it means something else than it seems to."""
    return bool(
        resource.modifierExtension
        or resource.implicitRules
        or any(component.modifierExtension for component in getattr(resource, "component", ()))
    )


def _plain(error: Exception) -> str:
    """The decoder's own sentence: it names the place and the type, never the value."""
    return str(error).replace(" - at `$", " at `").rstrip(".") + "."
