"""The staging rules are total, ordered, sourced, and name each thing once."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from services.staging.knowledge import EDITIONS, RULES, Rules, rules
from services.staging.schema import SiteRule
from shared.fhir.outcome import KnowledgeError
from shared.knowledge.table import Table

LADDER = "IVB IVA IV IIIC2 IIIC1 IIIC IIIB IIIA III IIB IIA2 IIA1 IIA II IB3 IB2 IB1 IB IA2 IA1 IA I"
PARENTS = {"I", "IA", "IB", "II", "IIA", "III", "IIIC", "IV"}


def table(edition: str) -> Table:
    return rules().tables[edition].table


def sites() -> tuple[SiteRule, ...]:
    known = rules().sites
    return (*known.sites, *known.direct, *known.separate, *known.regions)


@pytest.mark.parametrize("edition", EDITIONS)
def test_the_rows_stand_from_the_most_to_the_least_advanced_and_none_is_missing(edition: str) -> None:
    wanted = [s for s in LADDER.split() if edition == "figo-2018" or (s != "IB3" and not s.startswith("IIIC"))]

    assert [row.stage for row in table(edition).rows] == wanted


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_stage_with_substages_is_marked_as_a_parent(edition: str) -> None:
    stages = {row.stage for row in table(edition).rows}

    assert {row.stage for row in table(edition).rows if row.parent} == PARENTS & stages


@pytest.mark.parametrize("edition", EDITIONS)
def test_every_row_says_something_and_cites_a_place_in_a_work_that_resolves(edition: str) -> None:
    assert table(edition).edition == edition
    for row in table(edition).rows:
        assert row.says.endswith(".")
        assert row.reference.work in rules().works, row.stage
        assert row.reference.at
        assert row.checked in (True, False)


def test_every_reference_of_a_rule_file_resolves() -> None:
    known = rules()
    for file in (known.primary, known.sites, known.recorded, known.observations, known.tnm):
        assert file.reference.work in known.works
    assert {rule.reference for rule in known.sites.oligometastatic.values()} <= set(known.works)
    assert len(known.works) == len({work.citation for work in known.works.values()})
    for work in known.works.values():
        assert re.search(r"\b(19|20)\d\d\b", work.citation) or work.doi or work.id.startswith("seer"), work.id
        assert work.doi is None or work.doi.startswith("10."), work.id


@pytest.mark.parametrize("edition", EDITIONS)
def test_a_bound_stands_on_a_fact_that_is_measured_in_its_unit(edition: str) -> None:
    def bounds(when: object) -> list[tuple[str, str]]:
        parts = [*getattr(when, "every", ()), *getattr(when, "some", ())]
        own = [(when.fact, when.unit)] if getattr(when, "unit", None) else []  # type: ignore[attr-defined]
        return own + [each for part in parts for each in bounds(part)]

    for row in table(edition).rows:
        for fact, unit in bounds(row.when):
            assert rules().facts[fact].measure == unit == "mm"


@pytest.mark.parametrize("edition", EDITIONS)
def test_every_fact_that_a_row_asks_for_can_be_supplied(edition: str) -> None:
    """By a code of its own, or by facts that have one."""
    known = rules()
    for row in table(edition).rows:
        for name in row.when.facts():
            fact = known.facts[name]
            assert fact.code or fact.supplied_by, name
            assert all(known.facts[by].code for by in fact.supplied_by), name
            assert fact.ask
            assert not fact.ask.endswith(".")


def test_every_code_of_the_extent_of_disease_means_something() -> None:
    wanted = {
        "confined-to-cervix", "microscopic-only", "uterine-corpus", "stromal-invasion-depth", "horizontal-width", "tumour-size",
        "vagina-upper-two-thirds", "vagina-lower-third", "parametrium", "pelvic-wall", "hydronephrosis", "non-functioning-kidney",
        "bladder-wall", "bullous-oedema", "bladder-mucosa", "rectal-wall", "rectal-mucosa", "bowel-contiguous", "pelvic-nodes",
        "para-aortic-nodes", "regional-nodes", "inguinal-nodes", "distant-nodes", "distant-organ", "peritoneal-spread",
        "obstruction-other-cause",
    }  # fmt: skip
    system = rules().observations.extent_system

    assert system == "https://figaro.example/fhir/CodeSystem/extent-of-disease"
    assert {code for s, code in rules().meanings if s == system} == wanted


def test_no_code_names_two_sites() -> None:
    for kind in ("icd10", "topography", "structures", "obds"):
        counted = Counter(code for rule in sites() for code in getattr(rule, kind))
        assert [code for code, times in counted.items() if times > 1] == [], kind
    disorders = Counter(code for rule in sites() for code in (*rule.snomed, *((rule.code,) if rule.code else ())))
    assert [code for code, times in disorders.items() if times > 1] == []
    regions = Counter(code for rule in sites() for code in rule.obds_snomed)
    assert [code for code, times in regions.items() if times > 1] == []


def test_no_code_of_the_primary_is_a_code_of_spread() -> None:
    spread = {code for rule in sites() for code in (*rule.snomed, rule.code)}
    primary = rules().primary

    for codes in ({d.code for d in primary.snomed}, primary.in_situ_snomed, primary.secondary_of_cervix, primary.generic_snomed):
        assert not spread & set(codes)


def test_every_site_holds_or_opens_or_asks() -> None:
    """A code that neither makes a fact true nor leaves one open says what is asked for instead."""
    for rule in sites():
        assert rule.holds or rule.ask, rule.site
        assert not rule.opens or rule.ask, rule.site


def test_icd10_and_topography_are_written_as_they_are_compared() -> None:
    for rule in sites():
        for code in (*rule.icd10, *rule.topography):
            assert re.fullmatch(r"C[0-9][0-9B][0-9]{0,2}|C7B[0-9]{0,2}", code), code


def test_the_ranges_outside_the_carcinomas_do_not_overlap() -> None:
    ranges = sorted((each.first, each.last) for each in rules().primary.outside)

    assert all(first <= last for first, last in ranges)
    assert all(before[1] < after[0] for before, after in pairwise(ranges))
    inside = [number for number in range(8000, 9990) if not any(a <= number <= b and number != 8980 for a, b in ranges)]
    assert {8070, 8140, 8246, 8560, 8980, 9110} <= set(inside)
    assert not {8720, 8890, 9040, 9071, 9473, 9680} & set(inside)


def test_the_shipped_rules_are_read_whole() -> None:
    known = rules()

    assert known.knowledge.edition
    assert re.fullmatch(r"[0-9a-f]{32}", known.knowledge.digest)
    assert rules() is known


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("figo-2018.yaml", "when: {fact: pelvic_nodes}", "when: {fact: pelvic_lymph}", "pelvic_lymph"),
        ("figo-2018.yaml", "- stage: IIIC1\n", "- stage: IIIC2\n", "two rows"),
        ("figo-2018.yaml", 'work: figo-cervix-2018, at: "Table 1; distant', 'work: figo-1994, at: "Table 1; distant', "figo-1994"),
        ("figo-2018.yaml", "parent: true", "parents: true", "parents"),
        ("figo-2018.yaml", "more_than: 40, unit: mm", "more_than: 40", "unit"),
        (
            "figo-2018.yaml",
            "when: {fact: para_aortic_nodes}",
            "when: {fact: para_aortic_nodes, all: [{fact: pelvic_nodes}]}",
            "exactly one",
        ),
        ("metastatic-sites.yaml", "holds: peritoneal_spread", "holds: peritoneum", "peritoneum"),
        ("metastatic-sites.yaml", "contested: distant-serosa,", "contested: serosa,", "`serosa`, which no dispute is named"),
        ("tnm.yaml", "N2: {holds: [para_aortic_nodes]}", "N2: {holds: [paraaortic_nodes]}", "paraaortic_nodes"),
        ("facts.yaml", "code: false, supplied_by: [bladder_wall, rectal_wall]", "code: false", "wall_without_mucosa"),
        ("references.yaml", "- id: yin-2019", "- id: yin", "yin-2019"),
        ("observations.yaml", "disease_status:", "status_of_disease:", "status_of_disease"),
        ("tnm.yaml", "review: {state: draft, by: []", "review: {state: reviewed, by: [AB]", "two reviewers and a date"),
        ("figo-2018.yaml", "review: {state: draft", "review: {state: fine", "fine"),
    ],
)
def test_a_rule_file_that_does_not_fit_the_others_is_refused(tmp_path: Path, file: str, old: str, new: str, words: str) -> None:
    folder = tmp_path / "rules"
    shutil.copytree(RULES, folder)
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))

    with pytest.raises(KnowledgeError) as caught:
        Rules(folder)

    assert words in str(caught.value)
    assert (caught.value.file or "").endswith(".yaml")
