"""Treatment as hospitals record it: by codes of several systems, in words, in parts, twice, or with a doubtful status."""

from __future__ import annotations

import json
from typing import Any

import pytest

from examples import codes
from examples.resources import coding, concept, extension, snomed
from services.cohort.study import Studied
from services.cohort_study import book
from services.recommend.irradiated import courses
from shared.fhir.reader import read_bundle
from tests.cohort.study_rows import Patient

Json = dict[str, Any]
CPT = "http://www.ama-assn.org/go/cpt"
HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
ICD_10_PCS = "http://www.cms.gov/Medicare/Coding/ICD10"
OPS = "http://fhir.de/CodeSystem/bfarm/ops"
COURSE = snomed("1217123003", "Radiotherapy course of treatment")
BEAM, INSIDE = "1156506007", "394902000"
RT = codes.MCODE + "radiotherapy-"


def put(patient: Patient, name: str, code: Json, start: int, end: int | None = None, site: str | None = None, **content: Any) -> Patient:
    """A Procedure of hers."""
    chart = patient.chart
    period = {"start": chart.on(start)} | ({"end": chart.on(end)} if end is not None else {})
    body = {"status": "completed", "code": code, "subject": chart.subject, "performedPeriod": period}
    chart.put("Procedure", name, body | ({"bodySite": [snomed(site)]} if site else {}) | content)
    return patient


def modality(*values: str, part: str = "modality") -> Json:
    return {"url": RT + "modality-and-technique", "extension": [extension(RT + part, valueCodeableConcept=snomed(v)) for v in values]}


def dose(gy: float, fractions: int) -> Json:
    quantity = {"value": round(gy * 100), "unit": "cGy", "system": codes.UCUM, "code": "cGy"}
    parts = [extension("totalDoseDelivered", valueQuantity=quantity), extension("fractionsDelivered", valueUnsignedInt=fractions)]
    return {"url": RT + "dose-delivered-to-volume", "extension": parts}


def course(
    patient: Patient, name: str, kind: str | None, start: int, end: int | None, gy: float = 0, fractions: int = 0, **content: Any
) -> Patient:
    """A course summary of mCODE, to the cervix."""
    extensions = [*([modality(kind)] if kind else []), *([dose(gy, fractions)] if gy else [])]
    return put(patient, name, COURSE, start, end, codes.CERVIX, **({"extension": extensions} if extensions else {}) | content)


def whole(patient: Patient, name: str) -> Json:
    return {"partOf": [{"reference": f"Procedure/{patient.chart.key}-{name}"}]}


def irradiated() -> Patient:
    return Patient().cycles().beam(56, 93, 45.0, 25)


def why(found: Studied, about: str) -> str:
    return next(reason.says for reason in found.reasons if reason.assigned == about)


@pytest.mark.parametrize(
    "code",
    [
        *map(snomed, ("384692006", "113120007", "438629002", "1156707000", "1156382005")),
        *(concept(coding(CPT, number)) for number in ("77761", "77763", "77770", "77771", "77772", "77778")),
        concept(coding(OPS, "8-524.2")),
        concept(coding(ICD_10_PCS, "DU1197Z")),
        *(
            concept(text=text)
            for text in ("HDR brachytherapy of the cervix, 4 x 7 Gy", "Brachytherapie Zervix", "Afterloading intrakavitär")
        ),
        *(concept(text=text) for text in ("Interstitial implant, HDR", "HDR vaginal insertion", "Tandem and ovoids, HDR, 7 Gy")),
    ],
    ids=lambda code: str(code["text"] if "text" in code else code["coding"][0]["code"]),
)
def test_brachytherapy_is_known_by_its_codes_and_words_and_makes_group_a(code: Json) -> None:
    found = put(irradiated(), "inside", code, 96, 110).columns()
    assert (found.group, found.pelvic_radiotherapy) == ("A", "definitive")
    assert found.external_gy == 45.0, "it adds nothing to external beam"


def test_a_technique_of_brachytherapy_alone_tells_that_a_course_is_brachytherapy() -> None:
    patient = put(irradiated(), "in", COURSE, 96, 110, codes.CERVIX, extension=[modality("384692006", part="technique"), dose(28.0, 4)])
    found = patient.columns()
    assert (found.group, found.external_gy, found.brachytherapy_gy) == ("A", 45.0, 28.0)


@pytest.mark.parametrize("code", ["14473006", "169359004"])
def test_brachytherapy_of_the_skin_or_with_seeds_is_to_no_place_that_can_be_told(code: str) -> None:
    assert put(irradiated(), "seeds", snomed(code), 96).columns().group is None
    assert put(irradiated(), "seeds", snomed(code), 96, site="76752008").columns().group == "B"


def test_brachytherapy_of_the_breast_is_none_to_the_pelvis() -> None:
    found = put(irradiated(), "breast", snomed("152198000"), 96, site="76752008").columns()
    assert (found.group, found.metastasis_radiotherapy) == ("B", True)


def test_a_course_with_both_modalities_is_definitive_and_its_dose_is_of_neither() -> None:
    both = [modality(BEAM), modality(INSIDE), dose(73.0, 30)]
    found = put(Patient().cycles(), "both", COURSE, 56, 110, codes.CERVIX, extension=both).columns()
    assert (found.group, found.external_gy, found.brachytherapy_gy, found.point_a_eqd2_gy) == ("A", None, None, None)
    assert found.definitive_days == 110


def test_parts_of_a_course_with_both_modalities_tell_its_doses() -> None:
    patient = put(Patient().cycles(), "both", COURSE, 56, 110, codes.CERVIX, extension=[modality(BEAM), modality(INSIDE), dose(73.0, 29)])
    course(patient, "beam", BEAM, 56, 93, 45.0, 25, **whole(patient, "both"))
    course(patient, "in", INSIDE, 96, 110, 28.0, 4, **whole(patient, "both"))
    found = patient.columns()
    assert (found.group, found.external_gy, found.brachytherapy_gy, found.point_a_eqd2_gy) == ("A", 45.0, 28.0, 83.9)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (concept(coding(OPS, "8-522.91")), "field"),
        (concept(coding(OPS, "8-521.0")), "field"),
        (concept(coding(CPT, "77412")), "field"),
        (concept(coding(CPT, "77427")), "field"),
        (concept(coding(HCPCS, "G6015")), "field"),
        (concept(coding(ICD_10_PCS, "D7061ZZ")), "field"),
        (concept(text="Strahlentherapie"), "field"),
        (concept(text="Bestrahlung, 45 Gy"), "field"),
        (concept(text="Radiation, pelvis, 45 Gy"), "external beam or brachytherapy"),
        (concept(text="Strahlentherapie Becken"), "external beam or brachytherapy"),
        (concept(text="Blutstillende Bestrahlung Becken bei vaginaler Blutung"), "external beam or brachytherapy"),
        (concept(text="Bestrahlungsplanung IMRT Becken, 45 Gy"), "external beam or brachytherapy"),
        (snomed("108290001"), "field"),
    ],
)
def test_radiotherapy_of_which_kind_or_place_cannot_be_told_leaves_the_group_open(code: Json, says: str) -> None:
    found = put(Patient().cycles(), "some", code, 56, 93).columns()
    assert (found.group, found.pelvic_radiotherapy, found.left_out) == (None, None, "complete")
    assert says in why(found, "group open")
    assert next(r.sources for r in found.reasons if r.assigned == "group open") == ("Procedure/one-some",)


@pytest.mark.parametrize(
    "code",
    [
        concept(text="Pelvic EBRT 45 Gy / 25 fx, IMRT"),
        concept(text="Perkutane Strahlentherapie Becken 45 Gy"),
        concept(text="Hochvoltstrahlentherapie des Beckens"),
        concept(text="EBRT to the pelvis, 45 Gy as in the plan"),
        concept(coding(ICD_10_PCS, "DU011ZZ", "Beam Radiation of Cervix using Photons 1 - 10 MeV")),
        concept(coding(ICD_10_PCS, "DW061ZZ")),
    ],
)
def test_external_beam_is_known_by_codes_and_words_that_name_the_pelvis(code: Json) -> None:
    assert put(Patient().cycles(), "beam", code, 56, 93).columns().pelvic_radiotherapy == "palliative"
    assert put(Patient().cycles(), "beam", code, 56, 93).beam(96, 110, 28.0, 5, inside=True).columns().group == "A"


@pytest.mark.parametrize("code", [concept(coding(OPS, "8-522.91")), concept(coding(CPT, "77386")), concept(coding(HCPCS, "G6004"))])
def test_the_body_site_tells_where_external_beam_by_such_a_code_went(code: Json) -> None:
    assert put(Patient().cycles(), "beam", code, 56, 93, codes.CERVIX).columns().pelvic_radiotherapy == "palliative"
    assert put(Patient().cycles(), "beam", code, 56, 93, "39607008").columns().pelvic_radiotherapy == "none"


@pytest.mark.parametrize(
    "code",
    [
        concept(coding(CPT, "77301", "IMRT planning")),
        concept(coding(OPS, "8-529.4")),
        concept(text="Bestrahlungsplanung"),
        concept(text="Radiation oncology consultation"),
        concept(text="IMRT plan"),
        concept(text="Review by the radiotherapist"),
        concept(text="Bestrahlung von Blutkonserven"),
        concept(text="Argon plasma coagulation for radiation proctitis"),
        concept(text="Cone beam CT, image guidance for radiotherapy"),
        concept(text="Transfusion of red cells after irradiation of the unit"),
        concept(text="Whole brain radiotherapy 30 Gy"),
    ],
)
def test_planning_talk_and_radiotherapy_elsewhere_are_none_to_the_pelvis(code: Json) -> None:
    assert put(Patient().cycles(), "none", code, 56).columns().pelvic_radiotherapy == "none"


@pytest.mark.parametrize("status", ["unknown", "on-hold"])
def test_radiotherapy_of_doubtful_status_is_neither_done_nor_none(status: str) -> None:
    alone = course(Patient().cycles(), "beam", BEAM, 56, 93, 45.0, 25, status=status).columns()
    assert (alone.group, alone.external_gy) == (None, None)
    assert "status" in why(alone, "group open")
    beside = course(irradiated(), "in", INSIDE, 96, 110, 28.0, 4, status=status).columns()
    assert (beside.group, beside.external_gy, beside.brachytherapy_gy) == (None, 45.0, None)


@pytest.mark.parametrize("kind", ["MedicationAdministration", "MedicationStatement"])
@pytest.mark.parametrize("status", ["unknown", "on-hold"])
def test_chemotherapy_of_doubtful_status_leaves_the_cycles_open(kind: str, status: str) -> None:
    patient = Patient().drug(14, "cisplatin", kind=kind).drug(35, "cisplatin", kind=kind).drug(40, "ondansetron", kind=kind)
    for resource in patient.chart.resources:
        if resource["resourceType"] == kind:
            resource["status"] = status
    found = patient.columns()
    assert (found.cycles, found.every_cycle, found.left_out) == (None, None, "cycles")
    assert "status" in why(found, "cycles open")


def test_a_supportive_drug_of_doubtful_status_leaves_the_cycles_alone() -> None:
    patient = Patient().cycles().drug(14, "ondansetron")
    patient.chart.resources[-1]["status"] = "unknown"
    assert patient.columns().cycles == 4


def test_a_doubtful_entry_of_a_drug_that_was_given_that_day_and_a_statement_about_administrations_change_nothing() -> None:
    patient = Patient().cycles()
    for day, kind in ((14, "MedicationAdministration"), (90, "MedicationStatement")):
        again = patient.drug(day, "cisplatin", kind=kind).chart.resources[-1]
        again["id"], again["status"] = f"again-{day}", "unknown"
    assert (patient.columns().cycles, patient.columns().every_cycle) == (4, 4)


def test_who_has_two_cycles_beside_a_doubtful_one_is_counted_and_her_cycles_are_open() -> None:
    patient = Patient().cycles().drug(200, "topotecan")
    patient.chart.resources[-1]["status"] = "on-hold"
    found = patient.columns()
    assert (found.counted, found.cycles, found.every_cycle) == (True, None, None)


def test_chemotherapy_that_was_only_ordered_leaves_the_cycles_open() -> None:
    found = Patient().drug(14, "cisplatin", kind="MedicationRequest").drug(35, "cisplatin", kind="MedicationRequest").columns()
    assert (found.cycles, found.every_cycle, found.left_out) == (None, None, "cycles")
    assert "ordered" in why(found, "cycles open")
    assert Patient().cycles().drug(14, "carboplatin", kind="MedicationRequest").columns().cycles == 4


@pytest.mark.parametrize(
    ("code", "drug"), [("J9060", "cisplatin"), ("J9045", "carboplatin"), ("J9267", "paclitaxel"), ("J9201", "gemcitabine")]
)
def test_a_drug_by_its_hcpcs_code_alone_is_that_drug(code: str, drug: str) -> None:
    patient = Patient().drug(14, "x").drug(35, "x")
    for resource in patient.chart.resources[-2:]:
        resource["medicationCodeableConcept"] = concept(coding(HCPCS, code))
    found = patient.columns()
    assert (found.cycles, [each.drugs for each in found.regimens]) == (2, [drug])


def test_a_drug_that_cannot_be_told_leaves_the_cycles_open_where_no_chemotherapy_is_known() -> None:
    unknown = concept(coding(HCPCS, "J9999"))
    alone, beside = Patient().drug(14, "x"), Patient().cycles().drug(14, "x")
    for patient in (alone, beside):
        patient.chart.resources[-1]["medicationCodeableConcept"] = unknown
    assert (alone.columns().cycles, "cannot be told" in why(alone.columns(), "cycles open")) == (None, True)
    assert beside.columns().cycles == 4
    assert Patient().drug(14, "pembrolizumab").columns().cycles == 0


def test_parts_of_a_course_that_tells_its_dose_add_nothing() -> None:
    patient = irradiated().beam(96, 110, 28.0, 4, inside=True)
    course(patient, "whole", BEAM, 56, 93, 45.0, 25)
    patient.chart.resources = [r for r in patient.chart.resources if r["id"] != "one-radiotherapy-56"]
    for day in range(56, 81):
        put(patient, f"fraction-{day}", snomed("33195004"), day, site=codes.CERVIX, **whole(patient, "whole"))
    course(patient, "phase", BEAM, 56, 70, 22.5, 12, **whole(patient, "whole"))
    found = patient.columns()
    assert (found.group, found.external_gy, found.point_a_eqd2_gy) == ("A", 45.0, 83.9)


def test_a_course_without_a_dose_has_that_of_its_parts() -> None:
    patient = course(Patient().cycles(), "whole", BEAM, 56, 93)
    course(patient, "first", BEAM, 56, 70, 27.0, 15, **whole(patient, "whole"))
    course(patient, "second", BEAM, 71, 93, 18.0, 10, **whole(patient, "whole"))
    assert (patient.columns().external_gy, patient.columns().pelvic_radiotherapy) == (45.0, "palliative")
    course(patient, "third", BEAM, 94, 95, **whole(patient, "whole"))
    assert patient.columns().external_gy is None


def test_a_course_whose_kind_its_parts_alone_tell_keeps_its_own_dose() -> None:
    patient = course(Patient().cycles(), "whole", None, 56, 93, 45.0, 25)
    for day in (56, 57, 58):
        put(patient, f"fraction-{day}", snomed("33195004"), day, **whole(patient, "whole"))
    assert (patient.columns().pelvic_radiotherapy, patient.columns().external_gy) == ("palliative", 45.0)


def test_parts_of_another_kind_are_courses_of_their_own() -> None:
    patient = course(Patient().cycles(), "whole", BEAM, 56, 93, 45.0, 25)
    course(patient, "in", INSIDE, 96, 110, 28.0, 4, **whole(patient, "whole"))
    assert (patient.columns().group, patient.columns().point_a_eqd2_gy) == ("A", 83.9)


def test_parts_of_another_cancers_radiotherapy_are_its_own() -> None:
    patient = Patient().cycles()
    code = concept(coding(codes.ICD_10_CM, "C50.9", "Malignant neoplasm of breast"))
    breast = patient.chart.condition("breast", code, patient.chart.on(400), verification="confirmed")
    put(patient, "breast-whole", snomed("33195004"), 420, 450, "76752008", reasonReference=[{"reference": breast}])
    put(patient, "breast-fraction", snomed("33195004"), 420, **whole(patient, "breast-whole"))
    assert (patient.columns().group, patient.columns().metastasis_radiotherapy) == ("B", False)


def test_courses_that_are_parts_of_each_other_are_read_once() -> None:
    patient = course(Patient().cycles(), "a", BEAM, 56, 93, 45.0, 25)
    patient.chart.resources[-1] |= whole(patient, "b")
    course(patient, "b", BEAM, 56, 94, 45.0, 25, **whole(patient, "a"))
    assert patient.columns().external_gy == 45.0


def test_the_same_course_under_another_id_counts_once_and_a_reason_says_so() -> None:
    patient = Patient().cycles()
    for name in ("a", "b"):
        course(patient, f"beam-{name}", BEAM, 56, 93, 45.0, 25)
        course(patient, f"in-{name}", INSIDE, 96, 110, 28.0, 4)
    found = patient.columns()
    assert (found.external_gy, found.brachytherapy_gy, found.point_a_eqd2_gy) == (45.0, 28.0, 83.9)
    twice = [reason.sources for reason in found.reasons if reason.assigned == "radiotherapy on record twice"]
    assert twice == [("Procedure/one-beam-a", "Procedure/one-beam-b"), ("Procedure/one-in-a", "Procedure/one-in-b")]


def test_insertions_on_other_days_are_each_one() -> None:
    patient = irradiated()
    for day in (96, 100, 104, 108):
        course(patient, f"in-{day}", INSIDE, day, day, 7.0, 1)
    assert (patient.columns().brachytherapy_gy, patient.columns().point_a_eqd2_gy) == (28.0, 83.9)


def test_a_dose_that_nobody_is_given_is_none_and_a_reason_names_the_courses() -> None:
    found = irradiated().beam(57, 94, 45.0, 25).columns()
    assert (found.group, found.external_gy) == ("B", None)
    reason = next(reason for reason in found.reasons if reason.assigned == "dose open")
    assert "90 Gy" in reason.says
    assert reason.sources == ("Procedure/one-radiotherapy-56", "Procedure/one-radiotherapy-57")
    point_a = irradiated().beam(96, 110, 28.0, 4, inside=True).beam(97, 111, 28.0, 4, inside=True).columns()
    assert (point_a.group, point_a.external_gy, point_a.brachytherapy_gy, point_a.point_a_eqd2_gy) == ("A", None, None, None)
    assert "EQD2 to point A" in why(point_a, "dose open")


def test_external_beam_that_is_still_going_on_leaves_the_group_open() -> None:
    going = course(Patient().cycles(), "beam", BEAM, 56, None, 45.0, 25, status="in-progress")
    assert (going.columns().group, "still going on" in why(going.columns(), "group open")) == (None, True)
    inside = going.beam(96, 110, 28.0, 5, inside=True).columns()
    assert inside.group == "A"
    over = course(Patient().cycles().drug(200, "x"), "beam", BEAM, 56, 93, 45.0, 25, status="in-progress").columns()
    assert over.group == "B", "its end is on record and past"


def test_recommend_reads_the_same_radiotherapy_by_the_same_code_book() -> None:
    patient = Patient()
    for name, code in (
        ("a-field-open", concept(text="Strahlentherapie")),
        ("b-inside", concept(coding(CPT, "77771"))),
        ("c-beam", concept(text="Perkutane Strahlentherapie Becken")),
        ("d-planned", concept(text="Bestrahlungsplanung")),
    ):
        put(patient, name, code, 56, 93)
    put(patient, "e-unknown", concept(coding(CPT, "77771")), 56, 93, status="unknown")
    record = read_bundle(json.dumps(patient.chart.transaction()).encode())
    assert [(each.source, each.pelvic) for each in courses(record, book())] == [
        ("Procedure/one-a-field-open", None),
        ("Procedure/one-b-inside", True),
        ("Procedure/one-c-beam", True),
    ]
