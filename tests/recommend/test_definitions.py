"""The knowledge as FHIR definitions: everything that our other output refers to is there, and nothing that must not leave."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from functools import cache
from typing import Any

import fhirpathpy
import msgspec
import pytest

from services.knowledge_commands import definitions
from services.recommend.definitions import SETTINGS
from services.recommend.library import FOLDER, library
from services.recommend.situation import LISTED
from services.staging.knowledge import RULES
from shared.fhir.derived import collection
from shared.fhir.r4 import check
from tests.recommend.every_case import EVERY, answer_of, written_of

Json = dict[str, Any]
OURS = "https://figaro.example/fhir/"
DEFINED = re.compile(r"https://figaro\.example/fhir/(?:PlanDefinition|ActivityDefinition|Library|ValueSet|ConceptMap)/[^\s\"|]+\|[\w.]+")


@cache
def exported() -> dict[str, Json]:
    """Every definition by its canonical with its version."""
    return {f"{it['url']}|{it['version']}": it for it in (entry["resource"] for entry in definitions()["entry"])}


@cache
def written() -> tuple[Json, ...]:
    """What staging and recommend write of every synthetic patient."""
    found = []
    for case in EVERY:
        answer = answer_of(case)
        found += [written_of(case), collection(answer.record, answer.staging)]
    return tuple(found)


def codings(node: Any) -> Iterator[tuple[str, str]]:
    """Every coding of a system of ours in a resource."""
    if isinstance(node, dict):
        if str(node.get("system", "")).startswith(OURS) and "code" in node:
            yield node["system"], node["code"]
        for inner in node.values():
            yield from codings(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from codings(inner)


def concepts(found: list[Json]) -> Iterator[str]:
    for each in found:
        yield each["code"]
        yield from concepts(each.get("concept", []))


def test_every_canonical_that_is_written_resolves() -> None:
    """In CarePlan, RequestGroup, requests, stage Observations; and in the definitions themselves."""
    named = {match for bundle in written() for match in DEFINED.findall(msgspec.json.encode(bundle).decode())}
    within = set(DEFINED.findall(msgspec.json.encode(definitions()).decode()))
    assert named >= {f"{OURS}Library/figo-2018-cervix|2026.1", f"{OURS}PlanDefinition/cervix-first-line-metastatic|2026.1"}
    assert (named | within) - set(exported()) == set()


def test_every_code_of_ours_that_is_written_is_in_its_code_system() -> None:
    known = {it["url"]: set(concepts(it.get("concept", []))) for it in exported().values() if it["resourceType"] == "CodeSystem"}
    used = {coding for bundle in written() for coding in codings(bundle) if not coding[0].startswith(f"{OURS}sid/")}
    assert {(system, code) for system, code in used if code not in known.get(system, ())} == set()
    assert f"{OURS}sid/decision" in known


def test_the_codes_that_definitions_use_are_in_their_code_systems() -> None:
    known = {it["url"]: set(concepts(it.get("concept", []))) for it in exported().values() if it["resourceType"] == "CodeSystem"}
    assert {coding for it in exported().values() for coding in codings(it) if coding[1] not in known.get(coding[0], ())} == set()
    maps = [it for it in exported().values() if it["resourceType"] == "ConceptMap"]
    targets = {
        (group["target"], target["code"]) for it in maps for group in it["group"] for e in group["element"] for target in e["target"]
    }
    assert {pair for pair in targets if pair[1] not in known[pair[0]]} == set()


def test_the_bundle_is_valid_r4_and_may_be_put_again_and_again() -> None:
    bundle = definitions()
    assert check(bundle) == []
    ids = [entry["request"]["url"] for entry in bundle["entry"]]
    assert len(set(ids)) == len(ids)
    assert [name for name in ids if not re.fullmatch(r"[A-Z]\w+/[A-Za-z0-9.-]{1,64}", name)] == []
    assert {entry["request"]["method"] for entry in bundle["entry"]} == {"PUT"}
    assert len({it["name"] for it in exported().values()}) >= len(ids) - 20  # a value set and its code system may share a name
    assert all(re.fullmatch(r"[A-Z][A-Za-z0-9_]{0,254}", it["name"]) for it in exported().values())


def test_the_same_knowledge_gives_the_same_bytes() -> None:
    assert msgspec.json.encode(definitions()) == msgspec.json.encode(definitions())


def test_everything_is_a_draft_for_trial_use_and_names_no_machine() -> None:
    assert {(it["status"], it["experimental"]) for it in exported().values()} == {("draft", True)}
    assert {it["intent"] for it in exported().values() if it["resourceType"] == "ActivityDefinition"} == {"option"}
    assert str(FOLDER) not in msgspec.json.encode(definitions()).decode()
    assert not any("approvalDate" in it for it in exported().values()), "nobody has signed anything yet"


def test_every_regimen_dose_course_and_work_is_there() -> None:
    known = library()
    kinds = [it["resourceType"] for it in exported().values()]
    given = sum(len(r.gives) + len(r.radiotherapy) or 1 for r in known.regimens.values())
    assert kinds.count("PlanDefinition") == len(known.regimens) + len(known.pathways) + len(SETTINGS)
    assert kinds.count("ActivityDefinition") == given
    assert {f"{OURS}Library/evidence-{work}|2026.1" for work in known.works} <= set(exported())
    assert set(LISTED) < set(SETTINGS)


def test_a_figure_that_nobody_has_checked_leaves_in_no_words() -> None:
    """Neither in a citation nor in the content of a Library."""
    unchecked = [(work, figure) for work in library().works.values() for figure in work.figures if not figure.checked and figure.ci]
    assert unchecked
    for work, figure in unchecked:
        assert figure.ci is not None
        words = f"CI {figure.ci[0]:.2f} to {figure.ci[1]:.2f}"
        assert words not in exported()[f"{OURS}Library/evidence-{work.id}|2026.1"]["description"]
    contents = [it["id"] for it in exported().values() if it["resourceType"] == "Library" and "content" in it]
    assert not any(name.startswith(("evidence-", "prognosis-")) for name in contents)


def test_the_content_of_a_library_is_the_file_itself() -> None:
    (content,) = exported()[f"{OURS}Library/figo-2018-cervix|2026.1"]["content"]
    assert b64decode(content["data"]) == (RULES / "figo-2018.yaml").read_bytes()


def test_no_engine_can_apply_a_regimen_by_itself() -> None:
    """Each condition is FHIRPath for nothing, neither true nor false; a regimen without any asks for nothing."""
    plans = [it for it in exported().values() if it["resourceType"] == "PlanDefinition" and it["id"] in library().regimens]
    judged = [condition["expression"] for plan in plans for condition in plan["action"][0].get("condition", ())]
    assert len(judged) > 500
    assert all(fhirpathpy.evaluate({"resourceType": "Patient"}, told["expression"]) == [] for told in judged)
    assert all(told["description"].count("(") and told["name"] for told in judged)


def test_a_dose_stands_in_words_and_where_it_can_in_a_quantity() -> None:
    """Per m2 and per kg as such; an area under a curve is no dose."""
    dose = {it["id"]: it["dosage"][0] for it in exported().values() if "dosage" in it}
    cisplatin = dose["pembrolizumab-cisplatin-paclitaxel-bevacizumab-dose-2"]
    assert cisplatin["doseAndRate"][0]["doseQuantity"]["code"] == "mg/m2"
    assert cisplatin["doseAndRate"][0]["doseQuantity"]["value"] == 50
    assert cisplatin["timing"]["repeat"] == {"frequency": 1, "period": 21, "periodUnit": "d"}
    carboplatin = dose["carboplatin-paclitaxel-dose-1"]
    assert "AUC 5" in carboplatin["text"]
    assert "doseAndRate" not in carboplatin


@pytest.mark.parametrize(
    ("name", "source", "target"),
    [
        ("figo-ncit-to-stage", "C96263", ("equivalent", "IVB")),
        ("secondary-to-site", "C78.0", ("relatedto", "lung")),
        ("secondary-to-site", "C77.2", ("inexact", "node-abdominal")),
        ("tnm-to-fact", "cT2b", ("wider", "parametrium")),
        ("tnm-to-fact", "pN1", ("disjoint", "para_aortic_nodes")),
    ],
)
def test_codes_map_as_staging_reads_them(name: str, source: str, target: tuple[str, str]) -> None:
    """What a code leaves open is inexact, and says what to ask."""
    mapped = exported()[f"{OURS}ConceptMap/{name}|2026.1"]
    targets = [t for group in mapped["group"] for element in group["element"] if element["code"] == source for t in element["target"]]
    assert target in [(t["equivalence"], t["code"]) for t in targets]
    assert all(t.get("comment") for t in targets if t["equivalence"] == "inexact")
