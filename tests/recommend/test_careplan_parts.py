"""What stands in a CarePlan beside its shape: doses, days, citations, trials, pathways, and the words that a clinician reads alone."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from typing import Any

import msgspec
import pytest

from services.recommend.app import drugs
from services.recommend.candidates import recommend
from services.recommend.careplan import transaction
from services.recommend.decision import Answer, decision
from services.recommend.dosage import dosage
from services.recommend.library import FOLDER, library
from shared.fhir.r4 import check, references
from shared.oncology.recommendation import DoseAmount, Radiotherapy
from shared.oncology.record import Issue
from shared.oncology.wording import course_words
from tests.recommend.case import Case, Line, Spread, Staged, record, staging
from tests.recommend.every_case import AT, EVERY, answer_of, written_of
from tests.recommend.test_careplan import of

Json = dict[str, Any]
_ALLOWED = {"div", "p", "b", "i", "h3", "ul", "li", "table", "tr", "th", "td", "span", "br"}
_GIVEN = [Line(given=drug, id=f"{drug}-{day}", on=day) for day in ("2025-11-01", "2025-11-22") for drug in ("cisplatin", "paclitaxel")]
_LUNG = Staged(spread=(Spread(site="lung", of="organ", lesions=2),), few=True)


def given(*lines: Line, staged: Staged = _LUNG) -> Answer:
    """A fit woman with lung metastases, and what else her record holds."""
    case = Case(says="a synthetic patient", staged=staged, record=lines, expect={})  # type: ignore[arg-type]
    read, said = record(case), staging(case.staged)
    return Answer(read, said, recommend(read, said, library()))


def written(found: Answer) -> Json:
    bundle = transaction(found, drugs(library()), at=AT, software="0.1.0")
    assert check(bundle) == []
    return bundle


def narrative(bundle: Json) -> ET.Element:
    [plan] = of(bundle, "CarePlan")
    return ET.fromstring(plan["text"]["div"])


def details(bundle: Json) -> list[Json]:
    [plan] = of(bundle, "CarePlan")
    return [activity["detail"] for activity in plan["activity"] if "detail" in activity]


@pytest.mark.parametrize("case", EVERY)
def test_the_narrative_is_xhtml_of_the_allowed_elements_without_script_or_link(case: str) -> None:
    for plan in of(written_of(case), "CarePlan"):
        elements = list(ET.fromstring(plan["text"]["div"]).iter())
        assert {element.tag.partition("}")[2] for element in elements} <= _ALLOWED
        assert {name for element in elements for name in element.attrib} <= {"style", "border", "cellpadding", "align", "valign"}


def test_a_dose_says_that_it_is_a_reference_with_its_rule_inputs_and_rounding_and_is_structured_beside() -> None:
    [cisplatin] = [r for r in of(written_of("ivb-cps-10"), "MedicationRequest") if "50 mg/m2" in str(r)][:1]
    [dose] = cisplatin["dosageInstruction"]
    assert re.match(r"Reference, never an order: cisplatin 50 mg/m2 intravenously, day 1 every 21 days", dose["text"])
    assert "by body surface (Mosteller)" in dose["text"]
    assert re.search(r"weight [\d.]+ kg of 20\d\d-\d\d-\d\d", dose["text"])
    assert "rounded to 0.1 mg" in dose["text"]
    assert dose["timing"]["repeat"] == {"frequency": 1, "period": 21, "periodUnit": "d"}
    assert dose["doseAndRate"][0]["doseQuantity"]["code"] == "mg"
    assert "asNeededBoolean" not in dose
    assert cisplatin["supportingInformation"]


def test_a_capped_dose_names_the_most_that_one_dose_may_be() -> None:
    carboplatin = DoseAmount(drug="carboplatin", rule="AUC 5", amount=750.0, unit="mg", cap=750.0, day=(1,), cycle_days=21)
    assert dosage(carboplatin, None, proposed=True)["maxDosePerAdministration"]["value"] == 750.0
    assert {"doseAndRate", "maxDosePerAdministration"}.isdisjoint(dosage(carboplatin, None, proposed=False))


def test_days_of_the_cycle_and_doses_of_a_day_are_counted() -> None:
    topotecan = DoseAmount(drug="topotecan", rule="0.75 mg/m2", amount=1.3, unit="mg", day=(1, 2, 3), cycle_days=21)
    twice = DoseAmount(drug="larotrectinib", rule="100 mg", amount=100.0, unit="mg", day=(1,), cycle_days=1, times_a_day=2)
    assert dosage(topotecan, None, proposed=True)["timing"]["repeat"] == {"frequency": 3, "period": 21, "periodUnit": "d"}
    assert dosage(twice, None, proposed=True)["timing"]["repeat"] == {"frequency": 2, "period": 1, "periodUnit": "d"}


def test_an_unchecked_dose_carries_its_mark_also_beside_the_structured_amount() -> None:
    dose = DoseAmount(drug="etoposide", rule="100 mg/m2", amount=171.4, unit="mg", day=(1, 2, 3), cycle_days=21, checked=False)
    assert {"text": "Not checked against the source"} in dosage(dose, None, proposed=True)["additionalInstruction"]


def test_what_begins_later_than_the_first_part_of_a_regimen_says_by_how_many_days() -> None:
    [group] = of(written_of("iva-bladder-mucosa"), "RequestGroup")
    parts = [part for action in group["action"][0]["action"] for part in action["action"] if "relatedAction" in part]
    [after] = {part["relatedAction"][0]["offsetDuration"]["value"] for part in parts if "pembrolizumab" in part["title"].lower()}
    assert after == 105


def test_a_course_of_one_total_is_coded_in_centigray_and_a_range_stays_in_words() -> None:
    requests = [r for r in of(written(given()), "ServiceRequest") if r["code"].get("text", "").startswith("Radiotherapy course")]
    coded = [e for r in requests for e in r["extension"] if e["url"].endswith("dose-prescribed-to-volume")]
    assert {part["valueQuantity"]["value"] for e in coded for part in e["extension"] if part["url"] == "totalDose"} >= {3000}
    ranged = [r for r in requests if "45 to 50.4 Gy" in str(r["note"])]
    assert ranged
    assert all("dose-prescribed" not in str(r["extension"]) for r in ranged)


def test_no_dose_rate_and_no_technique_is_coded_that_the_knowledge_does_not_tell() -> None:
    requests = [r for case in ("ivb-cps-10", "iva-bladder-mucosa") for r in of(written_of(case), "ServiceRequest")]
    parts = [
        [p["valueCodeableConcept"] for p in e["extension"]] for r in requests for e in r.get("extension", ()) if "technique" in e["url"]
    ]
    assert parts
    for modality, technique in parts:
        assert technique["coding"][0]["code"] == "UNC"
        assert all(concept.get("text") for concept in (modality, technique) if concept["coding"][0]["code"] == "UNC")
    rates = {modality["coding"][0]["code"] for modality, _ in parts}
    assert rates == {"1156506007", "394902000", "UNC"}


def test_the_words_of_a_course_put_the_dose_before_what_else_is_said_of_its_target() -> None:
    course = Radiotherapy(course="palliative", target="pelvis; once a month", total_gy=10.0, fractions=1, reference="x")
    assert course_words(course) == "palliative radiotherapy to the pelvis: 10 Gy in 1 fraction; once a month"


def test_each_contraindication_is_one_issue_on_the_requests_of_everything_it_rules_out() -> None:
    bundle = written(given(Line(condition="icd10 N82.0", id="fistula")))
    [issue] = [i for i in of(bundle, "DetectedIssue") if "fistula" in i["detail"]]
    out = [c for c in of(bundle, "RequestGroup")[0]["action"][0]["action"] if "Ruled out" in c["description"]]
    requests = {part["resource"]["reference"] for c in out for part in c["action"] if "bevacizumab" in c["code"][0]["coding"][0]["code"]}
    assert {i["reference"] for i in issue["implicated"]} == requests
    assert issue["evidence"][0]["detail"] == [{"reference": "Condition/fistula"}]


@pytest.mark.parametrize("case", ["ivb-cps-10", "iva-bladder-mucosa", "recurrent-lung-after-chemoradiation", "ivb-small-cell"])
def test_every_action_leads_to_its_file_and_every_criterion_to_a_work_a_place_and_a_mark(case: str) -> None:
    [group] = of(written_of(case), "RequestGroup")
    for action in group["action"][0]["action"]:
        [origin] = [d for d in action["documentation"] if d["type"] == "derived-from"]
        assert (FOLDER / origin["label"]).is_file()
        assert origin["resource"].endswith(f"/PlanDefinition/{action['code'][0]['coding'][0]['code']}|{library().knowledge.edition}")
        assert origin["resource"] in group["instantiatesCanonical"]
        for place in (d for d in action["documentation"] if d["type"] == "justification"):
            assert place["label"] in library().works
            assert re.search(r"\((not )?checked against the source\)", place["display"])
        for figure in (d for d in action["documentation"] if d["type"] == "citation" and "display" in d):
            assert figure["display"].endswith("; checked against the source]")


def test_a_reader_finds_every_work_that_is_named_anywhere_among_the_works_cited() -> None:
    recommendation = answer_of("ivb-cps-10").recommendation
    works = {work for c in recommendation.candidates for rule in (*c.reasons, *c.cautions, *c.blocks) for work in rule.evidence}
    assert works | {figure.id for c in recommendation.candidates for figure in c.evidence} <= set(recommendation.works)


def test_a_trial_is_asked_about_by_its_registry_number_and_one_she_does_not_fit_is_told_only() -> None:
    lines = [*_GIVEN, Line(given="pembrolizumab", id="pd-1", on="2025-11-01")]
    later = given(*lines, Line(observation="loinc 97509-4", answer="sct 271299001", on="2026-01-28"), staged=Staged(state="progressive"))
    bundle = written(later)
    asked = [r for r in of(bundle, "ServiceRequest") if r["intent"] == "proposal"]
    assert {r["status"] for r in asked} == {"draft"}
    shown = {trial.title: trial.verdict for trial in later.recommendation.trials}
    assert {r["code"]["text"].removeprefix("Ask about: ") for r in asked} == {t for t, verdict in shown.items() if verdict != "ruled-out"}
    assert all(title in "".join(narrative(bundle).itertext()) for title in shown)


def test_a_pathway_has_no_calendar_dates_before_a_first_cycle_and_has_them_from_then_on() -> None:
    before, after = details(written(given())), details(written(given(*_GIVEN)))
    assert before
    assert all("scheduledTiming" not in detail for detail in before)
    assert any("day 85, cycle 4, counted from day 1 of cycle 1" in detail.get("scheduledString", "") for detail in before)
    days = {
        detail["code"]["text"]: (detail["scheduledTiming"]["event"], detail["status"]) for detail in after if "scheduledTiming" in detail
    }
    [assessment] = [value for name, value in days.items() if name.startswith("Assessment of the response")]
    assert assessment == (["2026-01-24"], "unknown")
    assert {status for (event,), status in days.values() if event > "2026-02-11"} == {"not-started"}


def test_where_every_drug_is_ruled_out_a_pathway_is_on_hold_and_has_no_schedule() -> None:
    held = details(written(given(Line(observation="loinc 89247-1", id="ecog", value=4))))
    assert {detail["status"] for detail in held} == {"on-hold"}
    assert all("scheduledString" not in detail for detail in held)


def test_prognosis_stands_in_words_only_with_its_limits_before_its_figures() -> None:
    bundle = written_of("ivb-cps-10")
    assert not of(bundle, "RiskAssessment")
    context = "".join(narrative(bundle).itertext()).partition("Prognostic context")[2]
    assert context.index("It predicts nothing for this one") < context.index("52.4 %")


def test_a_response_moves_the_pathway_on_and_so_makes_a_new_decision() -> None:
    assessed = given(*_GIVEN, Line(observation="loinc 97509-4", id="response", answer="sct 268910001", on="2026-01-28"))
    assert decision(assessed) != decision(given(*_GIVEN))


def test_another_verdict_on_a_trial_is_a_new_decision() -> None:
    found = answer_of("ivb-cps-10")
    [trial] = found.recommendation.trials
    other = msgspec.structs.replace(found.recommendation, trials=(msgspec.structs.replace(trial, verdict="ruled-out"),))
    assert decision(found._replace(recommendation=other)) != decision(found)


def test_a_remark_on_the_data_and_a_later_day_alone_make_no_new_decision() -> None:
    found = answer_of("ivb-cps-10")
    remark = Issue(severity="information", code="resource-invalid", text="A finding that nobody cites.", sources=())
    remarked = msgspec.structs.replace(found.staging, issues=(*found.staging.issues, remark))
    situation = msgspec.structs.replace(found.recommendation.situation, platinum_free_days=40)
    later = msgspec.structs.replace(found.recommendation, situation=situation)
    assert decision(found._replace(staging=remarked, recommendation=later)) == decision(found)


def test_the_narrative_quotes_a_hostile_text_without_letting_it_in() -> None:
    found = answer_of("ivb-cps-10")
    hostile = Issue(severity="warning", code="contested", text="<script>alert(1)</script>\x00\x0b & <b>", sources=())
    found = found._replace(staging=msgspec.structs.replace(found.staging, issues=(hostile,)))
    words = "".join(narrative(transaction(found, drugs(library()), at=AT, software="0.1.0")).itertext())
    assert "<script>alert(1)</script> & <b>" in words


def test_the_narrative_says_first_what_was_not_read() -> None:
    case = Case(says="a synthetic patient", staged=_LUNG, unread=("Procedure",), expect={})  # type: ignore[arg-type]
    read, said = record(case), staging(case.staged, case.unread)
    told = "".join(narrative(written(Answer(read, said, recommend(read, said, library())))).itertext())
    assert "Not read, or not wholly: procedures." in told.partition("Stage, derived by rule")[0]
    assert "disease state: not known" in told
    assert "No published pathway is shown" in told


def test_the_narrative_can_be_read_alone() -> None:
    words = "".join(narrative(written_of("ivb-cps-10")).itertext())
    for part in ("Stage, derived by rule", "Situation", "Sites of spread", "Candidates (", "To ask, and for which candidates", "Criteria:"):
        assert part in words
    for part in ("On a published pathway", "Trials to ask about", "Prognostic context", "To be kept in mind", "Works cited", "Knowledge:"):
        assert part in words


@pytest.mark.parametrize("case", ["ivb-cps-10", "recurrent-local", "recorded-iib-derived-iiic1", "ivb-renal-impairment"])
def test_provenance_names_every_finding_that_anything_written_refers_to(case: str) -> None:
    found = answer_of(case)
    bundle = transaction(found, drugs(library()), at=AT, software="0.1.0")
    known = {finding.source for finding in found.record.findings}
    referred = {r for e in bundle["entry"] if e["resource"]["resourceType"] != "Provenance" for r in references(e["resource"])}
    [provenance] = of(bundle, "Provenance")
    assert referred & known <= {entity["what"]["reference"].split("/_history")[0] for entity in provenance["entity"]}
