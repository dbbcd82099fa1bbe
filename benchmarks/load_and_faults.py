"""A ward under load, and what goes wrong: is every patient answered once and rightly, how fast, and how fast is a notification accepted?

    python -m benchmarks.load_and_faults --write

The whole of it takes minutes, and both cores of a small machine. `--patients 20 --notifications 300 --kills 2 --restarts 1` is a try.
Exit status 1 where a patient is not answered as she should be.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from typing import Final

from rich.console import Console
from rich.progress import Progress, TaskID

from benchmarks.load import report
from benchmarks.load.acceptance import accept
from benchmarks.load.run import Outcome, Size, run
from services.demo import progress

_ACCEPTING: Final[dict[str, dict[str, bool]]] = {
    "accepting, nothing else to do": {},
    "accepting, cases under way, three processes": {"working": True, "apart": True},
    "accepting, cases under way, all in one process": {"working": True},
}


class _Bars:
    """One progress bar for each part of the run."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, of: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=of or None)
        self._bars.update(self._tasks[what], completed=done)


def main() -> None:
    asked = _arguments()
    logging.basicConfig(level=logging.ERROR)
    out, messages = Console(width=None if sys.stdout.isatty() else 140), Console(stderr=True)
    with progress(messages) as bars:
        lines, right = asyncio.run(_all(asked, _Bars(bars)))
    out.print(report.machine())
    out.print(report.table(lines))
    if asked.write:
        report.write(lines, " ".join(["python -m benchmarks.load_and_faults", *sys.argv[1:]]))
    sys.exit(not right)


async def _all(asked: argparse.Namespace, say: _Bars) -> tuple[list[report.Line], bool]:
    lines, right = list[report.Line](), True
    if asked.patients:
        size = Size(asked.patients, asked.notifications, asked.kills, asked.restarts, asked.seed, asked.server, asked.database)
        outcome = await run(size, say)
        lines, right = report.of_run(outcome), _right(outcome)
    if asked.seconds:
        for name, how in _ACCEPTING.items():
            lines += report.of_acceptance(await accept(100, asked.seconds, say, database=asked.database, **how), name)
    return lines, right


def _right(outcome: Outcome) -> bool:
    return outcome.quiet and not outcome.wrong and not outcome.cases["stuck"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=500, help="0: only how fast a notification is accepted")
    parser.add_argument("--notifications", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=5, help="how often Figaro is killed")
    parser.add_argument("--restarts", type=int, default=2, help="how often the FHIR server is restarted")
    parser.add_argument("--seconds", type=int, default=60, help="of 100 notifications each; 0: only the load with its faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server", choices=("sekmet", "hapi"), default="sekmet")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--write", action="store_true", help="puts the table into docs/load-and-faults.md")
    return parser.parse_args()


if __name__ == "__main__":
    main()
