"""Who does the work: this process, a pool of processes, or a Dask cluster. One port; each adapter is a few lines around a library."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from importlib import import_module
from multiprocessing import get_context
from typing import Any, Protocol, TypeVar

from shared.fhir.outcome import Refused, Unavailable

T = TypeVar("T")
R = TypeVar("R")
NAMES = ("process", "pool", "dask")
MISSING = "`figaro cohort` needs some libraries more: pip install 'figaro-fhir[cohort]'."


class Engine(Protocol):
    """Calls a function of a module on each of the values, in any order; what it gives comes as it gets done."""

    def each(self, task: Callable[[T], R], given: Sequence[T]) -> Iterator[R]: ...


class OneProcess:
    """Here, one after the other."""

    def each(self, task: Callable[[T], R], given: Sequence[T]) -> Iterator[R]:
        return map(task, given)


class Pool:
    """The cores of this machine."""

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        self._executor = executor

    def each(self, task: Callable[[T], R], given: Sequence[T]) -> Iterator[R]:
        futures = [self._executor.submit(task, one) for one in given]
        try:
            for done in as_completed(futures):
                yield done.result()
        except BrokenProcessPool:
            text = "A process of the pool has ended by itself, for want of memory most likely; the same command goes on where it stopped."
            raise Unavailable(f"{text} Fewer --workers need less.", code="exception") from None
        finally:
            for future in futures:
                future.cancel()


class Dask:
    """Several hosts, which see the export and the folder of results under the same paths."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def each(self, task: Callable[[T], R], given: Sequence[T]) -> Iterator[R]:
        distributed: Any = import_module("distributed")
        futures = self._client.map(task, given, pure=False, retries=1)
        try:
            for _, result in distributed.as_completed(futures, with_results=True):
                yield result
        except distributed.KilledWorker:
            text = "A worker of the Dask cluster has ended by itself, for want of memory most likely"
            raise Unavailable(f"{text}; the same command goes on where it stopped.", code="exception") from None
        finally:
            self._client.cancel(futures)


@contextmanager
def engine(name: str, *, workers: int | None = None, scheduler: str | None = None) -> Iterator[Engine]:
    """The engine of that name. Raises Refused for another name, Unavailable where no scheduler answers."""
    if name not in NAMES:
        raise Refused(f"There is no engine {name[:20]}: give {', '.join(NAMES[:-1])} or {NAMES[-1]}.")
    if scheduler is not None and name != "dask":
        raise Refused("--scheduler is the address of a Dask scheduler: give --engine dask with it.")
    count = workers or cores()
    if name == "process":
        yield OneProcess()
    elif name == "pool":
        # Not fork: DuckDB and Arrow have threads.
        with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as executor:
            yield Pool(executor)
    else:
        with _client(scheduler, count) as client:
            yield Dask(client)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _client(scheduler: str | None, workers: int) -> Iterator[Any]:
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise Refused(MISSING, code="required") from None
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.ERROR)  # else every worker and key is told, over the progress
    if scheduler is None:
        here = {"threads_per_worker": 1, "processes": True, "dashboard_address": None, "host": "127.0.0.1"}
        with distributed.LocalCluster(n_workers=workers, **here) as cluster, distributed.Client(cluster) as client:
            yield client
        return
    try:
        client = distributed.Client(scheduler, timeout="10s")
    except (OSError, TimeoutError, ValueError):
        text = f"No Dask scheduler answers at {scheduler[:100]}: is it running, of the same version"
        raise Unavailable(f"{text}, and is the address like tcp://host:8786?", code="timeout") from None
    with client:
        yield client
