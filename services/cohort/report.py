"""The report on a cohort's result: HTML that needs nothing beside it and runs nothing, a PDF of it, and the curves as SVG."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NamedTuple

import jinja2
import msgspec

from services.cohort.comparison import WORDS, Line, Survival, after_landmark, curves, multivariable, p_value, survival, univariate
from services.cohort.curves import drawn
from services.cohort.definitions import Definitions, Printed, definitions, edition, printed
from services.cohort.result import ROWS
from services.cohort.statistics import ENDPOINTS, Curve, Endpoint, FollowUp, Model, follow_up, frame, log_rank, missing
from services.cohort.suppression import HIDDEN, column, count
from services.cohort.tables import Counting, regimens, table1, table2, table4
from shared.fhir.outcome import Refused

HTML, PDF = "report.html", "report.pdf"
PICTURE: Final[dict[Endpoint, str]] = {"os": "overall-survival.svg", "pfs": "progression-free-survival.svg"}
_PAGES: Final = files(__package__) / "pages"
_ASKED: Final = {
    "age_years": "age",
    "ecog_score": "ECOG performance status",
    "cells": "histology",
    "size": "size of the primary",
    "haemoglobin": "haemoglobin",
    "leucocytes": "leucocytes",
    "found_by": "how metastases were found",
    "few": "number of lesions",
    "best_locoregional": "a response in the pelvis",
}


class Out(NamedTuple):
    """A criterion of the flow diagram: what it asks, how many it leaves out and why, and how many remain."""

    says: str
    out: str
    otherwise: str
    left: str


class Part(NamedTuple):
    """One endpoint: its curves, picture, table, test and model, and group A against B from the landmark on."""

    endpoint: Endpoint
    title: str
    curves: tuple[Curve, ...]
    picture: str
    rows: list[Survival]
    p: str
    model: Model
    lines: list[Line]
    landmark: tuple[str, str, str, str]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the page, the print and the terminal show."""

    rows: str
    counted: str
    flow: list[Out]
    sizes: tuple[str, str, str]
    tables: dict[str, Any]
    parts: dict[str, Part]
    follow: FollowUp
    progression: str
    missing: list[tuple[str, str]]
    newest: str
    threshold: int
    synthetic: bool
    study: Definitions
    founding: Printed
    edition: str


def made(rows: Iterable[Mapping[str, Any]], *, threshold: int = 0, synthetic: bool = False) -> Report:
    """The report on a cohort's rows. `threshold`: counts below it are not shown. Raises Refused where nobody is counted."""
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
        text = "Nobody in this cohort meets the study's criteria, or too few to show: its rows say why, in `left_out`."
        raise Refused(text)
    data = frame(kept)
    it = Counting(data, founding, threshold)
    follow = follow_up(data)
    flow = _flow(out, study, threshold)
    small = [step.out for step in flow if step.out in (HIDDEN, f"< {threshold}")]
    a, b = column(it.sizes[1:], threshold)
    return Report(
        rows=HIDDEN if len(small) == 1 else str(sum(out.values())),  # else the one small number could be reckoned
        counted=str(len(data)),
        flow=flow,
        sizes=(str(len(data)), a, b),
        tables={
            "one": table1(it, study),
            "regimens": regimens(it),
            "cycles": (int(data["cycles"].sum()), founding.cycles),
            "two": table2(it),
            "three": univariate(data, study, founding, threshold),
            "four": table4(it),
        },
        parts={endpoint: _part(data, endpoint, study, founding, threshold) for endpoint in ENDPOINTS},
        follow=follow,
        progression=_progression(data),
        missing=[(_ASKED[name], count(number, threshold)) for name, number in missing(data, _ASKED).items()],
        newest=max(data["last_contact"].dropna().tolist() + data["died_on"].dropna().tolist(), default="not told")[
            : 4 if threshold else 10
        ],
        threshold=threshold,
        synthetic=synthetic,
        study=study,
        founding=founding,
        edition=edition(),
    )


def _flow(out: Counter[str], study: Definitions, threshold: int) -> list[Out]:
    """Where a small number is hidden, what remains is told at the end only."""
    left = sum(out.values())
    steps = []
    shown = column([out[criterion.id] for criterion in study.criteria], threshold)
    whole = all(text.isdecimal() for text in shown)
    for criterion, text in zip(study.criteria, shown, strict=True):
        left -= out[criterion.id]
        remain = str(left) if whole or criterion is study.criteria[-1] else HIDDEN
        steps.append(Out(criterion.says, text, criterion.otherwise, remain))
    return steps


def _part(data: Any, endpoint: Endpoint, study: Definitions, founding: Printed, threshold: int) -> Part:
    found = curves(data, endpoint)
    model, lines = multivariable(data, endpoint, study, founding)
    a, b, p, alone = after_landmark(data, endpoint, study)
    hazard = alone.hazards[0] if alone.hazards else None
    ratio = f"{hazard.ratio:.2f} ({hazard.low:.2f}–{hazard.high:.2f})" if hazard else alone.why_not or ""
    return Part(
        endpoint=endpoint,
        title=WORDS[endpoint],
        curves=found,
        picture=drawn(f"{WORDS[endpoint]} by group", found[1:], threshold=threshold),
        rows=survival(found, endpoint, founding, threshold),
        p=p_value(log_rank(data, endpoint, "group")),
        model=model,
        lines=lines,
        landmark=(count(a, threshold), count(b, threshold), p_value(p), ratio),
    )


def _progression(data: Any) -> str:
    """Median months to progression, of those whose disease progressed, as the paper reckons it."""
    found = data[data["progressed"] == True]["pfs_months"]  # noqa: E712 - a column
    return f"{found.median():.1f}" if len(found) else "nobody progressed"


def html(report: Report) -> str:
    """The page: one file, no script; a content security policy that lets nothing in but its own style and pictures."""
    style = (_PAGES / "report.css").read_text(encoding="utf-8")
    pictures = {name: b64encode(part.picture.encode()).decode() for name, part in report.parts.items()}
    found = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = found.from_string((_PAGES / "report.html").read_text(encoding="utf-8"))
    digest = b64encode(sha256(style.encode()).digest()).decode()
    return template.render(it=report, style=style, digest=digest, pictures=pictures)


def written(report: Report, folder: Path) -> list[Path]:
    """Writes report.html, report.pdf and the curves into a folder; their paths."""
    from weasyprint import HTML as PAGE  # type: ignore[import-untyped]
    from weasyprint.urls import URLFetcher  # type: ignore[import-untyped]

    folder.mkdir(parents=True, exist_ok=True)
    page = html(report)
    (folder / HTML).write_text(page, encoding="utf-8")
    # All that the page shows stands in it: the print fetches nothing.
    PAGE(string=page, url_fetcher=URLFetcher(allowed_protocols=["data"])).write_pdf(folder / PDF)
    for part in report.parts.values():
        (folder / PICTURE[part.endpoint]).write_text(part.picture, encoding="utf-8")
    return [folder / HTML, folder / PDF, *(folder / PICTURE[endpoint] for endpoint in ENDPOINTS)]


def of_result(folder: Path, *, threshold: int = 0, synthetic: bool = False) -> Report:
    """The report on the result of `figaro cohort` in a folder."""
    with (folder / ROWS).open("rb") as lines:
        return made(map(msgspec.json.decode, lines), threshold=threshold, synthetic=synthetic)
