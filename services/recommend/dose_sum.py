"""What several courses of radiotherapy come to: external beam with brachytherapy, and what a field has had before.

Sums of EQD2 by the linear-quadratic model, ends with ends. What a field can still bear is a question to the board; no limit is ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.recommend.dosing import rounded
from services.recommend.radiotherapy import eqd2
from services.recommend.regimen import Span
from shared.oncology.recommendation import Irradiated, Note, Radiotherapy

TUMOUR, LATE = 10.0, 3.0


def together(courses: Iterable[Radiotherapy]) -> tuple[float, float] | None:
    """The least and the most EQD2 (gray) of external beam and brachytherapy together; None where one of the two has no figure."""
    parts = {course.course: course for course in courses if course.course in ("external-beam", "brachytherapy")}
    spans = [_ends(course.eqd2_gy) for course in parts.values() if course.eqd2_gy is not None]
    if len(spans) != 2 or len({course.alpha_beta for course in parts.values()}) != 1:
        return None
    return rounded(spans[0][0] + spans[1][0], 1), rounded(spans[0][1] + spans[1][1], 1)


def remark(courses: Sequence[Radiotherapy]) -> str | None:
    """The sum as a sentence."""
    total = together(courses)
    if total is None:
        return None
    low, high = total
    doubt = "" if all(course.checked for course in courses) else " (from doses not checked against the source)"
    amount = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return f"External beam and brachytherapy together: {amount} Gy EQD2 with an alpha/beta of 10 Gy{doubt}; computed, ends with ends."


def spent(before: Iterable[Irradiated]) -> list[Note]:
    """What the pelvis has had, course by course, for tumour and for late effects; a dose that nobody recorded is asked for."""
    notes = []
    for course in before:
        if course.field == "elsewhere":
            continue
        where = "to the pelvis" if course.field == "pelvis" else "to a field that nobody recorded"
        if course.total_gy and course.fractions:
            size = course.total_gy / course.fractions
            tumour, late = (rounded(eqd2(course.total_gy, size, ratio), 1) for ratio in (TUMOUR, LATE))
            dose = (
                f"{course.total_gy:g} Gy in {course.fractions} fractions, EQD2 {tumour:g} Gy (alpha/beta 10) and {late:g} Gy (alpha/beta 3)"
            )
        else:
            dose = "its dose or its fractions are not on record: ask for both"
        text = f"Radiotherapy {where} before: {dose}. What the field can still bear is a question to the board."
        notes.append(Note(text=text, sources=(course.source,)))
    return notes


def _ends(span: Span) -> tuple[float, float]:
    return span if isinstance(span, tuple) else (span, span)
