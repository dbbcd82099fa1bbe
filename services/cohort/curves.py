"""Kaplan-Meier curves as SVG: steps with their 95 % band, a stroke for each censored patient, and the numbers at risk below."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any, Final

import altair as alt
import vl_convert

from services.cohort.kaplan_meier import YEAR, Curve, Step
from services.cohort.suppression import count, near

INK, QUIET, RULE, PAPER = "#1b2330", "#55606f", "#d9dde2", "#ffffff"
COLOURS: Final = ("#0b6b63", "#a12b2b")
DASHES: Final = ([1, 0], [5, 3])
FONT: Final = "Liberation Sans, Arial, Helvetica, sans-serif"
WIDTH, HEIGHT, ROOM = 560, 300, 84
LONGEST: Final = 120
FEW, SHARE = 5, 0.1


def drawn(title: str, curves: Sequence[Curve], *, longest: float = LONGEST, threshold: int = 0, sizes: Sequence[int] | None = None) -> str:
    """The SVG of the curves of an endpoint; `sizes` are the patients of each group, where some are in no curve.

    Where few are at risk (FEW, or SHARE of the curve's patients) a curve is drawn faint: one event moves it far. With a threshold, the ends
    of years that may be told are joined by straight lines, without a band, numbers at risk, or a mark of who is censored.
    """
    whole = sizes or [curve.patients for curve in curves]
    shown = [(curve, size) for curve, size in zip(curves, whole, strict=True) if curve.patients >= max(threshold, 1)]
    last = max((max(curve.years(threshold), default=YEAR) if threshold else curve.months[-1] for curve, _ in shown), default=YEAR)
    months = min(longest, YEAR * ceil(last / YEAR))
    marks: list[alt.Chart] = []
    for place, (curve, size) in enumerate(shown):
        marks += _curve(curve, place, months, threshold)
        marks += _risk(curve, place, months, threshold, size)
    marks.append(_text([{"x": 0, "y": _row(-1), "text": "At risk"}], 12, QUIET, "left", dx=-66))
    layers = alt.layer(*marks).properties(width=WIDTH, height=HEIGHT + ROOM, padding={"left": 84, "right": 76, "top": 12, "bottom": 14})
    chart = layers.configure(font=FONT, background=PAPER, autosize=alt.AutoSizeParams(type="none")).configure_view(stroke=None)
    svg: str = vl_convert.vegalite_to_svg(chart.to_json(validate=False))
    return svg.replace("<svg ", f'<svg role="img" aria-label="{title}" ', 1)


def points(curve: Curve, months: float, threshold: int) -> list[Step]:
    """The steps until so many months. With a threshold the curve at the ends of years that may be told, rounded and without its band: a
    step of its own would be one patient's day; more digits, or the band, tell how many were censored. Nothing if only the start is left.
    """
    if not threshold:
        return [step for step in curve.steps if step.month <= months]
    shares = {0: 1.0} | {month: curve.about(month, threshold) / 100 for month in curve.years(threshold) if month <= months}
    return [Step(month, share, share, share) for month, share in shares.items()] if len(shares) > 1 else []


def _curve(curve: Curve, place: int, months: float, threshold: int) -> list[alt.Chart]:
    steps, colour = points(curve, months, threshold), COLOURS[place]
    if not steps:
        few = [{"x": 0, "y": 0.2 - 0.08 * place, "text": f"{_name(curve)}: too few events to draw"}]
        return [_text(few, 13, colour, "left", dx=7, bold=True)]
    end = steps[-1].month if threshold else min(months, max(curve.months))
    line = [{"x": s.month, "y": s.value, "low": s.low, "high": s.high} for s in steps]
    thin = end if threshold else _thin(curve, end)
    if not threshold:
        line.append(line[-1] | {"x": end})
    full, faint = [p for p in line if p["x"] < thin], [p for p in line if p["x"] >= thin]
    if thin >= end:
        full, faint = line, []
    elif full:
        turn = full[-1] | {"x": thin}
        full, faint = [*full, turn], [turn, *faint]
    found: list[alt.Chart] = []
    between: Any = "linear" if threshold else "step-after"
    for some, strength in ((full, 1.0), (faint, 0.35)):
        if not some:
            continue
        base = alt.Chart(_data(some))
        band = base.mark_area(interpolate=between, opacity=0.11 * strength, color=colour)
        drawn_ = base.mark_line(interpolate=between, color=colour, strokeWidth=2, strokeDash=DASHES[place], opacity=strength)
        bands = [] if threshold else [band.encode(x=_x(months), y=_y("low"), y2="high:Q")]
        found += [*bands, drawn_.encode(x=_x(months), y=_y("y"))]
    found.append(_text([{"x": end, "y": max(steps[-1].value, 0.05), "text": _name(curve)}], 13, colour, "left", dx=7, bold=True))
    strokes = [{"x": month, "y": value} for month, value in curve.censored if month <= months]
    if strokes and not threshold:
        found.append(
            alt.Chart(_data(strokes)).mark_tick(orient="vertical", thickness=1.4, size=11, color=colour).encode(_x(months), _y("y"))
        )
    return found


def _risk(curve: Curve, place: int, months: float, threshold: int, size: int) -> list[alt.Chart]:
    at = range(0, YEAR if threshold else int(months) + 1, YEAR)
    shown = [count(curve.at_risk(month), threshold, away=near(curve.patients, size, threshold)) for month in at]
    told = [{"x": month, "y": _row(place), "text": text} for month, text in zip(at, shown, strict=True)]
    name = [{"x": 0, "y": _row(place), "text": _name(curve)}]
    return [_text(told, 12, INK, "center"), _text(name, 12, COLOURS[place], "left", dx=-66, bold=True)]


def _name(curve: Curve) -> str:
    return f"Group {curve.name}" if curve.name in ("A", "B") else curve.name


def _thin(curve: Curve, end: float) -> float:
    """The month from which on few are at risk; the end of the curve where there is none."""
    few = max(FEW, ceil(SHARE * curve.patients))
    return min(end, curve.months[-few]) if curve.patients >= few else 0.0


def _row(place: int) -> float:
    """Where a row of the numbers at risk stands, below the axis, in the units of survival."""
    return -(50 + 17 * (place + 1)) / HEIGHT


def _text(values: list[dict[str, Any]], size: float, colour: str, align: str, *, dx: float = 0, bold: bool = False) -> alt.Chart:
    kind: dict[str, Any] = {"align": align, "fontSize": size, "color": colour, "dx": dx, "fontWeight": 600 if bold else 400}
    chart = alt.Chart(_data(values)).mark_text(baseline="middle", clip=False, **kind)
    found: alt.Chart = chart.encode(x=alt.X("x:Q"), y=_y("y"), text="text:N")
    return found


def _x(months: float) -> alt.X:
    axis = alt.Axis(
        values=[*range(0, int(months) + 1, YEAR)],
        title="Months since diagnosis",
        grid=False,
        offset=-ROOM,
        **_quiet(),
    )
    return alt.X("x:Q", scale=alt.Scale(domain=[0, months], nice=False), axis=axis)


def _y(field: str) -> alt.Y:
    axis = alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format="%", title=None, gridColor=RULE, domain=False, **_quiet())
    return alt.Y(f"{field}:Q", scale=alt.Scale(domain=[-ROOM / HEIGHT, 1], nice=False, zero=False), axis=axis)


def _quiet() -> dict[str, Any]:
    return {
        "labelColor": QUIET,
        "labelFontSize": 12,
        "titleColor": QUIET,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "tickColor": RULE,
        "domainColor": RULE,
        "labelOverlap": False,
        "labelFlush": False,
    }


def _data(values: list[dict[str, Any]]) -> Any:
    return alt.Data(values=values)  # type: ignore[no-untyped-call]
