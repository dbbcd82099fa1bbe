"""Days: death, what lay in the future of the day asked for, and what is old."""

from __future__ import annotations

import json

import msgspec
import pytest

from services.recommend.candidates import recommend
from services.recommend.library import library
from services.recommend.treatments import history
from shared.fhir.reader import read_bundle
from shared.oncology.recommendation import Recommendation
from shared.oncology.record import Coding, Concept, Finding, Record
from tests.recommend.case import Case, Expected, Line, Staged, record, staging

CASE = Case(says="", expect=Expected(verdict="eligible"))
DEAD = "The patient has died; nothing is proposed."


def patient(**more: object) -> dict[str, object]:
    """A synthetic woman."""
    return {"resourceType": "Patient", "id": "synthetic", "birthDate": "1973-01-05", "gender": "female", **more}


def read(*resources: dict[str, object], as_of: str | None = None) -> Record:
    """The record in a Bundle of these resources."""
    entries = [{"fullUrl": f"http://x/{r['resourceType']}/{r['id']}", "resource": r} for r in resources]
    return read_bundle(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode(), as_of=as_of)


def answer(of: Record, staged: Staged | None = None) -> Recommendation:
    """The recommendation for that record."""
    return recommend(of, staging(staged or Staged()), library())


def condition(day: str, text: str = "Rectovaginal fistula") -> dict[str, object]:
    """A condition of that day."""
    subject = {"reference": "Patient/synthetic"}
    return {"resourceType": "Condition", "id": "f1", "subject": subject, "code": {"text": text}, "onsetDateTime": day, "recordedDate": day}


@pytest.mark.parametrize(
    ("died", "as_of", "dead"),
    [
        ({"deceasedDateTime": "2026-02-20"}, None, True),
        ({"deceasedBoolean": True}, None, True),
        ({"deceasedBoolean": True}, "2026-02-12", True),
        ({"deceasedDateTime": "unknown"}, None, True),
        ({"deceasedDateTime": "2026-02-20"}, "2026-02-20", True),
        ({"deceasedDateTime": "2026-02-20"}, "2026-02-19", False),
        ({"deceasedBoolean": False}, None, False),
        ({}, None, False),
    ],
)
def test_nobody_dead_is_proposed_anything_unless_the_day_asked_for_lies_before(
    died: dict[str, object], as_of: str | None, dead: bool
) -> None:
    """Death counts whenever it came, whatever the newest date of the record; an unknown day of death counts too."""
    given = answer(read(patient(**died), condition("2026-02-10", "Hypertension"), as_of=as_of))
    assert (given.candidates == ()) is dead
    assert any(note.text == DEAD for note in given.notes) is dead


def test_a_finding_later_than_the_day_asked_for_does_not_block() -> None:
    """A fistula of June is no reason in February, and is one without a day."""
    february = answer(read(patient(), condition("2026-06-01"), as_of="2026-02-12"))
    assert all("fistula" not in {block.criterion for block in candidate.blocks} for candidate in february.candidates)
    june = answer(read(patient(), condition("2026-06-01")))
    assert any("fistula" in {block.criterion for block in candidate.blocks} for candidate in june.candidates)


def test_a_treatment_later_than_the_day_asked_for_was_not_given() -> None:
    """Nothing given in May makes a second line, or a second PD-1 antibody, in February."""
    of = msgspec.structs.replace(record(CASE), as_of="2026-02-12", today="2026-02-12")
    later = [
        Finding(source=f"MedicationAdministration/{drug}", kind="medication-administration", concept=Concept(text=drug), when=when)
        for drug, when in (("pembrolizumab", "2026-05-01"), ("docetaxel", "2027-01-01"))
    ]
    given = answer(msgspec.structs.replace(of, findings=(*of.findings, *later)))
    assert given.situation.line == 1
    assert all("prior-pd-1" not in {block.criterion for block in candidate.blocks} for candidate in given.candidates)


def test_a_grade_that_rests_on_a_later_work_is_hidden() -> None:
    """In May 2024 the survival of October is not known; the grade that names it does not stand there."""
    staged = Staged(figo_2018="IIIB", figo_2009="IIIB")
    case = Case(says="", as_of="2024-05-01", expect=CASE.expect)
    then = next(c for c in answer(record(case), staged).candidates if c.regimen == "pembrolizumab-chemoradiation")
    now = next(c for c in answer(record(CASE), staged).candidates if c.regimen == "pembrolizumab-chemoradiation")
    assert then.grade is None
    assert now.grade
    assert "overall survival prolonged" in now.grade.text


def test_an_approval_of_the_future_is_not_told() -> None:
    """Asked for Europe in May 2024, the answer does not name the approval of October."""
    staged = Staged(figo_2018="IIIB", figo_2009="IIIB")
    case = Case(says="", as_of="2024-05-01", record=(Line(observation="loinc 89247-1", value=1, on="2024-02-10"),), expect=CASE.expect)
    given = recommend(record(case), staging(staged), library(), region="EMA")
    assert "2024-10" not in " ".join(reason.says for candidate in given.candidates for reason in candidate.reasons)


@pytest.mark.parametrize("as_of", [None, "2009-01-15", "2015-01-15", "2018-12-01", "2022-01-15"])
def test_the_reference_of_a_course_is_a_work_that_was_there(as_of: str | None) -> None:
    """Each course of radiotherapy cites a work of the knowledge; what nobody had published is not proposed."""
    for stage in ("IVB", "IVA", "IIB"):
        case = Case(says="", as_of=as_of, expect=CASE.expect)
        for candidate in answer(record(case), Staged(figo_2018=stage, figo_2009=stage)).candidates:
            for course in candidate.radiotherapy:
                published = library().works[course.reference].published
                assert as_of is None or published is None or published <= as_of


def test_a_page_past_its_own_review_date_says_so_from_that_day() -> None:
    """The page on supportive care asked for review by the 24th of October 2024."""
    for as_of, past in (("2024-01-15", False), (None, True)):
        found = next(c for c in answer(record(Case(says="", as_of=as_of, expect=CASE.expect))).candidates if c.intent == "supportive")
        assert any("past its own review date of 2024-10-24" in note for note in found.notes) is past


def test_a_product_is_its_drug_and_an_administration_by_an_unknown_code_is_named() -> None:
    """RxNorm 309311 is cisplatin 1 mg/mL; SNOMED 716125002 is pembrolizumab; what nobody understands stands in a note with its source."""
    of = record(CASE)

    def given(system: str, code: str) -> Record:
        concept = Concept((Coding(system, code),))
        more = Finding(source="MedicationAdministration/m1", kind="medication-administration", concept=concept, when="2026-01-20")
        return msgspec.structs.replace(of, findings=(*of.findings, more))

    book, policy = library().book, library().policies["default"]
    for system, code, drug in (
        ("http://www.nlm.nih.gov/research/umls/rxnorm", "309311", "cisplatin"),
        ("http://snomed.info/sct", "716125002", "pembrolizumab"),
    ):
        exposures = history(given(system, code), staging(Staged()), book, policy).exposures
        assert [exposure.drug.id for exposure in exposures] == [drug]
    notes = answer(given("http://www.nlm.nih.gov/research/umls/rxnorm", "9999999")).notes
    assert [note.sources for note in notes if "is not understood" in note.text] == [("MedicationAdministration/m1",)]


def test_the_final_analysis_of_a_trial_is_not_shown_on_a_day_before_it() -> None:
    """KEYNOTE-A18: the ratio of the final analysis, of 2025, stands under its own work, without the DOI of 2024."""
    staged = Staged(figo_2018="IVA", figo_2009="IVA")
    for as_of, shown in (("2024-12-01", {0.67}), ("2025-12-01", {0.67, 0.73})):
        case = msgspec.structs.replace(CASE, as_of=as_of, staged=staged)
        given = recommend(record(case), staging(staged), library())
        found = next(c for c in given.candidates if c.regimen == "pembrolizumab-chemoradiation").evidence
        survival = [figure for figure in found if figure.endpoint == "overall survival" and figure.hazard_ratio]
        assert {figure.hazard_ratio for figure in survival} == shown
        assert all(figure.doi is None for figure in survival if figure.hazard_ratio == 0.73)


def test_a_trial_is_not_named_on_a_day_before_it_was_registered() -> None:
    """TroFuse-020 was registered on the 10th of June 2024."""
    for as_of, there in (("2019-01-01", False), ("2024-06-09", False), ("2024-06-10", True)):
        worse = [Line(observation="loinc 97509-4", answer="sct 271299001", on=on) for on in ("2018-01-01", "2018-10-01")]
        lines = (Line(given="carboplatin", on="2018-06-01"), Line(given="paclitaxel", on="2018-06-01"), *worse)
        staged = Staged(figo_2018="IIB", figo_2009="IIB", state="recurrent", window_end="2017-01-10")
        case = msgspec.structs.replace(CASE, as_of=as_of, staged=staged, record=lines)
        trials = {trial.id for trial in recommend(record(case), staging(staged), library()).trials}
        assert ("trofuse-020" in trials) == there
