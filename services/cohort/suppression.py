"""Small cells: counts so low that somebody might be known by them are not shown, nor what would give them away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

HIDDEN: Final = "–"
Block = Sequence[Sequence[int]]


def small(number: int, threshold: int, size: int | None = None) -> bool:
    """Whether a count, or what a size leaves beside it, is from 1 to below the threshold."""
    return 0 < number < threshold or (size is not None and 0 < size - number < threshold)


def hidden(block: Block, threshold: int, *, parts: bool = True, sizes: Sequence[int] | None = None) -> set[tuple[int, int]]:
    """The cells (row, column) not to be shown. A row is whole, A, B; with `parts` the rows of a block make up the column's total.

    First those from 1 to below the threshold, or so near to the column's size, where that is given; then, where one alone is hidden of
    numbers whose sum is shown, or several that are fewer together, the smallest beside them.
    """
    of: Sequence[int | None] = sizes or [None] * max(map(len, block), default=0)
    away = {(r, c) for r, row in enumerate(block) for c, count in enumerate(row) if small(count, threshold, of[c])}
    lines = [[(r, c) for c in range(len(row))] for r, row in enumerate(block)]
    if parts and block:
        lines += [[(r, c) for r in range(len(block))] for c in range(len(block[0]))]
    before = -1
    while before != len(away):
        before = len(away)
        for line in lines:
            gone = [cell for cell in line if cell in away]
            if len(gone) == 1 or 0 < sum(block[r][c] for r, c in gone) < threshold:
                rest = sorted((block[r][c], -c, r) for r, c in line if (r, c) not in away and block[r][c])
                if rest:
                    _, column, row = rest[0]
                    away.add((row, -column))
    return away


def column(numbers: Sequence[int], threshold: int, size: int | None = None) -> list[str]:
    """Counts whose sum is shown elsewhere, as they may be shown; with `size` also by what it leaves beside each."""
    away = hidden([[number] for number in numbers], threshold, sizes=None if size is None else [size])
    return [count(number, threshold, away=(r, 0) in away) for r, number in enumerate(numbers)]


def count(number: int, threshold: int, *, away: bool = False) -> str:
    """A count as it may be shown."""
    if 0 < number < threshold:
        return f"< {threshold}"
    return HIDDEN if away else str(number)


def in_order(numbers: Sequence[int], start: int, threshold: int) -> list[bool]:
    """Which of numbers that only fall (or only rise), from `start` on, may be shown: none so near to the last one shown."""
    shown, last = [], start
    for number in numbers:
        may = not 0 < number < threshold and not 0 < abs(number - last) < threshold
        shown.append(may)
        last = number if may else last
    return shown


def pooled(numbers: Mapping[str, int], threshold: int, size: int | None = None) -> tuple[list[str], list[str]]:
    """The names that may be shown alone, and those to be shown as one number: two at the least, which make up the threshold."""
    order = sorted(numbers, key=lambda name: (numbers[name], name))
    away = [name for name in order if small(numbers[name], threshold, size)]
    kept = [name for name in order if name not in away]
    while away and kept and (len(away) < 2 or sum(numbers[name] for name in away) < threshold):
        away.append(kept.pop(0))
    return [name for name in numbers if name in kept], [name for name in numbers if name in away]
