"""Simulated annealing: which of the 48 women fared how, so that the founding study's printed survival comes out, or nearly.

    python -m examples.study_fit [--seed 2019] [--steps 240000]      writes examples/study_cohort.csv

Dealt are the characteristics within their group and the patterns of spread among all 48, as the printed tables leave open who combines
which; and the days of progression, death and last contact. Fixed are the counts of Tables 1, 2 and 4. The aims are the figures of
Table 3 and of the text (Yin 2019, doi:10.1186/s13014-019-1297-x). The result is kept as a file: it is data, and no test anneals.
"""

from __future__ import annotations

import argparse
import csv
from math import erfc, exp, log, log10
from pathlib import Path
from random import Random
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from examples.founding_cohort import plan

FILE: Final = Path(__file__).with_name("study_cohort.csv")
SEED: Final = 2019
MONTH: Final = 365.25 / 12
DECK: Final = ("age", "histology", "diameter", "looked", "ecog", "haemoglobin", "leucocytes")
# Of a group: died after progression, alive after progression, alive without it (text, "Patterns of progression"; Table 4).
FATES: Final = {"A": (25, 2, 9), "B": (11, 0, 1)}
EARLIEST: Final = {"A": 95, "B": 66}  # days: the treatment that the study asks for comes before
SHORTEST, LONGEST = 140, 3491  # 4.6 to 114.7 months
TWO_YEARS: Final = 2 * 365.25

Json = dict[str, Any]
Vector = NDArray[Any]

# Table 3: PFS and OS at two years in the two levels of each variable, and the two p values.
TABLE_3: Final[dict[str, tuple[float, ...]]] = {
    "age": (35.6, 36.8, 10.5, 26.3, 0.034, 0.096),
    "size": (21.7, 28.2, 38.1, 51.9, 0.338, 0.207),
    "squamous": (28.0, 38.5, 11.1, 0.0, 0.064, 0.002),
    "ecog": (27.6, 35.2, 16.7, 26.7, 0.466, 0.654),
    "haemoglobin": (23.1, 29.7, 27.7, 41.6, 0.622, 0.385),
    "leucocytes": (25.0, 25.0, 23.8, 34.0, 0.415, 0.330),
    "oligometastatic": (37.5, 52.4, 12.2, 16.3, 0.037, 0.042),
    "bone": (23.1, 33.9, 25.5, 30.0, 0.716, 0.662),
    "organs": (26.7, 37.8, 18.2, 12.1, 0.371, 0.160),
    "lung": (8.2, 14.3, 30.3, 40.0, 0.116, 0.115),
    "liver": (24.3, 25.0, 26.7, 34.2, 0.805, 0.656),
    "nodes": (16.0, 16.9, 29.5, 42.9, 0.203, 0.063),
    "group": (30.4, 38.9, 0.0, 12.5, 0.008, 0.002),
}
NAMES: Final = tuple(TABLE_3)
WEIGHT: Final = {"lung": 0.25, "group": 5.0}  # lung is counted as 14 there, and as 16 in Table 2, which is followed
WHOLE: Final = {"os": (14.8, 60.4, 32.5, 20.2), "pfs": (8.3, 34.1, 24.2, 19.4)}
MEDIANS: Final = {"os": (17.3, 10.0), "pfs": (9.4, 4.1)}
# The multivariable models: which variables went in is not printed; these have a printed univariate p below 0.1.
MODELS: Final = {"pfs": ("group", "age", "squamous", "oligometastatic"), "os": ("group", "age", "squamous", "oligometastatic", "nodes")}
HAZARDS: Final = {"pfs": {"group": 0.40, "age": 0.52}, "os": {"group": 0.32}}


def women(seed: int) -> list[Json]:
    """The 48 women of the founding cohort as one row each."""
    return [
        {
            "group": w.group,
            "age": w.age,
            "histology": w.histology,
            "diameter": w.diameter,
            "looked": w.looked,
            "ecog": w.fit.ecog,
            "haemoglobin": w.fit.haemoglobin,
            "leucocytes": w.fit.leucocytes,
            "spread": (w.organs, w.node),
        }
        for w in plan(seed)
    ]


def few(woman: Json) -> bool:
    """Oligometastatic: one organ, at most three lesions."""
    organs, _ = woman["spread"]
    return len(organs) == 1 and organs[0][1] <= 3


def levels(woman: Json) -> list[bool]:
    """The first level of each variable of Table 3."""
    organs, node = woman["spread"]
    names = {organ for organ, _ in organs}
    return [
        woman["age"] >= 50,
        woman["diameter"] >= 40,
        woman["histology"] == "squamous",
        woman["ecog"] == 0,
        woman["haemoglobin"] > 10,
        woman["leucocytes"] > 10,
        few(woman),
        "bone" in names,
        len(names) == 1,
        "lung" in names,
        "liver" in names,
        node is not None,
        woman["group"] == "A",
    ]


def first(rows: list[Json], rng: Random) -> None:
    """A first draw of what became of them."""
    for group, (dead, alive, free) in FATES.items():
        hers = [row for row in rows if row["group"] == group]
        fates = ["dead"] * dead + ["progressed"] * alive + ["free"] * free
        for row, fate in zip(rng.sample(hers, len(hers)), fates, strict=True):
            end = rng.randint(SHORTEST, 1500) if fate == "dead" else rng.randint(760, 3400)
            early = EARLIEST[group]
            row |= {"fate": fate, "end": end, "progression": None if fate == "free" else rng.randint(early, max(early, end - 10))}
    min(rows, key=lambda row: row["end"])["end"] = SHORTEST
    for row in rows:
        if row["progression"] is not None:
            row["progression"] = min(row["progression"], row["end"] - 5)
    next(row for row in rows if row["fate"] == "free")["end"] = LONGEST


def curve(times: Vector, events: Vector, members: Vector) -> tuple[Vector, Vector, Vector]:
    """Kaplan-Meier of each group of members (rows): the times in order, survival behind each, and the numbers at risk before it."""
    order = np.argsort(times, kind="stable")
    within = members[:, order]
    risk = np.cumsum(within[:, ::-1], axis=1)[:, ::-1]
    survival: Vector = np.cumprod(1 - within * events[order] / np.maximum(risk, 1), axis=1)
    return times[order], survival, risk


def at(times: Vector, survival: Vector, when: float) -> Vector:
    place = int(np.searchsorted(times, when, side="right"))
    return 100 * survival[:, place - 1] if place else np.full(len(survival), 100.0)


def median(times: Vector, survival: Vector) -> float:
    below = np.flatnonzero(survival <= 0.5)
    return float(times[below[0]]) / MONTH if len(below) else 300.0


def cox(times: Vector, events: Vector, x: Vector) -> Vector:
    """Coefficients of the partial likelihood, by Newton's steps; times are distinct."""
    order = np.argsort(-times, kind="stable")
    x, died = x[order], events[order].astype(bool)
    beta = np.zeros(x.shape[1])
    for _ in range(5):
        w = np.exp(np.clip(x @ beta, -20, 20))
        s0, s1 = np.cumsum(w), np.cumsum(w[:, None] * x, axis=0)
        s2 = np.cumsum(w[:, None, None] * x[:, :, None] * x[:, None, :], axis=0)
        mean = s1[died] / s0[died, None]
        slope = (x[died] - mean).sum(axis=0)
        bend = (s2[died] / s0[died, None, None] - mean[:, :, None] * mean[:, None, :]).sum(axis=0)
        beta = beta + np.linalg.solve(bend + 1e-6 * np.eye(len(beta)), slope)
    return beta


_ROOT2: Final = 2**0.5


def p_value(chi: float) -> float:
    return max(erfc((chi**0.5) / _ROOT2), 1e-6)


def cost(rows: list[Json]) -> float:
    """How far the rows are from what is printed: squares, in units of about a percentage point, a tenth of a month, a tenth of log p."""
    first_level = np.array([levels(row) for row in rows], dtype=float).T
    members = np.concatenate([first_level, 1 - first_level, np.ones((1, len(rows)))])
    ends = np.array([row["end"] for row in rows], dtype=float)
    progressed = np.array([row["progression"] is not None for row in rows], dtype=float)
    died = np.array([row["fate"] == "dead" for row in rows], dtype=float)
    pfs = np.array([row["progression"] or row["end"] for row in rows], dtype=float)
    total = 0.0
    k = len(NAMES)
    for place, (name, times, events) in enumerate((("pfs", pfs, progressed), ("os", ends, died))):
        when, survival, risk = curve(times, events, members)
        order = np.argsort(times, kind="stable")
        two = at(when, survival, TWO_YEARS)
        all_risk, sorted_events, in_first = risk[-1], events[order], first_level[:, order]
        share = risk[:k] / all_risk
        o_e = (sorted_events * (in_first - share)).sum(axis=1)
        v = (sorted_events * share * (1 - share)).sum(axis=1)
        for i, variable in enumerate(NAMES):
            aims, weight = TABLE_3[variable], WEIGHT.get(variable, 1.0)
            total += weight * ((two[i] - aims[place]) ** 2 + (two[k + i] - aims[2 + place]) ** 2) / 2
            p = p_value(float(o_e[i] ** 2 / v[i])) if v[i] > 0 else 1.0
            total += weight * (log10(p / aims[4 + place]) / 0.12) ** 2
        aim = WHOLE[name]
        total += ((median(when, survival[-1]) - aim[0]) / 0.1) ** 2
        for years, percent in zip((1, 2, 5), aim[1:], strict=True):
            total += (at(when, survival[-1:], years * 365.25)[0] - percent) ** 2 * 2
        for row, months in zip((k - 1, 2 * k - 1), MEDIANS[name], strict=True):
            total += ((median(when, survival[row]) - months) / 0.1) ** 2
        chosen = [NAMES.index(variable) for variable in MODELS[name]]
        beta = cox(times, events, first_level[chosen].T)
        for variable, ratio in HAZARDS[name].items():
            total += ((beta[MODELS[name].index(variable)] - log(ratio)) / 0.05) ** 2
    total += ((float(np.median(ends)) / MONTH - 14.4) / 0.1) ** 2
    total += ((float(np.median(pfs[progressed > 0])) / MONTH - 7.1) / 0.1) ** 2
    return total


def moved(rows: list[Json], rng: Random, reach: float) -> list[Json] | None:
    """A neighbour: a day moved, fates exchanged, a characteristic or a pattern of spread exchanged. None where it may not be."""
    one, two = rng.sample(range(len(rows)), 2)
    a, b = dict(rows[one]), dict(rows[two])
    draw = rng.random()
    if draw < 0.35:
        key = rng.choice(("end", "progression"))
        if a[key] is None or (key == "end" and a["end"] in (SHORTEST, LONGEST)):
            return None
        a[key] = round(a[key] * exp(rng.gauss(0, reach)))
        b = dict(rows[two])
    elif draw < 0.60:
        if a["group"] != b["group"]:
            return None
        for key in ("fate", "end", "progression"):
            a[key], b[key] = b[key], a[key]
    elif draw < 0.85:
        key = rng.choice(DECK)
        if a["group"] != b["group"] or a[key] == b[key]:
            return None
        a[key], b[key] = b[key], a[key]
    else:
        a["spread"], b["spread"] = b["spread"], a["spread"]
    if any(row["histology"] == "sarcoma" and few(row) for row in (a, b)):
        return None
    new = list(rows)
    new[one], new[two] = a, b
    return new if _possible(new, a) and _possible(new, b) else None


def _possible(rows: list[Json], row: Json) -> bool:
    if not SHORTEST <= row["end"] <= LONGEST:
        return False
    progression = row["progression"]
    if progression is not None and not EARLIEST[row["group"]] <= progression <= row["end"] - 5:
        return False
    if sum(other["end"] == row["end"] for other in rows) > 1:
        return False
    when = progression or row["end"]
    alike = [other for other in rows if (other["progression"] or other["end"]) == when]
    return len(alike) == 1


def fit(seed: int, steps: int) -> tuple[list[Json], float]:
    """The best rows found, and how far they are from the aims."""
    rng = Random(f"study/{seed}")
    rows = women(1)
    first(rows, rng)
    now = best_cost = cost(rows)
    best = rows
    for step in range(steps):
        cool = step / steps
        heat = 60.0 * (0.4 / 60.0) ** cool
        new = moved(rows, rng, 0.35 * (1 - cool) + 0.02)
        if new is None:
            continue
        then = cost(new)
        if then < now or rng.random() < exp((now - then) / heat):
            rows, now = new, then
            if now < best_cost:
                best, best_cost = rows, now
        if step % 1_000 < 2:
            print(step, round(heat, 2), round(now, 1), round(best_cost, 1), flush=True)
    return best, best_cost


def write(rows: list[Json], path: Path = FILE) -> None:
    """The rows as a file, a woman a line."""
    names = ["number", "group", *DECK, "organs", "node", "progression", "end", "dead"]
    with path.open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(names)
        for number, row in enumerate(rows, 1):
            organs, node = row["spread"]
            told = " ".join(f"{organ}:{lesions}" for organ, lesions in organs)
            rest = [told, node or "", row["progression"] or "", row["end"], int(row["fate"] == "dead")]
            out.writerow([number, row["group"], *(row[key] for key in DECK), *rest])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--steps", type=int, default=240_000)
    parser.add_argument("--out", type=Path, default=FILE)
    asked = parser.parse_args()
    rows, left = fit(asked.seed, asked.steps)
    write(rows, asked.out)
    print(f"{left:.1f} away from the aims; {asked.out.name} written")


if __name__ == "__main__":
    main()
