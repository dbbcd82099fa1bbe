"""One run: records change and are told of, while Figaro is killed, its FHIR server restarted, and one call in twenty fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Final

from benchmarks.load.hospital import changes
from benchmarks.load.verdict import Found, judge
from benchmarks.load.ward import Database, Kind, Ward, until_quiet, ward

AT_ONCE: Final = 8  # connections of the sender
PATIENCE: Final = 1800.0  # seconds until all must be quiet
Say = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Size:
    """How large a run is."""

    patients: int = 500
    notifications: int = 10_000
    kills: int = 5
    restarts: int = 2
    seed: int = 1
    server: Kind = "sekmet"
    database: Database = "sqlite"


@dataclass(frozen=True)
class Outcome:
    """What a run has shown. Times in seconds; `told` to the CarePlan from the last notification, `untold` from a change without one."""

    size: Size
    counts: dict[str, int]
    befell: dict[str, int]
    disturbed: list[tuple[float, str]]
    sending: float
    whole: float
    quiet: bool
    cases: dict[str, int]
    took: list[float]
    told: list[float]
    untold: list[float]
    found: list[Found]

    @property
    def wrong(self) -> list[Found]:
        return [one for one in self.found if one.wrong]


async def run(size: Size, say: Say) -> Outcome:
    """Raises what a server or process says that does not start. `say` is told what is being done, how much of it, and of how much."""
    say("admit", 0, size.patients)
    async with ward(size.patients, size.server, size.database) as it:
        it.line.bad, it.begun = True, time.monotonic()
        hours = _Hours(it, size, say)
        sending = await hours.send()
        quiet = await hours.settle()
        whole = time.monotonic() - it.begun
        cases = await it.stands()
        found = await judge(it.server.base, it.patients, lambda done: say("ask the FHIR server", done, size.patients))
        return Outcome(
            size=size,
            counts=dict(it.sender.told),
            befell=dict(it.line.befell),
            disturbed=it.disturbed,
            sending=sending,
            whole=whole,
            quiet=quiet,
            cases=cases,
            took=it.sender.took,
            told=_waits(found, it.sender.accepted, it.sender.untold, told=True),
            untold=_waits(found, it.sender.written, it.sender.untold, told=False),
            found=found,
        )


class _Hours:
    """The two parts of a run: while records change, and until all is quiet. What goes wrong is spread over both."""

    def __init__(self, it: Ward, size: Size, say: Say) -> None:
        self._ward, self._size, self._say = it, size, say
        kills, restarts = (size.kills + 1) // 2, (size.restarts + 1) // 2
        self._early = _mixed(it, kills, restarts)
        self._late = _mixed(it, size.kills - kills, size.restarts - restarts)
        self._sent = 0

    async def send(self) -> float:
        """Seconds until every notification was accepted that was not to be lost."""
        total = self._size.notifications

        def seen(done: int) -> None:
            self._sent = done
            self._say("change and notify", done, total)

        async with asyncio.TaskGroup() as group:
            disturbing = group.create_task(self._disturb())
            planned = changes(self._size.patients, total, self._size.seed)
            seconds = await self._ward.sender.run(planned, at_once=AT_ONCE, seen=seen)
            await disturbing
        return seconds

    async def _disturb(self) -> None:
        for number, strike in enumerate(self._early, 1):
            while self._sent < self._size.notifications * number / (len(self._early) + 1):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            await strike()

    async def settle(self) -> bool:
        """Strikes again while the last cases are under way, at every so many more answers; then waits."""
        before, step = await self._ward.answered(), max(1, self._size.patients // (len(self._late) + 2))
        for number, strike in enumerate(self._late, 1):
            while not await self._ward.quiet() and await self._ward.answered() < before + number * step:
                self._tell(await self._ward.answered())
                await asyncio.sleep(0.5)
            await strike()
        late = time.monotonic() + PATIENCE
        while time.monotonic() < late:
            if await until_quiet(self._ward, seconds=10):
                return True
            self._tell(await self._ward.answered())
        return False

    def _tell(self, answered: int) -> None:
        self._say("cases answered", answered, 0)


def _mixed(it: Ward, kills: int, restarts: int) -> list[Callable[[], Awaitable[None]]]:
    """The restarts of the server between the kills."""
    strikes: list[Callable[[], Awaitable[None]]] = [it.kill] * kills
    for number in range(restarts):
        strikes.insert(1 + 2 * number, it.restart_server)
    return strikes


def _waits(found: list[Found], begun: dict[str, float], untold: set[str], *, told: bool) -> list[float]:
    """From then to the current CarePlan; none where a case that was under way anyway had read the change by then."""
    mine = [one for one in found if one.since is not None and one.who in begun and (one.who in untold) is not told]
    return [max(0.0, (one.since or 0.0) - begun[one.who]) for one in mine]


def percentiles(values: list[float]) -> tuple[float, float]:
    """The 50th and the 95th; the only value twice where there is one, zero where there is none."""
    if len(values) < 2:
        return (values or [0.0])[0], (values or [0.0])[0]
    return median(values), quantiles(values, n=20)[-1]
