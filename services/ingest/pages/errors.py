"""What a person sees when a page cannot be shown: what happened, what it means, what to do next. Nothing of the request is repeated."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Final

import structlog
from fastapi import Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.ingest.pages.headers import page_headers
from shared.fhir.outcome import FigaroError

PAGES: Final = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
_STYLE: Final = re.compile(r"<style>(.*?)</style>", re.DOTALL)


class PageError(FigaroError):
    """An error for a person. `title` says what happened, `text` what it means, `advice` what to do; each is our own fixed text.

    `frames` are the origins of the EHR that may show it in a frame, where it is known which EHR that is.
    """

    kind = "page"
    status = 400
    code = "processing"

    def __init__(
        self, title: str, text: str, advice: str, *, status: int = 400, retry_after: float | None = None, frames: tuple[str, ...] = ()
    ) -> None:
        super().__init__(text, status=status)
        self.title = title
        self.advice = advice
        self.retry_after = retry_after
        self.frames = frames


def error_page(title: str, text: str, advice: str, *, status: int, frames: tuple[str, ...] = ()) -> HTMLResponse:
    """A page of its own, without scripts, that no other page may frame unless `frames` names its origin."""
    request_id = structlog.contextvars.get_contextvars().get("request_id")
    shown = PAGES.get_template("error.html").render(title=title, text=text, advice=advice, request_id=request_id)
    hashes = [f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" for style in _STYLE.findall(shown)]
    return HTMLResponse(shown, status_code=status, headers=page_headers(frames=frames, styles=hashes))


async def shown(_request: Request, error: Exception) -> Response:
    """The exception handler of PageError."""
    assert isinstance(error, PageError)
    response = error_page(error.title, error.text, error.advice, status=error.status, frames=error.frames)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(round(error.retry_after))
    return response
