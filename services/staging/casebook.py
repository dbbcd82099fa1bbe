"""The cases of the checkout, by what they expect and what they send. An installed package has none: `casebook()` is then None.

Only what a case says of itself is read here; whether it comes out is for the tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from services.staging.knowledge import Rules
from shared.fhir.outcome import KnowledgeError
from shared.knowledge.loader import load

CASES = Path(__file__).parents[2] / "tests" / "cases"
FOLDERS = ("figo-2018", "figo-2009", "metastatic-sites", "scope", "time")
_EXPECTED = {"figo-2018": "label", "figo-2009": "stage_2009"}


class _Written(msgspec.Struct, frozen=True):
    """As much of a case file as is read here."""

    says: str
    expect: dict[str, Any]
    record: dict[str, Any] = {}
    each: tuple[dict[str, Any], ...] = ()


class Example(NamedTuple):
    """One case: its sentence, its file (below `tests/cases`), the stage it expects by edition, the sites it expects, and what it sends."""

    says: str
    file: str
    stages: dict[str, str]
    sites: frozenset[str]
    sends: frozenset[str]


class Casebook(NamedTuple):
    """All cases of staging, in the order of their files."""

    examples: tuple[Example, ...]

    def expecting(self, edition: str, stage: str) -> list[Example]:
        """The cases that come out as this stage of this edition."""
        return [each for each in self.examples if each.stages.get(edition) == stage]

    def listing(self, site: str) -> list[Example]:
        """The cases that come out with this site of spread."""
        return [each for each in self.examples if site in each.sites]

    def sending(self, name: str) -> list[Example]:
        """The cases whose record holds this TNM category, or this fact by its code."""
        return [each for each in self.examples if name in each.sends]


def casebook(folder: Path = CASES) -> Casebook | None:
    """The cases of a folder; None where there is no such folder, as in an installed package."""
    if not (folder / FOLDERS[0]).is_dir():
        return None
    files = [path for name in FOLDERS for path in sorted((folder / name).rglob("*.yaml"))]
    return Casebook(tuple(_example(it, path.relative_to(folder)) for path in files for it in load(path, tuple[_Written, ...])))


def refusals(rules: Rules, book: Casebook) -> Iterator[KnowledgeError]:
    """The rows, sites and categories that no case is about."""
    for edition, reader in rules.tables.items():
        for row in reader.table.rows:
            if not book.expecting(edition, row.stage):
                text = f"Row {row.stage} has no case: write one under tests/cases/{edition}/{row.stage} that expects it."
                yield KnowledgeError(text, file=f"{edition}.yaml")
    known = rules.sites
    for site in dict.fromkeys(rule.site for rule in (*known.sites, *known.direct, *known.separate, *known.regions)):
        if not book.listing(site):
            text = f"The site {site} has no case: write one under tests/cases/metastatic-sites that expects it."
            yield KnowledgeError(text, file="metastatic-sites.yaml")
    for category in rules.tnm.categories:
        if not book.sending(category):
            yield KnowledgeError(f"The category {category} has no case: write one whose record sends it.", file="tnm.yaml")


def _example(it: _Written, path: Path) -> Example:
    expected = {edition: it.expect.get(key) for edition, key in _EXPECTED.items()}
    sites = it.expect.get("sites", ())
    return Example(
        says=it.says,
        file=path.as_posix(),
        stages={edition: re.sub("[rp]$", "", stage) for edition, stage in expected.items() if isinstance(stage, str)},
        sites=frozenset(site["site"] for site in sites) if sites != "any" else frozenset(),
        sends=frozenset(name for record in (it.record, *it.each) for name in _sent(record)),
    )


def _sent(record: dict[str, Any]) -> Iterator[str]:
    for category in record.get("tnm", ()):
        yield re.sub("^[a-z]+", "", category if isinstance(category, str) else category["is"])
    yield from record.get("extent", {})
