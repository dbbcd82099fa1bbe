"""The staging rules, read strictly from `rules/` and made ready: tables, and dictionaries from code to meaning."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from services.staging import schema
from shared.fhir.codes import ICD_10, ICD_O_3, LOINC, NCIT, SNOMED, by_prefix, codes
from shared.fhir.outcome import KnowledgeError, Refused
from shared.knowledge.loader import digest, load
from shared.knowledge.table import Reader, Table
from shared.oncology.record import Concept
from shared.oncology.stage import Knowledge

RULES = Path(__file__).parent / "rules"
EDITION = "2026.1"
EDITIONS = ("figo-2018", "figo-2009")


class Meaning(NamedTuple):
    """What an Observation.code asks: a kind ("extent", "t", "n", "m", "size", "figo", …), and its detail."""

    kind: str
    detail: str | None = None


class Rules:
    """All rules of staging. Dictionaries are keyed by (system, code); ICD-10 and topography by prefix."""

    def __init__(self, folder: Path = RULES) -> None:
        self.primary = load(folder / "primary.yaml", schema.PrimaryRules)
        self.sites = load(folder / "metastatic-sites.yaml", schema.SiteRules)
        self.recorded = load(folder / "recorded.yaml", schema.RecordedRules)
        self.observations = load(folder / "observations.yaml", schema.ObservationRules)
        self.tnm = load(folder / "tnm.yaml", schema.TnmRules)
        self.facts = load(folder / "facts.yaml", dict[str, schema.FactRule])
        self.works = {work.id: work for work in load(folder / "references.yaml", tuple[schema.Work, ...])}
        self.tables = {edition: Reader(load(folder / f"{edition}.yaml", Table)) for edition in EDITIONS}
        self.knowledge = Knowledge(EDITION, digest(folder.glob("*.yaml")))
        self._check()
        # Facts from the higher stage to the lower, by the first row that reads them.
        rows = [row.when.facts() for row in self.tables["figo-2018"].table.rows]
        self.ranks = {name: place for place, names in reversed([*enumerate(rows)]) for name in names}
        self.disorders = {(SNOMED, d.code): d for d in self.primary.snomed}
        self.meanings = self._meanings()
        self.values = {(SNOMED, code): (axis[0], value) for axis, values in self.tnm.values.items() for code, value in values.items()}
        self.site_codes, self.site_icd10, self.site_topography, self.site_structures = self._sites()
        o = self.observations
        self.answers = (
            {(SNOMED, code): True for code in o.present}
            | {(SNOMED, code): False for code in o.absent}
            | {(SNOMED, code): None for code in o.equivocal}
        )
        self.methods = {(SNOMED, code): "r" for code in o.imaging} | {(SNOMED, code): "p" for code in o.pathology}

    def meaning(self, concept: Concept) -> Meaning | None:
        """What an Observation.code asks, by the first of its codings that we know."""
        for pair in codes(concept):
            if (found := self.meanings.get(pair)) is not None:
                return found
        return None

    def site(self, system: str, code: str) -> schema.SiteRule | None:
        """The site that a secondary disorder names."""
        if system == ICD_10:
            found: Any = by_prefix(self.site_icd10, code) if code.startswith(("C77", "C78", "C79", "C7B")) else None
            return found  # type: ignore[no-any-return]
        if system == ICD_O_3:
            return None
        return self.site_codes.get((system, code))

    def structure(self, system: str, code: str) -> schema.SiteRule | None:
        """The site that a body structure or an ICD-O topography names."""
        if system == ICD_O_3:
            found: Any = by_prefix(self.site_topography, code.upper().replace(".", ""))
            return found  # type: ignore[no-any-return]
        return self.site_structures.get((system, code))

    def disputed(self, what: str, key: str) -> str:
        """What the sources disagree on, in words: both readings, each with its source, and the one that is taken."""
        told = self.sites.contested[key]
        one, other = (
            f"{r.says} ({self.works[r.reference.work].short}, {r.reference.at}{'' if r.checked else ', not checked against the source'})"
            for r in told.readings
        )
        return f"Sources disagree on {what}: {one}; or {other}. {told.taken}"

    def oligometastasis(self, name: str | None) -> schema.OligometastaticRule:
        """The definition of few metastases of this name, or the default. Raises Refused where there is none."""
        known = self.sites.oligometastatic
        if name is not None and name not in known:
            raise Refused(f"There is no definition of oligometastasis named {name[:40]!r}: give one of {', '.join(known)}.")
        return known[name] if name is not None else next(iter(known.values()))

    def works_cited(self) -> set[str]:
        disputed = {reading.reference.work for told in self.sites.contested.values() for reading in told.readings}
        rows = {row.reference.work for reader in self.tables.values() for row in reader.table.rows}
        return rows | disputed | {rule.reference for rule in self.sites.oligometastatic.values()}

    def _meanings(self) -> dict[tuple[str, str], Meaning]:
        o, found = self.observations, {}
        for name, rule in self.facts.items():
            if rule.code:
                found[(o.extent_system, name.replace("_", "-"))] = Meaning("extent", name)
        for axis, listed in self.tnm.axes.items():
            for system, by_prefix_letter in ((SNOMED, "snomed"), (LOINC, "loinc")):
                for suffix, prefix in (("", None), ("_c", "c"), ("_p", "p")):
                    for code in getattr(listed, by_prefix_letter + suffix):
                        found[(system, code)] = Meaning(axis, prefix)
        for code in o.size:
            found[(LOINC, code)] = Meaning("extent", "tumour_size")
        for code in self.recorded.snomed:
            found[(SNOMED, code)] = Meaning("figo")
        for code, edition in self.recorded.ncit.items():
            found[(NCIT, code)] = Meaning("figo", edition)
        for code in self.recorded.tnm_group_codes:
            found[(LOINC if "-" in code else SNOMED, code)] = Meaning("figo")
        for code in self.primary.histology_observations.loinc:
            found[(LOINC, code)] = Meaning("histology")
        found[(LOINC, o.disease_status)] = Meaning("status")
        found[(SNOMED, o.obds_site)] = Meaning("obds")
        return found

    def _sites(self) -> tuple[dict[tuple[str, str], schema.SiteRule], dict[str, object], dict[str, object], dict[tuple[str, str], Any]]:
        codes: dict[tuple[str, str], schema.SiteRule] = {}
        icd10: dict[str, object] = {}
        topography: dict[str, object] = {}
        structures: dict[tuple[str, str], Any] = {}
        for rule in self.sites.sites:
            codes |= {(SNOMED, code): rule for code in rule.snomed}
            codes |= {(SNOMED, f"obds:{code}"): rule for code in rule.obds_snomed} | {("obds", code): rule for code in rule.obds}
            icd10 |= dict.fromkeys(rule.icd10, rule)
            topography |= dict.fromkeys(rule.topography, rule)
            structures |= {(SNOMED, code): rule for code in rule.structures}
        for rule in (*self.sites.direct, *self.sites.separate, *self.sites.regions):
            codes[(SNOMED, rule.code or "")] = rule
        return codes, icd10, topography, structures

    def _check(self) -> None:
        """Every fact that a row asks for is a fact we know; every work resolves; no stage stands twice."""
        for edition, reader in self.tables.items():
            stages = [row.stage for row in reader.table.rows]
            for stage in stages:
                if stages.count(stage) > 1:
                    raise KnowledgeError(f"The stage {stage} has two rows.", file=f"{edition}.yaml")
            for row in reader.table.rows:
                for name in row.when.facts():
                    if name not in self.facts:
                        raise KnowledgeError(f"Row {row.stage} asks for `{name}`, which no fact is named.", file=f"{edition}.yaml")
        says = [said for c in self.tnm.categories.values() for said in (c, c.in_8, c.in_7, c.undated) if said is not None]
        for name in (fact for said in says for fact in (*said.holds, *said.fails)):
            if name not in self.facts:
                raise KnowledgeError(f"A category states `{name}`, which no fact is named.", file="tnm.yaml")
        for name, rule in self.facts.items():
            if rule.code is bool(rule.supplied_by) or any(by not in self.facts or not self.facts[by].code for by in rule.supplied_by):
                raise KnowledgeError(f"`{name}` has either a code or facts with a code that supply it.", file="facts.yaml")
        for site in (*self.sites.sites, *self.sites.direct, *self.sites.separate, *self.sites.regions):
            for name in (*site.opens, *site.told_by, *([site.holds] if site.holds else [])):
                if name not in self.facts:
                    raise KnowledgeError(f"The site {site.site} names `{name}`, which no fact is named.", file="metastatic-sites.yaml")
            if site.contested is not None and site.contested not in self.sites.contested:
                raise KnowledgeError(
                    f"The site {site.site} is `{site.contested}`, which no dispute is named.", file="metastatic-sites.yaml"
                )
        for work in self.works_cited():
            if work not in self.works:
                raise KnowledgeError(f"The work `{work}` is cited and not listed in references.yaml.", file="references.yaml")


@cache
def rules() -> Rules:
    """The rules of this installation, read once."""
    return Rules()
