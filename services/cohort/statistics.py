"""The study's statistics, by lifelines: Kaplan-Meier, log-rank, Cox with a check of proportional hazards, reverse Kaplan-Meier, landmark.

A frame has one row a counted patient, the columns of `Studied`, and `os_months`, `os_event`, `pfs_months`, `pfs_event`. A month is a
twelfth of 365.25 days. Nothing is imputed: a patient whose variable is missing is left out of what needs it, and counted.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, Final, Literal

import msgspec
import pandas as pd  # type: ignore[import-untyped]
from lifelines import CoxPHFitter  # type: ignore[import-untyped]
from lifelines.exceptions import ConvergenceError, ConvergenceWarning  # type: ignore[import-untyped]
from lifelines.statistics import logrank_test, proportional_hazard_test  # type: ignore[import-untyped]
from numpy.linalg import matrix_rank

from services.cohort.kaplan_meier import Curve, curve, reached

Endpoint = Literal["os", "pfs"]
ENDPOINTS: Final[tuple[Endpoint, ...]] = ("pfs", "os")
MONTH: Final = 365.25 / 12
_SEARCH: Final = 1e-12  # where the search for the maximum ends; at lifelines' own 1e-7 the third digit of a p may be another
ALIKE: Final = "tell the same of every patient, or the contrary: their ratios cannot be told apart"
PER_VARIABLE: Final = 5  # events, below which a model of so many variables is marked


class Hazard(msgspec.Struct, frozen=True, kw_only=True):
    """A variable of a model: its hazard ratio with 95 % interval, p, and the p of the test that the ratio does not change with time.

    `proportional` is None where all events are of one day: there is no time for a ratio to change in.
    """

    variable: str
    ratio: float
    low: float
    high: float
    p: float
    proportional: float | None


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A Cox model; `why_not` where it could not be fitted. `thin`: few events for so many variables.

    `alike` are two variables that tell the same of every patient, or the contrary, so that there is none; `away` are those that are left
    out of it, and why.
    """

    hazards: tuple[Hazard, ...]
    patients: int
    events: int
    missing: int
    why_not: str | None = None
    thin: bool = False
    away: dict[str, str] = {}
    alike: tuple[str, ...] = ()


class FollowUp(msgspec.Struct, frozen=True):
    """Months: by reverse Kaplan-Meier with quartiles, and the plain median and range of what was observed."""

    median: float | None
    quartiles: tuple[float | None, float | None]
    observed: float
    shortest: float
    longest: float


def frame(rows: Iterable[Mapping[str, Any]]) -> Any:
    """The counted patients of a cohort's rows, with the endpoints in months."""
    found = pd.DataFrame([row for row in rows if row["counted"]])
    if not len(found):
        return found
    for endpoint in ENDPOINTS:
        found[f"{endpoint}_months"] = found[f"{endpoint}_days"].astype(float) / MONTH
    found["oligometastatic"] = found["few"]  # staging has none for a sarcoma
    found["group"] = found["group"] == "A"
    found["os_event"] = found["died"].astype(bool)
    found["pfs_event"] = found["pfs_event"].astype(bool)
    return found


def curve_of(data: Any, endpoint: Endpoint, name: str = "All") -> Curve:
    """The curve of a frame."""
    data = told(data, endpoint)
    return curve(name, data[f"{endpoint}_months"].tolist(), data[f"{endpoint}_event"].tolist())


def told(data: Any, endpoint: Endpoint) -> Any:
    """The patients of a frame whose time to the endpoint is known."""
    return data[data[f"{endpoint}_months"].notna()]


def log_rank(data: Any, endpoint: Endpoint, variable: str) -> float | None:
    """The p of the log-rank test between the two levels; None where one of them is empty, or nothing happened, or all at once."""
    data = told(data, endpoint)
    one, two = data[data[variable] == True], data[data[variable] == False]  # noqa: E712 - missing is neither
    if not len(one) or not len(two) or not (one[f"{endpoint}_event"].sum() + two[f"{endpoint}_event"].sum()):
        return None
    months, event = f"{endpoint}_months", f"{endpoint}_event"
    if _all_at_once(data[data[variable].notna()], endpoint):
        return None
    return float(logrank_test(one[months], two[months], one[event], two[event]).p_value)


def cox(data: Any, endpoint: Endpoint, variables: Sequence[str]) -> Model:
    """Cox's model (Efron's ties) of the patients in whom no variable is missing; the first levels against the second."""
    chosen = [*variables, f"{endpoint}_months", f"{endpoint}_event"]
    known = data[chosen].dropna().astype(float)
    events, missing = int(known[f"{endpoint}_event"].sum()), len(data) - len(known)
    empty = Model(hazards=(), patients=len(known), events=events, missing=missing)
    if not len(known):
        return msgspec.structs.replace(empty, why_not="no patient in whom every variable is told")
    if not events:
        return msgspec.structs.replace(empty, why_not="no event")
    if _all_at_once(known, endpoint):
        return msgspec.structs.replace(empty, why_not="all who were still followed have the event on one day")
    away = {name: why for name in variables if (why := _no_ratio(known[name], known[f"{endpoint}_event"]))}
    used = [name for name in variables if name not in away]
    empty = msgspec.structs.replace(empty, away=away)
    if not used:
        return msgspec.structs.replace(empty, why_not="; ".join(sorted(set(away.values()))))
    if alike := _alike(known[used]):
        return msgspec.structs.replace(empty, why_not=f"{' and '.join(alike)} {ALIKE}", alike=alike)
    if matrix_rank(known[used].assign(one=1.0)) <= len(used):
        return msgspec.structs.replace(empty, why_not="one of the variables follows from the others in every patient")
    chosen = [*used, f"{endpoint}_months", f"{endpoint}_event"]
    days = known.loc[known[f"{endpoint}_event"] == 1, f"{endpoint}_months"].nunique()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            fitted = CoxPHFitter().fit(known[chosen], f"{endpoint}_months", f"{endpoint}_event", fit_options={"precision": _SEARCH})
            test = proportional_hazard_test(fitted, known[chosen], time_transform=_ranks).summary
    except (ConvergenceError, ConvergenceWarning):
        return msgspec.structs.replace(empty, why_not="does not converge: one level is without events, most likely")
    found = fitted.summary
    hazards = tuple(
        Hazard(
            variable=name,
            ratio=float(found.loc[name, "exp(coef)"]),
            low=float(found.loc[name, "exp(coef) lower 95%"]),
            high=float(found.loc[name, "exp(coef) upper 95%"]),
            p=float(found.loc[name, "p"]),
            proportional=float(test.loc[name, "p"]) if days > 1 else None,
        )
        for name in used
    )
    return msgspec.structs.replace(empty, hazards=hazards, thin=events < PER_VARIABLE * len(used))


def _ranks(times: Any, events: Any, _: Any) -> Any:
    """The ranks of the events; those of one day have one, where lifelines' own "rank" goes by the order of the rows."""
    return times.where(events.astype(bool)).rank()


def _all_at_once(data: Any, endpoint: Endpoint) -> bool:
    """Whether every event is of the last day, and of all who were followed until then: nobody had it before or after another."""
    months, happened = data[f"{endpoint}_months"], data[f"{endpoint}_event"].astype(bool)
    return bool(happened.any()) and bool(happened[months >= months[happened].min()].all()) and months[happened].nunique() == 1


def _alike(values: Any) -> tuple[str, ...]:
    """Two columns of zeros and ones of which one tells the other; none where there are no such two."""
    return next(((one, two) for one, two in combinations(values, 2) if (values[one] != values[two]).nunique() == 1), ())


def _no_ratio(values: Any, happened: Any) -> str:
    """Why a variable has no hazard ratio that data can bound; empty where it has one."""
    if values.nunique() < 2:
        return "all alike"
    empty = any(not happened[values == level].sum() for level in (0, 1))
    return "no event in one of its levels" if empty else ""


def follow_up(data: Any) -> FollowUp:
    """Reverse Kaplan-Meier (deaths censored, censorings the event), and what was observed."""
    months = data["os_months"]
    followed = curve("follow-up", months.tolist(), (~data["os_event"]).tolist())
    low, high = (reached(((step.month, step.value) for step in followed.steps), level) for level in (0.75, 0.25))
    plain = float(months.median()), float(months.min()), float(months.max())
    return FollowUp(followed.median, (low, high), *plain)


def landmark(data: Any, endpoint: Endpoint, month: float) -> Any:
    """Those who reached the landmark without the event, their time counted from it on.

    In group A is who had finished its radiotherapy by then; `finished_later` are those who did so afterwards, and count in group B. Those
    of group A of whom nobody recorded when they finished are left out (`end_unknown`).
    """
    months = f"{endpoint}_months"
    kept = data[data[months] > month].copy()
    kept[months] -= month
    kept = kept[~_end_unknown(kept)]
    done = kept["definitive_days"].astype(float) <= month * MONTH
    kept["finished_later"] = kept["group"] & ~done
    kept["group"] = kept["group"] & done
    return kept


def end_unknown(data: Any, endpoint: Endpoint, month: float) -> int:
    """How many of group A reached the landmark, and are left out there since nobody recorded when their radiotherapy ended."""
    return int(_end_unknown(data[data[f"{endpoint}_months"] > month]).sum())


def _end_unknown(data: Any) -> Any:
    return (data["group"] == True) & data["definitive_days"].isna()  # noqa: E712 - a column


def missing(data: Any, columns: Iterable[str]) -> dict[str, int]:
    """How many patients lack each of the columns; those that none lacks are left out."""
    counts = {name: int(data[name].isna().sum()) for name in columns}
    return {name: count for name, count in counts.items() if count}
