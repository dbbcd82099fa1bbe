"""Every case under tests/cases comes out as it says. To add one, write a YAML file into the folder of its row; nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.r4 import complaints
from shared.knowledge.loader import load
from shared.oncology.not_read import questions
from shared.oncology.stage import EditionStage, Staging
from tests.staging.case import Case, Chart, Expected, Told, bundle, record

ROOT = Path(__file__).parents[1] / "cases"
TABLES = ("figo-2018", "figo-2009", "metastatic-sites", "scope", "time")
CASES = [(path, case) for table in TABLES for path in sorted((ROOT / table).rglob("*.yaml")) for case in load(path, list[Case])]
CHARTS = [
    pytest.param(case, chart, id=f"{path.relative_to(ROOT).with_suffix('')}: {case.says}")
    for path, case in CASES
    for chart in case.charts()
]


def staged(chart: Chart) -> Staging:
    return stage(record(chart), rules(), chart.oligometastasis)


@pytest.mark.parametrize(("case", "chart"), CHARTS)
def test_case(case: Case, chart: Chart) -> None:
    """The record, as FHIR through the one reader, is staged as the case says."""
    answer = staged(chart)

    assert dict(_expected(case.expect)) == dict(_found(case.expect, answer)), case.source
    _unordered(case.expect, answer)


def _expected(it: Expected) -> Iterator[tuple[str, Any]]:
    yield "applies", it.applies
    yield "disease_state", it.disease_state
    if it.issues != "any":
        yield "issues", sorted(it.issues)
    if it.sites != "any":
        yield "sites", sorted(each.site for each in it.sites)
    for name in ("label", "could_be", "stage_2009", "could_be_2009", "oligometastatic", "because", "sources", "histology", "site"):
        if (value := getattr(it, name)) is not msgspec.UNSET:
            yield name, value
    yield "tnm", it.tnm
    yield "window", it.window
    if it.recorded is not msgspec.UNSET:
        yield "recorded", it.recorded


def _found(wanted: Expected, it: Staging) -> Iterator[tuple[str, Any]]:
    new, old = (it.editions.get(name, EditionStage()) for name in ("figo-2018", "figo-2009"))
    said: dict[str, Any] = {
        "label": new.label,
        "could_be": list(new.could_be),
        "stage_2009": old.label,
        "could_be_2009": list(old.could_be),
        "oligometastatic": it.oligometastatic.value,
        "because": new.because[0].rule if new.because else None,
        "sources": list(new.because[0].sources) if new.because else [],
        "histology": it.primary.histology,
        "site": it.primary.site,
    }
    yield "applies", it.primary.applies
    yield "disease_state", it.disease_state
    if wanted.issues != "any":
        yield "issues", sorted(issue.code for issue in it.issues)
    if wanted.sites != "any":
        yield "sites", sorted(each.site for each in it.metastases)
    for name, value in said.items():
        if getattr(wanted, name) is not msgspec.UNSET:
            yield name, value
    yield "tnm", {axis: getattr(it.tnm, axis) for axis in wanted.tnm}
    yield "window", {name: value for name, value in msgspec.to_builtins(it.window).items() if name in wanted.window}
    if wanted.recorded is not msgspec.UNSET:
        yield "recorded", [Told(stage=r.stage, edition=r.edition, agrees=r.agrees) for r in it.recorded]


def _unordered(wanted: Expected, it: Staging) -> None:
    """What is compared in part: members of sites, facts asked for, words of why not."""
    for site in () if wanted.sites == "any" else wanted.sites:
        (found,) = (m for m in it.metastases if m.site == site.site and site.in_window in (None, m.in_window))
        asked = {name.rstrip("_"): value for name, value in msgspec.structs.asdict(site).items() if value is not None}
        plain = msgspec.to_builtins(found)
        assert asked == {name: plain[name] for name in asked}
    missing = {m.fact for m in it.editions["figo-2018"].missing} if it.editions else set()
    assert set(wanted.missing) <= missing
    assert not missing & set(wanted.not_missing)
    assert (wanted.why_not or "") in (it.primary.why_not or "")
    assert it.primary.applies is (it.primary.why_not is None)


def test_the_cases_are_many() -> None:
    assert len(CASES) >= 110


@pytest.mark.parametrize("table", TABLES)
def test_a_case_stands_in_the_folder_of_the_row_it_comes_out_of(table: str) -> None:
    for path, case in CASES:
        if path.relative_to(ROOT).parts[0] == table == "figo-2018":
            label = case.expect.label if case.expect.label is not msgspec.UNSET else None
            assert path.parent.name == re.sub("[rp]$", "", label or "none"), path
        elif path.relative_to(ROOT).parts[0] == table == "figo-2009":
            old = case.expect.stage_2009
            assert path.parent.name == (old or "none"), path


def test_every_row_of_the_tables_has_a_case() -> None:
    for edition, said in (("figo-2018", "label"), ("figo-2009", "stage_2009")):
        wanted = {row.stage for row in rules().tables[edition].table.rows}
        seen = {re.sub("[rp]$", "", str(getattr(case.expect, said))) for _, case in CASES}
        assert wanted - seen == set(), edition


def test_every_site_of_the_rules_has_a_case() -> None:
    known = rules().sites
    wanted = {rule.site for rule in (*known.sites, *known.direct, *known.separate, *known.regions)}
    assert wanted - {each.site for _, case in CASES if case.expect.sites != "any" for each in case.expect.sites} == set()


def test_every_fact_that_can_be_sent_is_sent_once_as_true_and_once_as_false() -> None:
    facts = rules().facts
    sent = {(fact, _yes(value)) for _, case in CASES for chart in case.charts() for fact, given in chart.extent.items()
            for value in (given if isinstance(given, list) else [given])}  # fmt: skip
    for name, rule in facts.items():
        if rule.code and not rule.measure:
            assert {(name.replace("_", "-"), True), (name.replace("_", "-"), False)} <= sent, name
        elif rule.code:
            assert (name.replace("_", "-"), None) in sent, name


def _yes(value: Any) -> bool | None:
    it = getattr(value, "is_", value)
    return it if isinstance(it, bool) else {"present": True, "absent": False}.get(it)


def test_every_tnm_category_of_the_rules_is_sent_by_some_case() -> None:
    sent = {
        re.sub("^[a-z]+", "", each if isinstance(each, str) else each.is_)
        for _, case in CASES
        for chart in case.charts()
        for each in chart.tnm
    }
    assert set(rules().tnm.categories) - sent == set()


def test_the_records_of_the_cases_are_valid_r4() -> None:
    """What a case sends, a hospital could send; what is meant to be faulty is written under `fhir`."""
    seen = set()
    for _, case in CASES:
        for chart in case.charts():
            plain = msgspec.structs.replace(chart, fhir=[], patient={})
            for entry in json.loads(bundle(plain))["entry"]:
                raw = json.dumps(entry["resource"]).encode()
                if raw not in seen:
                    seen.add(raw)
                    assert complaints(raw) == [], case.says


def test_every_rule_has_a_case_that_cites_it_and_every_citation_a_rule() -> None:
    numbered = load(Path(__file__).with_name("rules.yaml"), dict[str, dict[str, str]])
    cited = {number for _, case in CASES for number in re.findall(r"\bR\d+\b", case.source)}
    assert cited == {number for number, rule in numbered.items() if "no_case" not in rule}


def test_what_is_missing_can_be_sent() -> None:
    """A fact that is asked for has a code of its own, so that the answer can be given; what was not read is answered by reading it."""
    for _, case in CASES:
        for chart in case.charts():
            answer = staged(chart)
            asked = {m.fact for edition in answer.editions.values() for m in edition.missing}
            asked -= {question.about for question in questions(chart.unread)}
            assert all(rules().facts[name].code for name in asked), case.says


def test_a_contested_reading_is_called_contested() -> None:
    """Where the case says that the sources disagree, and no reading is settled, the answer shows more than one."""
    for _, case in CASES:
        if case.status == "contested" and case.expect.issues != "any" and "contested" in case.expect.issues:
            for chart in case.charts():
                answer = staged(chart)
                (issue,) = (i for i in answer.issues if i.code == "contested")
                assert issue.severity == "information"
                assert issue.sources, case.says


def test_facts_of_a_clinical_edition_say_so() -> None:
    (chart,) = (c for _, case in CASES if case.says.startswith("An edition that was clinical") for c in case.charts())
    (reason,) = staged(chart).editions["figo-2009"].because
    assert "clinical edition" in reason.says
