"""One endpoint of the report: its curves with their picture, table and test, the model, and the comparison from the landmark on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from services.cohort.comparison import WORDS, Landmark, Line, Survival, curves, multivariable, p_value, survival, unadjusted
from services.cohort.counting import Counting
from services.cohort.curves import drawn
from services.cohort.definitions import Definitions
from services.cohort.kaplan_meier import Curve
from services.cohort.statistics import Endpoint, Model, log_rank
from services.cohort.suppression import HIDDEN


@dataclass(frozen=True)
class Part:
    """One endpoint: its curves, picture, table, test and model, and group A against B from the landmark on."""

    endpoint: Endpoint
    title: str
    curves: tuple[Curve, ...]
    rows: list[Survival]
    p: str
    model: Model
    lines: list[Line]
    landmark: Landmark | None
    caption: str
    draw: Callable[[], str]

    @cached_property
    def picture(self) -> str:
        """The curves as SVG, drawn for whoever looks."""
        return self.draw()


def part_of(it: Counting, endpoint: Endpoint, study: Definitions) -> Part:
    """The endpoint in the patients that are counted."""
    data, founding, threshold = it.groups[0], it.founding, it.threshold
    found = curves(data, endpoint)
    model, lines = multivariable(data, endpoint, study, founding)
    title = f"{WORDS[endpoint]} by group" if it.apart else WORDS[endpoint]
    shown, sizes = (found[1:], it.sizes[1:]) if it.apart else (found[:1], it.sizes[:1])
    rows = survival(found if it.apart else found[:1], endpoint, founding, threshold, sizes=it.sizes)
    return Part(
        endpoint=endpoint,
        title=WORDS[endpoint],
        curves=found,
        rows=rows,
        p=p_value(log_rank(data, endpoint, "group")),
        model=model,
        lines=lines,
        landmark=unadjusted(data, endpoint, study, threshold) if it.apart else None,
        caption=_caption(model, rows[0].events, threshold, study),
        draw=partial(drawn, title, shown, threshold=threshold, sizes=sizes),
    )


def _caption(model: Model, events: str, threshold: int, study: Definitions) -> str:
    """What a model rests on. Numbers of those left out are a small cell as any other."""
    if model.missing and threshold:
        told = ["Cox model of those patients in whom every variable is told"]
    else:
        told = [f"Cox model of {model.patients} patients with {events if threshold else model.events} events"]
    if model.missing and not threshold:
        told.append(f"{model.missing} are left out, for want of a variable")
    if model.away:
        said = {variable.id: variable.says for variable in study.variables}
        told.append(f"without {', '.join(f'{said[name]} ({why})' for name, why in model.away.items())}, of which there is no hazard ratio")
    if model.thin:
        told.append("fewer than five events for a variable: unstable")
    return "; ".join(told)


def time_to_progression(data: Any, threshold: int) -> str:
    """Median months to progression, of those whose disease progressed, as the paper reckons it; whole ones with small cells hidden."""
    found = data[data["progressed"] == True]["pfs_months"].dropna()  # noqa: E712 - a column
    if 0 < len(found) < threshold:
        return HIDDEN
    return f"{found.median():.{0 if threshold else 1}f}" if len(found) else "nobody progressed"
