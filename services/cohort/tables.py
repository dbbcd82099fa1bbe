"""Tables 1, 2 and 4 in the form of the founding study: our counts, and beside them what it prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

import msgspec

from services.cohort.definitions import Cells, Definitions, Printed, Variable
from services.cohort.suppression import HIDDEN, count, hidden, pooled

Three = tuple[str, str, str]
NONE: Final[Three] = ("", "", "")
_HEADS: Final = {
    (1, False): "One organ",
    (1, True): "One organ and distant nodes",
    (2, False): "Two organs",
    (2, True): "Two organs and distant nodes",
}


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

    def block(self, rows: Sequence[tuple[str, str, Any, str]], table: dict[str, Cells], *, parts: bool = True) -> list[Line]:
        """Lines of (label, key, what is counted, unit): `what` says of a frame which of its rows count."""
        counts = [[int(what(group).sum()) for group in self.groups] for _, _, what, _ in rows]
        away = hidden(counts, self.threshold, parts=parts, sizes=self.sizes)
        lines = []
        for r, (label, key, _, _) in enumerate(rows):
            ours = tuple(self._cell(counts[r][c], c, (r, c) in away) for c in range(3))
            lines.append(
                Line(label=label, ours=ours, printed=self.printed(table.get(key)), note=self.founding.marks.get(key))  # type: ignore[arg-type]
            )
        return lines

    def ecog(self) -> list[Line]:
        """ECOG performance status."""
        return self.block([(str(n), f"ecog-{n}", _is("ecog_score", n), "") for n in range(3)], self.founding.table1)

    def histology(self, study: Definitions) -> list[Line]:
        """The classes of histology that somebody is in, there or here."""
        cells = [(c.says, c.id, _is("cells", c.id), "") for c in study.histology]
        cells += [("Other", "other", _is("cells", "other"), "")]
        return _used(self.block(sorted(cells, key=lambda row: _order(row[1])), self.founding.table1))

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
        return away | set(pooled(_organs(self), self.threshold, self.sizes[0])[1])

    def _cell(self, number: int, column: int, away: bool) -> str:
        if column and not (self.apart and self.sizes[column]):
            return HIDDEN
        shown = count(number, self.threshold, away=away)
        if shown != str(number):
            return shown
        return f"{shown} ({percent(number, self.sizes[column])})"

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
    return f"{round(value, digits):g}"


def percent(number: int, of: int) -> Decimal:
    """Per cent to one decimal, halves upwards, as journals round."""
    return (Decimal(100 * number) / of).quantize(Decimal("0.1"), ROUND_HALF_UP)


def table1(it: Counting, study: Definitions) -> list[Line]:
    """Characteristics at diagnosis and first treatment."""
    found = [(m.says, m.id, _is("found_by", m.id), "") for m in reversed(study.found_by)]
    found += [("Not told", "", lambda g: g["found_by"].isna(), "")]
    given = it.founding.table1
    treated = [
        ("Radiotherapy to the pelvis", "pelvic", lambda g: g["pelvic_radiotherapy"].isin(["definitive", "palliative"]), ""),
        ("Radiotherapy to a metastasis", "elsewhere", lambda g: g["metastasis_radiotherapy"] == True, ""),  # noqa: E712
    ]
    beside = [
        ("Cycles before radiotherapy (group A)", "neoadjuvant", lambda g: g["cycles_before"] > 0, ""),
        ("Cycles during radiotherapy (group A)", "concurrent", lambda g: g["cycles_during"] > 0, ""),
        ("Cycles after radiotherapy (group A)", "adjuvant", lambda g: g["cycles_after"] > 0, ""),
    ]
    return [
        it.medians("Age (years), median (range)", "age", "age_years"),
        _head("ECOG performance status"),
        *it.ecog(),
        _head("Histology"),
        *it.histology(study),
        *(line for name in ("size", "haemoglobin", "leucocytes") for line in _levels(it, study, name)),
        _head("Metastases found by"),
        *_used(it.block(found, given)),
        _head("First treatment"),
        it.medians("Cycles of chemotherapy, median (range)", "cycles", "cycles"),
        *(it.block([*treated, *(beside if it.apart else [])], given, parts=False) if it.irradiated else _unknown(treated)),
        *(_doses(it) if it.apart else []),
    ]


def _unknown(rows: Sequence[tuple[str, str, Any, str]]) -> list[Line]:
    return [Line(label=row[0], ours=("not told", "", "")) for row in rows]


def _doses(it: Counting) -> list[Line]:
    return [
        _head("Radiotherapy to the pelvis (Gy), median (range)"),
        it.medians("External beam", "external", "external_gy", (1, 2), 1),
        it.medians("Brachytherapy", "brachytherapy", "brachytherapy_gy", (1,), 1),
        it.medians("Point A, EQD2 (α/β 10 Gy)", "point-a", "point_a_eqd2_gy", (1,), 1),
    ]


def _levels(it: Counting, study: Definitions, name: str) -> list[Line]:
    variable = next(each for each in study.variables if each.id == name)
    return [_head(variable.says), *_used(it.levels(variable))]


def regimens(it: Counting) -> list[tuple[str, str, str]]:
    """Regimens with their cycles, ours and the founding study's; those of few patients together, where small cells are not shown."""
    cycles, patients = Counter[str](), Counter[str]()
    for hers in it.groups[0]["regimens"]:
        cycles.update({each["drugs"]: each["cycles"] for each in hers})
        patients.update({each["drugs"] for each in hers})
    theirs = it.founding.regimens
    names, away = pooled(patients, it.threshold)
    alone = sorted({*names, *(theirs if not it.threshold else ())}, key=lambda name: (-cycles[name], name))
    lines = [(name, str(cycles[name]), str(theirs.get(name, ""))) for name in alone]
    if away:
        others = sum(number for name, number in theirs.items() if name not in alone)
        lines.append(("other regimens", str(sum(cycles[name] for name in away)), str(others)))
    return lines


def table2(it: Counting) -> list[Line]:
    """Patterns of spread: organs, with and without distant nodes. Only the whole cohort is printed, and counted."""
    data = it.groups[0]
    keys = [
        ", ".join(sorted(organs)) + (" + nodes" if nodes else "")
        for organs, nodes in zip(data["metastatic_organs"], data["nodes"], strict=True)
    ]
    ours = Counter(keys)
    theirs = {_sorted(key): number for key, number in it.founding.table2.items()}
    names, away = pooled(ours, it.threshold)
    lines: list[Line] = []
    seen = None
    shown = {*names, *(theirs if not it.threshold else ())}
    for key in sorted(shown, key=lambda key: (_kind(key), -theirs.get(key, 0), -ours[key], key)):
        if _kind(key) != seen:
            seen = _kind(key)
            lines.append(_head(_HEADS.get(seen, f"{seen[0]} organs{' and distant nodes' if seen[1] else ''}")))
        label = key.removesuffix(" + nodes").capitalize().replace(", ", " and ")
        lines.append(_single(it, label, ours[key], theirs.get(key), it.founding.marks.get(key)))
    if away:
        others = sum(number for key, number in theirs.items() if key not in shown)
        lines += [_head("Other patterns"), _single(it, "All of them", sum(ours[key] for key in away), others, None)]
    return lines + _over_all(it)


def _over_all(it: Counting) -> list[Line]:
    organs, sites = _organs(it), it.founding.sites
    names, away = pooled(organs, it.threshold, it.sizes[0])
    lines = [_head("Organs with metastases, over all patients")]
    for organ in sorted(names, key=lambda name: (-organs[name], name)):
        note = it.founding.marks.get(f"site {organ}") or it.founding.marks.get(organ)
        lines.append(_single(it, organ.capitalize(), organs[organ], sites.get(organ), note, per=organs.total()))
    if away:
        lines.append(_single(it, "Other organs", sum(organs[name] for name in away), None, None, per=organs.total()))
    lines.append(Line(label="All", ours=(str(organs.total()), "", ""), printed=(str(sites["all"]), "", "")))
    return lines


def _organs(it: Counting) -> Counter[str]:
    return Counter(organ for each in it.groups[0]["metastatic_organs"] for organ in each)


def _single(it: Counting, label: str, ours: int, theirs: int | None, note: str | None, *, per: int | None = None) -> Line:
    size = per or it.sizes[0]
    of = it.founding.sites["all"] if per else it.founding.patients[0]
    other = "" if theirs is None else f"{theirs} ({percent(theirs, of)})"
    return Line(label=label, ours=(f"{ours} ({percent(ours, size)})", "", ""), printed=(other, "", ""), note=note)


def table4(it: Counting) -> list[Line]:
    """Best response, where the disease progressed, and deaths."""
    rows = [
        ("Complete response, locoregional", "CR locoregional", _is("best_locoregional", "complete"), ""),
        ("Complete response, distant", "CR distant", _is("best_distant", "complete"), ""),
        ("Partial response", "PR", _is("best_locoregional", "partial"), ""),
        ("Stable disease", "SD", _is("best_locoregional", "stable"), ""),
        ("Progression, locoregional", "PD locoregional", lambda g: g["progressed_locoregional"] == True, ""),  # noqa: E712
        ("Progression, distant", "PD distant", lambda g: g["progressed_distant"] == True, ""),  # noqa: E712
        ("Deaths", "Deaths", lambda g: g["os_event"] == True, ""),  # noqa: E712
    ]
    return it.block(rows, it.founding.table4, parts=False)


def _is(column: str, value: object) -> Any:
    return lambda group: group[column] == value


def _head(label: str) -> Line:
    return Line(label=label, head=True)


def _used(lines: list[Line]) -> list[Line]:
    """Without lines that nobody is in, there or here."""
    return [line for line in lines if line.ours[0][:2] not in ("0", "0 ") or line.printed != NONE]


def _order(key: str) -> int:
    return ("squamous", "small-cell", "neuroendocrine", "adenocarcinoma", "adenosquamous", "sarcoma", "other").index(key)


def _kind(key: str) -> tuple[int, bool]:
    return key.count(",") + 1, key.endswith(" + nodes")


def _sorted(key: str) -> str:
    nodes = key.endswith(" + nodes")
    return ", ".join(sorted(key.removesuffix(" + nodes").split(", "))) + (" + nodes" if nodes else "")
