"""Who may open and see cases over HTTP: whoever has the secret, where one is set. None needs to be set on a loopback address only."""

from __future__ import annotations

import hmac

from fastapi import Request

from services.ingest.channels import offered
from services.ingest.settings import IngestSettings
from shared.fhir.outcome import Unauthorised


def permitted(request: Request) -> None:
    """Raises Unauthorised for a request without the bearer token of the settings."""
    settings: IngestSettings = request.app.state.settings
    if settings.api_secret is None:
        return
    wanted = settings.api_secret.get_secret_value()
    if not hmac.compare_digest(offered(request.headers).encode(), wanted.encode()):
        raise Unauthorised("Cases are shown to those who have the secret: send it as `Authorization: Bearer …` (FIGARO_API_SECRET).")
