"""The little that is read of every line: its type, whose it is, and what may name the cervix. All else in it is passed over unread.

The shapes of other versions: elements that STU3 has and R4 has not, or R5 has and R4 has not (HL7 FHIR 3.0.2, 4.0.1, 5.0.0).
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, Union, get_args

import msgspec

from shared.fhir import bundle as bundles
from shared.fhir import resources as r4

_RAW: Final = (msgspec.Raw, msgspec.Raw())
_ABOUT: Final = ("subject", r4.Reference | None)
_PATIENT: Final = ("BodyStructure", "AllergyIntolerance")  # they call their subject so
# What a resource says of the cervix, whatever it is used for: the place of these in a line does not matter.
SPEAKING: Final = {"Condition": ("code", "bodySite", "extension"), "Observation": ("code", "method")}
SHAPES: Final = {
    "Condition": {"assertedDate": "STU3", "participant": "R5"},
    "Observation": {"context": "STU3", "triggeredBy": "R5"},
    "Procedure": {
        "notDone": "STU3",
        "context": "STU3",
        "occurrenceDateTime": "R5",
        "occurrencePeriod": "R5",
        "occurrenceString": "R5",
        "recorded": "R5",
    },
    "MedicationRequest": {"context": "STU3", "medication": "R5"},
    "MedicationAdministration": {"notGiven": "STU3", "medication": "R5", "occurenceDateTime": "R5", "occurencePeriod": "R5"},
    "MedicationStatement": {"taken": "STU3", "medication": "R5"},
    "AllergyIntolerance": {"assertedDate": "STU3", "participant": "R5"},
    "BodyStructure": {"includedStructure": "R5"},
    "Patient": {"animal": "STU3"},
}
READ: Final = tuple(kind.__name__ for kind in bundles.READ)


@cache
def decoder() -> msgspec.json.Decoder[Any]:
    """Reads a line, or all lines of a block, of any type of R4 that stands in patients' records."""
    return msgspec.json.Decoder(Union[tuple(_heads().values())])  # noqa: UP007 - a union of types made at run time


@cache
def _heads() -> dict[str, Any]:
    passed = [kind.__name__ for kind in get_args(bundles.Resource) if kind.__name__ not in READ]
    return {kind: _head(kind) for kind in READ} | {
        kind: msgspec.defstruct(kind, [], tag_field="resourceType", tag=kind, gc=False) for kind in passed
    }


def _head(kind: str) -> Any:
    subject = msgspec.field(name="patient" if kind in _PATIENT else "subject", default=None)
    fields: list[Any] = [("id", str | None, None), (*_ABOUT, subject)]
    fields += [(name, *_RAW) for name in (*SPEAKING.get(kind, ()), *SHAPES.get(kind, ()))]
    return msgspec.defstruct(kind, fields, tag_field="resourceType", tag=kind, gc=False)


class Kind:
    """How lines of one type are looked at. `number` is its place in READ."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = READ.index(name)
        self.itself = name in ("Patient", "Medication")
        self.speaking = SPEAKING.get(name, ())
        self.shapes = tuple(SHAPES.get(name, {}).items())


@cache
def kinds() -> dict[type, Kind]:
    """By the type of what the decoder gives; nothing for types that no rule reads."""
    heads = _heads()
    return {heads[name]: Kind(name) for name in READ}
