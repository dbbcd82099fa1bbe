"""The report on a cohort's result: HTML that needs nothing beside it and runs nothing, a PDF of it, and the curves as SVG."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import jinja2
import msgspec

from services.cohort.comparison import WORDS, Landmark, Line, Survival, curves, multivariable, p_value, survival, unadjusted, univariate
from services.cohort.curves import drawn
from services.cohort.definitions import Definitions, Printed, definitions, edition, printed
from services.cohort.result import ROWS, Manifest, read_manifest
from services.cohort.statistics import ENDPOINTS, Curve, Endpoint, FollowUp, Model, follow_up, frame, log_rank, missing
from services.cohort.summary import notes, without_numbers
from services.cohort.suppression import HIDDEN, column
from services.cohort.tables import Counting, regimens, table1, table2, table4
from services.cohort.unread import why_nobody
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
    landmark: Landmark | None
    caption: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the page, the print and the terminal show.

    `rests` is what a reader must know of the export; `apart` why groups are not told apart, empty where they are.
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

    Raises Refused where nobody is counted.
    """
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
        why = why_nobody(manifest.counts.unread, manifest.counts.kinds) if manifest else ""
        raise Refused(f"{text} {why}".strip())
    data = frame(kept)
    why = _not_apart(data, kept, threshold)
    if why:
        data["group"] = None
    it = Counting(data, founding, threshold, apart=not why)
    flow = _flow(out, study, threshold)
    small = [step.out for step in flow if step.out in (HIDDEN, f"< {threshold}")]
    a, b = (HIDDEN, HIDDEN) if why else column(it.sizes[1:], threshold)
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
            "three": univariate(it, study),
            "four": table4(it),
        },
        parts={endpoint: _part(it, endpoint, study) for endpoint in ENDPOINTS},
        follow=follow_up(data),
        progression=_progression(data, threshold),
        missing=_missing(data, threshold),
        rests=(without_numbers(manifest.counts) if threshold else notes(manifest)) if manifest else [],
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
        return "The export has no Procedure, or not all of them: radiotherapy is not known, no groups are assigned, and none are compared."
    a = int((data["group"] == True).sum())  # noqa: E712 - a column
    if 0 < min(a, len(data) - a) < threshold:
        return f"One of the groups has fewer than {threshold} patients: neither is shown, and they are not compared."
    return ""


def _synthetic(told: bool, manifest: Manifest | None, threshold: int) -> str:
    counted, marked = (manifest.counts.counted, manifest.counts.marked) if manifest else (0, 0)
    if told or (marked and marked == counted):
        return "Synthetic patients: nobody lived this"
    number = "some" if threshold else str(marked)
    return f"Among these patients are synthetic ones: {number}, by their tag" if marked else ""


def _missing(data: Any, threshold: int) -> list[str]:
    """What is not told, in how many; where small cells are not shown, without numbers, which would add up with those of the tables."""
    found = [(_ASKED[name], number, len(data)) for name, number in missing(data, _ASKED).items()]
    a = data[data["group"] == True]  # noqa: E712 - a column
    beams = data[data["pelvic_radiotherapy"].isin(["definitive", "palliative"])]
    for words, column_, of in (
        ("dose of external beam to the pelvis", "external_gy", beams),
        ("dose of brachytherapy", "brachytherapy_gy", a),
        ("dose to point A", "point_a_eqd2_gy", a),
    ):
        if number := int(of[column_].isna().sum()):
            found.append((words, number, len(of)))
    told = [(f"{name[0].upper()}{name[1:]}", number, of) for name, number, of in found]
    return [f"{name}: not told in some" if threshold else f"{name}: {number} of {of} patients without it" for name, number, of in told]


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


def _part(it: Counting, endpoint: Endpoint, study: Definitions) -> Part:
    data, founding, threshold = it.groups[0], it.founding, it.threshold
    found = curves(data, endpoint)
    model, lines = multivariable(data, endpoint, study, founding)
    title = f"{WORDS[endpoint]} by group" if it.apart else WORDS[endpoint]
    rows = survival(found if it.apart else found[:1], endpoint, founding, threshold)
    return Part(
        endpoint=endpoint,
        title=WORDS[endpoint],
        curves=found,
        picture=drawn(title, found[1:] if it.apart else found[:1], threshold=threshold),
        rows=rows,
        p=p_value(log_rank(data, endpoint, "group")),
        model=model,
        lines=lines,
        landmark=unadjusted(data, endpoint, study, threshold) if it.apart else None,
        caption=_caption(model, rows[0].events, threshold),
    )


def _caption(model: Model, events: str, threshold: int) -> str:
    """What a model rests on. Numbers of those left out are a small cell as any other."""
    if model.missing and threshold:
        told = ["Cox model of those patients in whom every variable is told"]
    else:
        told = [f"Cox model of {model.patients} patients with {events if threshold else model.events} events"]
    if model.missing and not threshold:
        told.append(f"{model.missing} are left out, for want of a variable")
    if model.thin:
        told.append("fewer than five events for a variable: unstable")
    return "; ".join(told)


def _progression(data: Any, threshold: int) -> str:
    """Median months to progression, of those whose disease progressed, as the paper reckons it."""
    found = data[data["progressed"] == True]["pfs_months"]  # noqa: E712 - a column
    if 0 < len(found) < threshold:
        return HIDDEN
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
    """Writes report.html, report.pdf and the curves into a folder, all or none; their paths. Raises Refused where it cannot be written."""
    from weasyprint import HTML as PAGE  # type: ignore[import-untyped]
    from weasyprint.urls import URLFetcher  # type: ignore[import-untyped]

    page = html(report)
    # All that the page shows stands in it: the print fetches nothing.
    pdf = PAGE(string=page, url_fetcher=URLFetcher(allowed_protocols=["data"])).write_pdf()
    files_ = {HTML: page.encode(), PDF: pdf} | {PICTURE[name]: report.parts[name].picture.encode() for name in PICTURE}
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with TemporaryDirectory(dir=folder, prefix=".", suffix=".part") as beside:
            for name, content in files_.items():
                (Path(beside) / name).write_bytes(content)
            for name in files_:
                (Path(beside) / name).replace(folder / name)
    except OSError as error:
        reason = (error.strerror or "no reason given").lower()
        again = "The result is kept: give the same command again, with room there or another --report."
        raise Refused(f"The report cannot be written to {folder}: {reason}. {again}", code="no-store") from None
    return [folder / name for name in files_]


def of_result(folder: Path, *, threshold: int = 0) -> Report:
    """The report on the result of `figaro cohort` in a folder."""
    manifest: Manifest | None = read_manifest(folder)
    with (folder / ROWS).open("rb") as lines:
        return made(map(msgspec.json.decode, lines), threshold=threshold, manifest=manifest)
