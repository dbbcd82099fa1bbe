"""The table and the picture of the cohort benchmark, and the page that they stand in."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs/performance.md"
PICTURE: Final = ROOT / "docs/performance.svg"
BEGUN, ENDED = "<!-- made by python -m benchmarks.cohort --write -->", "<!-- until here -->"


class Line(NamedTuple):
    """A row of the table: a candidate on so many patients."""

    candidate: str
    patients: int
    cpu: float
    wall: float
    memory: float
    parsing: float  # CPU of parsing the same patients

    def cells(self) -> list[str]:
        return [
            self.candidate,
            f"{self.patients:,}",
            f"{self.patients / self.wall:,.0f}",
            f"{self.cpu / self.patients * 1e6:,.0f}",
            f"{self.cpu / self.parsing:.2f}",
            f"{self.memory:,.0f}",
        ]


HEAD: Final = ("", "patients", "patients/s", "CPU, µs a patient", "CPU, parsing = 1", "memory, MB")


def machine() -> str:
    """What the figures were measured on, with versions."""
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("msgspec", "orjson", "duckdb", "distributed", "fhirpathpy")
    )
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def markdown(lines: Sequence[Line], about: str, rounds: int) -> str:
    rows = [HEAD, ["---", *["---:"] * (len(HEAD) - 1)], *(each.cells() for each in lines)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    shown = "![CPU time of a patient by candidate](performance.svg)"
    return f"{BEGUN}\n{about}; medians of {rounds} rounds, a million once.\n\n{table}\n\n{shown}\n{ENDED}"


def picture(lines: Sequence[Line]) -> None:
    """CPU time a patient by candidate and size, as SVG."""
    import altair as alt

    values = [
        {"candidate": each.candidate, "patients": f"{each.patients:,}", "size": each.patients, "cpu": each.cpu / each.patients * 1e6}
        for each in lines
    ]
    order = list(dict.fromkeys(each.candidate for each in sorted(lines, key=lambda each: each.cpu / each.patients)))
    chart = (
        alt.Chart(alt.Data(values=values), title="CPU time of a patient, 18 resources each")
        .mark_point(filled=True, size=90)
        .encode(
            x=alt.X("cpu:Q", title="µs a patient, logarithmic", scale=alt.Scale(type="log")),
            y=alt.Y("candidate:N", sort=order, title=None, axis=alt.Axis(labelLimit=300)),
            color=alt.Color("patients:N", title="patients", sort=alt.EncodingSortField("size", op="min")),
            shape=alt.Shape("patients:N", title="patients", sort=alt.EncodingSortField("size", op="min")),
        )
        .properties(width=420)
    )
    chart.save(str(PICTURE))


def write(lines: Sequence[Line], about: str, rounds: int) -> None:
    """Puts table and picture into the page."""
    picture(lines)
    before, _, rest = PAGE.read_text().partition(BEGUN)
    PAGE.write_text(before + markdown(lines, about, rounds) + rest.partition(ENDED)[2])
