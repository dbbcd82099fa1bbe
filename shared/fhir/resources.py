"""The elements that our rules read of each FHIR R4 resource, as typed structs. Everything else in the JSON is passed over.

Source: FHIR R4 4.0.1 resource definitions; mCODE 4.0.0 extensions. Names are the elements' own.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from shared.oncology.record import Coding, Concept


class Element(msgspec.Struct, frozen=True, gc=False):
    """A tree without cycles: the garbage collector need not look at it."""


class Identifier(Element, frozen=True):
    system: str | None = None
    value: str | None = None


class Reference(Element, frozen=True):
    reference: str | None = None
    identifier: Identifier | None = None


class Quantity(Element, frozen=True):
    value: Decimal | None = None
    comparator: str | None = None
    unit: str | None = None
    system: str | None = None
    code: str | None = None


class Range(Element, frozen=True):
    low: Quantity | None = None
    high: Quantity | None = None


class Period(Element, frozen=True):
    start: str | None = None
    end: str | None = None


class Meta(Element, frozen=True):
    versionId: str | None = None
    lastUpdated: str | None = None
    security: tuple[Coding, ...] = ()


class Extension(Element, frozen=True):
    url: str
    valueCodeableConcept: Concept | None = None
    valueReference: Reference | None = None
    valueQuantity: Quantity | None = None
    valueUnsignedInt: int | None = None
    valueInteger: int | None = None
    valueCoding: Coding | None = None
    valueCode: str | None = None
    valueDateTime: str | None = None
    extension: tuple[Extension, ...] = ()


class ExtendedCoding(Element, frozen=True):
    """A Coding whose extensions matter: the German certainty of a diagnosis."""

    system: str | None = None
    code: str | None = None
    display: str | None = None
    extension: tuple[Extension, ...] = ()


class Diagnosis(Element, frozen=True):
    """A CodeableConcept of extended codings."""

    coding: tuple[ExtendedCoding, ...] = ()
    text: str | None = None


class Site(Element, frozen=True):
    """A CodeableConcept whose extensions matter: laterality and qualifiers of a body site."""

    coding: tuple[Coding, ...] = ()
    text: str | None = None
    extension: tuple[Extension, ...] = ()


class _Resource(Element, frozen=True, tag_field="resourceType", tag=str):
    id: str | None = None
    meta: Meta = Meta()
    implicitRules: str | None = None
    modifierExtension: tuple[Extension, ...] = ()
    extension: tuple[Extension, ...] = ()


class Patient(_Resource, frozen=True):
    identifier: tuple[Identifier, ...] = ()
    gender: str | None = None
    birthDate: str | None = None
    deceasedBoolean: bool | None = None
    deceasedDateTime: str | None = None


class StageEntry(Element, frozen=True):
    summary: Concept | None = None
    type: Concept | None = None
    assessment: tuple[Reference, ...] = ()


class Condition(_Resource, frozen=True, kw_only=True):
    subject: Reference
    clinicalStatus: Concept | None = None
    verificationStatus: Concept | None = None
    category: tuple[Concept, ...] = ()
    severity: Concept | None = None
    code: Diagnosis | None = None
    bodySite: tuple[Site, ...] = ()
    onsetDateTime: str | None = None
    onsetPeriod: Period | None = None
    abatementDateTime: str | None = None
    recordedDate: str | None = None
    stage: tuple[StageEntry, ...] = ()


class _Valued(Element, frozen=True):
    valueCodeableConcept: Concept | None = None
    valueQuantity: Quantity | None = None
    valueRange: Range | None = None
    valueBoolean: bool | None = None
    valueInteger: int | None = None
    valueString: str | None = None
    dataAbsentReason: Concept | None = None


class Component(_Valued, frozen=True, kw_only=True):
    code: Concept
    modifierExtension: tuple[Extension, ...] = ()


class Observation(_Resource, frozen=True, kw_only=True):
    status: str | None = None
    code: Concept
    subject: Reference | None = None
    focus: tuple[Reference, ...] = ()
    category: tuple[Concept, ...] = ()
    effectiveDateTime: str | None = None
    effectivePeriod: Period | None = None
    effectiveInstant: str | None = None
    issued: str | None = None
    valueCodeableConcept: Concept | None = None
    valueQuantity: Quantity | None = None
    valueRange: Range | None = None
    valueBoolean: bool | None = None
    valueInteger: int | None = None
    valueString: str | None = None
    dataAbsentReason: Concept | None = None
    interpretation: tuple[Concept, ...] = ()
    bodySite: Site | None = None
    method: Concept | None = None
    component: tuple[Component, ...] = ()
    contained: tuple[msgspec.Raw, ...] = ()
    hasMember: tuple[Reference, ...] = ()
    derivedFrom: tuple[Reference, ...] = ()


class Procedure(_Resource, frozen=True, kw_only=True):
    partOf: tuple[Reference, ...] = ()
    status: str | None = None
    category: Concept | None = None
    code: Concept | None = None
    subject: Reference
    performedDateTime: str | None = None
    performedPeriod: Period | None = None
    bodySite: tuple[Site, ...] = ()
    reasonCode: tuple[Concept, ...] = ()
    reasonReference: tuple[Reference, ...] = ()


class MedicationRequest(_Resource, frozen=True, kw_only=True):
    status: str | None = None
    intent: str | None = None
    doNotPerform: bool | None = None
    medicationCodeableConcept: Concept | None = None
    medicationReference: Reference | None = None
    contained: tuple[msgspec.Raw, ...] = ()
    subject: Reference
    authoredOn: str | None = None
    reasonCode: tuple[Concept, ...] = ()
    reasonReference: tuple[Reference, ...] = ()


class _Drug(_Resource, frozen=True, kw_only=True):
    """What an administration and a statement share."""

    status: str | None = None
    medicationCodeableConcept: Concept | None = None
    medicationReference: Reference | None = None
    contained: tuple[msgspec.Raw, ...] = ()
    subject: Reference
    effectiveDateTime: str | None = None
    effectivePeriod: Period | None = None
    reasonCode: tuple[Concept, ...] = ()
    reasonReference: tuple[Reference, ...] = ()


class MedicationAdministration(_Drug, frozen=True, kw_only=True):
    pass


class MedicationStatement(_Drug, frozen=True, kw_only=True):
    pass


class BodyStructure(_Resource, frozen=True):
    """Where a lesion is: mCODE's tumour, which a tumour size is about."""

    location: Concept | None = None


class Ingredient(Element, frozen=True):
    itemCodeableConcept: Concept | None = None


class Medication(_Resource, frozen=True):
    code: Concept | None = None
    ingredient: tuple[Ingredient, ...] = ()


class AllergyIntolerance(_Resource, frozen=True, kw_only=True):
    clinicalStatus: Concept | None = None
    verificationStatus: Concept | None = None
    criticality: str | None = None
    code: Concept | None = None
    subject: Reference = msgspec.field(name="patient")
    onsetDateTime: str | None = None
    recordedDate: str | None = None
