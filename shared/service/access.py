"""Who may ask a service: whoever is on this machine, while nobody else can be there; else whoever has a secret.

The API secret is for the people and programs of the hospital. By the service secret our own services know one another.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from yarl import URL

from shared.fhir.guard import is_loopback
from shared.fhir.outcome import Refused, Unauthorised
from shared.service.rim import respond
from shared.service.settings import Settings

SERVICE: Final = "Figaro-Service"
JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
_PROXIED: Final = re.compile(r"forwarded|x-forwarded-.+|x-real-ip|via", re.IGNORECASE)
_HOST: Final = re.compile(r"([A-Za-z0-9.\-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?")


@dataclass(frozen=True)
class Access:
    """What an application knows of who may ask it. `public`: others than this machine's own may reach it."""

    public: bool = False
    service_secret: SecretStr | None = None
    api_secret: SecretStr | None = None

    @classmethod
    def of(cls, settings: Settings) -> Access:
        """As the settings have it."""
        return cls(settings.public, settings.service_secret, settings.api_secret)


def access_of(request: Request) -> Access:
    """That of the application that a request came to."""
    found: Access = request.app.state.access
    return found


async def acting(request: Request) -> None:
    """For what writes with our own right. Raises Refused (403) for everybody but our own services, on this machine too."""
    if access_of(request).service_secret is None:
        text = "Nothing is written here while FIGARO_SERVICE_SECRET is not set: give ingest and recommend the same one."
        raise Refused(text, status=403, code="security")
    _ours(request)


async def asking(request: Request) -> None:
    """For what only computes. Raises Refused (403): where others may come in, for everybody but our own services; else for web pages."""
    if access_of(request).public:
        _ours(request)
    else:
        from_here(request)


async def operating(request: Request) -> None:
    """For those who run us. Raises Unauthorised, where others may come in, without the API secret or the service secret as bearer."""
    if not operator(request):
        raise Unauthorised("This is for those who run Figaro: send `Authorization: Bearer …` (FIGARO_API_SECRET or FIGARO_SERVICE_SECRET).")


def operator(request: Request) -> bool:
    """Whether the one who asks is one of those who run us."""
    asked = access_of(request)
    offered = bearer(request)
    known = [secret for secret in (asked.api_secret, asked.service_secret) if secret is not None and same(secret, offered)]
    return not asked.public or bool(known)


def bearer(request: Request) -> str:
    """The bearer token that a request carries; "" where it carries none."""
    scheme, _, offered = request.headers.get("authorization", "").partition(" ")
    return offered.strip() if scheme.lower() == "bearer" else ""


def same(secret: SecretStr, offered: str) -> bool:
    """Whether this is the secret; how long it takes to say so tells nothing of it."""
    return hmac.compare_digest(secret.get_secret_value().encode(), offered.encode())


def from_here(request: Request) -> None:
    """Raises Refused (403) for the web page of somebody else, which a browser on this machine lets call us without a secret."""
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
        raise Refused("No web page of another origin is answered here.", status=403, code="security")


def taking(*kinds: str) -> Callable[[Request], Awaitable[None]]:
    """For a body of one of these media types. Raises Refused (415): web pages may send others than JSON without asking first."""

    async def checked(request: Request) -> None:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() not in kinds:
            raise Refused(f"Say what the body is: Content-Type {' or '.join(kinds)}.", status=415, code="not-supported")

    return checked


class HereOnly:
    """ASGI middleware for an application that asks for no secret: only by a name of this machine, and through no proxy.

    A page whose name has been turned to 127.0.0.1 (DNS rebinding) still says its own name. So does a proxy nobody told us of, or else it
    says whom it asks for.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else None
        if headers is None or (_of_here(headers.get("host", "")) and not any(map(_PROXIED.fullmatch, headers))):
            await self._app(scope, receive, send)
            return
        text = "This is answered on this machine only, as 127.0.0.1 or localhost and through no proxy; for others to come in, set"
        await respond(send, Refused(f"{text} FIGARO_PUBLIC_URL.", status=421, code="security"))


def _of_here(host: str) -> bool:
    found = _HOST.fullmatch(host)
    try:
        return found is not None and is_loopback(URL.build(scheme="http", host=found[1].strip("[]")))
    except ValueError:  # a name that is none
        return False


def _ours(request: Request) -> None:
    secret = access_of(request).service_secret
    if secret is None or not same(secret, request.headers.get(SERVICE, "")):
        advice = "give each the same FIGARO_SERVICE_SECRET, or staging its own, and ingest that as FIGARO_STAGING_SECRET."
        text = f"Only Figaro's own services are answered here, by the header {SERVICE}: {advice}"
        raise Refused(text, status=403, code="security")
