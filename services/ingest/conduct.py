"""Sees each case through: pull, stage, recommend, publish. One durable DBOS workflow a case; the only module that knows DBOS.

DBOS keeps the queue, the order within a patient, the rate towards the FHIR server, the repetitions, and what was done before a crash.
It is given case ids and nothing of a patient.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, Protocol

import structlog
from dbos import DBOS, DBOSConfig, SetEnqueueOptions, SetWorkflowID
from dbos import error as dbos_errors

from services.ingest.alone import alone
from services.ingest.instants import now
from services.ingest.ledger import Ledger
from services.ingest.migrations import for_us_alone
from services.ingest.settings import IngestSettings
from services.ingest.steps import Steps
from services.ingest.tables import Case
from shared.fhir.answer import from_outcome
from shared.fhir.outcome import FigaroError, Gone, ServerAnswer, Stuck, Unavailable, to_bytes

QUEUE: Final = "cases"
SWEEPS: Final = "sweeps"
STEPS: Final = ("pull", "stage", "recommend", "publish")
# Cases under way when a release is replaced go on in the next one: change this only when the steps of a case change.
STEPS_EDITION: Final = "1"
LONGEST: Final = timedelta(days=1)
ROUND: Final = 60.0  # seconds; a round that takes longer, because a FHIR server hangs, holds the others up no more
_CRASHED: Final = Stuck("The case was given up: the service crashed each time it came to it.")
_BROKEN_OFF: Final = Stuck("The case broke off, because what it had come to could not be recorded: see the log of this case.")
_LOST: Final = ["ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"]

log = structlog.get_logger("figaro.ingest")


class Rounds(Protocol):
    """What is done again and again, beside the cases."""

    @property
    def drain(self) -> Callable[[], Awaitable[None]]:
        """Has what was marked become cases."""

    async def pending(self) -> list[str]:
        """The FHIR servers to be swept now."""

    async def sweep(self, base: str) -> None:
        """Asks one server what has changed."""

    async def tidy(self) -> None:
        """Forgets what is over."""


class Conductor:
    """Runs cases, alone or with other processes that share its database. Start it in the event loop that its clients live in."""

    def __init__(self, ledger: Ledger, steps: Steps, rounds: Rounds, settings: IngestSettings, issuer: Callable[[str], str]) -> None:
        """`issuer` names the tenant of a base, for the log."""
        self._ledger = ledger
        self._rounds = rounds
        self._issuer = issuer
        self._steps = steps
        self._settings = settings
        self._running: set[asyncio.Task[Any]] = set()
        self._round_until = 0.0

    async def start(self) -> None:
        """Takes up what was left, and what comes."""
        settings = self._settings
        config: DBOSConfig = {
            "name": "figaro-ingest",
            "system_database_url": settings.workflow_url,
            "application_version": STEPS_EDITION,
            "executor_id": settings.executor,
            "log_level": "ERROR",
            "enable_otlp": False,
            "scheduler_polling_interval_sec": 1.0,
        }
        logging.getLogger("dbos").addHandler(logging.NullHandler())  # else DBOS prints by itself, past our log's rules
        await asyncio.to_thread(for_us_alone, settings.workflow_url)  # else the folder decides who may read what DBOS writes
        DBOS(config=config)

        @DBOS.workflow(name="case", max_recovery_attempts=settings.recoveries)
        async def carry(case_id: str, attempt: int) -> str:
            return await self._conduct(case_id, attempt)

        @DBOS.workflow(name="drain")
        async def drain(_scheduled: datetime, _context: Any) -> None:
            await self._drain()

        @DBOS.workflow(name="sweep")
        async def sweep(base: str) -> None:
            await DBOS.run_step_async({"name": "sweep"}, self._sweep, base)

        self._carry = carry
        self._ask = sweep
        DBOS.launch()
        await DBOS.register_queue_async(
            QUEUE,
            partition_concurrency=1,
            worker_concurrency=settings.concurrency,
            limiter={"limit": settings.cases_per_minute, "period": 60.0},
            polling_interval_sec=settings.poll_seconds,
            on_conflict="always_update",
        )
        await DBOS.register_queue_async(SWEEPS, worker_concurrency=2, polling_interval_sec=1.0, on_conflict="always_update")
        every = f"*/{settings.drain_seconds} * * * * *"
        await DBOS.apply_schedules_async([{"schedule_name": "drain", "workflow_fn": drain, "schedule": every}])

    async def close(self) -> None:
        """Stops as a crash would, without its noise: what is under way goes on at the next start."""
        logging.getLogger("dbos").setLevel(logging.CRITICAL)
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as aside:
            await loop.run_in_executor(aside, lambda: DBOS.destroy(destroy_registry=True))
        # From here nothing can be recorded any more, so what is cut off below is taken up again and not held against its case.
        for task in (running := list(self._running)):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        loop.set_default_executor(ThreadPoolExecutor())  # DBOS had put its own there

    async def open(self, base: str, patient: str, *, as_of: str | None = None, launch: str | None = None) -> Case:
        """A new case, written down before it is queued; with `launch` it reads with the token of that session's user."""
        case = await asyncio.to_thread(self._ledger.open, base, patient, as_of=as_of, launch=launch)
        await self._enqueue(case)
        return case

    async def retry(self, case_id: str) -> Case:
        """A stuck case once more, from the start. Raises NotFound and Refused."""
        case = await asyncio.to_thread(self._ledger.reopen, case_id)
        await self._enqueue(case)
        return case

    async def drop(self, runs: list[str]) -> None:
        """Stops these attempts and forgets them, whether or not they have ended."""
        await DBOS.cancel_workflows_async(runs)
        await DBOS.delete_workflows_async(runs)

    async def _enqueue(self, case: Case) -> None:
        partition = sha256(f"{case.base}|{case.patient}".encode()).hexdigest()[:32]
        with SetWorkflowID(case.run), SetEnqueueOptions(queue_partition_key=partition):
            await DBOS.enqueue_workflow_async(QUEUE, self._carry, case.id, case.attempts)
        await asyncio.to_thread(self._ledger.queued, case.id)

    async def _conduct(self, case_id: str, attempt: int) -> str:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        with structlog.contextvars.bound_contextvars(case=case_id, request_id=case_id, issuer=await self._tenant(case_id)):
            for name in STEPS:
                outcome, again = await self._run(name, case_id)
                if outcome is not None:
                    retry_at = self._retry_at(attempt) if again else self._answered_at(outcome, attempt)
                    log.warning("case_stuck", step=name, attempt=attempt, again=retry_at is not None)
                    await DBOS.run_step_async({"name": "stuck"}, self._give_up, case_id, outcome, retry_at)
                    return "stuck"
                log.info("case_step", step=name)
        return "answered"

    async def _tenant(self, case_id: str) -> str:
        try:
            return self._issuer((await asyncio.to_thread(self._ledger.case, case_id)).base)
        except FigaroError:
            return "unknown"  # the ledger is away, or the case forgotten: its steps will say so

    async def _run(self, name: str, case_id: str) -> tuple[str | None, bool]:
        """Does one of `Steps`, again while a neighbour is unavailable: the OperationOutcome where it failed, and whether time may help."""

        @alone
        async def attempt() -> str | None:
            try:
                await getattr(self._steps, name)(case_id)
            except Unavailable:
                raise  # to be repeated
            except FigaroError as error:
                return to_bytes(error).decode()
            except Exception as error:
                log.exception("case_step_failed", step=name, error=type(error).__name__)
                text = f"Figaro failed in the step {name} ({type(error).__name__}): see the log of this case."
                return to_bytes(FigaroError(text)).decode()
            return None

        try:
            return await DBOS.run_step_async(self._patience(name), attempt), False
        except dbos_errors.DBOSMaxStepRetriesExceeded as exceeded:
            last = exceeded.errors[-1]
            return to_bytes(last if isinstance(last, FigaroError) else Unavailable(f"The step {name} was not possible.")).decode(), True

    def _patience(self, name: str) -> Any:
        return {
            "name": name,
            "retries_allowed": True,
            "max_attempts": self._settings.step_attempts,
            "interval_seconds": self._settings.step_wait_seconds,
            "backoff_rate": 2.0,
        }

    def _retry_at(self, attempt: int) -> str | None:
        """When a case that waits for a neighbour is tried again by itself: after 1, 2, 4 … minutes, at most an hour apart."""
        if attempt >= self._settings.case_attempts:
            return None
        return now(timedelta(minutes=min(2 ** (attempt - 1), 60)))

    def _answered_at(self, outcome: str, attempt: int) -> str | None:
        """When a case is tried again that a server's own answer has made stuck: it may have been a fault of a moment, and the next
        notification of this patient may be months away. After 5, 10, 20 … minutes, at most a day apart; what we refuse waits for a person.
        """
        error = from_outcome(outcome.encode(), 500)
        if not isinstance(error, ServerAnswer) or isinstance(error, Gone) or attempt >= self._settings.case_attempts:
            return None
        return now(min(timedelta(seconds=self._settings.refused_wait_seconds) * 2 ** min(attempt - 1, 20), LONGEST))

    @alone
    async def _give_up(self, case_id: str, outcome: str, retry_at: str | None) -> None:
        await asyncio.to_thread(self._ledger.stuck, case_id, outcome.encode(), retry_at=retry_at)

    async def _drain(self) -> None:
        """One round, unless the one before is under way: both would queue the same cases, and a backlog would never end."""
        if time.monotonic() < self._round_until:
            return
        self._round_until = time.monotonic() + ROUND
        try:
            await self._round()
        finally:
            self._round_until = 0.0

    async def _round(self) -> None:
        """Has due patients become cases and servers swept, queues what a crash left unqueued, and names cases whose workflow is lost."""
        for case_id in await DBOS.run_step_async({"name": "due"}, self._open_due):
            await self._enqueue(await asyncio.to_thread(self._ledger.case, case_id))
        for base in await DBOS.run_step_async({"name": "pending"}, alone(self._rounds.pending)):
            with SetEnqueueOptions(deduplication_id=base), contextlib.suppress(dbos_errors.DBOSQueueDeduplicatedError):
                await DBOS.enqueue_workflow_async(SWEEPS, self._ask, base)  # one sweep of a server at a time
        await DBOS.run_step_async({"name": "tidy"}, self._tidy)

    @alone
    async def _open_due(self) -> list[str]:
        await self._rounds.drain()
        return [case.id for case in await asyncio.to_thread(self._ledger.unqueued)]

    @alone
    async def _sweep(self, base: str) -> None:
        with structlog.contextvars.bound_contextvars(issuer=self._issuer(base)):
            await self._rounds.sweep(base)

    @alone
    async def _tidy(self) -> None:
        lost = await DBOS.list_workflows_async(name="case", status=_LOST, load_input=False, load_output=False, limit=500)
        for workflow in lost:
            crashed = workflow.status == "MAX_RECOVERY_ATTEMPTS_EXCEEDED"
            retry_at = None if crashed else self._retry_at(int(workflow.workflow_id.rpartition(".")[2]))
            await asyncio.to_thread(
                self._ledger.lost, workflow.workflow_id, to_bytes(_CRASHED if crashed else _BROKEN_OFF), retry_at=retry_at
            )
        old = now(-timedelta(days=1))
        done = await DBOS.list_workflows_async(status="SUCCESS", end_time=old, load_input=False, load_output=False, limit=500)
        await DBOS.delete_workflows_async([workflow.workflow_id for workflow in (*lost, *done)])
        await self._rounds.tidy()
        if self._settings.retention_days is not None:
            await asyncio.to_thread(self._ledger.forget, self._settings.retention_days)
