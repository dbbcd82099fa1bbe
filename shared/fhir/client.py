"""A client for one FHIR R4 server: read, search to the last page, write once.

    async with FhirClient("http://127.0.0.1:8080/fhir") as server:
        conditions = await server.search("Condition", {"patient": "17"})

Every method raises the errors of `shared.fhir.outcome`, whose texts hold no id and no value. Resources come back as the server's own bytes.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Mapping
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from shared.fhir.capability import Capabilities
from shared.fhir.depth import DEEPEST, too_deep
from shared.fhir.guard import Reach, on_same_base
from shared.fhir.outcome import Gone, NotFhir, NotFound, OutcomeIssue, Refused, Rejected, ServerAnswer, Unavailable
from shared.fhir.pace import Pace
from shared.fhir.paging import Entry, Found, Page, head, ignored, newest, page
from shared.fhir.refusal import Reply
from shared.fhir.surrogates import mended
from shared.fhir.transport import Limits, Token, Transport
from shared.fhir.write_mode import Offer
from shared.fhir.written import Resource, Written, encoded, what_it_is, written, written_all

Params = Mapping[str, str] | Iterable[tuple[str, str]]

_STRICT = {"Prefer": "handling=strict"}
_FRESH = 600  # seconds
_NOTHING = b'{"resourceType":"Bundle","type":"transaction"}'


class FhirClient:
    """One server, one patient's token at most: the token goes to that base URL and nowhere else.

    `token` is a bearer token, an async function that gives a fresh one, or an Authority that is told of a 401; `retries` counts repetitions
    of reads. Clients of one server may share a `pace`; else `concurrency` bounds the requests under way. Without a `session` of the
    caller's, `reach` says which addresses the server's name may lead to. `posts` turns False when it refuses a posted search.
    Raises Refused when `base_url` is none.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: Token | None = None,
        session: aiohttp.ClientSession | None = None,
        reach: Reach | None = None,
        limits: Limits | None = None,
        pace: Pace | None = None,
        concurrency: int = 8,
        retries: int = 3,
    ) -> None:
        self._limits = limits or Limits()
        pace = pace or Pace(concurrency=concurrency)
        self._wire = Transport(base_url, token=token, session=session, reach=reach, limits=self._limits, pace=pace, retries=retries)
        self._base = self._wire.base
        self.base_url = str(self._base)
        self._said: tuple[float, Capabilities] | None = None
        self._transactions: bool | None = None
        self.posts = True

    async def __aenter__(self) -> Self:
        await self._wire.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._wire.__aexit__(kind, error, trace)

    async def capabilities(self) -> Capabilities:
        """What the server says of itself. Raises NotFhir unless it speaks FHIR R4 (4.0.x)."""
        reply = await self._wire.read(self._url("metadata"), what="metadata")
        try:
            said = msgspec.json.decode(reply.body, type=Capabilities)
        except (msgspec.DecodeError, RecursionError) as error:
            raise NotFhir(f"{self.base_url}/metadata is no CapabilityStatement: is that the base URL of a FHIR server?") from error
        if not said.fhir_version.startswith("4.0."):
            raise NotFhir(
                f"The server at {self.base_url} speaks FHIR {said.fhir_version[:20] or '?'}; we speak R4 (4.0.1): use its R4 base URL."
            )
        return said

    async def known(self) -> Capabilities:
        """The same, asked for at most once in ten minutes."""
        if self._said is None or time.monotonic() > self._said[0]:
            self._said = (time.monotonic() + _FRESH, await self.capabilities())
            self._transactions = None
        return self._said[1]

    async def offer(self) -> Offer:
        """What may be written, as it says and as it shows: an empty transaction, which changes nothing, is tried."""
        said = await self.known()
        if self._transactions is None:
            self._transactions = await self._takes_transactions(said)
        return Offer(said, self._transactions)

    async def _takes_transactions(self, said: Capabilities) -> bool:
        try:
            await self.transaction(_NOTHING)
        except ServerAnswer as error:
            if error.status == 401:
                raise
            return error.status in (400, 422) and said.system("transaction")  # some refuse an empty one
        except Unavailable as error:
            if error.code != "exception":
                raise
            return said.system("transaction")
        return True

    @property
    def skew(self) -> float | None:
        """By how many seconds the server's clock is ahead of ours; None while it has not told (FC-17)."""
        return self._wire.skew

    async def read(self, type: str, id: str) -> bytes:
        """One resource, as sent. Raises NotFound, Gone."""
        reply = await self._wire.read(self._url(type, id), what=f"read {type}")
        if too_deep(reply.body):
            text = f"answered a read of {type} with a resource nested more than {DEEPEST} levels deep, and no resource of FHIR R4 is."
            raise NotFhir(f"The FHIR server at {self.base_url} {text} Have it mended there.")
        body = mended(reply.body)
        try:
            if head(body).type == type:
                return body
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            pass
        raise NotFhir(f"The FHIR server at {self.base_url} answered a read of {type} with something else.")

    async def search(self, type: str, params: Params = (), *, post: bool = False) -> Found:
        """Everything that matches, each resource once; `post` keeps identifiers and names out of the URL (FC-04)."""
        return await self._gather(self.search_pages(type, params, post=post), distinct=True)

    async def search_pages(self, type: str, params: Params = (), *, post: bool = False) -> AsyncIterator[Page]:
        """The pages of a search as they come. A resource may come twice; after an expired page the search starts over, once (FC-03)."""
        asked = list(params.items() if isinstance(params, Mapping) else params)
        for chance in ("first", "last"):
            begun = False
            try:
                async for one in self._pages(type, asked, post):
                    begun = True
                    yield one
                return
            except (Gone, NotFound):
                if not begun or chance == "last":
                    raise

    async def history(self, type: str, id: str | None = None, *, since: str | None = None) -> Found:
        """Every version, newest first, deletions included."""
        return await self._gather(self.history_pages(type, id, since=since), distinct=False)

    async def history_pages(self, type: str, id: str | None = None, *, since: str | None = None, count: int = 0) -> AsyncIterator[Page]:
        """The pages of a history as they come, of at most `count` versions where that is given.

        On some servers only the first page keeps to `since`: whoever comes to older versions has seen all.
        """
        asked = {**({"_since": since} if since else {}), **({"_count": str(count)} if count else {})}
        what, query = f"history of {type}", f"?{urlencode(asked, safe=':')}" if asked else ""
        first = await self._wire.read(URL(f"{self._url(type, *([id] if id else ()), '_history')}{query}", encoded=True), what=what)
        async for one in self._follow(first, what):
            yield one

    async def operation(self, *place: str, params: Params = ()) -> bytes:
        """The answer of an operation without effect, asked by GET: ("Subscription", "17", "$events")."""
        query = urlencode(list(params.items() if isinstance(params, Mapping) else params), safe=":,/")
        return (await self._wire.read(URL(f"{self._url(*place)}{query and '?'}{query}", encoded=True), what=f"{place[0]} {place[-1]}")).body

    async def find(self, type: str, identifier: str, *, post: bool = False) -> tuple[Entry, ...]:
        """What carries the identifier, `system|value`: none, one, or several where the server was raced."""
        return tuple(entry for entry in await self.search(type, {"identifier": identifier}, post=post) if entry.mode == "match")

    async def create(self, resource: Resource, *, if_none_exist: str | None = None) -> Written:
        """A new resource, or with `if_none_exist` (a query, "identifier=system|value") the one that is there already: `Written.created`.

        Raises Conflict when several match, Rejected with the server's issues, Unavailable with `outcome_unknown` when the reply is lost.
        """
        body = encoded(resource)
        type = what_it_is(body).type
        condition = {"If-None-Exist": quote(if_none_exist, safe="=&:/.%-_~")} if if_none_exist else {}
        reply = await self._wire.write("POST", self._url(type), body, what=f"create {type}", headers=condition)
        return self._told(reply, f"create {type}")

    async def update(self, resource: Resource, *, if_match: str | None = None) -> Written:
        """Puts the resource at its own id. Raises Conflict when `if_match`, a versionId, is no longer the newest (FC-08)."""
        body = encoded(resource)
        top = what_it_is(body)
        if not top.id:
            raise Refused("A resource without id cannot be updated.")
        condition = {"If-Match": f'W/"{if_match}"'} if if_match else {}
        what = f"update {top.type}"
        reply = await self._wire.write("PUT", self._url(top.type, top.id), body, what=what, headers=condition)
        return self._told(reply, what, (top.type, top.id))

    async def transaction(self, bundle: Resource) -> tuple[Written, ...]:
        """Sends a transaction or batch Bundle; one Written for each entry, in its order. All or nothing when a transaction."""
        reply = await self._wire.write("POST", self._base, encoded(bundle), what="transaction")
        try:
            return written_all(reply.body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise self._lost("transaction") from error

    async def delete(self, type: str, id: str) -> None:
        """Deletes one resource; it may be gone already."""
        try:
            await self._wire.write("DELETE", self._url(type, id), None, what=f"delete {type}")
        except (Gone, NotFound):
            return

    def _url(self, *segments: str) -> URL:
        return URL("/".join((self.base_url, *(quote(segment, safe="") for segment in segments))), encoded=True)

    async def _pages(self, type: str, asked: list[tuple[str, str]], post: bool) -> AsyncIterator[Page]:
        what = f"search {type}: {', '.join(sorted({name for name, _ in asked})) or 'all'}"
        query = urlencode(asked, safe=":,/")
        first = await self._posted(type, query, what) if post else None
        if first is None:
            first = await self._wire.read(URL(f"{self._url(type)}?{query}", encoded=True), what=what, headers=_STRICT)
        names: Iterable[str] = [name for name, _ in asked]
        async for one in self._follow(first, what):
            # Only the first page's self link repeats the question; later ones may be cursors.
            warnings = ignored(names, URL(one.asked, encoded=True).query) if one.asked else ()
            names = ()
            yield msgspec.structs.replace(one, warnings=one.warnings + warnings)

    async def _posted(self, type: str, query: str, what: str) -> Reply | None:
        """The first page of a posted search; None where the server has no such thing, and is not asked again."""
        if not self.posts:
            return None
        try:
            return await self._wire.read(self._url(type, "_search"), what=what, form=query.encode(), headers=_STRICT)
        except (NotFound, Rejected) as error:
            if error.status not in (404, 405, 501):
                raise
            self.posts = False
            return None

    async def _follow(self, reply: Reply, what: str) -> AsyncIterator[Page]:
        seen: set[str] = set()
        late = time.monotonic() + self._limits.search
        while True:
            one = page(reply.body, self.base_url)
            yield one
            if one.next is None:
                return
            link = on_same_base(self._base, one.next)
            if one.next in seen or len(seen) + 2 > self._limits.pages:
                raise NotFhir(f"The FHIR server at {self.base_url} ({what}) never comes to a last page; {len(seen) + 1} were read.")
            if time.monotonic() > late:
                raise Unavailable(f"The FHIR server at {self.base_url} ({what}) took over {self._limits.search:g} s.", code="timeout")
            seen.add(one.next)
            reply = await self._wire.read(link, what=f"{what}, next page", headers=_STRICT)

    async def _gather(self, pages: AsyncIterator[Page], *, distinct: bool) -> Found:
        entries: list[Entry] = []
        warnings: list[OutcomeIssue] = []
        total, count = None, 0
        async for one in pages:
            count += 1
            entries += one.entries
            warnings += one.warnings
            total = one.total if total is None else total
        return Found(entries=newest(entries) if distinct else tuple(entries), warnings=tuple(warnings), total=total, pages=count)

    def _told(self, reply: Reply, what: str, known: tuple[str, str] = ("", "")) -> Written:
        answer = written(reply.status, reply.headers.get("location"), reply.headers.get("etag"), reply.body, known)
        if not answer.id:
            raise self._lost(what)
        return answer

    def _lost(self, what: str) -> Unavailable:
        text = f"The FHIR server at {self.base_url} ({what}) does not say what it wrote: look it up by identifier before writing again."
        return Unavailable(text, code="exception", outcome_unknown=True)
