"""Tables 1, 2 and 4 in the form of the founding study: our counts, and beside them what it prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from services.cohort.counting import Counting, Line, having, heading, percent, used
from services.cohort.definitions import Definitions
from services.cohort.suppression import HIDDEN, pooled

_HEADS: Final = {
    (1, False): "One organ",
    (1, True): "One organ and distant nodes",
    (2, False): "Two organs",
    (2, True): "Two organs and distant nodes",
}

# Group A is who had radiotherapy to the pelvis, and only she has cycles beside it.
_BOUND: Final = ("pelvic", "neoadjuvant", "concurrent", "adjuvant")


def table1(it: Counting, study: Definitions) -> list[Line]:
    """Characteristics at diagnosis and first treatment."""
    found = [(m.says, m.id, having("found_by", m.id), "") for m in reversed(study.found_by)]
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
        heading("ECOG performance status"),
        *it.ecog(),
        heading("Histology"),
        *it.histology(study),
        *(line for name in ("size", "haemoglobin", "leucocytes") for line in _levels(it, study, name)),
        heading("Metastases found by"),
        *used(it.block(found, given)),
        heading("First treatment"),
        it.medians("Cycles of chemotherapy, median (range)", "cycles", "cycles"),
        *(it.block([*treated, *(beside if it.apart else [])], given, parts=False, bound=_BOUND) if it.irradiated else _unknown(treated)),
        *(_doses(it) if it.apart else []),
    ]


def _unknown(rows: Sequence[tuple[str, str, Any, str]]) -> list[Line]:
    return [Line(label=row[0], ours=("not told", "", "")) for row in rows]


def _doses(it: Counting) -> list[Line]:
    return [
        heading("Radiotherapy to the pelvis (Gy), median (range)"),
        it.medians("External beam", "external", "external_gy", (1, 2), 1),
        it.medians("Brachytherapy", "brachytherapy", "brachytherapy_gy", (1,), 1),
        it.medians("Point A, EQD2 (α/β 10 Gy)", "point-a", "point_a_eqd2_gy", (1,), 1),
    ]


def _levels(it: Counting, study: Definitions, name: str) -> list[Line]:
    variable = next(each for each in study.variables if each.id == name)
    return [heading(variable.says), *used(it.levels(variable))]


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
    ours = Counter(it.patterns())
    theirs = {_sorted(key): number for key, number in it.founding.table2.items()}
    names, away = pooled(ours, it.threshold)
    lines: list[Line] = []
    seen = None
    shown = {*names, *(theirs if not it.threshold else ())}
    for key in sorted(shown, key=lambda key: (_kind(key), -theirs.get(key, 0), -ours[key], key)):
        if _kind(key) != seen:
            seen = _kind(key)
            lines.append(heading(_HEADS.get(seen, f"{seen[0]} organs{' and distant nodes' if seen[1] else ''}")))
        label = key.removesuffix(" + nodes").capitalize().replace(", ", " and ")
        lines.append(_single(it, label, ours[key], theirs.get(key), it.founding.marks.get(key)))
    if away:
        others = sum(number for key, number in theirs.items() if key not in shown)
        lines += [heading("Other patterns"), _single(it, "All of them", sum(ours[key] for key in away), others, None)]
    return lines + _over_all(it)


def _over_all(it: Counting) -> list[Line]:
    organs, sites = it.organs(), it.founding.sites
    names, away = it.organs_shown()
    lines = [heading("Organs with metastases, over all patients")]
    for organ in sorted(names, key=lambda name: (-organs[name], name)):
        note = it.founding.marks.get(f"site {organ}") or it.founding.marks.get(organ)
        line = _single(it, organ.capitalize(), organs[organ], sites.get(organ), note, per=organs.total())
        lines.append(msgspec.structs.replace(line, ours=(str(organs[organ]), "", "")) if away else line)  # per cent would tell the sum
    if away:
        lines.append(Line(label="Other organs", ours=(HIDDEN, "", "")))
    lines.append(Line(label="All", ours=(HIDDEN if away else str(organs.total()), "", ""), printed=(str(sites["all"]), "", "")))
    return lines


def _single(it: Counting, label: str, ours: int, theirs: int | None, note: str | None, *, per: int | None = None) -> Line:
    size = per or it.sizes[0]
    of = it.founding.sites["all"] if per else it.founding.patients[0]
    other = "" if theirs is None else f"{theirs} ({percent(theirs, of)})"
    return Line(label=label, ours=(f"{ours} ({percent(ours, size)})", "", ""), printed=(other, "", ""), note=note)


def table4(it: Counting) -> list[Line]:
    """Best response, where the disease progressed, and deaths."""
    rows = [
        ("Complete response, locoregional", "CR locoregional", having("best_locoregional", "complete"), ""),
        ("Complete response, distant", "CR distant", having("best_distant", "complete"), ""),
        ("Partial response", "PR", having("best_locoregional", "partial"), ""),
        ("Stable disease", "SD", having("best_locoregional", "stable"), ""),
        ("Progression, locoregional", "PD locoregional", lambda g: g["progressed_locoregional"] == True, ""),  # noqa: E712
        ("Progression, distant", "PD distant", lambda g: g["progressed_distant"] == True, ""),  # noqa: E712
        ("Deaths", "Deaths", lambda g: g["os_event"] == True, ""),  # noqa: E712
    ]
    return it.block(rows, it.founding.table4, parts=False)


def _kind(key: str) -> tuple[int, bool]:
    return key.count(",") + 1, key.endswith(" + nodes")


def _sorted(key: str) -> str:
    nodes = key.endswith(" + nodes")
    return ", ".join(sorted(key.removesuffix(" + nodes").split(", "))) + (" + nodes" if nodes else "")
