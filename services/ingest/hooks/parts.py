"""What the door of CDS Hooks works with."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import aiohttp

from services.ingest.hooks.answer import Answering, Deadlines
from services.ingest.hooks.kept import HookLedger
from services.ingest.neighbours import Neighbours
from services.ingest.settings import IngestSettings
from services.ingest.store import Store
from shared.smart.hooks import Trust
from shared.smart.issuers import Issuers


class Hooks(NamedTuple):
    """Who may call, what is answered, and what is kept of it."""

    trust: Trust
    answering: Answering
    kept: HookLedger


def hooks(issuers: Issuers, store: Store, neighbours: Neighbours, session: aiohttp.ClientSession, settings: IngestSettings) -> Hooks:
    """Of the settings. Raises Refused where CDS clients are registered that could not be told from others."""
    kept = HookLedger(store, comments=settings.hook_comments)

    async def unseen(token: str, until: float) -> bool:
        return await asyncio.to_thread(kept.unseen, token, until)

    trust = Trust(issuers, session, unseen, public_url=settings.public_url, loopback=not settings.public)
    launch = f"{settings.public_url.rstrip('/')}/launch" if settings.public_url else None
    return Hooks(trust, Answering(neighbours, session, Deadlines(settings.hook_seconds, settings.hook_limit_seconds), launch), kept)
