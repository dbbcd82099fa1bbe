"""Who may open and see cases over HTTP: whoever has the secret, where one is set. None needs to be set where nobody else comes in."""

from __future__ import annotations

from fastapi import Request

from services.ingest.settings import IngestSettings
from shared.fhir.outcome import Unauthorised
from shared.service.access import bearer, from_here, same


def permitted(request: Request) -> None:
    """Raises Unauthorised for a request without the bearer token of the settings; Refused, where there is none, for others' web pages."""
    settings: IngestSettings = request.app.state.settings
    if settings.api_secret is None:
        from_here(request)
        return
    if not same(settings.api_secret, bearer(request)):
        raise Unauthorised("Cases are shown to those who have the secret: send it as `Authorization: Bearer …` (FIGARO_API_SECRET).")
