"""The rules of staging as FHIR R4 definitions: a Library for each rule file, our code systems, value sets, and what maps to what.

The stage Observation names `Library/figo-2018-cervix` as what it instantiates; here that Library is. The YAML file itself is its content.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from services.staging.knowledge import EDITIONS, RULES, Rules
from services.staging.schema import SiteRule
from services.staging.wording import clause
from shared.fhir import definitions as fhir
from shared.fhir.assertion import FIGARO
from shared.fhir.codes import AJCC, FIGO_STAGES, ICD_10_CM, ICD_O_3, NCIT, SNOMED
from shared.fhir.definitions import Json, Mapped, canonical
from shared.fhir.outcome import OUTCOME_UNKNOWN, tree
from shared.fhir.site_observation import ANATOMY
from shared.knowledge.table import Reference
from shared.oncology.stage import DiseaseState, SiteClass

ICD_10_WHO = "http://hl7.org/fhir/sid/icd-10"
SITE, FACT, STAGE = (canonical("CodeSystem", name) for name in ("site", "staging-fact", "figo-stage"))
FILES = {
    "primary": "Which codes name a carcinoma of the cervix",
    "metastatic-sites": "Which codes name which site of spread, and what each does to the stage",
    "tnm": "TNM of the cervix: codes, and the facts that a category states",
    "recorded": "How a recorded FIGO stage arrives",
    "observations": "What values, methods and treatments mean",
}
ISSUES = (
    *("stage-conflict", "extent-conflict", "contested", "second-primary", "outside-scope", "value-implausible", "unit-not-understood"),
    *("date-implausible", "modifier-unknown", "resource-invalid", "resource-unreadable", "contraindication"),
)
# Codes beside the facts: what a component of an Observation under our codes may hold.
_COMPONENTS = {"largest-deposit": "Size of the largest deposit in a node, in mm", "lesion-count": "Number of lesions in the organ"}
_SPREAD = {
    "site-of-spread": "A site to which the cancer has spread, as derived",
    "class": "The class of the site",
    "in-window": "Whether it was there when the stage was fixed",
    "disease-state": "The state of the disease to which a later site belongs",
}


def definitions(rules: Rules) -> Iterator[Json]:
    """Every definition of staging; reads the rule files."""
    edition = rules.knowledge.edition
    yield from _libraries(rules, edition)
    yield from _code_systems(rules, edition)
    yield from _value_sets(rules, edition)
    yield _figo_map(edition)
    yield _site_map(rules, edition)
    yield _tnm_map(rules, edition)


def _libraries(rules: Rules, edition: str) -> Iterator[Json]:
    read = "From the most to the least advanced row: the first that holds is the stage, an unknown row above it is what it could be."
    for name in EDITIONS:
        table = rules.tables[name].table
        rows = [
            f"- **{row.stage}**: {row.says} Read as: {clause(row.when, rules)}. "
            f"({_place(rules, row.reference)}{'' if row.checked else fhir.UNCHECKED})"
            for row in table.rows
        ]
        works = [row.reference.work for row in table.rows]
        force = f"In force from {table.in_force.since}" + (f" to {table.in_force.to}." if table.in_force.to else ".")
        description = "\n".join([read, force, "", *rows])
        more: Json = {"description": description} | fhir.reviewed(table.review)
        yield _library(f"{name}-cervix", name, f"{table.title}, as a table of rules", edition, works, rules, **more)
    for name, title in FILES.items():
        told = getattr(rules, "sites" if name == "metastatic-sites" else name)
        about = None if told.checked else "Not checked as a whole against its source."
        more = {"description": about} | fhir.reviewed(told.review)
        yield _library(f"staging-{name}", name, title, edition, [told.reference.work], rules, **more)
    yield _library("staging-facts", "facts", "The facts that the stage tables read, and what settles each", edition, [], rules)
    cited, kind = list(rules.works), "asset-collection"
    yield _library("staging-references", "references", "The works that the staging rules cite", edition, cited, rules, kind=kind)


def _library(name: str, file: str, title: str, edition: str, works: list[str], rules: Rules, **more: Any) -> Json:
    cited = [rules.works[work] for work in dict.fromkeys(works)]
    related = [fhir.citation(work.id, work.citation, work.doi) for work in cited]
    content = (RULES / f"{file}.yaml").read_bytes()
    return fhir.library(name, title, edition, content=content, useContext=fhir.use_context(), relatedArtifact=related, **more)


def _place(rules: Rules, reference: Reference) -> str:
    return f"{rules.works[reference.work].short}, {reference.at}"


def _code_systems(rules: Rules, edition: str) -> Iterator[Json]:
    facts = rules.facts.items()
    sent = [fhir.concept(name.replace("_", "-"), fact.finding, f"Settled by: {fact.ask}") for name, fact in facts if fact.code]
    sent += [fhir.concept(code, says, "A component") for code, says in _COMPONENTS.items()]
    yield fhir.code_system("extent-of-disease", "Extent of a carcinoma of the cervix, as it can be sent", edition, sent)
    known = [fhir.concept(name, fact.finding, fact.ask) for name, fact in facts]
    yield fhir.code_system("staging-fact", "Facts that the stage tables read", edition, known)
    stages = list(dict.fromkeys(FIGO_STAGES.values()))
    yield fhir.code_system("figo-stage", "FIGO stages of the cervix", edition, _below("", stages), hierarchyMeaning="is-a")
    sites = sorted({rule.site for rule in _sites(rules)} | {*ANATOMY})
    yield fhir.listed("site", "Sites of spread", edition, sites)
    spread = [fhir.concept(code, fhir.words(code), says) for code, says in _SPREAD.items()]
    yield fhir.code_system("spread", "What is said of a site of spread", edition, spread)
    yield fhir.listed("spread-class", "Classes of sites of spread", edition, get_args(SiteClass))
    yield fhir.listed("disease-state", "States of the disease", edition, get_args(DiseaseState))
    yield fhir.listed("issue", "What a person is to look at", edition, ISSUES)
    kinds = dict.fromkeys(error.kind for error in tree())
    yield fhir.listed("errors", "Kinds of errors", edition, [*kinds, OUTCOME_UNKNOWN])
    decision = "The hash of what a decision rests on, as a tag. Every decision has its own; they cannot be listed."
    yield fhir.artifact(
        "CodeSystem",
        "decision",
        "Decisions",
        edition,
        url=f"{FIGARO}/sid/decision",
        description=decision,
        caseSensitive=True,
        content="not-present",
    )


def _below(parent: str, stages: list[str]) -> list[Json]:
    """The stages right below one, with theirs: IIIC1 stands below IIIC, IIIC below III."""
    own = [s for s in stages if s != parent and _parent(s, stages) == parent]
    return [fhir.concept(stage, f"FIGO stage {stage}", below=_below(stage, stages)) for stage in own]


def _parent(stage: str, stages: list[str]) -> str:
    shorter = stage[:-1]
    return shorter if shorter in stages and stage[-1] in "ABC123" else ""


def _sites(rules: Rules) -> tuple[SiteRule, ...]:
    return (*rules.sites.sites, *rules.sites.direct, *rules.sites.separate, *rules.sites.regions)


def _value_sets(rules: Rules, edition: str) -> Iterator[Json]:
    topography = list(rules.primary.topography)
    primary = {SNOMED: [d.code for d in rules.primary.snomed], ICD_10_CM: topography, ICD_10_WHO: topography, ICD_O_3: topography}
    yield fhir.value_set("cervix-primary", "Codes of a carcinoma of the cervix", edition, primary)
    yield fhir.value_set("figo-stage-ncit", "FIGO stages of the cervix, as mCODE codes them", edition, {NCIT: FIGO_STAGES})
    yield fhir.artifact("ValueSet", "figo-stage", "FIGO stages of the cervix", edition, compose={"include": [{"system": STAGE}]})
    for name in get_args(SiteClass):
        found = [rule for rule in _sites(rules) if rule.site_class == name]
        disorders = [code for rule in found for code in (*rule.snomed, *([rule.code] if rule.code else []))]
        icd10 = [dotted(code) for rule in found for code in rule.icd10]
        who = [code for code in icd10 if _is_who(code)]
        codes = {SNOMED: dict.fromkeys(disorders), ICD_10_CM: dict.fromkeys(icd10), ICD_10_WHO: dict.fromkeys(who)}
        about = "ICD-10 codes stand for all codes that begin with them." if icd10 else None
        yield fhir.value_set(f"secondary-{name}", f"Codes of spread of the class {name}", edition, codes, description=about)


def dotted(code: str) -> str:
    """An ICD code with its dot: "C7951" is "C79.51"."""
    return code if "." in code or len(code) <= 3 else f"{code[:3]}.{code[3:]}"


def _is_who(code: str) -> bool:
    """Whether the WHO's ICD-10 has the code: it has neither C7B nor a second digit behind the dot."""
    return re.fullmatch(r"C\d\d(\.\d)?", code) is not None


def _figo_map(edition: str) -> Json:
    mapped = Mapped()
    for code, stage in FIGO_STAGES.items():
        mapped.add((NCIT, code), (STAGE, stage), "equivalent")
    return fhir.concept_map("figo-ncit-to-stage", "FIGO stages of the cervix: NCIt to ours", edition, mapped)


def _site_map(rules: Rules, edition: str) -> Json:
    """Disorders, and the places of ICD-O: where a code leaves open what it means, the map is inexact and says what to ask."""
    mapped = Mapped()
    for rule in _sites(rules):
        undecided = rule.site_class == "contested" or bool(rule.opens)
        comment = rule.ask or (f"The sources disagree: {fhir.words(rule.contested)}" if rule.contested else None)
        how = ("inexact", comment or "Several readings") if undecided else ("relatedto", f"class {rule.site_class}")
        own = [*rule.snomed, *([rule.code] if rule.code else [])]
        pairs = [(SNOMED, code) for code in own] + [(ICD_10_CM, dotted(code)) for code in rule.icd10]
        pairs += [(ICD_10_WHO, code) for code in map(dotted, rule.icd10) if _is_who(code)]
        for pair in pairs:
            mapped.add(pair, (SITE, rule.site), *how)
    about = "ICD-10 codes stand for all codes that begin with them; the longest that fits counts."
    return fhir.concept_map("secondary-to-site", "Secondary disorders to sites of spread", edition, mapped, description=about)


def _tnm_map(rules: Rules, edition: str) -> Json:
    """A category to each fact that it states (wider), or denies (disjoint), in version 9 of the AJCC."""
    mapped, codes = Mapped(), _category_codes(rules)
    for name, category in rules.tnm.categories.items():
        denied = [*category.fails, *(fact for extent in category.denies for fact in rules.tnm.beyond[extent])]
        bounds = {"tumour_size": category.size, "stromal_invasion_depth": category.depth}
        for source in codes.get(name, []):
            for fact in category.holds:
                mapped.add(source, (FACT, fact), "wider", f"{name} states it")
            for fact, bound in bounds.items():
                if bound:
                    ends = [f"more than {bound.more_than} mm"] if bound.more_than is not None else []
                    ends += [f"at most {bound.at_most} mm"] if bound.at_most is not None else []
                    mapped.add(source, (FACT, fact), "wider", " and ".join(ends))
            for fact in denied:
                mapped.add(source, (FACT, fact), "disjoint", f"{name} excludes it")
    about = "As AJCC version 9 has the categories; versions 7 and 8 differ, and staging reads them by the version that `method` names."
    return fhir.concept_map("tnm-to-fact", "TNM categories of the cervix to the facts they state", edition, mapped, description=about)


def _category_codes(rules: Rules) -> dict[str, list[tuple[str, str]]]:
    """The codes of each category: SNOMED CT's clinical and pathological ones, and the AJCC's symbols."""
    found: dict[str, list[tuple[str, str]]] = {}
    for axis, values in rules.tnm.values.items():
        for code, category in values.items():
            found.setdefault(category, []).extend([(SNOMED, code), (AJCC, f"{axis[0]}{category}")])
    return {name: list(dict.fromkeys([*found.get(name, []), (AJCC, name)])) for name in rules.tnm.categories}
