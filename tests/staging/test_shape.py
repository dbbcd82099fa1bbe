"""The JSON of a Staging has exactly the members that other systems hold on to."""

from __future__ import annotations

import json
from typing import Any, get_args

import msgspec

from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from shared.oncology.record import encode
from shared.oncology.stage import Certainty, DiseaseState, SiteClass, Staging
from tests.staging.case import Chart, bundle

MEMBERS = {
    "": {
        "patient", "primary", "diagnosed", "window", "editions", "tnm", "metastases", "oligometastatic", "disease_state", "recorded",
        "issues", "knowledge",
    },
    "primary": {"condition", "site", "histology", "applies", "why_not"},
    "window": {"from", "to", "ends_with"},
    "editions.*": {"stage", "suffix", "label", "could_be", "because", "missing"},
    "editions.*.because": {"rule", "says", "facts", "findings", "sources", "reference", "place", "checked"},
    "editions.*.missing": {"fact", "ask"},
    "tnm": {"t", "n", "m"},
    "metastases": {"site", "class", "lesions", "certainty", "in_window", "sources"},
    "oligometastatic": {"value", "definition", "reference", "missing"},
    "oligometastatic.missing": {"fact", "ask"},
    "recorded": {"edition", "stage", "source", "agrees"},
    "issues": {"severity", "code", "text", "sources"},
    "knowledge": {"edition", "digest"},
}  # fmt: skip
ISSUES = {
    "stage-conflict", "extent-conflict", "contested", "second-primary", "outside-scope", "value-implausible", "unit-not-understood",
    "date-implausible", "modifier-unknown", "resource-invalid", "resource-unreadable",
}  # fmt: skip
SITES = """
    lung pleura mediastinum liver bone bone-marrow brain meninges spinal-cord adrenal spleen kidney pancreas peritoneum omentum
    retroperitoneum small-intestine large-intestine rectum bladder ureter urethra vagina vulva uterus parametrium ovary fallopian-tube
    skin soft-tissue breast thyroid other unknown node-pelvic node-para-aortic node-inguinal node-supraclavicular node-neck
    node-mediastinal node-axillary node-mesenteric node-abdominal node-mesorectal node-multiple node-unspecified
"""
STAGES = "I IA IA1 IA2 IB IB1 IB2 IB3 II IIA IIA1 IIA2 IIB III IIIA IIIB IIIC IIIC1 IIIC2 IV IVA IVB"

RICH: dict[str, Any] = {
    "tnm": ["cT2b"],
    "extent": {
        "pelvic-nodes": {"is": True, "by": "MRI"},
        "distant-organ": {"is": "indeterminate", "by": "CT", "site": "lung", "lesions": 2},
    },
    "recorded": [{"stage": "IIB", "edition": "2018"}],
    "treatments": [{"is": "radiotherapy", "on": "2026-04-01"}],
}


def answered(chart: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(encode(stage(read_bundle(bundle(msgspec.convert(chart, Chart))), rules())))
    return found


def at(value: Any, path: str) -> list[Any]:
    """Every object at a dotted path; `*` takes every member, and a list stands for its elements."""
    found = [value]
    for step in path.split(".") if path else []:
        inner = [part for each in found for part in (each.values() if step == "*" else [each[step]])]
        found = [part for each in inner for part in (each if isinstance(each, list) else [each])]
    return found


def test_every_object_has_exactly_the_members_that_the_interface_fixes() -> None:
    answer = answered(RICH)

    for path, members in MEMBERS.items():
        objects = at(answer, path)
        assert objects, path
        assert all(set(each) == members for each in objects), path


def test_the_example_of_the_interface_comes_out_as_printed() -> None:
    answer = answered(RICH)
    new, old = answer["editions"]["figo-2018"], answer["editions"]["figo-2009"]

    assert list(answer["editions"]) == ["figo-2018", "figo-2009"]
    assert answer["patient"] == "Patient/17"
    assert answer["primary"] == {"condition": "Condition/c1", "site": "C53.9", "histology": None, "applies": True, "why_not": None}
    assert answer["diagnosed"] == "2026-02-11"
    assert answer["window"] == {"from": "2026-02-11", "to": "2026-04-01", "ends_with": "Procedure/treatment-1"}
    assert (new["stage"], new["suffix"], new["label"], new["could_be"]) == ("IIIC1", "r", "IIIC1r", ["IIIC2", "IVB"])
    assert new["because"][0]["rule"] == "figo-2018/IIIC1"
    assert new["because"][0]["facts"] == ["pelvic_nodes"]
    assert new["because"][0]["sources"] == ["Observation/pelvic-nodes"]
    assert new["because"][0]["reference"] == "figo-cervix-2018"
    assert {"para_aortic_nodes", "distant_organ"} <= {each["fact"] for each in new["missing"]}
    assert (old["stage"], old["suffix"], old["label"]) == ("IIB", None, "IIB")
    assert answer["tnm"] == {"t": "T2b", "n": "N1", "m": None}
    assert answer["metastases"][0] == {
        "site": "lung", "class": "organ", "lesions": 2, "certainty": "equivocal", "in_window": True,
        "sources": ["Observation/distant-organ"],
    }  # fmt: skip
    assert answer["oligometastatic"]["value"] is None
    assert answer["oligometastatic"]["definition"] == "one organ, at most three lesions"
    assert answer["oligometastatic"]["missing"][0]["fact"] == "distant_organ"
    assert answer["recorded"] == [{"edition": "figo-2018", "stage": "IIB", "source": "Observation/figo-1", "agrees": False}]
    assert [issue["code"] for issue in answer["issues"]] == ["stage-conflict"]


def test_outside_the_scope_there_is_a_primary_and_no_edition() -> None:
    answer = answered({"condition": None, "tnm": ["cT2b"]})

    assert answer["primary"] == {
        "condition": None, "site": None, "histology": None, "applies": False, "why_not": "no invasive cervical cancer on record",
    }  # fmt: skip
    assert answer["editions"] == {}
    assert answer["tnm"] == {"t": None, "n": None, "m": None}
    assert answer["recorded"] == []


def test_sites_classes_and_stages_are_those_of_the_interface() -> None:
    known = rules().sites
    every = (*known.sites, *known.direct, *known.separate, *known.regions)

    assert {rule.site for rule in every} <= set(SITES.split())
    assert {rule.site_class for rule in every} <= set(get_args(SiteClass))
    assert set(get_args(SiteClass)) == {"organ", "peritoneal", "distant-node", "regional-node", "adjacent", "contested"}
    assert set(get_args(Certainty)) == {"definite", "equivocal", "unknown"}
    assert set(get_args(DiseaseState)) == {"initial", "persistent", "recurrent", "progressive"}
    assert {row.stage for row in rules().tables["figo-2018"].table.rows} == set(STAGES.split())
    assert {row.stage for row in rules().tables["figo-2009"].table.rows} == {
        s for s in STAGES.split() if s != "IB3" and not s.startswith("IIIC")
    }


def test_every_issue_code_of_the_cases_is_one_of_the_interface() -> None:
    from tests.staging.test_cases import CASES

    assert {code for _, case in CASES if case.expect.issues != "any" for code in case.expect.issues} <= ISSUES


def test_a_staging_survives_the_wire() -> None:
    answer = stage(read_bundle(bundle(msgspec.convert(RICH, Chart))), rules())

    assert msgspec.json.decode(encode(answer), type=Staging) == answer
