"""Treatment as the study divides it: cycles of chemotherapy, radiotherapy to the pelvis, groups A and B."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

import msgspec

from services.cohort.definitions import Definitions
from services.cohort.facts import Doubt, Facts, Given, Irradiation, Note


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

    `every_cycle` holds those after a progression too. `finished` is the day on which group A's radiotherapy ended. `doubts` and
    `every_doubt` are medication for which nobody can say how many cycles there were; `notes` belong among the reasons.
    """

    cycles: tuple[Cycle, ...]
    every_cycle: tuple[Cycle, ...]
    finished: date | None
    external: tuple[Irradiation, ...]
    brachytherapy: tuple[Irradiation, ...]
    elsewhere: tuple[Irradiation, ...]
    unknown: tuple[Irradiation, ...]
    doubts: tuple[Doubt, ...]
    every_doubt: tuple[Doubt, ...]
    notes: tuple[Note, ...]
    group: str | None
    pelvic: str | None
    because: str
    sources: tuple[str, ...]

    @property
    def regimens(self) -> tuple[Regimen, ...]:
        """The regimens with their cycles, the most given first."""
        counted = Counter(cycle.regimen for cycle in self.cycles)
        return tuple(Regimen(*each) for each in sorted(counted.items(), key=lambda each: (-each[1], each[0])))

    @property
    def to_point_a(self) -> tuple[Irradiation, ...]:
        """External beam whose dose reaches point A: without the boosts to nodes beside a course to the pelvis."""
        return tuple(course for course in self.external if not course.nodes) or self.external

    def beside(self) -> tuple[int | None, int | None, int | None]:
        """Cycles begun before, during and after the definitive radiotherapy; None where its days do not tell."""
        if self.group != "A":
            return 0, 0, 0
        if self.doubts:
            return None, None, None
        starts = [course.start for course in (*self.external, *self.brachytherapy)]
        ends = [course.end for course in (*self.external, *self.brachytherapy)]
        if None in starts:
            return None, None, None
        begun = [cycle.start for cycle in self.cycles]
        before = sum(day < min(start for start in starts if start) for day in begun)
        if None in ends:
            return before, None, None
        after = sum(day > max(end for end in ends if end) for day in begun)
        return before, len(begun) - before - after, after


def treated(facts: Facts, until: date | None, diagnosed: date | None, study: Definitions) -> Treated:
    """The first treatment, up to the first progression."""
    chemotherapy = [drug for drug in facts.drugs if drug.cytotoxic]
    doubts = tuple(doubt for doubt in facts.doubts if doubt.why == "unsettled" or not chemotherapy)
    given = [drug for drug in chemotherapy if until is None or drug.when < until]
    courses = [course for course in facts.courses if until is None or course.start is None or course.start < until]
    near = [course for course in courses if course.pelvic is not False]
    later = _later(near, diagnosed, study)
    first = [course for course in near if course not in later]
    settled = [course for course in first if not course.unsettled]
    external = tuple(course for course in settled if course.pelvic and course.external)
    inside = tuple(course for course in settled if course.pelvic and course.brachytherapy)
    unknown = tuple(course for course in first if course.unsettled or course.pelvic is None or not course.kinds)
    undated = until is not None and any(course.start is None for course in first)
    group, kind, because = (None, None, _UNDATED) if undated else _group(external, inside, unknown)
    ends = [course.end for course in (*external, *inside) if not course.palliative]
    return Treated(
        cycles=cycles(given, study),
        every_cycle=cycles(chemotherapy, study),
        finished=max((end for end in ends if end), default=None) if group == "A" and None not in ends else None,
        external=external,
        brachytherapy=inside,
        elsewhere=tuple(course for course in courses if course.pelvic is False and not course.unsettled),
        unknown=unknown,
        doubts=tuple(doubt for doubt in doubts if until is None or doubt.when is None or doubt.when < until),
        every_doubt=doubts,
        notes=facts.notes,
        group=group,
        pelvic=kind,
        because=f"{because}; {_ANOTHER}" if later else because,
        sources=tuple(dict.fromkeys(course.source for course in (*external, *inside, *unknown, *later))),
    )


def _later(near: list[Irradiation], diagnosed: date | None, study: Definitions) -> list[Irradiation]:
    """Courses that are another treatment: begun too long after the last one ended (or began, where its end is not told), or after the
    diagnosis, and what follows them. A course without a date is none of them."""
    dated = sorted(((course.start, course) for course in near if course.start), key=lambda each: (each[0], each[1].source))
    limit = diagnosed + timedelta(days=study.number("radiotherapy-begins")) if diagnosed else None
    ended = date.min
    for place, (start, course) in enumerate(dated):
        if limit is not None and start > limit:
            return [each for _, each in dated[place:]]
        ended = max(ended, course.end or start)
        limit = ended + timedelta(days=study.number("radiotherapy-apart"))
    return []


_DEFINITIVE: Final = (
    "external beam to the pelvis and brachytherapy, begun before any progression, neither palliative nor stopped; "
    "whether the dose was low is not asked"
)
_ANOTHER: Final = "radiotherapy begun long after the diagnosis, or after that before it, is another treatment and not counted"
_UNDATED: Final = "radiotherapy without a date, and a progression: nobody can tell which came first"


def _group(
    external: tuple[Irradiation, ...], inside: tuple[Irradiation, ...], unknown: tuple[Irradiation, ...]
) -> tuple[str | None, str | None, str]:
    if all(any(not course.palliative and not course.stopped for course in courses) for courses in (external, inside)):
        return "A", "definitive", _DEFINITIVE
    if unknown:
        return None, None, _open(unknown)
    if external and inside and all(any(not course.palliative for course in courses) for courses in (external, inside)):
        return None, None, "external beam to the pelvis and brachytherapy, one of them stopped before its end: in neither group"
    if external and inside:
        return "B", "palliative", "external beam to the pelvis and brachytherapy, with palliative intent"
    if inside:
        return None, None, "brachytherapy without external beam on record: in neither group"
    if any(course.going and not course.palliative for course in external):
        return None, None, _GOING
    if external:
        return "B", "palliative", "external beam to the pelvis without brachytherapy"
    return "B", "none", "no radiotherapy to the pelvis on record before any progression"


_GOING: Final = "external beam to the pelvis is still going on: brachytherapy may follow"
_UNSETTLED: Final = "radiotherapy whose status is unknown or on hold: nobody can say whether it was given"
_FIELD: Final = "radiotherapy whose field nobody recorded: it may have been to the pelvis"
_KIND: Final = "radiotherapy of which nobody can tell whether it was external beam or brachytherapy"


def _open(unknown: tuple[Irradiation, ...]) -> str:
    found = (
        (_UNSETTLED, any(course.unsettled for course in unknown)),
        (_FIELD, any(course.pelvic is None for course in unknown)),
        (_KIND, any(course.pelvic and not course.kinds for course in unknown)),
    )
    return "; ".join(says for says, holds in found if holds)


def cycles(given: Iterable[Given], study: Definitions) -> tuple[Cycle, ...]:
    """The cycles that days of chemotherapy make.

    Doses on neighbouring days are given together. Platinum alone counts so dose by dose. With another drug it opens a cycle, to which doses
    on days 8 and 15 belong, and later ones of the same drugs without platinum. Else a cycle begins so long after the last one began.
    """
    found: list[Cycle] = []
    last: frozenset[str] = frozenset()
    led = False
    for now in _together(given, study.number("cycle-days")):
        drugs, platinum = frozenset(drug.drug for drug in now), any(drug.platinum for drug in now)
        sources = {drug.source for drug in now}
        since = (now[0].when - found[-1].start).days if found else 0
        alone = len(drugs) == 1 and platinum
        if len(last) > 1 and led:
            same = since < study.number("cycle-platinum") or (not platinum and drugs < last and since < study.number("cycle-longest"))
        else:
            same = since < study.number("cycle-apart") and not (alone and led)
        if found and same:
            last, led = last | drugs, led or platinum
            found[-1] = Cycle(found[-1].start, "/".join(sorted(last)), tuple(sorted({*found[-1].sources, *sources})))
        else:
            last, led = drugs, platinum
            found.append(Cycle(now[0].when, "/".join(sorted(drugs)), tuple(sorted(sources))))
    return tuple(found)


def _together(given: Iterable[Given], days: float) -> list[list[Given]]:
    """Doses by the first day of those less than so many days apart."""
    found: list[list[Given]] = []
    for drug in sorted(given, key=lambda drug: (drug.when, drug.drug, drug.source)):
        if found and drug.when < found[-1][0].when + timedelta(days=days):
            found[-1].append(drug)
        else:
            found.append([drug])
    return found


_DOUBTS: Final = {
    "unsettled": "chemotherapy whose status is unknown or on hold: nobody can say whether it was given",
    "ordered": "chemotherapy is on record as ordered, and none as given",
    "untold": "medication that may be chemotherapy, and whose drug cannot be told",
}


def doubted(it: Treated) -> Note | None:
    """Why nobody can say how many cycles there were; None where that is known."""
    if not it.every_doubt:
        return None
    why = {doubt.why for doubt in it.every_doubt}
    says = "; ".join(text for name, text in _DOUBTS.items() if name in why)
    return Note("cycles open", says, tuple(doubt.source for doubt in it.every_doubt))
