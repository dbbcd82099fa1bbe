"""The doses of the first treatment to the pelvis: external beam, brachytherapy, EQD2 to point A."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from services.cohort.definitions import Definitions
from services.cohort.facts import Irradiation, Note
from services.cohort.treatment import Treated


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


class Doses(msgspec.Struct, frozen=True):
    """External beam and brachytherapy in Gy, and EQD2 to point A; a dose that nobody can have had is none, and `note` says so."""

    external: float | None
    inside: float | None
    point_a: float | None
    note: Note | None = None


def doses(it: Treated, study: Definitions) -> Doses:
    """The doses of the first treatment to the pelvis."""
    both = (*it.to_point_a, *it.brachytherapy)
    external, inside = total(it.to_point_a), total(it.brachytherapy)
    point_a = eqd2(both, study.number("alpha-beta")) if it.group == "A" else None
    if point_a is not None and point_a > study.number("implausible-point-a"):
        return Doses(None, None, None, _implausible(f"{point_a:g} Gy EQD2 to point A", both))
    if external is not None and external > study.number("implausible-external"):
        return Doses(None, inside, None, _implausible(f"{external:g} Gy of external beam", it.to_point_a))
    return Doses(external, inside, point_a)


def _implausible(dose: str, courses: Iterable[Irradiation]) -> Note:
    says = f"{dose} is more than anybody is given; something is on record twice or wrongly, and the dose is taken as not told"
    return Note("dose open", says, tuple(course.source for course in courses))
