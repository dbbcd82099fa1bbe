"""What staging derives, as FHIR: stage, TNM categories, sites of spread and what is to be looked at."""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.codes import SNOMED
from shared.fhir.derived import collection
from shared.fhir.derived import derive as derive_into
from shared.fhir.r4 import check
from shared.fhir.reader import read_bundle
from shared.fhir.site_observation import ANATOMY
from shared.fhir.tnm_observation import VALUES
from shared.oncology.record import Record
from shared.oncology.stage import Staging
from tests import synthetic

Json = dict[str, Any]
EVERY = [case.case for case in synthetic.CASES]


def staged(case: str) -> tuple[Record, Staging]:
    record = read_bundle(synthetic.raw(case))
    return record, stage(record, rules())


def derive(case: str) -> Json:
    return collection(*staged(case))


def resources(bundle: Json, kind: str = "Observation") -> list[Json]:
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


def stages(bundle: Json) -> list[Json]:
    return [o for o in resources(bundle) if "mcode-cancer-stage" in str(o["meta"].get("profile"))]


def categories(bundle: Json) -> dict[str, Json]:
    found = [o for o in resources(bundle) if "mcode-tnm" in str(o["meta"].get("profile"))]
    return {o["code"]["coding"][0]["code"]: o for o in found}


def sites(bundle: Json) -> dict[str, Json]:
    return {o["bodySite"]["text"]: o for o in resources(bundle) if o["code"]["coding"][0]["code"] == "site-of-spread"}


def component(observation: Json, code: str) -> Any:
    [found] = [c for c in observation["component"] if c["code"]["coding"][0]["code"] == code]
    return next(v["coding"][0]["code"] if isinstance(v, dict) else v for k, v in found.items() if k.startswith("value"))


def issues(bundle: Json) -> dict[str, Json]:
    return {i["code"]["coding"][0]["code"]: i for i in resources(bundle, "DetectedIssue")}


@pytest.mark.parametrize("case", EVERY)
def test_everything_derived_is_valid_r4_labelled_preliminary_and_the_same_bytes_each_time(case: str) -> None:
    bundle = derive(case)
    given = read_bundle(synthetic.raw(case))
    assert check(bundle, {given.patient, *(f.source for f in given.findings)}) == []
    assert all("AIAST" in [s["code"] for s in e["resource"]["meta"]["security"]] for e in bundle["entry"])
    assert {e["resource"]["status"] for e in bundle["entry"]} <= {"preliminary"}
    assert len({e["fullUrl"] for e in bundle["entry"]}) == len(bundle["entry"])
    assert json.dumps(bundle) == json.dumps(derive(case))


@pytest.mark.parametrize("case", EVERY)
def test_every_reference_leads_to_a_finding_of_the_record_or_to_another_entry(case: str) -> None:
    record, _ = staged(case)
    bundle = derive(case)
    known = {record.patient, *(f.source for f in record.findings), *(e["fullUrl"] for e in bundle["entry"])}

    def references(value: Any) -> list[str]:
        if isinstance(value, list):
            return [r for inner in value for r in references(inner)]
        if not isinstance(value, dict):
            return []
        own = [value["reference"]] if "reference" in value else []
        return own + [r for inner in value.values() for r in references(inner)]

    assert set(references(bundle)) <= known


def test_a_recorded_category_is_a_member_of_the_stage_and_is_not_written_a_second_time() -> None:
    bundle = derive("iiic1r-small-tumour")
    [now, before] = stages(bundle)
    record, staging = staged("iiic1r-small-tumour")
    recorded = {f.source for f in record.findings if f.source.endswith(("-tnm-t", "-tnm-n", "-tnm-m"))}
    assert staging.tnm.t
    assert recorded
    assert recorded <= {m["reference"] for m in now["hasMember"]}
    assert recorded <= {m["reference"] for m in before["hasMember"]}
    assert len(categories(bundle)) == 3 - len(recorded)


def observation(code: str, value: Any, name: str, **more: Any) -> Json:
    coding = {"system": "https://figaro.example/fhir/CodeSystem/extent-of-disease", "code": code}
    kind = "valueBoolean" if isinstance(value, bool) else "valueQuantity"
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "code": {"coding": [coding]},
        "subject": {"reference": "Patient/1"},
        "effectiveDateTime": "2026-02-11",
        kind: value,
        **more,
    }


MRI = {"method": {"coding": [{"system": SNOMED, "code": "113091000"}]}}
BIOPSY = {"method": {"coding": [{"system": SNOMED, "code": "86273004"}]}}
LUNG = {"bodySite": {"coding": [{"system": SNOMED, "code": "39607008"}]}}
PRIMARY = {
    "resourceType": "Condition",
    "id": "c1",
    "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "C53.9"}]},
    "subject": {"reference": "Patient/1"},
    "recordedDate": "2026-02-01",
}


def recorded(*findings: Json) -> Record:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in findings]}
    return read_bundle(json.dumps(bundle).encode())


def given(*findings: Json) -> Json:
    record = recorded(PRIMARY, *findings)
    return collection(record, stage(record, rules()))


def category(value: Json, name: str, on: str = "2026-02-12") -> Json:
    code = {"coding": [{"system": SNOMED, "code": "78873005"}]}
    return {"resourceType": "Observation", "id": name, "status": "final", "code": code, "subject": {"reference": "Patient/1"}} | {
        "effectiveDateTime": on,
        "valueCodeableConcept": value,
    }


@pytest.mark.parametrize(
    "counts",
    [
        {"coding": [{"system": SNOMED, "code": "1228934000"}]},
        {"coding": [{"system": "urn:local", "code": "17", "display": "see the report"}], "text": "cT2b"},
        {"coding": [{"system": SNOMED, "code": "4711"}], "text": "T2b"},
    ],
)
@pytest.mark.parametrize("other", [{"coding": [{"system": SNOMED, "code": "1228931008"}]}, {"text": "cT2a"}, {"text": "not assessed"}])
def test_of_two_recorded_categories_the_one_that_counts_is_the_member_of_the_stage(counts: Json, other: Json) -> None:
    bundle = given(category(other, "before", "2026-02-10"), category(counts, "now"))
    assert [o["valueCodeableConcept"]["text"] for o in stages(bundle)] == ["IIB", "IIB"]
    assert [[m["reference"] for m in o["hasMember"]] for o in stages(bundle)] == [["Observation/now"]] * 2
    assert categories(bundle) == {}


def test_a_site_of_spread_without_a_primary_is_derived_and_focuses_on_none() -> None:
    lung = {**PRIMARY, "id": "m1", "code": {"coding": [{"system": SNOMED, "code": "94391008"}]}}
    record = recorded(lung)
    bundle = collection(record, stage(record, rules()))
    assert "focus" not in sites(bundle)["lung"]
    assert stages(bundle) == []
    assert check(bundle) == []


def test_what_is_written_with_a_clock_and_an_author_says_so_and_is_all_accounted_for() -> None:
    pleura = {**PRIMARY, "id": "m1", "code": {"coding": [{"system": SNOMED, "code": "94493005"}]}}
    record = recorded(PRIMARY, pleura, observation("parametrium", True, "t", **MRI))
    staging = stage(record, rules())
    added: dict[str, Json] = {}

    def add(kind: str, key: str, resource: Json) -> str:
        added[f"urn:{kind}:{key}"] = resource
        return f"urn:{kind}:{key}"

    found = derive_into(record, staging, add, at="2026-03-01T10:00:00Z", author="Device/figaro")
    assert sorted(found.all) == sorted(added)
    assert {url.split(":")[1] for url in added} == {"stage", "site", "tnm", "issue"}
    for url, resource in added.items():
        if url.startswith("urn:issue"):
            assert (resource["identifiedDateTime"], resource["author"]) == ("2026-03-01T10:00:00Z", {"reference": "Device/figaro"})
        else:
            assert resource["issued"] == "2026-03-01T10:00:00Z"


def test_a_category_derived_from_imaging_is_clinical_and_of_version_9() -> None:
    bundle = given(observation("parametrium", True, "t", **MRI), observation("pelvic-nodes", True, "n", **MRI))
    t, n = categories(bundle)["399504009"], categories(bundle)["399534004"]
    assert t["valueCodeableConcept"] == {"coding": [{"system": SNOMED, "code": "1228934000"}], "text": "cT2b"}
    assert n["valueCodeableConcept"]["text"] == "cN1"
    assert t["method"]["coding"][0]["code"] == "1269566009"
    assert t["focus"] == [{"reference": "Condition/c1"}]
    assert t["derivedFrom"] == [{"reference": "Observation/t"}]
    assert n["derivedFrom"] == [{"reference": "Observation/n"}]
    by_url = {e["fullUrl"]: e["resource"] for e in bundle["entry"]}
    [now, before] = stages(bundle)
    assert [by_url[m["reference"]] for m in now["hasMember"]] == [t, n]
    assert "hasMember" not in before, "version 9 mirrors FIGO 2018, not 2009"


def test_a_category_of_which_nobody_knows_whether_it_is_clinical_has_the_general_code_and_claims_neither() -> None:
    bundle = given(observation("parametrium", True, "t", **BIOPSY), observation("pelvic-nodes", True, "n"))
    t, n = categories(bundle)["78873005"], categories(bundle)["277206009"]
    assert t["valueCodeableConcept"] == {"coding": [{"system": "http://cancerstaging.org", "code": "T2b"}], "text": "T2b"}
    assert n["valueCodeableConcept"]["text"] == "N1"


def test_a_clinical_t1b3_has_no_snomed_code_and_is_told_by_its_ajcc_symbol() -> None:
    size = {"value": 5, "unit": "cm", "system": "http://unitsofmeasure.org", "code": "cm"}
    bundle = given(observation("tumour-size", size, "size", **MRI), observation("confined-to-cervix", True, "confined", **MRI))
    value = categories(bundle)["399504009"]["valueCodeableConcept"]
    assert value == {"coding": [{"system": "http://cancerstaging.org", "code": "cT1b3"}], "text": "cT1b3"}


def test_a_preliminary_category_is_no_recorded_one_and_a_distant_metastasis_without_a_site_rests_on_what_said_so() -> None:
    status = {"coding": [{"system": "http://loinc.org", "code": "97509-4"}]}
    present = {"valueCodeableConcept": {"coding": [{"system": SNOMED, "code": "399409002"}]}}
    told = {k: v for k, v in observation("x", True, "s").items() if k != "valueBoolean"} | {"code": status} | present
    draft = {**told, "id": "m", "status": "preliminary", "code": {"coding": [{"system": SNOMED, "code": "277208005"}]}}
    draft["valueCodeableConcept"] = {"text": "M1"}
    m = categories(given(told, draft))["277208005"]
    assert m["valueCodeableConcept"]["text"] == "M1"
    assert m["derivedFrom"] == [{"reference": "Observation/s"}]


def test_a_definite_site_is_present_and_an_equivocal_one_indeterminate() -> None:
    definite = sites(given(observation("distant-organ", True, "lung", **LUNG)))["lung"]
    assert definite["code"]["coding"][1] == {"system": SNOMED, "code": "94391008"}
    assert definite["valueCodeableConcept"]["coding"] == [{"system": SNOMED, "code": "52101004"}]
    assert definite["bodySite"]["coding"][0] == {"system": SNOMED, "code": "39607008"}
    assert component(definite, "class") == "organ"
    assert definite["derivedFrom"] == [{"reference": "Observation/lung"}]
    doubtful = {"valueCodeableConcept": {"coding": [{"system": SNOMED, "code": "82334004"}]}}
    lung = {k: v for k, v in observation("distant-organ", True, "lung", **LUNG).items() if k != "valueBoolean"} | doubtful
    equivocal = sites(given(lung))["lung"]
    assert equivocal["valueCodeableConcept"] == {"coding": [{"system": SNOMED, "code": "82334004"}], "text": "equivocal"}


def test_lesions_are_counted_and_what_came_after_the_window_says_so_with_the_state_of_the_disease() -> None:
    lung = sites(derive("recurrent-lung-after-chemoradiation"))["lung"]
    assert component(lung, "in-window") is False
    assert component(lung, "disease-state") == "recurrent"
    count = {"component": [{"code": {"coding": [observation("lesion-count", True, "x")["code"]["coding"][0]]}, "valueInteger": 2}]}
    counted = sites(given(observation("distant-organ", True, "lung", **LUNG, **count)))["lung"]
    assert component(counted, "lesion-count") == 2
    assert component(counted, "in-window") is True


def test_para_aortic_nodes_have_a_body_site_and_no_disorder_and_direct_growth_is_never_a_metastasis() -> None:
    nodes = sites(given(observation("para-aortic-nodes", True, "n", **MRI)))["para-aortic nodes"]
    assert nodes["bodySite"]["coding"][0]["code"] == "35783009"
    assert [c["code"] for c in nodes["code"]["coding"]] == ["site-of-spread"]
    growth = {**PRIMARY, "id": "m1", "code": {"coding": [{"system": SNOMED, "code": "369473007"}]}}
    bladder = sites(given(growth))["bladder"]
    assert component(bladder, "class") == "adjacent"
    assert [c["code"] for c in bladder["code"]["coding"]] == ["site-of-spread"]
    assert bladder["extension"][0]["valueReference"] == {"reference": "Condition/m1"}


def test_no_condition_is_written_by_a_machine() -> None:
    for case in EVERY:
        assert {e["resource"]["resourceType"] for e in derive(case)["entry"]} <= {"Observation", "DetectedIssue"}


def test_a_stage_conflict_implicates_the_recorded_and_the_derived_stage_and_shows_what_decided() -> None:
    record, staging = staged("recorded-iib-derived-iiic1")
    bundle = derive("recorded-iib-derived-iiic1")
    conflict = issues(bundle)["stage-conflict"]
    by_url = {e["fullUrl"]: e["resource"] for e in bundle["entry"]}
    [recorded] = [r.source for r in staging.recorded]
    own, derived = [i["reference"] for i in conflict["implicated"]]
    assert own == recorded
    assert by_url[derived]["valueCodeableConcept"]["text"] == staging.editions["figo-2018"].label
    deciding = {s for b in staging.editions["figo-2018"].because for s in b.sources}
    assert {d["reference"] for d in conflict["evidence"][0]["detail"]} == deciding
    assert conflict["patient"] == {"reference": record.patient}


def test_findings_that_contradict_each_other_are_both_implicated_and_are_the_evidence() -> None:
    conflict = issues(given(observation("pelvic-nodes", True, "yes", **MRI), observation("pelvic-nodes", False, "no", **MRI)))
    chains = [{"reference": "Observation/no"}, {"reference": "Observation/yes"}]
    assert conflict["extent-conflict"]["implicated"] == chains
    assert conflict["extent-conflict"]["evidence"] == [{"detail": chains}]
    assert conflict["extent-conflict"]["severity"] == "moderate"


def test_a_second_primary_and_a_contested_site_are_told() -> None:
    breast = {**PRIMARY, "id": "b1", "code": {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "C50.9"}]}}
    second = issues(given(breast))["second-primary"]
    assert [i["reference"] for i in second["implicated"]] == ["Condition/b1", "Condition/c1"]
    pleura = {**PRIMARY, "id": "m1", "code": {"coding": [{"system": SNOMED, "code": "94493005"}]}}
    contested = issues(given(pleura))["contested"]
    assert (contested["severity"], contested["implicated"][0]) == ("low", {"reference": "Condition/m1"})


def test_outside_the_scope_no_stage_is_derived_and_an_issue_says_why() -> None:
    bundle = derive("carcinoma-in-situ")
    assert stages(bundle) == []
    assert categories(bundle) == {}
    assert "in situ" in issues(bundle)["outside-scope"]["detail"]


def test_without_any_cancer_on_record_the_answer_still_says_why_there_is_no_stage() -> None:
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {"resourceType": "Patient", "id": "1"}}]}
    record = read_bundle(json.dumps(bundle).encode())
    said = collection(record, stage(record, rules()))
    assert [i["code"]["coding"][0]["code"] for i in resources(said, "DetectedIssue")] == ["outside-scope"]
    assert check(said) == []


def test_a_finding_without_an_address_is_named_and_not_referred_to() -> None:
    nameless = {k: v for k, v in observation("parametrium", True, "t", **MRI).items() if k != "id"}
    bundle = given(nameless)
    assert categories(bundle)["399504009"]["derivedFrom"] == [{"display": "entry 2"}]
    assert check(bundle) == []


def test_every_code_of_a_site_and_of_a_category_is_one_that_staging_reads_as_the_same() -> None:
    known = rules()
    for site, codes in ANATOMY.items():
        if codes.disorder and site != "unknown":
            read = known.site(SNOMED, codes.disorder)
            assert read is not None, site
            assert read.site == site
        if codes.structure:
            placed = known.structure(SNOMED, codes.structure)
            assert placed is not None, site
            assert placed.site == site
    read = {(prefix, category): code for (_, code), (prefix, category) in known.values.items()}
    written = {(prefix[0], category): code for prefix, values in VALUES.items() for category, code in values.items()}
    assert read == written
