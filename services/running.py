"""`figaro run`: the three services in this process, against any FHIR server, for the patients that have a cervical cancer."""

from __future__ import annotations

import secrets
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec
from pydantic import SecretStr
from rich.console import Console

from services import screens
from services.demo import progress
from services.journey import Doors, journey
from services.together import TogetherSettings, together
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Refused
from shared.fhir.resources import Condition
from shared.service.log import configure
from shared.service.settings import load
from shared.smart.issuers import Issuers, issuers_of
from shared.smart.servers import Servers, reaching

ALONE: Final[dict[str, Any]] = {
    "host": "127.0.0.1",
    "port": 0,
    "trusted_proxies": (),
    "database_url": None,
    "debounce_seconds": 0,
    "sweep_seconds": 0,
    "rate_cases": "100000/second",
}


class Sought(NamedTuple):
    """What names a cervical primary in a search, as system|code: in Condition.code, and in Condition.bodySite."""

    codes: tuple[str, ...]
    sites: tuple[str, ...]


async def run_against(base_url: str, named: Sequence[str], sought: Sought, *, as_of: str | None) -> int:
    """Sees the patients through and prints their table; returns how many are stuck. Raises what the server answers."""
    configure("ERROR")
    messages, out = Console(stderr=True), Console(width=None if sys.stdout.isatty() else 150)
    settings, issuers = _alone(base_url)
    async with reaching(issuers, settings.fhir_networks) as connecting:
        server = Servers(issuers, "read", connecting)(base_url)
        await server.capabilities()
        names = [n if n.startswith("Patient/") else f"Patient/{n}" for n in named] or await _found(server, sought)
    if not names:
        raise Refused(f"No patient with a cervical cancer was found at {base_url}: name one with --patient.")
    with tempfile.TemporaryDirectory(prefix="figaro-run-") as folder, progress(messages) as bar:
        here = settings.model_copy(update={"data_directory": Path(folder)})
        async with together(here) as address, aiohttp.ClientSession(headers=_bearer(here)) as session:
            task = bar.add_task("pull, stage, recommend, write back", total=len(names))
            seen = await journey(
                Doors(session, f"{address}/ingest"), names, as_of=as_of, seen=lambda done: bar.update(task, completed=done)
            )
    out.print(screens.patients(seen))
    for said in (*screens.touched(seen), *screens.stuck(seen)):
        out.print(said, soft_wrap=True)
    return sum(case.state == "stuck" for case in seen)


def _alone(base_url: str) -> tuple[TogetherSettings, Issuers]:
    """The settings for this server and this run only: nobody else's cases, database or doors. Raises Refused."""
    settings = load(TogetherSettings, **ALONE, api_secret=SecretStr(secrets.token_urlsafe(32)))
    base = settings.fhir_base or (None if settings.issuers else base_url)
    issuers = issuers_of(file=settings.issuers, base=base, bases=settings.fhir_bases, token=settings.fhir_token, role="read")
    here = issuers(base_url).base
    # The tokens of the environment are for FIGARO_FHIR_BASE and no other server (SE-10); those of a file stand in it.
    others = {} if here == issuers.default or settings.issuers else {"fhir_token": None, "fhir_write_token": None}
    return settings.model_copy(update={"fhir_base": here, "fhir_bases": (), **others}), issuers


def _bearer(settings: TogetherSettings) -> dict[str, str]:
    return {"Authorization": f"Bearer {settings.api_secret.get_secret_value()}"} if settings.api_secret else {}


async def _found(server: FhirClient, sought: Sought) -> list[str]:
    """Every patient with a Condition that names a cervical primary."""
    decoder = msgspec.json.Decoder(Condition)
    subjects: set[str] = set()
    for parameter, values in (("code", sought.codes), ("body-site", sought.sites)):
        found = await server.search("Condition", {parameter: ",".join(values), "_count": "200"}, post=True)
        conditions = (decoder.decode(entry.resource) for entry in found if entry.resource is not None)
        subjects.update(c.subject.reference for c in conditions if c.subject.reference)
    return sorted(subject for subject in subjects if subject.startswith("Patient/"))
