"""Counts of a cohort by group, as a table shows them: with per cent, the printed figure beside ours, small cells hidden."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Sequence
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from typing import Any, Final

import msgspec

from services.cohort.definitions import Cells, Definitions, Printed, Variable
from services.cohort.suppression import HIDDEN, alone, count, groups_shown, hidden, near, pooled, small

Three = tuple[str, str, str]
NONE: Final[Three] = ("", "", "")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a table: ours and the founding study's, whole cohort, group A, group B; `note` is a footnote's letter."""

    label: str
    ours: Three = NONE
    printed: Three = NONE
    note: str | None = None
    head: bool = False


class Counting:
    """Counts of a frame by group, shown with per cent and, where asked, without small cells. Not `apart`: groups are not shown."""

    def __init__(self, data: Any, founding: Printed, threshold: int = 0, *, apart: bool = True) -> None:
        self.groups = (data, data[data["group"] == True], data[data["group"] == False])  # noqa: E712 - a column
        self.sizes = tuple(len(group) for group in self.groups)
        self.founding = founding
        self.threshold = threshold
        self.apart = apart
        self.irradiated = bool(data["pelvic_radiotherapy"].notna().any())

    def block(
        self, rows: Sequence[tuple[str, str, Any, str]], table: dict[str, Cells], *, parts: bool = True, bound: Container[str] = ()
    ) -> list[Line]:
        """Lines of (label, key, what is counted, unit): `what` says of a frame which of its rows count.

        With `parts` they make up the column; `bound` are the keys of those whose count in one group follows from what they are.
        """
        counts = [[int(what(group).sum()) for group in self.groups] for _, _, what, _ in rows]
        if parts:
            gone = hidden([row[0] for row in counts], self.threshold)
            of_groups = set() if groups_shown(counts, self.threshold) else {1, 2}
            aways = [({0} if r in gone else set()) | of_groups for r in range(len(rows))]
        else:
            aways = [alone(row, self.sizes, self.threshold, bound=rows[r][1] in bound) for r, row in enumerate(counts)]
        lines = []
        for r, (label, key, _, _) in enumerate(rows):
            ours = tuple(self._cell(counts[r][c], c, away=c in aways[r], told=not parts) for c in range(3))
            lines.append(
                Line(label=label, ours=ours, printed=self.printed(table.get(key)), note=self.founding.marks.get(key))  # type: ignore[arg-type]
            )
        return lines

    def ecog(self) -> list[Line]:
        """ECOG performance status."""
        return self.block([(str(n), f"ecog-{n}", having("ecog_score", n), "") for n in range(3)], self.founding.table1)

    def histology(self, study: Definitions) -> list[Line]:
        """The classes of histology that somebody is in, there or here."""
        cells = [(c.says, c.id, having("cells", c.id), "") for c in study.histology]
        cells += [("Other", "other", having("cells", "other"), "")]
        return used(self.block(sorted(cells, key=lambda row: _order(row[1])), self.founding.table1))

    def levels(self, variable: Variable) -> list[Line]:
        """The two levels of a variable, and of whom it is not told."""
        name = variable.id
        rows = [
            (variable.first, f"{name}-first", lambda g: g[name] == True, ""),  # noqa: E712 - a column
            (variable.second, f"{name}-second", lambda g: g[name] == False, ""),  # noqa: E712 - a column
            ("Not told", "", lambda g: g[name].isna(), ""),
        ]
        return self.block(rows, self.founding.table1)

    def unshown(self, study: Definitions) -> set[str]:
        """Variables of Table 3 whose counts would give away what Tables 1 and 2 hide."""
        if not self.threshold:
            return set()
        squamous = next(each.says for each in study.histology if each.id == "squamous")
        lines = {"ecog": self.ecog()[0], "squamous": next((each for each in self.histology(study) if each.label == squamous), None)}
        away = {name for name, line in lines.items() if line and not line.ours[0][:1].isdecimal()}
        away |= {name for name in ("organs", "nodes") if self._told_by_patterns(self.groups[0][name] == True)}  # noqa: E712 - a column
        return away | set(self.organs_shown()[1])

    def organs(self) -> Counter[str]:
        """In how many patients each organ has metastases."""
        return Counter(organ for each in self.groups[0]["metastatic_organs"] for organ in each)

    def patterns(self) -> list[str]:
        """Each patient's organs, with and without distant nodes."""
        data = self.groups[0]
        return [
            ", ".join(sorted(organs)) + (" + nodes" if nodes else "")
            for organs, nodes in zip(data["metastatic_organs"], data["nodes"], strict=True)
        ]

    def organs_shown(self) -> tuple[list[str], list[str]]:
        """The organs whose number may be shown, and the others.

        Where patterns of spread are one number, one organ at the least is not shown, lest the sum of all tell who has several.
        """
        numbers, found = self.organs(), self.groups[0]["metastatic_organs"]
        told = [
            name for name in sorted(numbers, key=lambda name: -numbers[name]) if not self._told_by_patterns(found.map(partial(_has, name)))
        ]
        if len(told) == len(numbers) and pooled(Counter(self.patterns()), self.threshold)[1]:
            told = told[:-1]
        return told, [name for name in numbers if name not in told]

    def _told_by_patterns(self, which: Any) -> bool:
        """Whether the number of those of whom it is true would tell a small one, beside the patterns of spread that are shown."""
        patterns = self.patterns()
        away = pooled(Counter(patterns), self.threshold)[1]
        others = [bool(each) for each, pattern in zip(which, patterns, strict=True) if pattern in away]
        return near(int(which.sum()), self.sizes[0], self.threshold) or near(sum(others), len(others), self.threshold)

    def _cell(self, number: int, column: int, *, away: bool, told: bool) -> str:
        """`told`: that it is small may be said, since it is no part of a sum."""
        if column and not (self.apart and self.sizes[column]):
            return HIDDEN
        if away:
            return count(number, self.threshold) if told and not column and small(number, self.threshold) else HIDDEN
        return f"{number} ({percent(number, self.sizes[column])})"

    def printed(self, cells: Cells | None) -> Three:
        """The founding study's cells, counts with per cent."""
        if cells is None:
            return NONE
        told = []
        for cell, size in zip(cells, self.founding.patients, strict=True):
            told.append("" if cell is None else cell if isinstance(cell, str) else f"{cell} ({percent(cell, size)})")
        return told[0], told[1], told[2]

    def medians(self, label: str, key: str, column: str, which: tuple[int, ...] = (0, 1, 2), digits: int = 0) -> Line:
        """Median and range; without the range where small cells are suppressed, since its ends are single patients."""
        told = ["", "", ""]
        for c in which:
            values = self.groups[c][column].dropna().astype(float)
            if len(values) and (not self.threshold or len(values) >= self.threshold):
                low, mid, high = (_plain(value, digits) for value in (values.min(), values.median(), values.max()))
                told[c] = mid if self.threshold else f"{mid} ({low}–{high})"
            elif len(values) or not self.sizes[c]:
                told[c] = HIDDEN
        ours = told[0], told[1], told[2]
        return Line(label=label, ours=ours, printed=self.printed(self.founding.table1.get(key)), note=self.founding.marks.get(key))


def _plain(value: float, digits: int) -> str:
    return f"{Decimal(str(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP).normalize():f}"


def percent(number: int, of: int) -> Decimal:
    """Per cent to one decimal, halves upwards, as journals round."""
    return (Decimal(100 * number) / of).quantize(Decimal("0.1"), ROUND_HALF_UP)


def _has(name: str, organs: Collection[str]) -> bool:
    return name in organs


def having(column: str, value: object) -> Any:
    """Which rows of a frame have the value."""
    return lambda group: group[column] == value


def heading(label: str) -> Line:
    """A line that says what the lines below it are of."""
    return Line(label=label, head=True)


def used(lines: list[Line]) -> list[Line]:
    """Without lines that nobody is in, there or here."""
    return [line for line in lines if line.ours[0][:2] not in ("0", "0 ") or line.printed != NONE]


def _order(key: str) -> int:
    return ("squamous", "small-cell", "neuroendocrine", "adenocarcinoma", "adenosquamous", "sarcoma", "other").index(key)
