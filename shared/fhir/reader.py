"""The one reader: FHIR R4 JSON in, a Record out. Tolerant by entry: what cannot be read is set aside, counted and named.

Raw JSON stays the record of truth; this takes out of it only what the rules ask for. Every door and every bulk file goes through here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from shared.fhir import bundle as bundles
from shared.fhir import findings, subjects
from shared.fhir import resources as r4
from shared.fhir.dates import day, instant, is_date, later, latest
from shared.fhir.outcome import Refused
from shared.oncology.record import Finding, Issue, Record

AIAST = "AIAST"
_BYTES = (bytes, msgspec.Raw)
_OLDEST, _NEWEST = "1900", "2100"
_KINDS = frozenset(bundles.READ)
_NAMES = frozenset(resource.__name__ for resource in bundles.READ)
# Ids as servers give them, with "_" too, which FHIR has not among the characters of an id.
_LOCAL = re.compile(r"(?:^|/)([A-Z][A-Za-z]+/[^/?#|\s]{1,255})(?:/_history/[^/]+)?$")

# A resource as given: its address in the bundle, and the resource, typed or still in bytes.
Given = tuple[str | None, Any]


def read_bundle(data: bytes, *, as_of: str | None = None) -> Record:
    """The record in a FHIR Bundle of one patient; raises Unreadable (not a Bundle) and Refused (none or two patients)."""
    bundle = bundles.bundle(data)
    return _Reading(as_of, bundle.timestamp).read([(entry.full_url, entry.resource) for entry in bundle.entry if entry.resource])


def read_resources(patient: str, given: Iterable[bytes], *, as_of: str | None = None) -> Record:
    """The record of `patient` ("Patient/17") in resources pulled from a server. Raises Refused where they are of another patient."""
    return _Reading(as_of, None, patient).read([(None, raw) for raw in given])


class _Reading:
    """One record being read."""

    def __init__(self, as_of: str | None, timestamp: str | None, patient: str | None = None) -> None:
        self.as_of = as_of
        self.birth: str | None = None
        self.death: str | None = None
        # The dates that contradict nothing, by when their resource was written: most resources of a record share a few.
        self.fine: defaultdict[str | None, set[str | None]] = defaultdict(lambda: {None})
        self.limit = latest(timestamp)
        self.expected = patient
        self.patients: set[str] = set()
        self.urls: dict[str, str] = {}
        self.medications: dict[str, r4.Medication] = {}
        self.structures: dict[str, r4.BodyStructure] = {}
        # The age of the copies of a condition that contradict each other on how sure it is.
        self.contradicted: dict[str, tuple[float, int]] = {}
        self.person: r4.Patient | None = None
        self.issues: list[Issue] = []
        self.today = ""

    def read(self, given: Sequence[Given]) -> Record:
        typed = self._typed(given)
        patient = self._patient(typed)
        person = self.person or r4.Patient()
        self.birth, self.death = (day if day and is_date(day) else None for day in map(day, (person.birthDate, person.deceasedDateTime)))
        findings = []
        for source in sorted(typed):
            resource = typed[source]
            if _modified(resource):
                self.set_aside("modifier-unknown", f"{source} carries a modifier that is not understood; it is not used.", source)
                continue
            finding = _READERS[type(resource)](self, source, resource)
            if finding is not None and self.contradicted.get(source) == _said(resource):
                finding = msgspec.structs.replace(finding, verification="unconfirmed")
            if finding is not None:
                findings.append(self._dated(finding, resource.meta.lastUpdated))
        death, as_of = self.death, self.as_of
        return Record(
            patient=patient,
            birth_date=self.birth,
            sex=person.gender,
            deceased=death,
            dead=bool(person.deceasedBoolean or person.deceasedDateTime) and not (death and as_of and later(death, as_of)),
            today=as_of or self.today or None,
            as_of=as_of,
            findings=tuple(findings),
            issues=tuple(sorted(set(self.issues), key=lambda issue: (issue.code, issue.sources, issue.text))),
        )

    def _typed(self, given: Sequence[Given]) -> dict[str, Any]:
        """The resources to read by their source, of each the newest version; the patient and the medications go to their own places."""
        newest: dict[str, Any] = {}
        for position, (full_url, it) in enumerate(given):
            resource = self._decoded(it, full_url, position) if isinstance(it, _BYTES) else it
            if resource is None:
                continue
            kind = type(resource)
            source = f"{kind.__name__}/{resource.id}" if resource.id else _source(kind.__name__, None, full_url, position)
            if full_url:
                self.urls[full_url] = source
            if kind not in _KINDS:
                continue
            if resource.meta.security and any(label.code == AIAST for label in resource.meta.security):
                continue  # what a machine asserted, ourselves included, is never evidence for a stage
            if (other := newest.get(source)) is not None:
                if resource != other and _said(resource) == _said(other):
                    text = f"{source} stands twice with different content and nothing tells which is newer; one of the two is not used."
                    if kind is r4.Condition and findings.verification(resource) != findings.verification(other):
                        text = (
                            f"{source} stands twice, not as sure in one as in the other, and nothing tells which is newer; it is doubtful."
                        )
                        self.contradicted[source] = _said(resource)
                    self.set_aside("resource-unreadable", text, source)
                if _age(resource) <= _age(other):
                    continue
            newest[source] = resource
            if kind is r4.Patient:
                self.patients.add(source)
                self.person = resource
            elif kind is r4.Medication:
                self.medications[source] = resource
            elif kind is r4.BodyStructure and not _modified(resource):
                self.structures[source] = resource
        return {source: resource for source, resource in newest.items() if type(resource) in _READERS}

    def _decoded(self, raw: msgspec.Raw | bytes, full_url: str | None, position: int) -> Any:
        """A resource out of its bytes; None where we do not know its type, or where it cannot be read, which is named."""
        try:
            return bundles.resource(raw)
        except bundles.FAULTS as error:
            head = bundles.head(raw)
            source = _source(head.resource_type, head.id, full_url, position) if head else f"entry {position + 1}"
            if head and full_url:
                self.urls[full_url] = source
            if head is None or head.resource_type in _NAMES:
                self.set_aside("resource-unreadable", f"{source} cannot be read: {bundles.plain(error)}", source)
            return None

    def _patient(self, typed: dict[str, Any]) -> str:
        if self.expected:
            self.patients.add(self.expected)
            self.urls.setdefault(f"urn:uuid:{self.expected.partition('/')[2]}", self.expected)
        named = self._named(typed)
        self.patients.update(self._local(address) for address in named)
        if len(self.patients) > 1:
            raise Refused(f"The resources are of {len(self.patients)} patients; give those of one patient at a time.")
        if not self.patients:
            raise Refused("No resource names a patient; give a Bundle with the Conditions and Observations of one patient.")
        if len(subjects.servers({*named, *(url for url, source in self.urls.items() if source in self.patients)})) > 1:
            raise Refused("The resources are of patients on more than one server; give those of one patient at a time.")
        return next(iter(self.patients))

    def _named(self, typed: dict[str, Any]) -> set[str]:
        """The addresses of the patients that resources name; resources that are of none are set aside, and named."""
        given = {it.subject.reference: it.subject for it in typed.values() if it.subject is not None}
        if None in given or any(subjects.stranger(subject, self.local(subject), self.person) for subject in given.values()):
            for source, subject in [(source, it.subject) for source, it in typed.items() if it.subject is not None]:
                why = subjects.stranger(subject, self.local(subject), self.person)
                if why is not None:
                    self.set_aside("resource-unreadable", f"{source} is not used: {why}.", source)
                    del typed[source]
                    given.pop(subject.reference, None)
        return {address for address, subject in given.items() if address and not subjects.hers(subject)}

    def local(self, reference: r4.Reference) -> str | None:
        """A reference as "Type/id", through the bundle's own addresses, without host and version."""
        return None if reference.reference is None else self._local(reference.reference)

    def _local(self, address: str) -> str:
        found = self.urls.get(address)
        if found is None:
            found = self.urls[address] = _local(address)
        return found

    def locals(self, references: tuple[r4.Reference, ...]) -> tuple[str, ...]:
        return tuple(found for reference in references if (found := self.local(reference)))

    def set_aside(self, code: str, text: str, source: str) -> None:
        self.issues.append(Issue(severity="warning", code=code, text=text, sources=(source,)))

    def _dated(self, finding: Finding, written: str | None) -> Finding:
        """The finding with its dates judged: a date that contradicts the record is named and never used as a date."""
        fine = self.fine[written]
        if finding.when in fine and finding.until in fine and finding.recorded in fine and finding.asserted in fine:
            return finding
        wrong: dict[str, None] = {}
        for name in ("when", "until", "recorded", "asserted"):
            date = getattr(finding, name)
            if date in fine:
                continue
            why = self._implausible(date, written)
            if why is not None:
                self.set_aside("date-implausible", f"{finding.source}: its date {why}; the date is not used.", finding.source)
                wrong[name] = None
            elif self.as_of and later(date, self.as_of):
                text = f"{finding.source}: its date is later than the date asked for; it is not today."
                self.set_aside("date-implausible", text, finding.source)
                # True, only later than asked: it never sets today, and staging leaves it out.
                return msgspec.structs.replace(finding, plausible=False, **wrong)
            else:
                fine.add(date)
                self.today = max(self.today, date)
        return msgspec.structs.replace(finding, plausible=False, **wrong) if wrong else finding

    def _implausible(self, date: str, written: str | None) -> str | None:
        """Why a date contradicts the record, written down at an instant; None where it does not."""
        if not is_date(date):
            return "is not a date"
        if not _OLDEST <= date[:4] <= _NEWEST:
            return "is of a year that no record of a patient has"
        limit = latest(written) if written else None
        if (self.limit and later(date, self.limit)) or (limit and later(date, limit)):
            return "is later than the record itself"
        if self.death and later(date, self.death):
            return "is later than the patient's death"
        return "is earlier than the patient's birth" if self.birth and later(self.birth, date) else None


_READERS: dict[type, Callable[[findings.References, str, Any], Finding | None]] = {
    r4.Condition: findings.condition,
    r4.Observation: findings.observation,
    r4.Procedure: findings.procedure,
    r4.MedicationRequest: findings.request,
    r4.MedicationAdministration: findings.administration,
    r4.MedicationStatement: findings.statement,
    r4.AllergyIntolerance: findings.allergy,
}


def _source(kind: str, name: str | None, full_url: str | None, position: int) -> str:
    """How a resource is called: "Type/id", else its address, else its place."""
    return f"{kind}/{name}" if name else _local(full_url) if full_url else f"entry {position + 1}"


def _local(text: str) -> str:
    """ "Type/id" of an address, without host and version; an address of another form as it is."""
    found = _LOCAL.search(text)
    return found.group(1) if found else text


def _said(resource: Any) -> tuple[float, int]:
    """What a resource itself says of its age."""
    return age(resource.meta.lastUpdated, resource.meta.versionId)


def _age(resource: Any) -> tuple[tuple[float, int], bytes]:
    """What makes one of two versions of a resource the newer; of two that tell nothing, always the same one."""
    return _said(resource), msgspec.json.encode(resource)


def age(written: str | None, version: str | None) -> tuple[float, int]:
    """The greater, the newer: the instant of writing (lastUpdated) in seconds, wherever its clock stood, and the version's number.

    What is not told, or no instant, is older than all.
    """
    return instant(written), int(version) if version and version.isdecimal() and len(version) < 19 else 0


def _modified(resource: Any) -> bool:
    """Whether anything in the resource says that it means something else than it seems to."""
    if resource.modifierExtension or resource.implicitRules:
        return True
    parts = resource.component if type(resource) is r4.Observation else ()
    return bool(parts) and any(part.modifierExtension for part in parts)
