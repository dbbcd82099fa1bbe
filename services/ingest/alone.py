"""What a step raises, for DBOS to store: the error by itself, and nothing that led to it.

DBOS pickles exceptions. Where tblib is loaded (dask does so, and pint loads dask where it is installed), a pickled exception brings along
its traceback, its cause and its context: a server's own words, which may name a patient, and frames by the hundred, at which pickle gives
up with a RecursionError, so that the workflow breaks off.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import structlog

from shared.fhir.outcome import FigaroError

P = ParamSpec("P")
T = TypeVar("T")
log = structlog.get_logger("figaro.ingest")


def alone(doing: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """The same; what it raises is raised anew, as one of our errors with its sentence only. What is not one of ours is logged."""

    @wraps(doing)
    async def done(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await doing(*args, **kwargs)
        except FigaroError as error:
            by_itself = type(error)(error.text, status=error.status, code=error.code)
        except Exception as error:
            log.exception("round_failed", error=type(error).__name__)
            by_itself = FigaroError(f"Figaro failed ({type(error).__name__}): see the log.")
        raise by_itself  # behind the `except`, where it has no context

    return done
