"""Small cells: counts so low that somebody might be known by them are not shown, nor what would give them away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from shared.fhir.outcome import Refused

HIDDEN: Final = "–"
LEAST: Final = 3  # "< 2" would say 1


def hides(threshold: int) -> None:
    """Raises Refused where a threshold hides nothing."""
    if 0 < threshold < LEAST:
        raise Refused(f"--hide-below takes {LEAST} or more: below that a hidden number is 1.")


def small(number: int, threshold: int) -> bool:
    """Whether a count is from 1 to below the threshold."""
    return 0 < number < threshold


def near(number: int, size: int, threshold: int) -> bool:
    """Whether a count, or what it leaves of the size, is small."""
    return small(number, threshold) or small(size - number, threshold)


def hidden(numbers: Sequence[int], threshold: int) -> set[int]:
    """Which of the counts that make up a known sum are not to be shown, where one of them is small.

    The smallest: so many that none left is small, and that each of them might, by the sum, be 1 and might be the threshold. Where there
    are too few for that, all, with those that are 0.
    """
    order = sorted((n for n, number in enumerate(numbers) if number), key=lambda n: numbers[n])
    for end in range(len(order) + 1):
        away, rest = order[:end], order[end:]
        if any(small(numbers[n], threshold) for n in rest):
            continue
        if not away or (end > 1 and sum(numbers[n] for n in away) - end + 1 >= threshold):
            return set(away)
    return set(range(len(numbers)))


def groups_shown(block: Sequence[Sequence[int]], threshold: int) -> bool:
    """Whether groups A and B may be shown in rows (whole, A, B) that make up each column: only where no count is small.

    Without both columns a reader has the sums of rows and columns alone. They leave each cell of a group a range up to the smaller of its
    two sums, which is no small number.
    """
    return not any(small(number, threshold) for row in block for number in row)


def alone(row: Sequence[int], sizes: Sequence[int], threshold: int, *, bound: bool = False) -> set[int]:
    """The columns not to be shown of a row (whole, A, B) that is counted by itself. `bound`: a group's count follows from the whole's."""
    close = [near(number, size, threshold) for number, size in zip(row, sizes, strict=True)]
    if close[0] or (bound and any(close)):
        return set(range(len(row)))
    return {1, 2} if any(close) else set()


def column(numbers: Sequence[int], threshold: int) -> list[str]:
    """Counts whose sum is shown elsewhere, as they may be shown."""
    away = hidden(numbers, threshold)
    return [HIDDEN if n in away else str(number) for n, number in enumerate(numbers)]


def count(number: int, threshold: int, *, away: bool = False) -> str:
    """A count as it may be shown."""
    if 0 < number < threshold:
        return f"< {threshold}"
    return HIDDEN if away else str(number)


def pooled(numbers: Mapping[str, int], threshold: int) -> tuple[list[str], list[str]]:
    """The names that may be shown alone, and those to be shown as one number."""
    away = hidden(list(numbers.values()), threshold)
    return [name for n, name in enumerate(numbers) if n not in away], [name for n, name in enumerate(numbers) if n in away]
