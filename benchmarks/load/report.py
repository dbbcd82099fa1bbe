"""What was asked, and what was measured, as a table for the screen and as Markdown for `docs/load-and-faults.md`."""

from __future__ import annotations

import os
import platform
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

from rich.table import Table

from benchmarks.load.acceptance import Accepted
from benchmarks.load.fhir_server import FAULTS, ONE_IN
from benchmarks.load.run import AT_ONCE, Outcome, percentiles
from benchmarks.load.ward import SETTINGS

PAGE: Final = Path(__file__).parents[2] / "docs" / "load-and-faults.md"
BEGIN: Final = "<!-- measured: begin -->"
END: Final = "<!-- measured: end -->"
AIM: Final = 0.050  # seconds, at the 95th percentile


class Line(NamedTuple):
    """A line of a table: what, what was asked for, what was measured."""

    what: str
    asked: str
    measured: str


def machine() -> str:
    """What it ran on."""
    software = f"Python {platform.python_version()}, sekmet-fhir {version('sekmet-fhir')}, DBOS {version('dbos')}"
    return f"{os.cpu_count()} cores of {platform.machine()}, {software}; {datetime.now(UTC):%Y-%m-%d}"


def of_run(it: Outcome) -> list[Line]:
    """Whether all was answered, once and rightly; and how fast."""
    size, counts, befell = it.size, Counter(it.counts), Counter(it.befell)
    right = len(it.found) - len(it.wrong)
    failed = sum(befell[name] for name in FAULTS)
    struck = Counter(what for _, what in it.disturbed)
    done = "" if it.quiet else "; NOT at rest within the time allowed"
    return [
        Line("patients with exactly one current draft CarePlan, of the final record", f"{size.patients}", f"{right}{done}"),
        Line("lost, doubled or left over, by the server's own word", "0", _wrongs(it)),
        Line("cases that ended as stuck", "0", f"{it.cases['stuck']}"),
        Line("changes of records", f"{size.notifications:,}", f"{sum(counts[fate] for fate in _FATES):,}"),
        Line(
            "their notifications: dropped, doubled, reordered",
            "10 % each",
            f"{counts['dropped']:,}, {counts['doubled']:,}, {counts['reordered']:,}",
        ),
        Line("Figaro killed (SIGKILL)", f"{size.kills}", f"{struck['Figaro killed']}"),
        Line("FHIR server restarted", f"{size.restarts}", f"{struck['FHIR server restarted']}"),
        Line(
            "calls of the FHIR server that failed",
            f"one in {ONE_IN}",
            f"{failed:,} of {befell['all']:,}, and {befell['while away']:,} while it was away",
        ),
        Line("notifications accepted", "", f"{counts['accepted']:,}, after {counts['refused and sent again']:,} attempts that nobody took"),
        Line("rate, the writing of each change and all that went wrong included", "", f"{counts['accepted'] / it.sending:,.0f} a second"),
        Line(f"accepting one, {AT_ONCE} senders at once, p50 and p95", "", _both(it.took)),
        Line(f"the last notification to its CarePlan, {len(it.told)} patients, p50 and p95", "", _both(it.told)),
        Line(f"a change that nobody told to its CarePlan, {len(it.untold)} patients, p50 and p95", "", _both(it.untold)),
        Line("CarePlans written in all, and cases answered", "", f"{sum(one.plans for one in it.found):,} and {it.cases['answered']:,}"),
        Line("from the first change until all was quiet", "", f"{it.whole:,.0f} s"),
    ]


def of_acceptance(it: Accepted, name: str) -> list[Line]:
    """How long an acceptance takes, beside the aim."""
    p50, p95 = percentiles(it.took)
    aim = "" if p95 < AIM else ", missed"
    measured = f"{p50 * 1000:,.0f} ms and {p95 * 1000:,.0f} ms{aim}"
    return [
        Line(f"{name}: {it.rate:,.0f} a second, {len(it.took):,} in all, p50 and p95", f"p95 under {AIM * 1000:.0f} ms", measured),
        Line(f"{name}: not accepted", "0", f"{it.refused}"),
        Line(f"{name}: cases answered meanwhile", "", f"{it.cases:,}"),
        Line(f"{name}: as fast as it goes", "", f"{it.flat_out:,.0f} a second"),
    ]


def table(lines: list[Line]) -> Table:
    """For the screen."""
    found = Table("", "asked", "measured")
    for line in lines:
        found.add_row(*line)
    return found


def write(lines: list[Line], command: str) -> None:
    """Puts the table between the two marks of the page. Raises ValueError where they are gone."""
    rows = [f"| {line.what} | {line.asked or '–'} | {line.measured} |" for line in lines]
    settings = ", ".join(f"`{name}` {value}" for name, value in SETTINGS.items() if name != "log_level")
    head = [f"`{command}`", "", f"{machine()}. Settings of Figaro, the others as they come: {settings}.", ""]
    text = "\n".join([BEGIN, *head, "| | asked | measured |", "|---|---|---|", *rows, END])
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"{PAGE.name} has no place for the table: {BEGIN} … {END}")
    PAGE.write_text(before + text + after)


_FATES: Final = ("once", "dropped", "doubled", "reordered")


def _both(values: list[float]) -> str:
    p50, p95 = percentiles(values)
    return f"{p50 * 1000:,.0f} ms and {p95 * 1000:,.0f} ms" if p95 < 1 else f"{p50:,.1f} s and {p95:,.1f} s"


def _wrongs(it: Outcome) -> str:
    kinds = Counter(what for one in it.wrong for what in one.wrong)
    return "; ".join(f"{count} × {what}" for what, count in kinds.most_common(5)) or "0"
