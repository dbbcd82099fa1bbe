"""Who looks at a page: the session of one launch, found by its id in the path together with the browser's cookie (SE-01 to SE-03).

What a page needs: `session_of` as a dependency of every route below `/app/{launch}`, and `guarded` in its place for what changes something.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Iterator
from typing import Annotated, Final, Literal, NewType

from fastapi import Depends, Request
from yarl import URL

from services.ingest.launched import Session, User
from services.ingest.limiting import limited_in
from services.ingest.pages.errors import PageError
from services.ingest.running import Ingest, ingest_of
from services.ingest.seal import fingerprint
from services.ingest.tables import LaunchSession
from shared.fhir.outcome import Refused, Unavailable

UnderWay = NewType("UnderWay", str)
__all__ = ["Guarded", "Session", "User", "Visited", "counted", "guarded", "held", "session_of"]
Cookie = Literal["figaro", "figaro-signin"] | UnderWay
MOST: Final = 5  # values of session cookies in one request that are looked at
CSRF_FIELD: Final = "csrf"
FORM: Final = 100_000  # bytes
CSRF_HEADER: Final = "X-Figaro-Csrf"


async def session_of(request: Request, launch: str) -> Session:
    """The session of the path's launch id and the request's cookie. Raises PageError where there is none, or it has ended."""
    for cookie in held(request):
        found = await asyncio.to_thread(ingest_of(request).launches.session, launch, cookie)
        if found is not None:
            counted(request, launch, found.frame_origins)
            return found
    raise PageError(
        "This page has ended",
        "Either you signed out, or the page was open for too long, or it belongs to another browser.",
        "Open Figaro from the patient's chart again.",
        status=403,
        frames=await asyncio.to_thread(_frames, ingest_of(request), launch),
    )


Visited = Annotated[Session, Depends(session_of)]


async def guarded(request: Request, session: Visited) -> Session:
    """The session, for a request that changes something: it has to come from our own page (SE-06). Raises PageError."""
    if not (_from_our_page(request) and hmac.compare_digest((await _token(request)).encode(), session.csrf.encode())):
        raise PageError(
            "That did not come from this page",
            "Nothing was changed: the request carries no proof that it was made on a page of Figaro.",
            "Go back to the page, load it again, and repeat what you did.",
            status=403,
            frames=session.frame_origins,
        )
    return session


Guarded = Annotated[Session, Depends(guarded)]


def cookie_name(cookie: Cookie, public_url: str) -> str:
    """`__Host-` binds a cookie to this host and to https; a browser takes none such over http, which is for development only."""
    return f"__Host-{cookie}" if URL(public_url).scheme == "https" else cookie


def under_way(state: str) -> UnderWay:
    """The cookie of one sign-in: a name of its own, so that two that begin at once do not end one another."""
    return UnderWay(f"figaro-signin-{fingerprint(state)[:12]}")


def set_cookie(cookie: Cookie, value: str, *, public_url: str, embedded: bool, seconds: int | None = None) -> str:
    """The Set-Cookie header, for as long as the browser runs or for some seconds; an empty value removes it.

    Written by hand: Starlette cannot partition before Python 3.14 (SE-02).
    """
    secure = URL(public_url).scheme == "https"
    place = "SameSite=None; Secure; Partitioned" if secure and embedded else f"SameSite=Lax{'; Secure' if secure else ''}"
    lasts = "; Max-Age=0" if not value else f"; Max-Age={seconds}" if seconds else ""
    return f"{cookie_name(cookie, public_url)}={value}; Path=/; HttpOnly; {place}{lasts}"


def cookies(request: Request, cookie: Cookie) -> Iterator[str]:
    """Every cookie of that name: a browser may send one for this frame and one for the whole tab."""
    wanted = cookie_name(cookie, request.app.state.settings.public_url or "")
    for header in request.headers.getlist("cookie"):
        for part in header.split(";")[:200]:
            name, _, value = part.strip().partition("=")
            if name == wanted and value:
                yield value


def counted(request: Request, launch: str, frames: tuple[str, ...] = ()) -> None:
    """Counts one page of a session. Raises PageError where it is one too many (SE-12)."""
    try:
        limited_in(request, launch)
    except Unavailable as error:
        raise PageError(
            "Too many pages at once",
            "This launch of Figaro was asked for more pages than anybody reads.",
            "Wait a minute, then load the page again.",
            status=429,
            retry_after=error.retry_after,
            frames=frames,
        ) from None


def held(request: Request) -> list[str]:
    """What the session cookies of a browser hold: one value for a known user, or one for each launch where the EHR tells none."""
    found = dict.fromkeys(one for value in cookies(request, "figaro") for one in value.split(".") if one)
    return [*found][:MOST]


def _frames(ingest: Ingest, launch: str) -> tuple[str, ...]:
    """Where the page of a launch may be framed, for as long as anything is known of that launch."""
    with ingest.ledger.transaction() as session:
        row = session.get(LaunchSession, launch)
        base = row.base if row else None
    app = ingest.grants.apps.of(base) if base else None
    return app.launch.framed_by if app else ()


def _from_our_page(request: Request) -> bool:
    ours = str(URL(request.app.state.settings.public_url or "").origin())
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    # Under `Referrer-Policy: no-referrer` browsers call the origin of a form "null"; then they say same-origin, which no page can forge.
    return origin == ours if site is None else site == "same-origin" and origin in (ours, "null", None)


async def _token(request: Request) -> str:
    if CSRF_HEADER in request.headers:
        return request.headers[CSRF_HEADER]
    length = request.headers.get("content-length", "")
    if not length.isdecimal() or int(length) > FORM:  # browsers say the length of every form
        raise Refused("This form is larger than any of ours, or does not say how large it is.", status=413, code="too-long")
    return str((await request.form()).get(CSRF_FIELD, ""))
