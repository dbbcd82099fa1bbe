"""Treatment as the study divides it: cycles of chemotherapy, radiotherapy to the pelvis, groups A and B, EQD2 to point A."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

import msgspec

from services.cohort.definitions import Definitions
from services.cohort.facts import Facts, Given, Irradiation


class Cycle(msgspec.Struct, frozen=True):
    """A cycle by the day it began on, its drugs and where they are on record."""

    start: date
    regimen: str
    sources: tuple[str, ...]


class Regimen(msgspec.Struct, frozen=True, gc=False):
    """So many cycles of these drugs."""

    drugs: str
    cycles: int


class Treated(msgspec.Struct, frozen=True, kw_only=True):
    """First treatment: what was given before any progression. `group` is None where the record does not settle it.

    `every_cycle` holds those after a progression too. `finished` is the day on which group A's radiotherapy ended.
    """

    cycles: tuple[Cycle, ...]
    every_cycle: tuple[Cycle, ...]
    finished: date | None
    external: tuple[Irradiation, ...]
    brachytherapy: tuple[Irradiation, ...]
    elsewhere: tuple[Irradiation, ...]
    unknown: tuple[Irradiation, ...]
    group: str | None
    pelvic: str | None
    because: str
    sources: tuple[str, ...]

    @property
    def regimens(self) -> tuple[Regimen, ...]:
        """The regimens with their cycles, the most given first."""
        counted = Counter(cycle.regimen for cycle in self.cycles)
        return tuple(Regimen(*each) for each in sorted(counted.items(), key=lambda each: (-each[1], each[0])))

    def beside(self) -> tuple[int, int, int]:
        """Cycles begun before, during and after the definitive radiotherapy."""
        starts = [course.start for course in (*self.external, *self.brachytherapy) if course.start]
        ends = [course.end for course in (*self.external, *self.brachytherapy) if course.end]
        if self.group != "A" or not starts or not ends:
            return 0, 0, 0
        begun = [cycle.start for cycle in self.cycles]
        before, after = sum(day < min(starts) for day in begun), sum(day > max(ends) for day in begun)
        return before, len(begun) - before - after, after


def treated(facts: Facts, until: date | None, study: Definitions) -> Treated:
    """The first treatment, up to the first progression."""
    apart = study.number("cycle-apart")
    chemotherapy = [drug for drug in facts.drugs if drug.cytotoxic]
    given = [drug for drug in chemotherapy if until is None or drug.when < until]
    courses = [course for course in facts.courses if until is None or course.start is None or course.start < until]
    pelvic = [course for course in courses if course.pelvic]
    external = tuple(course for course in pelvic if not course.brachytherapy)
    inside = tuple(course for course in pelvic if course.brachytherapy)
    unknown = tuple(course for course in courses if course.pelvic is None)
    undated = until is not None and any(course.start is None for course in (*pelvic, *unknown))
    group, kind, because = (None, None, _UNDATED) if undated else _group(external, inside, unknown)
    ends = [course.end for course in pelvic if not course.palliative]
    return Treated(
        cycles=cycles(given, apart),
        every_cycle=cycles(chemotherapy, apart),
        finished=max((end for end in ends if end), default=None) if group == "A" and None not in ends else None,
        external=external,
        brachytherapy=inside,
        elsewhere=tuple(course for course in courses if course.pelvic is False),
        unknown=unknown,
        group=group,
        pelvic=kind,
        because=because,
        sources=tuple(course.source for course in (*external, *inside, *unknown)),
    )


_DEFINITIVE: Final = (
    "external beam to the pelvis and brachytherapy, begun before any progression, neither palliative nor stopped; "
    "whether the dose was low is not asked"
)
_UNDATED: Final = "radiotherapy without a date, and a progression: nobody can tell which came first"


def _group(
    external: tuple[Irradiation, ...], inside: tuple[Irradiation, ...], unknown: tuple[Irradiation, ...]
) -> tuple[str | None, str | None, str]:
    if all(any(not course.palliative and not course.stopped for course in courses) for courses in (external, inside)):
        return "A", "definitive", _DEFINITIVE
    if unknown:
        return None, None, "radiotherapy whose field nobody recorded: it may have been to the pelvis"
    if external and inside and all(any(not course.palliative for course in courses) for courses in (external, inside)):
        return None, None, "external beam to the pelvis and brachytherapy, one of them stopped before its end: in neither group"
    if external and inside:
        return "B", "palliative", "external beam to the pelvis and brachytherapy, with palliative intent"
    if inside:
        return None, None, "brachytherapy without external beam on record: in neither group"
    if external:
        return "B", "palliative", "external beam to the pelvis without brachytherapy"
    return "B", "none", "no radiotherapy to the pelvis on record before any progression"


def cycles(given: Iterable[Given], apart: float) -> tuple[Cycle, ...]:
    """The cycles that days of chemotherapy make: a new one so many days after the last one began, or with each dose of platinum alone."""
    days: dict[date, list[Given]] = defaultdict(list)
    for drug in given:
        days[drug.when].append(drug)
    found: list[Cycle] = []
    alone = False
    for day in sorted(days):
        now = days[day]
        single = len({drug.drug for drug in now}) == 1 and now[0].platinum
        sources = tuple(sorted({drug.source for drug in now}))
        if found and day < found[-1].start + timedelta(days=apart) and not (single and alone):
            last = found[-1]
            drugs = "/".join(sorted({*last.regimen.split("/"), *(drug.drug for drug in now)}))
            found[-1] = Cycle(last.start, drugs, tuple(sorted({*last.sources, *sources})))
            alone = False
        else:
            found.append(Cycle(day, "/".join(sorted({drug.drug for drug in now})), sources))
            alone = single
    return tuple(found)


def total(courses: Iterable[Irradiation]) -> float | None:
    """The dose of the courses in gray; None where one has none on record."""
    doses = [course.gy for course in courses]
    known = [gy for gy in doses if gy is not None]
    return round(sum(known), 2) if known and len(known) == len(doses) else None


def eqd2(courses: Iterable[Irradiation], alpha_beta: float) -> float | None:
    """The dose in fractions of 2 Gy with the same effect: D·(d + α/β)/(2 + α/β); None where a dose or number of fractions is not told."""
    found = 0.0
    for course in courses:
        if course.gy is None or not course.fractions:
            return None
        found += course.gy * (course.gy / course.fractions + alpha_beta) / (2 + alpha_beta)
    return round(found, 1)
