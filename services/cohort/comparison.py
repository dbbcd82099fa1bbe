"""Table 3 and the survival figures: ours with their intervals, and beside them what the founding study prints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from services.cohort.counting import Counting
from services.cohort.definitions import Definitions, Printed, Variable
from services.cohort.kaplan_meier import YEAR, Curve
from services.cohort.statistics import ALIKE, ENDPOINTS, Endpoint, Model, cox, curve_of, end_unknown, landmark, log_rank
from services.cohort.suppression import HIDDEN, alone
from services.cohort.suppression import count as shown

TWO: Final = 24
YEARS: Final = (12, 24, 60)
WORDS: Final = {"os": "Overall survival", "pfs": "Progression-free survival"}


class Cell(NamedTuple):
    """One of our figures, and the printed one beside it."""

    ours: str
    printed: str = ""


class Row(NamedTuple):
    """A line of Table 3: a head with its p values, or a level with its rates. Cells are PFS, p, OS, p."""

    label: str
    patients: Cell
    cells: tuple[Cell, Cell, Cell, Cell]
    head: bool = False
    note: str | None = None


class Line(NamedTuple):
    """A line of a model: the variable in words, ours and the printed one, the p of proportional hazards, and whether that is doubtful."""

    label: str
    ratio: str
    p: str
    printed: str
    proportional: str
    doubtful: bool


class Survival(NamedTuple):
    """A line of the survival table: median and rates at 1, 2 and 5 years."""

    label: str
    patients: str
    events: str
    cells: tuple[Cell, ...]


class Landmark(NamedTuple):
    """Group A against B: patients at the landmark, log-rank p from there, hazard ratios from the diagnosis and from there.

    `later` are those of group A who had not finished its radiotherapy by then, and count in group B there; `unknown` those of whom nobody
    recorded when they finished, who are left out. `checks` are the p of proportional hazards, from the diagnosis and from the landmark.
    """

    a: str
    b: str
    p: str
    diagnosis: str
    ratio: str
    later: str
    unknown: str
    checks: tuple[str, str]


def univariate(it: Counting, study: Definitions) -> list[Row]:
    """Table 3, left half: rates at two years in each level, and the log-rank p."""
    rows = []
    data, founding = it.groups[0], it.founding
    unshown = it.unshown(study)
    for variable in study.variables:
        if variable.id == "group" and not it.apart:
            continue
        theirs = founding.table3[variable.id]
        p = [Cell(p_value(log_rank(data, endpoint, variable.id)), theirs.p[i]) for i, endpoint in enumerate(ENDPOINTS)]
        blank = Cell("")
        note = founding.marks.get(f"table 3 {variable.id}")
        rows.append(Row(variable.says, blank, (blank, p[0], blank, p[1]), head=True, note=note))
        parts = data[data[variable.id] == True], data[data[variable.id] == False]  # noqa: E712 - a column
        unknown = int(data[variable.id].isna().sum())
        lines = it.levels(variable)
        sizes = [HIDDEN if variable.id in unshown else line.ours[0].split(" (")[0] for line in lines]
        levels = zip(parts, sizes, (variable.first, variable.second), (theirs.first, theirs.second), strict=False)
        for part, size, label, printed in levels:
            told = [_percent(it, part, endpoint, variable) if size.isdecimal() else HIDDEN for endpoint in ENDPOINTS]
            cells = (Cell(told[0], f"{printed[1]:g}"), blank, Cell(told[1], f"{printed[2]:g}"), blank)
            rows.append(Row(label, Cell(size, str(printed[0])), cells))
        if unknown:
            rows.append(Row("Not told", Cell(sizes[2]), (blank, blank, blank, blank)))
    return rows


def _percent(it: Counting, part: Any, endpoint: Endpoint, variable: Variable) -> str:
    """The rate at two years of a level; with small cells hidden only where that of the whole cohort may be told, which it is a part of.

    Of groups A and B the first year and all events are shown elsewhere, of others nothing but this.
    """
    if it.threshold and TWO not in curve_of(it.groups[0], endpoint).years(it.threshold):
        return HIDDEN
    grouped = variable.id == "group"
    return rates(curve_of(part, endpoint), [TWO], it.threshold, every=YEAR if grouped else TWO, counted=grouped)[0]


def multivariable(
    data: Any, endpoint: Endpoint, study: Definitions, founding: Printed, *, compared: bool = True
) -> tuple[Model, list[Line]]:
    """Table 3, right half: the model, and its lines. Where nobody is in a group, the model is without it."""
    apart = bool(data["group"].notna().any())
    model = cox(data, endpoint, [name for name in study.models[endpoint] if apart or name != "group"])
    said = {variable.id: variable for variable in study.variables}
    if model.alike:
        why = f"{' and '.join(said[name].says for name in model.alike)} {ALIKE}"
        model = msgspec.structs.replace(model, why_not=why)
    lines = [
        Line(
            label=_against(said[h.variable]),
            ratio=f"{h.ratio:.2f} ({h.low:.2f}–{h.high:.2f})",
            p=p_value(h.p),
            printed=founding.models[endpoint].get(h.variable, "not printed") if compared else "",
            proportional=HIDDEN if h.proportional is None else p_value(h.proportional),
            doubtful=h.proportional is not None and h.proportional < 0.05,
        )
        for h in model.hazards
    ]
    return model, lines


def after_landmark(data: Any, endpoint: Endpoint, study: Definitions) -> tuple[int, int, float | None, Model]:
    """Group A against B among those free of the event at the landmark: patients in each, log-rank p, and a model of the group alone."""
    kept = landmark(data, endpoint, study.number("landmark"))
    a, b = (int((kept["group"] == level).sum()) for level in (True, False))
    return a, b, log_rank(kept, endpoint, "group"), cox(kept, endpoint, ["group"])


def unadjusted(data: Any, endpoint: Endpoint, study: Definitions, threshold: int = 0) -> Landmark:
    """Group A against B as shown: from the diagnosis, and from the landmark."""
    a, b, p, model = after_landmark(data, endpoint, study)
    whole = cox(data, endpoint, ["group"])
    first, checks = _alone(whole), (_check(whole), _check(model))
    if 0 < a < threshold or 0 < b < threshold:
        return Landmark(HIDDEN, HIDDEN, HIDDEN, first, HIDDEN, HIDDEN, HIDDEN, (checks[0], HIDDEN))
    # Beside the groups' sizes the numbers at the landmark tell how many had the event early.
    month = study.number("landmark")
    later = int(landmark(data, endpoint, month)["finished_later"].sum())
    told = [HIDDEN if threshold else str(size) for size in (a, b, later, end_unknown(data, endpoint, month))]
    return Landmark(told[0], told[1], p_value(p) or HIDDEN, first, _alone(model), told[2], told[3], checks)


def _check(model: Model) -> str:
    """The p of proportional hazards of a model of one variable, and the word for one that is not."""
    p = model.hazards[0].proportional if model.hazards else None
    if p is None:
        return HIDDEN
    return f"{p_value(p)}{': not proportional' if p < 0.05 else ''}"


def _alone(model: Model) -> str:
    if not model.hazards:
        return model.why_not or HIDDEN
    (hazard,) = model.hazards
    return f"{hazard.ratio:.2f} ({hazard.low:.2f}–{hazard.high:.2f}){'; few events' if model.thin else ''}"


def curves(data: Any, endpoint: Endpoint) -> tuple[Curve, Curve, Curve]:
    """The curves of the whole cohort, of group A and of group B."""
    groups = data[data["group"] == True], data[data["group"] == False]  # noqa: E712 - a column
    return curve_of(data, endpoint), curve_of(groups[0], endpoint, "A"), curve_of(groups[1], endpoint, "B")


def survival(
    found: tuple[Curve, ...], endpoint: Endpoint, founding: Printed, threshold: int = 0, *, sizes: tuple[int, ...] | None = None
) -> list[Survival]:
    """The survival table of an endpoint; `sizes` of whole cohort and groups, where some are left out of it."""
    lines = []
    counts = [[curve.patients for curve in found], [curve.events for curve in found]]
    away = [alone(counts[0], sizes[: len(found)] if sizes else counts[0], threshold), alone(counts[1], counts[0], threshold)]
    for c, (curve, label, key) in enumerate(zip(found, ("All", "Group A", "Group B"), ("all", "A", "B"), strict=False)):
        theirs = founding.survival[endpoint][key]
        few = curve.patients < max(threshold, 1)
        ours = [HIDDEN if few else _median(curve, threshold), *rates(curve, YEARS, threshold)]
        cells = tuple(Cell(mine, "" if other is None else f"{other:g}") for mine, other in zip(ours, theirs, strict=True))
        patients, events = (shown(counts[r][c], threshold, away=c in away[r]) for r in range(2))
        lines.append(Survival(label, patients, events, cells))
    return lines


def _median(curve: Curve, threshold: int) -> str:
    """The median with its interval. With a threshold in whole months without it, as both are days of single patients, and hidden where it
    rests on fewer events or patients still at risk.
    """
    if threshold and curve.median is not None:
        few = min(curve.at_risk(curve.median), curve.happened(curve.median)) < threshold
        return HIDDEN if few else f"{curve.median:.0f}"
    if threshold:
        return "not reached"
    median, low, high = ("not reached" if m is None else f"{m:.1f}" for m in (curve.median, curve.median_low, curve.median_high))
    return median if median == low == high else f"{median} ({low}–{high})"


def _against(variable: Variable) -> str:
    return f"{variable.says}: {variable.first} against {variable.second}"


def rates(curve: Curve, months: Sequence[int], threshold: int = 0, *, every: int = YEAR, counted: bool = True) -> list[str]:
    """Survival at months in per cent with intervals; with a threshold rounded without, where a curve may be told (`Curve.years`)."""
    if not threshold:
        return [_rate(curve, month) for month in months]
    told = curve.years(threshold, every=every, counted=counted)
    return [f"about {curve.about(month, threshold)}" if month in told else HIDDEN for month in months]


def _rate(curve: Curve, month: int) -> str:
    found = curve.rate(month)
    if not curve.patients:
        return HIDDEN
    if found is None:
        return "not followed so long"
    if found.value in (0, 1):  # nobody is left, or nothing has happened: there is no interval
        return f"{100 * found.value:g}"
    return f"{100 * found.value:.1f} ({100 * found.low:.0f}–{100 * found.high:.0f})"


def p_value(p: float | None) -> str:
    """A p value as journals print it."""
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"
