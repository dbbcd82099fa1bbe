"""Structured logs: one JSON object a line on standard error, with an event name and a case id, never a name, a value or a token.

What may stand in a log: case and request id, host of a server, resource type, counts, durations, HTTP statuses, our own codes (LG-01).
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog

EventDict = MutableMapping[str, Any]

# Compared without case, hyphens and underscores; also inside nested values.
DENIED: Final = frozenset(
    """
    access_token address assertion authorization birth_date body client_secret code_verifier contact cookie cookies diagnostics email family
    given headers id_token identifier identifiers key launch mrn name nonce params password patient payload phone query refresh_token
    resource secret state subject telecom text token url value values
    """.replace("_", "").split()
)
_BLANK: Final = "[left out]"
_BEARER: Final = re.compile(r"(?i)\b(bearer|basic)\s+\S+")


def configure(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Sends our own events and those of every library through one chain to `stream` (standard error when None)."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        without_traceback,
        without_patient,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    render: list[structlog.typing.Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        structlog.processors.JSONRenderer(),
    ]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=render))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Their debug and access lines hold raw paths and queries (LG-03).
    for name in ("uvicorn.access", "aiohttp.access", "aiohttp.client", "httpx", "sqlalchemy.engine"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("weasyprint").setLevel(logging.ERROR)  # it warns of every rule of a style sheet that is for browsers alone


def without_traceback(_logger: object, _method: str, event: EventDict) -> EventDict:
    """An exception becomes its class and place: its message may quote the record."""
    info = event.pop("exc_info", None)
    if info is True:
        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        frames = traceback.extract_tb(error.__traceback__)
        if frames:
            event["at"] = f"{frames[-1].name}:{frames[-1].lineno}"
    return event


def without_patient(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Blanks the denied keys at every depth, and bearer tokens in every text."""
    return {key: _clean(key, value) for key, value in event.items()}


def _clean(key: str, value: Any) -> Any:
    if str(key).lower().replace("_", "").replace("-", "") in DENIED:
        return _BLANK
    if isinstance(value, MutableMapping):
        return {inner: _clean(inner, below) for inner, below in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean("", below) for below in value]
    return _BEARER.sub(rf"\1 {_BLANK}", value) if isinstance(value, str) else value
