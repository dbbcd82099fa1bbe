"""Small bodies of JSON: read after all that may refuse a request, and no further than their limit (SE-12, OWASP API4).

A typed parameter of a route is read and decoded by FastAPI before any dependency has looked at who asks.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
from fastapi import Request

from shared.fhir.outcome import Refused

LIMIT: Final = 10_000  # bytes
T = TypeVar("T", bound=msgspec.Struct)


async def small(request: Request, kind: type[T]) -> T:
    """The body as `kind`. Raises Refused (413) beyond LIMIT, and what msgspec raises for one that is no `kind`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LIMIT:
            raise Refused(f"The body is larger than {LIMIT} bytes, and nothing that belongs here is.", status=413, code="too-long")
    return msgspec.json.decode(body, type=kind)


def described(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The body of a route as `openapi_extra` has it."""
    _, found = msgspec.json.schema_components([kind])
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": found[kind.__name__]}}}}
