"""The flow diagram: what each criterion asks, how many it leaves out, how many remain."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from services.cohort.definitions import Definitions
from services.cohort.suppression import HIDDEN, column, small


class Out(NamedTuple):
    """A criterion of the flow diagram: what it asks, how many it leaves out and why, and how many remain."""

    says: str
    out: str
    otherwise: str
    left: str


def diagram(out: Counter[str], study: Definitions, threshold: int) -> list[Out]:
    """The steps, by `left_out` of the rows. Where a number is hidden, what remains is told at the end only."""
    left = sum(out.values())
    steps = []
    shown = column([out[criterion.id] for criterion in study.criteria], threshold)
    whole = all(text.isdecimal() for text in shown)
    for criterion, text in zip(study.criteria, shown, strict=True):
        left -= out[criterion.id]
        remain = str(left) if whole or criterion is study.criteria[-1] else HIDDEN
        steps.append(Out(criterion.says, text, criterion.otherwise, remain))
    return steps


def everybody(out: Counter[str], threshold: int) -> str:
    """How many have a row; hidden where that would tell that few are left out."""
    number = out.total()
    return HIDDEN if small(number - out[""], threshold) else str(number)
