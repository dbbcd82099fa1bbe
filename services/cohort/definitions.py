"""What `study.yaml` and `printed.yaml` may say: the founding study's definitions, and the figures that it prints."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

from shared.fhir.codes import ICD_10, SNOMED
from shared.knowledge.loader import digest, load

_HERE = Path(__file__).parent


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence, and where the paper has it; `ours` where the paper leaves it open."""

    says: str
    at: str
    id: str | None = None
    ours: bool = False


class Criterion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a patient must meet to be counted, and what is said of one who does not."""

    id: str
    says: str
    otherwise: str
    at: str
    ours: bool = False


class Number(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A threshold with its UCUM unit."""

    value: float
    unit: str
    says: str
    at: str
    ours: bool = False


class Class(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A class of histology: morphology codes from the first to the last, both included, and single ones beside them."""

    id: str
    says: str
    first: str = msgspec.field(name="from")
    last: str = msgspec.field(name="to")
    also: tuple[str, ...] = ()

    def holds(self, code: str) -> bool:
        """Whether the four digits of a morphology are of this class."""
        return self.first <= code <= self.last or code in self.also


class Method(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A way of finding metastases: SNOMED CT codes."""

    id: str
    says: str
    codes: tuple[str, ...]


class Variable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A variable of Table 3 with its two levels; the second is the reference."""

    id: str
    says: str
    first: str
    second: str


class Past(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Codes that say that somebody had a cancer: ICD-10 by what they begin with, but not `but` nor `unless` alone; SNOMED CT as they are.

    `checked` is False where nobody has held them against the code systems.
    """

    icd10: tuple[str, ...]
    but: tuple[str, ...]
    unless: tuple[str, ...]
    snomed: tuple[str, ...]
    checked: bool

    def holds(self, system: str, code: str) -> bool:
        """Whether a code (ICD-10 without dots) is one of them."""
        if system != ICD_10:
            return system == SNOMED and code in self.snomed
        begins, but = (tuple(each.replace(".", "") for each in told) for told in (self.icd10, self.but))
        return code.startswith(begins) and not code.startswith(but) and code not in {each.replace(".", "") for each in self.unless}


class Definitions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `study.yaml`."""

    work: str
    citation: str
    criteria: tuple[Criterion, ...]
    not_applied: tuple[Said, ...]
    numbers: dict[str, Number]
    treatment: tuple[Said, ...]
    readings: tuple[Said, ...]
    past: Past
    histology: tuple[Class, ...]
    found_by: tuple[Method, ...]
    variables: tuple[Variable, ...]
    models: dict[str, tuple[str, ...]]

    def number(self, name: str) -> float:
        """The threshold of that name, in its unit."""
        return self.numbers[name].value

    def cells(self, morphology: str | None) -> str | None:
        """The class of an ICD-O-3 morphology ("8070/3"); "other" for one of no class."""
        if morphology is None:
            return None
        return next((each.id for each in self.histology if each.holds(morphology[:4])), "other")


class Levels(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A variable of Table 3 as printed: patients, PFS and OS at two years of each level (%), and the p of PFS and of OS."""

    first: tuple[int, float, float]
    second: tuple[int, float, float]
    p: tuple[str, str]


Cells = tuple[int | str | None, int | str | None, int | str | None]
Four = tuple[float | None, float | None, float | None, float | None]


class Printed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `printed.yaml`; three cells are the whole cohort, group A and group B."""

    work: str
    notes: dict[str, str]
    patients: tuple[int, int, int]
    table1: dict[str, Cells]
    marks: dict[str, str]
    regimens: dict[str, int]
    cycles: int
    table2: dict[str, int]
    sites: dict[str, int]
    table3: dict[str, Levels]
    models: dict[str, dict[str, str]]
    survival: dict[str, dict[str, Four]]
    follow_up: str
    time_to_progression: float
    table4: dict[str, Cells]


@cache
def definitions() -> Definitions:
    """The definitions of this package; raises KnowledgeError."""
    return load(_HERE / "study.yaml", Definitions)


def edition() -> str:
    """The digest of the definitions: another one makes another run of what was asked."""
    return digest([_HERE / "study.yaml"])


@cache
def printed() -> Printed:
    """What the founding study prints; raises KnowledgeError."""
    return load(_HERE / "printed.yaml", Printed)
