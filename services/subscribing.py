"""`figaro subscribe`: has a FHIR server notify ingest, or no longer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from services.ingest.channels import PUSH, Channels
from services.ingest.settings import IngestSettings
from services.ingest.subscriptions import Standing, Subscriptions
from shared.fhir.outcome import Refused, printable
from shared.smart.issuers import Issuer, Issuers, issuers_of
from shared.smart.servers import Servers, reaching

WIDE = 44
NAMED = 5


async def subscribe(
    base_url: str, settings: IngestSettings, *, remove: bool, topics: Sequence[str], tell: Callable[[str], object] = lambda _: None
) -> list[Standing]:
    """What stands on the server afterwards; `tell` is told what is to be known beside it. Raises Refused, and what the server answers."""
    issuers, issuer, place = _place(base_url, settings)
    channels = Channels(issuers, settings)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(reaching(issuers, settings.fhir_networks))
        ours = Subscriptions(Servers(issuers, "read", session)(issuer.base), f"{place}/notifications/{issuer.id}/")
        if remove:
            return await ours.remove()
        channels.path(issuer, PUSH)  # refused before anything is asked
        stands = await ours.ensure(lambda channel: place + channels.path(issuer, channel), channels.secrets(issuer)[0], topics)
        if ours.unused:
            tell(_unused(ours.unused))
        return stands


def _unused(topics: Sequence[str]) -> str:
    more = f" and {len(topics) - NAMED} more" if len(topics) > NAMED else ""
    return (
        f"the server names topics and does not say what they fire at, so none of them is used: {', '.join(topics[:NAMED])}{more}. "
        "`figaro subscribe` with --topic URL takes those that you know, and only those."
    )


def address(base_url: str, settings: IngestSettings) -> str:
    """Where an engine that knows no Subscriptions may push what changes on that server."""
    issuers, issuer, place = _place(base_url, settings)
    return place + Channels(issuers, settings).path(issuer, PUSH)


def _place(base_url: str, settings: IngestSettings) -> tuple[Issuers, Issuer, str]:
    base = settings.fhir_base or (None if settings.issuers else base_url)
    issuers = issuers_of(file=settings.issuers, base=base, bases=settings.fhir_bases, token=settings.fhir_token, role="read")
    if not settings.public_url:
        raise Refused("FIGARO_PUBLIC_URL is not set: it is the address at which that server reaches ingest.", code="required")
    return issuers, issuers(base_url), settings.public_url.rstrip("/")


def table(stands: Sequence[Standing]) -> Table:
    """One row a Subscription."""
    found = Table(title="Subscriptions", title_justify="left", box=SIMPLE_HEAD)
    for column in ("channel", "criteria", "id", "status", "until", "done"):
        found.add_column(column, no_wrap=True)
    for one in stands:
        criteria = one.criteria if len(one.criteria) <= WIDE else f"{one.criteria[: WIDE - 2]} …"
        cells = (one.channel, criteria, one.reference.partition("/")[2], one.status, one.ends, one.done)
        found.add_row(*(Text(printable(cell)) for cell in cells))
    return found
