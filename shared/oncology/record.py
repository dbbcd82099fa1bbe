"""What was read of one patient: findings with their source and version, and what could not be read.

A Record is coded, dated and sourced, but not interpreted: staging and recommend each give their own meaning to its codings.
Dates are ISO 8601 text with the precision the sender gave ("2026", "2026-02", "2026-02-11"); instants are cut to the day.
"""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256
from typing import Annotated, Literal

import msgspec

# FHIR's date with its precisions; checked wherever a record comes in over the wire.
Date = Annotated[str, msgspec.Meta(pattern=r"^\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?$")]
Severity = Literal["information", "warning", "error"]
Kind = Literal[
    "condition",
    "observation",
    "procedure",
    "medication-request",
    "medication-administration",
    "medication-statement",
    "allergy",
]


class Issue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something a reader of the answer must know. `code` is one of the codes that the interface fixes."""

    severity: Severity
    code: str
    text: str
    sources: tuple[str, ...] = ()


class Coding(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A code in a system. The display is kept for text rules only; meaning is matched on system and code."""

    system: str | None = None
    code: str | None = None
    display: str | None = None


class Concept(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Codings of one meaning, and the text beside them (in JSON as FHIR's CodeableConcept)."""

    codings: tuple[Coding, ...] = msgspec.field(name="coding", default=())
    text: str | None = None


class Quantity(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A number with its unit: `unit` as printed; `system` and `code` as coded; `comparator` as sent (<, <=, >=, >)."""

    value: Decimal
    unit: str | None = None
    comparator: str | None = None
    system: str | None = None
    code: str | None = None

    @property
    def ucum(self) -> str | None:
        """The UCUM code, where the sender coded the unit in UCUM."""
        return self.code if self.system == "http://unitsofmeasure.org" else None


class Value(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The value of an observation or component, in whichever one form the sender chose; `absent` is its dataAbsentReason."""

    concept: Concept | None = None
    quantity: Quantity | None = None
    low: Quantity | None = None
    high: Quantity | None = None
    boolean: bool | None = None
    integer: int | None = None
    text: str | None = None
    absent: str | None = None


class Component(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A part of an observation: what was looked at, and what was seen."""

    concept: Concept
    value: Value = Value()


class RecordedStage(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An entry of Condition.stage: its summary, its type, and the observations behind it."""

    summary: Concept | None = None
    type: Concept | None = None
    assessments: tuple[str, ...] = ()


class Dose(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Radiation delivered to one volume: gray in all, in so many fractions."""

    total_gy: Decimal | None = None
    fractions: int | None = None
    volume: str | None = None


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One resource as read: what, when, how sure, where, and where it came from.

    `source` is a reference ("Observation/n1"), `version` its meta.versionId. `status` is the resource's own status;
    `verification` and `clinical` are a condition's. `when` and `until` bound the clinical time; `recorded` is when it was
    written down or asserted, `asserted` when a condition is said to have been asserted first. `plausible` is False where a date
    contradicts the record (then `when` is not used to order findings).
    `focus` is what it is about, or what a treatment was given for; `reasons` are the latter as codes.
    `lesions` are the places of the body structures that it is about. `related` are the conditions that a condition belongs to, and the
    procedures that a procedure is a part of.
    """

    source: str
    kind: Kind
    concept: Concept = Concept()
    version: str | None = None
    status: str | None = None
    verification: str | None = None
    clinical: str | None = None
    when: Date | None = None
    until: Date | None = None
    recorded: Date | None = None
    asserted: Date | None = None
    abated: Date | None = None
    plausible: bool = True
    value: Value = Value()
    components: tuple[Component, ...] = ()
    sites: tuple[Concept, ...] = ()
    laterality: tuple[Coding, ...] = ()
    method: Concept | None = None
    histology: Concept | None = None
    stages: tuple[RecordedStage, ...] = ()
    severity: Concept | None = None
    focus: tuple[str, ...] = ()
    reasons: tuple[Concept, ...] = ()
    lesions: tuple[Concept, ...] = ()
    related: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    intent: Concept | None = None
    category: tuple[Concept, ...] = ()
    doses: tuple[Dose, ...] = ()


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One patient as read. `deceased` is the day of death where it is told, `dead` whether she has died on the day asked about.

    `today` is the newest plausible date, or the date asked for (`as_of`). `unread` are the FHIR types that were asked for and not read, or
    not wholly, in order of the alphabet: what is silent there is unknown. A file is read as it is, and has none.
    """

    patient: str
    birth_date: Date | None = None
    sex: str | None = None
    deceased: Date | None = None
    dead: bool = False
    today: Date | None = None
    as_of: Date | None = None
    findings: tuple[Finding, ...] = ()
    issues: tuple[Issue, ...] = ()
    unread: tuple[str, ...] = ()

    def digest(self) -> str:
        """The sha-256 of the record's canonical bytes, in hexadecimal."""
        return sha256(encode(self)).hexdigest()


_ENCODER = msgspec.json.Encoder(decimal_format="number")


def encode(value: msgspec.Struct) -> bytes:
    """A value of the wire as JSON bytes; decimals as numbers."""
    return _ENCODER.encode(value)
