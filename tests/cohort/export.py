"""Exports for the tests of cohorts: synthetic resources as NDJSON, and a run over them in this process."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from services.cohort.engines import Engine, OneProcess
from services.cohort.plan import PIECE, Asked, Medicine, Plan, Study, inputs
from services.cohort.result import ROWS, Manifest
from services.cohort.run import run
from services.cohort_command import names_the_cervix, staged
from services.staging.knowledge import rules
from shared import VERSION

Json = dict[str, Any]


def resources(bundles: Iterable[Json]) -> Iterator[Json]:
    for bundle in bundles:
        for entry in bundle["entry"]:
            yield entry["resource"]


def write(folder: Path, given: Iterable[Json], *, packed: bool = False) -> Path:
    """A file for each type."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[bytes]] = {}
    for resource in given:
        lines.setdefault(resource["resourceType"], []).append(json.dumps(resource).encode() + b"\n")
    for kind, found in lines.items():
        name = folder / f"{kind}.ndjson{'.gz' if packed else ''}"
        name.write_bytes(gzip.compress(b"".join(found)) if packed else b"".join(found))
    return folder


def planned(export: Path, *, to: Path | None = None, piece: int = PIECE, study: Study | None = None, **asked: Any) -> Plan:
    wanted = Asked(inputs=inputs(export), knowledge=rules().knowledge.digest, version=VERSION, piece=piece, **asked)
    return Plan(export, to or export.with_name(f"{export.name}-cohort"), wanted, Medicine(names_the_cervix, staged, study))


def done(plan: Plan, engine: Engine | None = None) -> tuple[Manifest, dict[str, Json]]:
    """The manifest, and the rows by patient."""
    manifest = run(plan, engine or OneProcess())
    rows = [json.loads(line) for line in (plan.folder / ROWS).read_bytes().splitlines()]
    assert [row["patient"] for row in rows] == sorted(row["patient"] for row in rows)
    return manifest, {row["patient"]: row for row in rows}
