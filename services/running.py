"""`figaro run`: the three services in this process, against any FHIR server, for the patients that have a cervical cancer."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import msgspec
from rich.console import Console

from services import screens
from services.demo import progress
from services.journey import Doors, journey
from services.staging.knowledge import rules
from services.together import TogetherSettings, together
from shared.fhir.client import FhirClient
from shared.fhir.codes import ICD_10_CM, ICD_O_3, SNOMED
from shared.fhir.outcome import Refused
from shared.fhir.resources import Condition
from shared.service.log import configure

_ICD_10 = (ICD_10_CM, "http://hl7.org/fhir/sid/icd-10", "http://fhir.de/CodeSystem/bfarm/icd-10-gm")


async def run_against(base_url: str, named: Sequence[str], *, as_of: str | None) -> int:
    """Sees the patients through and prints their table; returns how many are stuck. Raises what the server answers."""
    configure("ERROR")
    messages, out = Console(stderr=True), Console(width=None if sys.stdout.isatty() else 150)
    async with FhirClient(base_url) as server:
        await server.capabilities()
        names = [n if n.startswith("Patient/") else f"Patient/{n}" for n in named] or await _found(server)
    if not names:
        raise Refused(f"No patient with a cervical cancer was found at {base_url}: name one with --patient.")
    with tempfile.TemporaryDirectory(prefix="figaro-run-") as folder, progress(messages) as bar:
        settings = TogetherSettings(port=0, fhir_base=base_url, data_directory=Path(folder), debounce_seconds=0)
        async with together(settings) as address, aiohttp.ClientSession() as session:
            task = bar.add_task("pull, stage, recommend, write back", total=len(names))
            seen = await journey(
                Doors(session, f"{address}/ingest"), names, as_of=as_of, seen=lambda done: bar.update(task, completed=done)
            )
    out.print(screens.patients(seen))
    return sum(case.state == "stuck" for case in seen)


async def _found(server: FhirClient) -> list[str]:
    """Every patient with a Condition that names a cervical primary, by the codes that staging knows."""
    primary = rules().primary
    codes = [f"{system}|{code}" for system in _ICD_10 for code in ("C53", *primary.topography)]
    codes += [f"{SNOMED}|{disorder.code}" for disorder in primary.snomed]
    # Registries code the cancer without its place, and the place as body site.
    sites = [f"{ICD_O_3}|{code}" for code in primary.topography] + [f"{SNOMED}|{code}" for code in primary.cervix_structures]
    decoder = msgspec.json.Decoder(Condition)
    subjects: set[str] = set()
    for parameter, values in (("code", codes), ("body-site", sites)):
        found = await server.search("Condition", {parameter: ",".join(values), "_count": "200"}, post=True)
        conditions = (decoder.decode(entry.resource) for entry in found if entry.resource is not None)
        subjects.update(c.subject.reference for c in conditions if c.subject.reference)
    return sorted(subject for subject in subjects if subject.startswith("Patient/"))
