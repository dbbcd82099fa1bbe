"""Radiotherapy arithmetic: BED and EQD2 by the linear-quadratic model, totals of several courses.

n fractions of d gray: BED = n·d·(1 + d/(α/β)), EQD2 = n·d·(d + α/β)/(2 + α/β), the latter as Yin Z et al., Radiat Oncol 2019, write it.
"""

from __future__ import annotations

from collections.abc import Callable

from services.recommend.dosing import rounded
from services.recommend.regimen import Irradiation, Span
from shared.oncology.recommendation import Radiotherapy


def bed(total_gy: float, gy_per_fraction: float, alpha_beta: float) -> float:
    """Biologically effective dose in gray."""
    return total_gy * (1 + gy_per_fraction / alpha_beta)


def eqd2(total_gy: float, gy_per_fraction: float, alpha_beta: float) -> float:
    """The dose in fractions of 2 Gy with the same effect, in gray."""
    return total_gy * (gy_per_fraction + alpha_beta) / (2 + alpha_beta)


def course(given: Irradiation, cites: Callable[[str], bool] = lambda work: True) -> Radiotherapy:
    """The course with its EQD2 and BED, where the fraction size is known; ranges stay ranges, to 0.1 Gy. `cites`: works there by then."""
    effects: list[Span | None] = [None, None]
    if given.total_gy is not None and given.gy_per_fraction is not None and given.alpha_beta is not None:
        totals, sizes = _ends(given.total_gy), _ends(given.gy_per_fraction)
        for number, effect in enumerate((eqd2, bed)):
            low, high = (rounded(effect(total, size, given.alpha_beta), 1) for total, size in zip(totals, sizes, strict=True))
            effects[number] = low if low == high else (low, high)
    place = next((place for place in given.because if cites(place.work)), given.because[0])
    return Radiotherapy(
        course=given.course,
        target=given.target,
        total_gy=given.total_gy,
        fractions=given.fractions,
        gy_per_fraction=given.gy_per_fraction,
        alpha_beta=given.alpha_beta,
        eqd2_gy=effects[0],
        bed_gy=effects[1],
        reference=place.work,
        at=place.at,
        checked=given.checked,
    )


def _ends(span: Span) -> tuple[float, float]:
    return span if isinstance(span, tuple) else (span, span)
