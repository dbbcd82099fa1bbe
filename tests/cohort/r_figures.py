"""The figures of the cohort report, each beside the one that examples/recompute.R prints for it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import isclose
from typing import Any, Final, NamedTuple

import msgspec

from services.cohort.comparison import YEARS, Row
from services.cohort.counting import Line
from services.cohort.definitions import definitions
from services.cohort.endpoints import Part
from services.cohort.kaplan_meier import Curve
from services.cohort.statistics import Model
from services.cohort.suppression import HIDDEN

Json = dict[str, Any]
CLOSE: Final = 1e-9
SEARCHED: Final = 1e-6  # where a programme ends its search for a maximum
GROUPS: Final = ("all", "group_a", "group_b")
AT_TWO: Final = ("pfs_two_years", "os_two_years")
LIST: Final = definitions()
TABLE_1: Final = {
    ("", "Age (years), median (range)"): "age_years",
    ("First treatment", "Cycles of chemotherapy, median (range)"): "cycles",
    ("First treatment", "Radiotherapy to the pelvis"): "pelvic_radiotherapy",
    ("First treatment", "Radiotherapy to a metastasis"): "metastasis_radiotherapy",
    ("First treatment", "Cycles before radiotherapy (group A)"): "cycles_before",
    ("First treatment", "Cycles during radiotherapy (group A)"): "cycles_during",
    ("First treatment", "Cycles after radiotherapy (group A)"): "cycles_after",
    ("Radiotherapy to the pelvis (Gy), median (range)", "External beam"): "external_gy",
    ("Radiotherapy to the pelvis (Gy), median (range)", "Brachytherapy"): "brachytherapy_gy",
    ("Radiotherapy to the pelvis (Gy), median (range)", "Point A, EQD2 (α/β 10 Gy)"): "point_a_eqd2_gy",
}
TABLE_4: Final = {
    "Complete response, locoregional": "complete_locoregional",
    "Complete response, distant": "complete_distant",
    "Partial response": "partial",
    "Stable disease": "stable",
    "Progression, locoregional": "progression_locoregional",
    "Progression, distant": "progression_distant",
    "Deaths": "deaths",
}


class Pair(NamedTuple):
    """A figure of the report and what R has there; `digits` are those behind the point that are shown, None where all are compared."""

    where: str
    ours: float | str | None
    theirs: float | str | None
    digits: int | None = None
    close: float = CLOSE

    @property
    def same(self) -> bool:
        if not isinstance(self.ours, int | float) or not isinstance(self.theirs, int | float):
            return bool(self.ours == self.theirs)
        if self.digits is None:
            return isclose(self.ours, self.theirs, rel_tol=self.close, abs_tol=self.close)
        return abs(self.ours - self.theirs) <= 0.5 * 10.0**-self.digits + 1e-9


def shown(where: str, text: str, *theirs: tuple[float | None, int]) -> Iterable[Pair]:
    """The numbers of a cell against R's, each with how many digits behind the point it is shown to."""
    if all(number is None for number, _ in theirs):
        yield Pair(where, text.replace(HIDDEN, "not followed so long"), "not followed so long" if "year" in where else "not reached")
        return
    numbers = re.findall(r"[\d.]+|not reached", text)
    assert len(numbers) == len(theirs), (where, text)
    for number, (other, digits) in zip(numbers, theirs, strict=True):
        yield Pair(where, number, "not reached") if other is None else Pair(where, float(number), other, digits)


def p_shown(where: str, text: str, theirs: float | None) -> Pair:
    if theirs is None:
        return Pair(where, text.replace(HIDDEN, ""), "")
    return Pair(where, text, "< 0.001") if theirs < 0.001 else Pair(where, float(text.removesuffix(": not proportional")), theirs, 3)


def of_curve(where: str, curve: Curve, r: Json | None) -> Iterable[Pair]:
    """All of it, steps and bands too. R has no band where all or none are left; ours is the curve itself there."""
    if r is None:
        yield Pair(f"{where}, patients", curve.patients, 0)
        return
    for name in ("patients", "events", "median", "median_low", "median_high"):
        yield Pair(f"{where}, {name}", getattr(curve, name), r[name])
    for month, theirs in zip(YEARS, r["survival"].values(), strict=True):
        rate = curve.rate(month)
        assert (rate is None) == (theirs is None), (where, month)
        if rate is not None:
            yield Pair(f"{where}, at {month:g} months", rate.value, theirs["survival"])
            yield Pair(f"{where}, at risk at {month:g} months", rate.at_risk, theirs["at_risk"])
    for month, number in zip(r["at_risk"]["months"], r["at_risk"]["patients"], strict=True):
        yield Pair(f"{where}, at risk below the picture, {month} months", curve.at_risk(month), number)
    steps = zip(*(r["curve"][name] for name in ("months", "survival", "low", "high")), strict=True)
    for ours, (month, value, *band) in zip(curve.steps[1:], steps, strict=True):
        theirs = (month, value, *(value if end is None else end for end in band))
        yield from (Pair(f"{where}, step at {month}", one, other) for one, other in zip(msgspec.structs.astuple(ours), theirs, strict=True))


def rate_shown(where: str, text: str, r: Json | None) -> Iterable[Pair]:
    ends = () if r is None or r["low"] is None else ((100 * r["low"], 0), (100 * r["high"], 0))
    return shown(f"{where}, years", text, (None if r is None else 100 * r["survival"], 1), *ends)


def hazard_shown(where: str, text: str, r: Json) -> Iterable[Pair]:
    return shown(where, text.removesuffix("; few events"), *((r[name], 2) for name in ("hazard_ratio", "low", "high")))


def of_model(where: str, model: Model, r: Json) -> Iterable[Pair]:
    """The test of proportional hazards is the older one, as lifelines makes it."""
    yield Pair(f"{where}, patients", model.patients, r["patients"])
    yield Pair(f"{where}, events", model.events, r["events"])
    yield Pair(f"{where}, left out", model.missing, r["left_out_for_want_of_a_variable"])
    assert [each.variable for each in model.hazards] == [*(r["variables"] or {})], where
    assert not model.events or [*model.away] == r["without"], where
    for ours in model.hazards:
        theirs = r["variables"][ours.variable]
        for name, other in (("ratio", "hazard_ratio"), ("low", "low"), ("high", "high"), ("p", "p")):
            yield Pair(f"{where}, {ours.variable}, {name}", getattr(ours, name), theirs[other], close=SEARCHED)
        yield Pair(f"{where}, {ours.variable}, proportional", ours.proportional, older(theirs), close=SEARCHED)


def older(r: Json) -> float:
    found: float = r["proportional_hazards_p"]["grambsch_therneau_rank"]
    return found


def of_part(part: Part, r: Json) -> Iterable[Pair]:
    for curve, row, group in zip(part.curves, part.rows, GROUPS, strict=True):
        where, theirs = f"{part.title}, {group}", r["kaplan_meier"][group]
        yield from of_curve(where, curve, theirs)
        if theirs is None:
            continue
        yield Pair(f"{where}, n", int(row.patients), theirs["patients"])
        yield Pair(f"{where}, events", int(row.events), theirs["events"])
        ends = () if theirs["median"] is None else ((theirs["median_low"], 1), (theirs["median_high"], 1))
        yield from shown(where, row.cells[0].ours, (theirs["median"], 1), *ends)
        for cell, rate in zip(row.cells[1:], theirs["survival"].values(), strict=True):
            yield from rate_shown(where, cell.ours, rate)
    yield p_shown(f"{part.title}, log-rank", part.p, r["log_rank_p"])
    yield from of_model(f"{part.title}, Cox", part.model, r["cox"])
    for line, theirs in zip(part.lines, (r["cox"]["variables"] or {}).values(), strict=True):
        yield from hazard_shown(f"{part.title}, {line.label}", line.ratio, theirs)
        yield p_shown(f"{part.title}, {line.label}, p", line.p, theirs["p"])
        yield p_shown(f"{part.title}, {line.label}, proportional", line.proportional, older(theirs))


def of_landmark(part: Part, r: Json) -> Iterable[Pair]:
    ours, there = part.landmark, r["landmark"]
    assert ours is not None
    for text, name in ((ours.a, "group_a"), (ours.b, "group_b"), (ours.later, "finished_later"), (ours.unknown, "end_unknown")):
        yield Pair(f"{part.title}, {name} at the landmark", int(text), there[name])
    yield p_shown(f"{part.title}, log-rank from the landmark", ours.p, there["log_rank_p"])
    for text, check, model in ((ours.diagnosis, ours.checks[0], r["cox_of_group_alone"]), (ours.ratio, ours.checks[1], there["cox"])):
        if model["variables"] is None:
            yield Pair(f"{part.title}, group alone, no ratio", text[:1].isdecimal(), False)
            continue
        yield from hazard_shown(f"{part.title}, group alone", text, model["variables"]["group"])
        yield p_shown(f"{part.title}, group alone, proportional", check, older(model["variables"]["group"]))


def of_table_3(table: list[Row], r: Json) -> Iterable[Pair]:
    lines = iter(table)
    for variable in LIST.variables:
        head, theirs = next(lines), r[variable.id]
        assert (head.label, head.head) == (variable.says, True)
        yield p_shown(f"{variable.id}, p of PFS", head.cells[1].ours, theirs["pfs_log_rank_p"])
        yield p_shown(f"{variable.id}, p of OS", head.cells[3].ours, theirs["os_log_rank_p"])
        for level in ("first", "second"):
            line = next(lines)
            yield Pair(f"{variable.id}, {level}", int(line.patients.ours), theirs[level]["patients"])
            for cell, at in zip((line.cells[0], line.cells[2]), AT_TWO, strict=True):
                yield from rate_shown(f"{variable.id}, {level}, {at}", cell.ours, theirs[level][at])
        if theirs["not_told"]:
            yield Pair(f"{variable.id}, not told", int(next(lines).patients.ours), theirs["not_told"])
    assert next(lines, None) is None


def of_line(where: str, line: Line, theirs: Json, sizes: Json, digits: int = 0) -> Iterable[Pair]:
    """Whole cohort, group A and group B, where the table has them: counts with per cent, or medians with their range."""
    for text, group in zip(line.ours, GROUPS, strict=True):
        if text == "":
            continue
        found = theirs[group]
        if isinstance(found, dict):
            yield from shown(f"{where}, {group}", text, *((found[name], digits) for name in ("median", "low", "high")))
        else:
            yield from shown(f"{where}, {group}", text, (found, 0), (100 * found / sizes[group], 1))


def of_lines(table: list[Line], r: Json, sizes: Json, names: dict[tuple[str, str], tuple[str, ...]]) -> Iterable[Pair]:
    """`names`: where R has a line, by the head above it and its label."""
    head = ""
    for line in table:
        head = line.label if line.head else head
        if line.head:
            continue
        theirs = r
        for key in names[head, line.label]:
            theirs = theirs.get(key, dict.fromkeys(GROUPS, 0))
        yield from of_line(f"{head}, {line.label}", line, theirs, sizes, 1 if "Gy" in head else 0)


def of_table_2(table: list[Line], r: Json, size: int) -> Iterable[Pair]:
    """A pattern is of the patients, an organ of all organs."""
    head, seen = "", 0
    for line in table:
        head = line.label if line.head else head
        if line.head:
            continue
        key = line.label.lower().replace(" and ", ", ")
        if not head.startswith("Organs with"):
            number = r["patterns"].get(f"{key} + nodes" if head.endswith("nodes") else key, 0)
            seen += number
            yield from shown(f"{head}, {key}", line.ours[0], (number, 0), (100 * number / size, 1))
        elif line.label == "All":
            yield Pair("all organs", int(line.ours[0]), r["all"])
        else:
            yield from shown(f"{head}, {key}", line.ours[0], (r["organs"][key], 0), (100 * r["organs"][key] / r["all"], 1))
    yield Pair("patients by their pattern", size, seen)


def names_of_table_1() -> dict[tuple[str, str], tuple[str, ...]]:
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for variable in LIST.variables:
        for level, words in (("first", variable.first), ("second", variable.second), ("not_told", "Not told")):
            found[variable.says, words] = variable.id, level
    found |= {("ECOG performance status", str(n)): ("ecog_score", str(n)) for n in range(3)}
    found |= {("Histology", each.says): ("histology", each.id) for each in LIST.histology}
    found |= {("Metastases found by", each.says): ("found_by", each.id) for each in LIST.found_by}
    found["Metastases found by", "Not told"] = "found_by", "not_told"
    return found | {key: (name,) for key, name in TABLE_1.items()}
