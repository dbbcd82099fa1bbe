"""Small cells: counts so low that somebody might be known by them are not shown, nor what would give them away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

HIDDEN: Final = "–"
Block = Sequence[Sequence[int]]


def hidden(block: Block, threshold: int, *, parts: bool = True) -> set[tuple[int, int]]:
    """The cells (row, column) not to be shown. A row is whole, A, B; with `parts` the rows of a block make up the column's total.

    First those from 1 to below the threshold; then, where one alone is hidden of numbers whose sum is shown, the smallest beside it.
    """
    away = {(r, c) for r, row in enumerate(block) for c, count in enumerate(row) if 0 < count < threshold}
    lines = [[(r, c) for c in range(len(row))] for r, row in enumerate(block)]
    if parts and block:
        lines += [[(r, c) for r in range(len(block))] for c in range(len(block[0]))]
    before = -1
    while before != len(away):
        before = len(away)
        for line in lines:
            if sum(cell in away for cell in line) == 1:
                rest = sorted((block[r][c], -c, r) for r, c in line if (r, c) not in away and block[r][c])
                if rest:
                    _, column, row = rest[0]
                    away.add((row, -column))
    return away


def column(numbers: Sequence[int], threshold: int) -> list[str]:
    """Counts whose sum is shown elsewhere, as they may be shown."""
    away = hidden([[number] for number in numbers], threshold)
    return [count(number, threshold, away=(r, 0) in away) for r, number in enumerate(numbers)]


def count(number: int, threshold: int, *, away: bool = False) -> str:
    """A count as it may be shown."""
    if 0 < number < threshold:
        return f"< {threshold}"
    return HIDDEN if away else str(number)
