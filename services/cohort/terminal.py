"""The report in the terminal: who is counted, survival by group, the models; and where the whole of it lies."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table

from services.cohort.endpoints import Part
from services.cohort.report import Report
from services.cohort.statistics import ENDPOINTS

CAUTION = "Observational: groups that were not drawn by lot. A difference between them is no effect of the treatment."


def tables(report: Report) -> list[Table]:
    """The summary, one table after the other."""
    parts = [report.parts[endpoint] for endpoint in ENDPOINTS[::-1]]
    return [_flow(report), *(_survival(part) for part in parts), *(_model(part) for part in parts if part.lines)]


def _flow(report: Report) -> Table:
    table = _table("who is counted", "left out", "remain")
    table.add_row("patients with a row", "", report.rows)
    for step in report.flow:
        table.add_row(step.says, step.out if step.out != "0" else "", step.left)
    table.caption = " ".join(text for text in (report.apart, report.deaths) if text)
    if report.apart:
        return table
    table.add_section()
    table.add_row("group A: definitive pelvic radiotherapy", "", report.sizes[1])
    table.add_row("group B: palliative or none", "", report.sizes[2])
    return table


def _survival(part: Part) -> Table:
    heads = ("median, months", "there", "2 years, %", "there")
    table = _table(part.title.lower(), "n", "events", *heads)
    for row in part.rows:
        shown = (row.cells[0], row.cells[2])
        table.add_row(row.label, row.patients, row.events, *(text for cell in shown for text in (cell.ours, cell.printed)))
    tested = f"group A against B: log-rank p {'' if part.p.startswith('<') else '= '}{part.p}; " if part.p else ""
    table.caption = f"{tested}“there”: the founding study"
    return table


def _model(part: Part) -> Table:
    table = _table(f"{part.title.lower()}, Cox model", "hazard ratio", "p", "there", "proportional, p")
    for line in part.lines:
        table.add_row(line.label, line.ratio, line.p, line.printed, line.proportional)
    if part.model.away:
        table.caption = part.caption
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=SIMPLE_HEAD, caption_justify="left")
    table.add_column(first)
    for other in others:
        table.add_column(other, justify="right")
    return table
