"""Bytes → typed resources: a Bundle in one pass where every entry can be read, else entry by entry."""

from __future__ import annotations

from codecs import BOM_UTF8
from typing import Any, Union

import msgspec

from shared.fhir import resources as r4
from shared.fhir.outcome import Unreadable
from shared.fhir.resources import Element

FAULTS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
READ: tuple[type, ...] = (
    r4.Observation,
    r4.Condition,
    r4.Procedure,
    r4.MedicationRequest,
    r4.MedicationAdministration,
    r4.MedicationStatement,
    r4.AllergyIntolerance,
    r4.Patient,
    r4.Medication,
    r4.BodyStructure,
)
# The types that stand in patients' records besides. One that is missing here costs time only: its Bundle is read entry by entry.
_PASSED = """
    Account AdverseEvent Appointment AppointmentResponse AuditEvent Basic Binary CarePlan CareTeam ChargeItem Claim
    ClaimResponse ClinicalImpression Communication CommunicationRequest Composition Consent Coverage CoverageEligibilityRequest
    CoverageEligibilityResponse DetectedIssue Device DeviceRequest DeviceUseStatement DiagnosticReport DocumentManifest
    DocumentReference Encounter EnrollmentRequest EpisodeOfCare ExplanationOfBenefit FamilyMemberHistory Flag Goal Group ImagingStudy
    Immunization ImmunizationEvaluation ImmunizationRecommendation Invoice List Location MeasureReport Media MedicationDispense
    MolecularSequence NutritionOrder Organization OperationOutcome Person PlanDefinition Practitioner PractitionerRole Provenance
    Questionnaire QuestionnaireResponse RelatedPerson RequestGroup ResearchStudy ResearchSubject RiskAssessment Schedule ServiceRequest
    Specimen Substance SupplyDelivery SupplyRequest Task VisionPrescription
"""


class Head(Element, frozen=True, rename="camel"):
    """What is asked of a resource that cannot be read."""

    resource_type: str
    id: str | None = None


class Passed(Element, frozen=True, tag_field="resourceType", tag=str):
    """A resource of a type that the rules do not read; only its name is taken."""

    id: str | None = None


_TYPES: tuple[Any, ...] = (*READ, *(msgspec.defstruct(name, [], bases=(Passed,), frozen=True) for name in _PASSED.split()))
Resource: Any = Union[_TYPES]  # noqa: UP007 - a union of types made at run time


class RawEntry(Element, frozen=True, rename="camel"):
    """An entry whose resource stays raw; empty bytes where it has none."""

    full_url: str | None = None
    resource: msgspec.Raw = msgspec.Raw()


class Entry(Element, frozen=True, rename="camel"):
    """An entry whose resource is typed."""

    full_url: str | None = None
    resource: Resource | msgspec.UnsetType = msgspec.UNSET


class _Bundle(Element, frozen=True, rename="camel"):
    resource_type: str
    type: str | None = None
    timestamp: str | None = None


class RawBundle(_Bundle, frozen=True):
    """A Bundle whose entries stay raw bytes, so that one that cannot be read takes nothing from the others."""

    entry: tuple[RawEntry, ...] = ()


class Bundle(_Bundle, frozen=True):
    """A Bundle read in one pass; one entry that cannot be read makes all of it unreadable."""

    entry: tuple[Entry, ...] = ()


_BUNDLE = msgspec.json.Decoder(Bundle)
_RAW_BUNDLE = msgspec.json.Decoder(RawBundle)
_RESOURCE = msgspec.json.Decoder(Resource)
_HEAD = msgspec.json.Decoder(Head)


def bundle(data: bytes) -> Bundle | RawBundle:
    """The Bundle in the bytes, its resources typed or, where one of them cannot be read, all of them raw. Raises Unreadable."""
    data = data.removeprefix(BOM_UTF8)
    if not data or data.isspace():
        raise Unreadable("The input is empty. Give a FHIR Bundle of one patient.")
    read: Bundle | RawBundle
    try:
        read = _BUNDLE.decode(data)
    except FAULTS:
        try:
            read = _RAW_BUNDLE.decode(data)
        except FAULTS as error:
            raise Unreadable(f"The input is not a FHIR Bundle in JSON: {plain(error)}") from error
    if read.resource_type != "Bundle":
        raise Unreadable(f"The input is a {read.resource_type[:40]}; give a Bundle of one patient.")
    return read


def resource(raw: msgspec.Raw | bytes) -> Any:
    """One resource, typed; raises one of FAULTS."""
    return _RESOURCE.decode(raw)


def head(raw: msgspec.Raw | bytes) -> Head | None:
    """What can still be told of a resource that cannot be read."""
    try:
        return _HEAD.decode(raw)
    except FAULTS:
        return None


def plain(error: Exception) -> str:
    """The decoder's own sentence: it names the place and the type, never the value."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply, more than any resource of FHIR R4: mend it, or leave it out."
    return str(error).replace(" - at `$", " at `").rstrip(".") + "."
