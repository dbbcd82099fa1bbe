"""Courses of radiotherapy as recorded → as given: a part of another course adds nothing to it, and what stands twice counts once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date

from msgspec.structs import replace

from services.cohort.facts import Irradiation, Kind, Note


def as_given(recorded: Iterable[Irradiation], part_of: Mapping[str, tuple[str, ...]]) -> tuple[tuple[Irradiation, ...], tuple[Note, ...]]:
    """The courses of one kind each, oldest first, and what was counted once.

    `part_of` are for each source those that it is a part of. A course that is on record with both kinds, without parts that tell them
    apart, is two: its dose is of neither.
    """
    found = {course.source: course for course in recorded}
    parts = defaultdict[str, list[str]](list)
    for source in sorted(found):
        for whole in part_of.get(source, ()):
            if whole in found and whole != source:
                parts[whole].append(source)
    inner = {source for sources in parts.values() for source in sources}
    tops = [source for source in found if source not in inner]
    seen: set[str] = set()
    given = [part for source in (*tops, *found) for part in _whole(source, found, parts, seen)]
    return _once([each for course in given for each in _of_one_kind(course)])


def _whole(source: str, found: Mapping[str, Irradiation], parts: Mapping[str, list[str]], seen: set[str]) -> list[Irradiation]:
    """A course with its parts: its own dose, else the sum of theirs; the parts in its place where they alone tell the kinds."""
    if source in seen:
        return []
    seen.add(source)
    course = found[source]
    of = [part for each in parts.get(source, ()) for part in _whole(each, found, parts, seen)]
    of = [replace(part, pelvic=course.pelvic if part.pelvic is None else part.pelvic) for part in of]
    of = [replace(part, palliative=part.palliative or course.palliative) for part in of]
    if not of:
        return [course]
    told = frozenset(kind for part in of if len(part.kinds) == 1 for kind in part.kinds)
    if not course.kinds and len(told) == 1:
        course = replace(course, kinds=told)
    if len(course.kinds) != 1 and told:
        missing = course.kinds - told
        rest = [replace(course, kinds=missing, gy=None, fractions=None)] if missing else []
        return [part for part in of if part.kinds] + rest
    same = [part for part in of if part.kinds <= course.kinds and _near(part, course)]
    others = [part for part in of if part not in same]
    return [_summed(course, [part for part in same if not part.nodes] or same), *others]


def _near(part: Irradiation, course: Irradiation) -> bool:
    return part.pelvic == course.pelvic or course.pelvic is None


def _summed(course: Irradiation, parts: list[Irradiation]) -> Irradiation:
    starts, ends = [part.start for part in parts], [part.end for part in parts]
    days = {
        "start": course.start or min((day for day in starts if day), default=None),
        "end": course.end or (max(day for day in ends if day) if ends and None not in ends else None),
    }
    if course.pelvic is None and any(part.pelvic for part in parts):
        course = replace(course, pelvic=True)
    if course.gy is not None or not parts:
        return replace(course, **days)
    doses, fractions = [part.gy for part in parts], [part.fractions for part in parts]
    return replace(
        course,
        gy=None if None in doses else round(sum(dose for dose in doses if dose is not None), 2),
        fractions=None if None in fractions else sum(number for number in fractions if number is not None),
        **days,
    )


def _of_one_kind(course: Irradiation) -> list[Irradiation]:
    if len(course.kinds) < 2:
        return [course]
    return [replace(course, kinds=frozenset((kind,)), gy=None, fractions=None) for kind in sorted(course.kinds)]


def _once(courses: list[Irradiation]) -> tuple[tuple[Irradiation, ...], tuple[Note, ...]]:
    """Without those that stand a second time under another id: the same days, field, kind, dose and fractions."""
    kept: dict[tuple[object, ...], Irradiation] = {}
    notes: list[Note] = []
    for course in sorted(courses, key=lambda course: (course.start or date.min, course.source)):
        same = (*_same(course), course.source) if course.start is None else _same(course)
        first = kept.setdefault(same, course)
        if first is not course and course.gy is not None:
            notes.append(Note("radiotherapy on record twice", _TWICE, (first.source, course.source)))
    return tuple(kept.values()), tuple(notes)


_TWICE = "the same days, field, kind, dose and fractions under two ids: counted once"


def _same(course: Irradiation) -> tuple[object, ...]:
    kinds: tuple[Kind, ...] = tuple(sorted(course.kinds))
    told = (course.gy, course.fractions, course.palliative, course.stopped, course.unsettled, course.nodes)
    return course.start, course.end, course.pelvic, kinds, *told
