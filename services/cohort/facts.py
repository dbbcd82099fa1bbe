"""What a study needs to know of a patient beside her stage. Handed in: drugs and doses are read by recommend, and nowhere else."""

from __future__ import annotations

from datetime import date
from typing import Literal

import msgspec

Response = Literal["complete", "partial", "stable", "progression"]
Where = Literal["locoregional", "distant"]
Kind = Literal["external", "inside"]


class Given(msgspec.Struct, frozen=True, gc=False):
    """One drug on one day."""

    when: date
    drug: str
    cytotoxic: bool
    platinum: bool
    source: str


class Doubt(msgspec.Struct, frozen=True, gc=False):
    """A medication of which nobody can say whether it was chemotherapy given: its status leaves it open (`unsettled`), it was ordered and
    no more, or its drug cannot be told (`untold`). `when` is None where its day is not on record."""

    when: date | None
    why: Literal["unsettled", "ordered", "untold"]
    source: str


class Irradiation(msgspec.Struct, frozen=True, kw_only=True):
    """One course of radiotherapy. `pelvic` is None where nobody recorded the field; `gy` is of the volume with the least dose.

    `kinds`: external beam, brachytherapy, or both; empty where nobody can tell. `end` is None where nobody recorded it. `palliative` by its
    recorded intent; `stopped` before its planned end; `going`: not at its end yet; `nodes`: to nodes alone; `unsettled`: by its status
    nobody can say whether it was given.
    """

    start: date | None
    end: date | None
    pelvic: bool | None
    kinds: frozenset[Kind]
    gy: float | None
    fractions: int | None
    source: str
    palliative: bool = False
    stopped: bool = False
    going: bool = False
    nodes: bool = False
    unsettled: bool = False

    @property
    def external(self) -> bool:
        return self.kinds == {"external"}

    @property
    def brachytherapy(self) -> bool:
        return self.kinds == {"inside"}


class Note(msgspec.Struct, frozen=True, gc=False):
    """Something of the reading that belongs among the reasons."""

    assigned: str
    says: str
    sources: tuple[str, ...]


class Answer(msgspec.Struct, frozen=True, gc=False):
    """How the disease answered, on the last day that its date can mean; `where` is None where that is not told.

    `first` is the first day that the date can mean, where it is not the same.
    """

    when: date
    response: Response
    where: Where | None
    source: str
    first: date | None = None


class Reading(msgspec.Struct, frozen=True, gc=False):
    """A number read on a day, in the unit of `study.yaml`. Of an interval ("> 4 cm") the ends are kept."""

    when: date
    low: float
    high: float
    source: str

    def above(self, limit: float) -> bool | None:
        """Whether it is above the limit; None where the interval lies on both sides."""
        return True if self.low > limit else False if self.high <= limit else None

    def at_least(self, limit: float) -> bool | None:
        """Whether it is the limit or more; None where the interval lies on both sides."""
        return True if self.low >= limit else False if self.high < limit else None


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything of one patient, each oldest first. `readings` are by fact: ecog, haemoglobin, leucocytes, size.

    `worse_undated`: staging found new disease after treatment had begun, on a day that nobody recorded.
    """

    drugs: tuple[Given, ...] = ()
    courses: tuple[Irradiation, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    notes: tuple[Note, ...] = ()
    answers: tuple[Answer, ...] = ()
    readings: dict[str, tuple[Reading, ...]] = {}
    worse_undated: bool = False

    def since(self, day: date) -> Facts:
        """Without the drugs and courses that began before the day: they were given for something else."""
        return msgspec.structs.replace(
            self,
            drugs=tuple(drug for drug in self.drugs if drug.when >= day),
            doubts=tuple(doubt for doubt in self.doubts if doubt.when is None or doubt.when >= day),
            courses=tuple(course for course in self.courses if course.start is None or course.start >= day),
        )
