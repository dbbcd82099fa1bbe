"""READ FIRST for the report. What it shows of a cohort's result, as text and tables that page, print and terminal share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from services.cohort.comparison import univariate
from services.cohort.counting import Counting
from services.cohort.definitions import Definitions, Printed, definitions, edition, printed
from services.cohort.endpoints import Part, part_of, time_to_progression
from services.cohort.flow import Out, diagram, everybody
from services.cohort.missingness import untold
from services.cohort.result import ROWS, Manifest, read_manifest
from services.cohort.statistics import ENDPOINTS, FollowUp, follow_up, frame
from services.cohort.summary import astray, notes, without_numbers
from services.cohort.suppression import HIDDEN, column, hides
from services.cohort.tables import regimens, table1, table2, table4
from services.cohort.unread import why_nobody
from shared.fhir.outcome import Refused


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the page, the print and the terminal show.

    `rests` is what a reader must know of the export; `apart` why groups are not told apart, empty where they are;
    `deaths` who is left out for want of the day of her death, empty where nobody is.
    """

    rows: str
    counted: str
    flow: list[Out]
    sizes: tuple[str, str, str]
    tables: dict[str, Any]
    parts: dict[str, Part]
    follow: FollowUp
    progression: str
    missing: list[str]
    rests: list[str]
    deaths: str
    apart: str
    as_of: str | None
    newest: str
    threshold: int
    synthetic: str
    study: Definitions
    founding: Printed
    edition: str


def made(rows: Iterable[Mapping[str, Any]], *, threshold: int = 0, synthetic: bool = False, manifest: Manifest | None = None) -> Report:
    """The report on a cohort's rows. `threshold`: counts below it are not shown; `manifest`: of the export that the rows were made of.

    Raises Refused where nobody is counted, or the threshold hides nothing.
    """
    hides(threshold)
    study, founding = definitions(), printed()
    out: Counter[str] = Counter()
    kept = []
    for row in rows:
        if "counted" not in row:
            raise Refused("These rows have no columns of the study: run `figaro cohort` on the export again.")
        out[row["left_out"] or ""] += 1
        if row["counted"]:
            kept.append(row)
    if len(kept) < max(threshold, 1):
        few = ", or too few to show" if threshold else ""
        text = f"Nobody in this cohort meets the study's criteria{few}: its rows say why, in `left_out`."
        why = why_nobody(manifest.counts.unread, manifest.counts.kinds) if manifest else ""
        lines = astray(manifest.counts) if manifest and not threshold else []
        raise Refused(" ".join(filter(None, [text, why, *lines])))
    deaths = _deaths(out["death-day"], threshold)
    data = frame(kept)
    why = _not_apart(data, kept, threshold)
    if why:
        data["group"] = None
    it = Counting(data, founding, threshold, apart=not why)
    flow = diagram(out, study, threshold)
    a, b = (HIDDEN, HIDDEN) if why else column(it.sizes[1:], threshold)
    return Report(
        rows=everybody(out, threshold),
        counted=str(len(data)),
        flow=flow,
        sizes=(str(len(data)), a, b),
        tables={
            "one": table1(it, study),
            "regimens": regimens(it),
            "cycles": (int(data["cycles"].sum()), founding.cycles),
            "two": table2(it),
            "three": univariate(it, study),
            "four": table4(it),
        },
        parts={endpoint: part_of(it, endpoint, study) for endpoint in ENDPOINTS},
        follow=follow_up(data),
        progression=time_to_progression(data, threshold),
        missing=untold(data, threshold),
        rests=[*((without_numbers(manifest.counts) if threshold else notes(manifest)) if manifest else []), *filter(None, [deaths])],
        deaths=deaths,
        apart=why,
        as_of=manifest.asked.as_of if manifest else None,
        newest=max(data["last_contact"].dropna().tolist() + data["died_on"].dropna().tolist(), default="not told")[
            : 4 if threshold else 10
        ],
        threshold=threshold,
        synthetic=_synthetic(synthetic, manifest, threshold),
        study=study,
        founding=founding,
        edition=edition(),
    )


def _not_apart(data: Any, rows: list[Mapping[str, Any]], threshold: int) -> str:
    """Why groups A and B are not told apart; empty where they are."""
    if all(row["group"] is None for row in rows):
        (why,) = {each["says"] for row in rows[:1] for each in row["reasons"] if each["assigned"] == "group open"}
        return f"{why[0].upper()}{why[1:]}. No groups are assigned, and none are compared."
    a = int((data["group"] == True).sum())  # noqa: E712 - a column
    if 0 < min(a, len(data) - a) < threshold:
        return f"One of the groups has fewer than {threshold} patients: neither is shown, and they are not compared."
    return ""


def _deaths(number: int, threshold: int) -> str:
    """Those who are left out for having died on a day nobody recorded are none of the living: without them survival looks longer."""
    if not number:
        return ""
    who = "Some patients who died are" if threshold else f"{number:,} {'patients who died are' if number > 1 else 'patient who died is'}"
    return f"{who} left out, since not even the month of death is on record: this makes survival look longer than it was."


def _synthetic(told: bool, manifest: Manifest | None, threshold: int) -> str:
    counted, marked = (manifest.counts.counted, manifest.counts.marked) if manifest else (0, 0)
    if told or (marked and marked == counted):
        return "Synthetic patients: nobody lived this"
    number = "some" if threshold else str(marked)
    return f"Among these patients are synthetic ones: {number}, by their tag" if marked else ""


def of_result(folder: Path, *, threshold: int = 0) -> Report:
    """The report on the result of `figaro cohort` in a folder."""
    manifest: Manifest | None = read_manifest(folder)
    with (folder / ROWS).open("rb") as lines:
        return made(map(msgspec.json.decode, lines), threshold=threshold, manifest=manifest)
