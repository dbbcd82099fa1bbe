"""The reader takes out of a Bundle what can be read of one patient, and names what cannot. Synthetic patients only."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from shared.fhir.outcome import Refused, Unreadable
from shared.fhir.reader import read_bundle, read_resources
from shared.oncology.record import Concept, Dose, Finding, Record, Value

Json = dict[str, Any]

SCT, LOINC, UCUM = "http://snomed.info/sct", "http://loinc.org", "http://unitsofmeasure.org"
AIAST = {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "AIAST"}


def coded(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def patient(**more: Any) -> Json:
    return {"resourceType": "Patient", "id": "17", "birthDate": "1970-01-01", "gender": "female", **more}


def condition(id: str = "c1", subject: str = "Patient/17", **more: Any) -> Json:
    code = coded("http://hl7.org/fhir/sid/icd-10-cm", "C53.9")
    return {"resourceType": "Condition", "id": id, "subject": {"reference": subject}, "code": code, "onsetDateTime": "2026-02-11", **more}


def size(value: object = 30, id: str = "o1", **more: Any) -> Json:
    quantity = {"value": value, "system": UCUM, "code": "mm"}
    observation: Json = {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "subject": {"reference": "Patient/17"},
        "code": coded(LOINC, "21889-1"),
        "effectiveDateTime": "2026-02-12",
        "valueQuantity": quantity,
    }
    return observation | more


def drug(id: str = "d1", **more: Any) -> Json:
    kind = "MedicationAdministration"
    return {
        "resourceType": kind,
        "id": id,
        "status": "completed",
        "subject": {"reference": "Patient/17"},
        "effectiveDateTime": "2026-03-01",
    } | more


def bundled(*resources: Json | tuple[str, Json], **more: Any) -> bytes:
    entries = [{"fullUrl": each[0], "resource": each[1]} if isinstance(each, tuple) else {"resource": each} for each in resources]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries, **more}).encode()


def read(*resources: Json | tuple[str, Json], as_of: str | None = None, **more: Any) -> Record:
    return read_bundle(bundled(*resources, **more), as_of=as_of)


def found(record: Record, source: str) -> Finding:
    (finding,) = (f for f in record.findings if f.source == source)
    return finding


def issues(record: Record) -> list[tuple[str, tuple[str, ...]]]:
    return [(issue.code, issue.sources) for issue in record.issues]


# ── what is no Bundle of one patient ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("data", [b"", b"   \n\t", b"\n"])
def test_empty_input_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match="empty"):
        read_bundle(data)


@pytest.mark.parametrize(
    "data",
    [
        b"not json",
        b"<!DOCTYPE html><html><body>Sign in</body></html>",
        b'{"resourceType": "Bundle", "entry": [',
        b"[]",
        b"null",
        b"17",
        b'"Bundle"',
        b"{}",
        b'{"resourceType": 7}',
        b'{"resourceType": "Bundle", "entry": {}}',
        b'{"resourceType": "Bundle"} {"resourceType": "Bundle"}',
        b'\xff\xfe{"resourceType": "Bundle"}',
        b'{"resourceType": "Bundle", "type": "\xff"}',
    ],
)
def test_what_is_not_a_bundle_in_json_is_unreadable_in_one_sentence(data: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        read_bundle(data)

    assert caught.value.text.startswith("The input is not a FHIR Bundle in JSON: ")
    assert caught.value.text.endswith(".")
    assert "Sign in" not in caught.value.text


def test_another_resource_than_a_bundle_says_what_it_is() -> None:
    with pytest.raises(Unreadable, match="The input is a Patient; give a Bundle"):
        read_bundle(json.dumps(patient()).encode())


def test_two_patients_in_one_bundle_are_refused() -> None:
    for second in (patient(id="18"), condition("c2", subject="Patient/18")):
        with pytest.raises(Refused, match="2 patients") as caught:
            read(patient(), condition(), second)
        assert "18" not in caught.value.text


def test_a_bundle_that_names_no_patient_is_refused() -> None:
    for entries in ([], [{"resourceType": "Organization", "id": "o"}]):
        with pytest.raises(Refused, match="No resource names a patient"):
            read(*entries)


def test_a_missing_patient_resource_is_not_an_error() -> None:
    record = read(condition(), size())

    assert record.patient == "Patient/17"
    assert record.birth_date is None
    assert [f.source for f in record.findings] == ["Condition/c1", "Observation/o1"]


def test_resources_pulled_for_one_patient_are_hers_or_refused() -> None:
    raw = [json.dumps(each).encode() for each in (patient(), condition())]

    assert read_resources("Patient/17", raw).patient == "Patient/17"
    assert read_resources("Patient/17", []).patient == "Patient/17"
    with pytest.raises(Refused, match="2 patients"):
        read_resources("Patient/18", raw)


# ── what is set aside, and named ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "broken",
    [
        {"resourceType": "Observation", "id": "bad", "code": "C53.9", "subject": {"reference": "Patient/17"}},
        {"resourceType": "Observation", "id": "bad", "subject": {"reference": "Patient/17"}},
        {"resourceType": "Condition", "id": "bad", "subject": "Patient/17"},
        {"resourceType": "Observation", "id": "bad", "code": {}, "valueQuantity": {"value": "about 3"}},
        {"resourceType": "Observation", "id": "bad", "code": {}, "valueBoolean": "Synthetic-Family"},
        {"resourceType": "Procedure", "id": "bad", "subject": {}, "performedDateTime": 20260211},
    ],
)
def test_an_entry_that_cannot_be_read_is_named_and_the_rest_is_used(broken: Json) -> None:
    record = read(patient(), broken, condition())

    assert issues(record) == [("resource-unreadable", (f"{broken['resourceType']}/bad",))]
    assert [f.source for f in record.findings] == ["Condition/c1"]
    assert "Synthetic-Family" not in record.issues[0].text


def test_an_entry_without_a_type_or_a_name_is_named_by_its_place() -> None:
    record = read(patient(), condition(), {"id": "x"}, {"resourceType": "Observation", "code": 7})

    assert issues(record) == [("resource-unreadable", ("entry 3",)), ("resource-unreadable", ("entry 4",))]


def test_what_cannot_be_read_still_tells_where_its_address_leads() -> None:
    """An unreadable Patient is still the patient whom the other resources name by her address."""
    record = read(("urn:uuid:a", patient(birthDate=1970)), condition(subject="urn:uuid:a"), size())

    assert record.patient == "Patient/17"
    assert issues(record) == [("resource-unreadable", ("Patient/17",))]
    assert [f.source for f in record.findings] == ["Condition/c1", "Observation/o1"]


def test_a_resource_of_a_type_that_r4_does_not_have_is_passed_over_and_takes_nothing_from_the_others() -> None:
    record = read(patient(), {"resourceType": "NutritionIntake", "id": "n", "status": {"code": 1}}, condition())

    assert record.issues == ()
    assert [f.source for f in record.findings] == ["Condition/c1"]


def test_entries_without_a_resource_and_resources_of_no_interest_are_passed_over() -> None:
    data = json.loads(bundled(patient(), condition(), {"resourceType": "Encounter", "id": "e", "subject": {"reference": "Patient/99"}}))
    data["entry"].append({"fullUrl": "urn:uuid:1", "response": {"status": "201"}})

    record = read_bundle(json.dumps(data).encode())

    assert record.issues == ()
    assert len(record.findings) == 1


def test_a_resource_with_a_modifier_that_nobody_understands_is_not_used() -> None:
    modified = size(id="o2", modifierExtension=[{"url": "http://example.org/negated", "valueBoolean": True}])
    ruled = size(id="o3", implicitRules="http://example.org/rules")

    record = read(condition(), size(), modified, ruled)

    assert issues(record) == [("modifier-unknown", ("Observation/o2",)), ("modifier-unknown", ("Observation/o3",))]
    assert [f.source for f in record.findings] == ["Condition/c1", "Observation/o1"]


def test_what_a_machine_asserted_is_no_evidence() -> None:
    record = read(condition(), size(meta={"security": [AIAST]}), size(id="o2", meta={"security": [{"code": "N"}]}))

    assert [f.source for f in record.findings] == ["Condition/c1", "Observation/o2"]
    assert record.issues == ()


# ── references ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "reference",
    [
        "Patient/17",
        "Patient/17/_history/3",
        "http://hospital.example/fhir/Patient/17",
        "https://hospital.example:8443/base/fhir/Patient/17/_history/2",
        "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0",
    ],
)
def test_every_way_to_point_at_the_patient_points_at_her(reference: str) -> None:
    her = ("urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0", patient())

    assert read(her, condition(subject=reference)).patient == "Patient/17"
    assert read(condition(subject=reference), her).patient == "Patient/17"


def test_a_transaction_of_new_resources_hangs_together_by_its_addresses() -> None:
    """Resources that have no id yet are told apart by their fullUrl."""
    her = {key: value for key, value in patient().items() if key != "id"}
    tumour = {key: value for key, value in condition(subject="urn:uuid:a").items() if key != "id"}
    seen = {
        key: value for key, value in size(subject={"reference": "urn:uuid:a"}, focus=[{"reference": "urn:uuid:b"}]).items() if key != "id"
    }

    record = read(("urn:uuid:c", seen), ("urn:uuid:b", tumour), ("urn:uuid:a", her))

    assert record.patient == "urn:uuid:a"
    assert found(record, "urn:uuid:c").focus == ("urn:uuid:b",)


def test_an_address_of_a_server_stands_for_the_id() -> None:
    her = {key: value for key, value in patient().items() if key != "id"}

    assert read(("http://hospital.example/fhir/Patient/17", her), condition()).patient == "Patient/17"


def test_focus_stages_and_related_conditions_are_local_references() -> None:
    url = "http://hl7.org/fhir/StructureDefinition/condition-related"
    secondary = condition("m1", extension=[{"url": url, "valueReference": {"reference": "http://h.example/fhir/Condition/c1/_history/4"}}])
    staged = condition(stage=[{"summary": {"text": "IIB"}, "assessment": [{"reference": "http://h.example/fhir/Observation/s1"}]}])

    record = read(staged, secondary, size(focus=[{"reference": "Condition/c1/_history/1"}, {"display": "the tumour"}]))

    assert found(record, "Condition/m1").related == ("Condition/c1",)
    assert found(record, "Condition/c1").stages[0].assessments == ("Observation/s1",)
    assert found(record, "Observation/o1").focus == ("Condition/c1",)


# ── drugs ───────────────────────────────────────────────────────────────────────────────────────────────────────

CISPLATIN = coded("http://www.nlm.nih.gov/research/umls/rxnorm", "2555")


def test_a_drug_is_read_from_its_code_a_contained_or_a_separate_medication() -> None:
    inside = drug(
        id="d1", contained=[{"resourceType": "Medication", "id": "m", "code": CISPLATIN}], medicationReference={"reference": "#m"}
    )
    beside = drug(id="d2", medicationReference={"reference": "http://h.example/fhir/Medication/m9"})
    medicine = {"resourceType": "Medication", "id": "m9", "ingredient": [{"itemCodeableConcept": CISPLATIN}]}

    record = read(condition(), inside, beside, medicine, drug(id="d3", medicationCodeableConcept=CISPLATIN))

    assert {f.source: f.concept.codings[0].code for f in record.findings if f.kind == "medication-administration"} == {
        "MedicationAdministration/d1": "2555",
        "MedicationAdministration/d2": "2555",
        "MedicationAdministration/d3": "2555",
    }
    assert record.issues == ()


@pytest.mark.parametrize(
    "more",
    [
        {"medicationReference": {"reference": "Medication/nowhere"}},
        {},
        {"medicationReference": {"display": "Cisplatin 50 mg"}},
        {"medicationReference": {"identifier": {"system": "urn:local:drugs", "value": "17"}}},
        {"medicationReference": {"reference": "#m"}},
        {"medicationReference": {"reference": "#m"}, "contained": [{"resourceType": "Medication", "id": "m", "code": "cisplatin"}]},
        {"medicationReference": {"reference": "#m"}, "contained": [{"resourceType": "Patient", "id": "p"}, {"id": "x"}]},
    ],
)
def test_a_drug_whose_medication_cannot_be_found_is_named(more: Json) -> None:
    record = read(condition(), drug(**more))

    assert issues(record) == [("resource-unreadable", ("MedicationAdministration/d1",))]
    assert found(record, "MedicationAdministration/d1").concept.codings == ()


def test_what_was_never_ordered_is_no_treatment() -> None:
    asked = {"resourceType": "MedicationRequest", "status": "active", "subject": {"reference": "Patient/17"}}
    asked |= {"medicationCodeableConcept": CISPLATIN, "authoredOn": "2026-03-01"}
    kinds = [("proposal", False), ("plan", False), ("option", False), ("order", True), ("order", False)]

    record = read(condition(), *(asked | {"id": f"r{n}", "intent": i, "doNotPerform": stop} for n, (i, stop) in enumerate(kinds)))

    assert [f.source for f in record.findings] == ["Condition/c1", "MedicationRequest/r4"]


# ── dates ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("date", ["2026", "2026-02", "2026-02-11"])
def test_a_date_keeps_the_precision_it_was_sent_in(date: str) -> None:
    record = read(patient(), condition(onsetDateTime=date))

    assert found(record, "Condition/c1").when == date
    assert record.today == date
    assert record.issues == ()


def test_an_instant_is_cut_to_its_day() -> None:
    assert found(read(condition(), size(effectiveDateTime="2026-02-12T23:59:59.123+02:00")), "Observation/o1").when == "2026-02-12"


def test_the_time_of_an_observation_is_taken_where_it_stands() -> None:
    def when(**time: Any) -> str | None:
        observation = size(**time)
        del observation["effectiveDateTime"]
        return found(read(condition(), observation), "Observation/o1").when

    assert when(effectivePeriod={"start": "2026-02-01", "end": "2026-02-03"}) == "2026-02-03"
    assert when(effectivePeriod={"start": "2026-02-01"}) == "2026-02-01"
    assert when(effectiveInstant="2026-02-05T10:00:00Z", issued="2026-02-09T10:00:00Z") == "2026-02-05"
    assert when(issued="2026-02-09T10:00:00Z") == "2026-02-09"
    assert when() is None


@pytest.mark.parametrize(
    ("her", "more", "when"),
    [
        ({"deceasedDateTime": "2026-06-01"}, {}, "2026-06-02"),
        ({}, {}, "1969-12-31"),
        ({}, {"timestamp": "2026-07-01T10:00:00+02:00"}, "2026-07-02"),
        ({}, {}, "soon"),
        ({}, {}, "2026-13-01"),
        ({}, {}, "2026-02-30"),
        ({}, {}, "11.02.2026"),
    ],
)
def test_a_date_that_contradicts_the_record_is_named_and_not_used(her: Json, more: Json, when: str) -> None:
    record = read(patient(**her), condition(), size(effectiveDateTime=when), **more)

    assert issues(record) == [("date-implausible", ("Observation/o1",))]
    assert found(record, "Observation/o1").when is None
    assert found(record, "Observation/o1").plausible is False
    assert found(record, "Observation/o1").value.quantity is not None
    assert record.today == "2026-02-11"


def test_what_happened_after_it_was_written_down_is_implausible() -> None:
    early = size(meta={"lastUpdated": "2026-02-10T09:00:00Z"})

    record = read(condition(), early)

    assert issues(record) == [("date-implausible", ("Observation/o1",))]
    assert record.today == "2026-02-11"


def test_an_evening_in_greenwich_is_the_next_day_further_east() -> None:
    late = size(effectiveDateTime="2026-02-13T00:10:00+02:00", meta={"lastUpdated": "2026-02-12T22:10:05Z"})

    record = read(condition(), late)

    assert record.issues == ()
    assert record.today == "2026-02-13"


@pytest.mark.parametrize(
    ("written", "judged"), [("9999-12-31T23:59:59Z", False), ("2026-02-30T10:00:00Z", False), ("2026-01-32T10:00:00Z", True)]
)
def test_an_instant_that_the_calendar_does_not_have_is_taken_as_its_day(written: str, judged: bool) -> None:
    record = read(patient(), condition(), size(effectiveDateTime="2026-02-12", meta={"lastUpdated": written}))

    assert issues(record) == ([("date-implausible", ("Observation/o1",))] if judged else [])
    assert found(record, "Observation/o1").when == (None if judged else "2026-02-12")


def test_only_the_date_that_is_wrong_is_dropped() -> None:
    record = read(patient(), condition(recordedDate="1950-01-01"))

    assert issues(record) == [("date-implausible", ("Condition/c1",))]
    assert found(record, "Condition/c1").when == "2026-02-11"
    assert found(record, "Condition/c1").recorded is None


def test_a_birth_date_that_is_none_judges_nobody() -> None:
    record = read(patient(birthDate="unknown"), condition())

    assert record.birth_date is None
    assert record.issues == ()


def test_of_a_year_and_a_day_in_it_neither_is_later() -> None:
    record = read(patient(deceasedDateTime="2026"), condition(), size(effectiveDateTime="2026-12-31"))

    assert record.issues == ()


def test_today_is_the_newest_plausible_date_or_the_day_asked_for() -> None:
    entries = (patient(), condition(), size(), drug(medicationCodeableConcept=CISPLATIN))

    assert read(*entries).today == "2026-03-01"
    assert read(*entries, as_of="2026-12-24").today == "2026-12-24"
    assert read(patient()).today is None


def test_a_date_later_than_the_day_asked_for_never_sets_today() -> None:
    record = read(patient(), condition(), size(), as_of="2026-02-11")

    assert record.today == record.as_of == "2026-02-11"
    assert issues(record) == [("date-implausible", ("Observation/o1",))]
    assert found(record, "Observation/o1").plausible is False


# ── values, versions, sides ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", ["0.1", "4.10", "40.0000000000000001", "3", "1e1"])
def test_a_decimal_is_exactly_what_was_written(number: str) -> None:
    data = bundled(condition(), size("NUMBER")).replace(b'"NUMBER"', number.encode())

    quantity = found(read_bundle(data), "Observation/o1").value.quantity

    assert quantity is not None
    assert quantity.value == Decimal(number)


def test_a_quantity_keeps_comparator_and_both_units() -> None:
    quantity = {"value": 4, "comparator": ">=", "unit": "centimetre", "system": UCUM, "code": "cm"}

    read_back = found(read(condition(), size(valueQuantity=quantity)), "Observation/o1").value.quantity

    assert read_back is not None
    assert (read_back.comparator, read_back.unit, read_back.ucum) == (">=", "centimetre", "cm")


def test_a_unit_without_a_number_is_no_quantity_and_a_range_keeps_the_end_that_it_has() -> None:
    unit: Json = {"unit": "cm", "system": UCUM, "code": "cm"}

    def value(**given: Any) -> Value:
        return found(read(condition(), size(**({"valueQuantity": None} | given))), "Observation/o1").value

    assert value(valueQuantity=unit) == Value()
    half = value(valueRange={"low": unit | {"value": 4.5}, "high": unit})
    assert half.low is not None
    assert (half.low.value, half.high, half.quantity) == (Decimal("4.5"), None, None)


def test_a_condition_without_a_code_keeps_its_place_and_cells() -> None:
    cell = {
        "url": "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-histology-morphology-behavior",
        "valueCodeableConcept": coded("http://terminology.hl7.org/CodeSystem/icd-o-3", "8070/3"),
    }
    nameless = {key: value for key, value in condition(bodySite=[coded(SCT, "71252005")], extension=[cell]).items() if key != "code"}

    finding = found(read(nameless), "Condition/c1")

    assert finding.concept == Concept()
    assert finding.sites[0].codings[0].code == "71252005"
    assert finding.histology is not None


def test_of_two_versions_of_a_resource_the_newest_wins_wherever_it_stands() -> None:
    old, new = size(30, meta={"lastUpdated": "2026-02-13T08:00:00Z"}), size(44, meta={"lastUpdated": "2026-02-14T08:00:00Z"})

    for pair in ((old, new), (new, old)):
        quantity = found(read(condition(), *pair), "Observation/o1").value.quantity
        assert quantity is not None
        assert quantity.value == 44


def test_of_two_versions_without_a_time_the_higher_number_wins() -> None:
    old, new = size(30, meta={"versionId": "9"}), size(44, meta={"versionId": "10"})

    for pair in ((old, new), (new, old)):
        assert found(read(condition(), *pair), "Observation/o1").version == "10"


def test_of_two_that_tell_nothing_always_the_same_one_is_taken() -> None:
    one, other = size(30), size(44)

    assert read(condition(), one, other) == read(condition(), other, one)


def test_a_repeated_element_and_its_extension_are_read() -> None:
    side = {
        "url": "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-laterality-qualifier",
        "valueCodeableConcept": coded(SCT, "7771000"),
    }
    cell = {
        "url": "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-histology-morphology-behavior",
        "valueCodeableConcept": coded("http://terminology.hl7.org/CodeSystem/icd-o-3", "8070/3"),
    }
    lungs: list[Json] = [coded(SCT, "39607008") | {"extension": [side]}, coded(SCT, "10200004")]

    finding = found(read(condition(bodySite=lungs, extension=[cell])), "Condition/c1")

    assert [site.codings[0].code for site in finding.sites] == ["39607008", "10200004"]
    assert [coding.code for coding in finding.laterality] == ["7771000"]
    assert finding.histology is not None
    assert finding.histology.codings[0].code == "8070/3"


def test_radiation_in_centigray_is_read_in_gray() -> None:
    mcode = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-radiotherapy-dose-delivered-to-volume"
    parts = [
        {"url": "totalDoseDelivered", "valueQuantity": {"value": 4500, "system": UCUM, "code": "cGy"}},
        {"url": "fractionsDelivered", "valueUnsignedInt": 25},
    ]
    course: Json = {"resourceType": "Procedure", "id": "p1", "status": "completed", "subject": {"reference": "Patient/17"}}
    course |= {"performedPeriod": {"start": "2026-03-01", "end": "2026-04-04"}, "extension": [{"url": mcode, "extension": parts}]}

    finding = found(read(condition(), course), "Procedure/p1")

    assert (finding.doses[0].total_gy, finding.doses[0].fractions) == (Decimal(45), 25)
    assert (finding.when, finding.until) == ("2026-03-01", "2026-04-04")


def test_radiation_in_gray_names_the_volume_and_passes_over_what_it_does_not_know() -> None:
    mcode = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-radiotherapy-dose-delivered-to-volume"
    parts: list[Json] = [
        {"url": "volume", "valueReference": {"reference": "BodyStructure/ptv"}},
        {"url": "comment", "valueString": "boost"},
        {"url": "totalDoseDelivered", "valueQuantity": {"value": 50.4, "system": UCUM, "code": "Gy"}},
        {"url": "fractionsDelivered", "valueInteger": 28},
        {"url": "totalDosePlanned", "valueQuantity": {"system": UCUM, "code": "cGy"}},
    ]
    course: Json = {"resourceType": "Procedure", "id": "p1", "status": "completed", "subject": {"reference": "Patient/17"}}

    finding = found(read(condition(), course | {"extension": [{"url": mcode, "extension": parts}]}), "Procedure/p1")

    assert finding.doses == (Dose(Decimal("50.4"), 28, "BodyStructure/ptv"),)


def test_what_is_absent_keeps_its_reason() -> None:
    reason = coded("http://terminology.hl7.org/CodeSystem/data-absent-reason", "not-performed")
    observation = {key: value for key, value in size(dataAbsentReason=reason).items() if key != "valueQuantity"}

    assert found(read(condition(), observation), "Observation/o1").value.absent == "not-performed"


def test_findings_stand_in_the_order_of_their_references() -> None:
    record = read(size(id="b"), size(id="a"), condition("z"), condition("y"))

    assert [f.source for f in record.findings] == ["Condition/y", "Condition/z", "Observation/a", "Observation/b"]


def test_a_modifier_on_a_component_is_a_modifier_of_the_observation() -> None:
    changed = {"url": "https://elsewhere.example/negated", "valueBoolean": True}
    component = {"modifierExtension": [changed], "code": {"text": "largest deposit"}, "valueInteger": 1}
    observation = {"resourceType": "Observation", "id": "n", "status": "final", "subject": {"reference": "Patient/1"}}
    observation |= {"code": {"text": "nodes"}, "valueBoolean": True, "component": [component]}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": observation}]}
    record = read_bundle(json.dumps(bundle).encode())
    assert [issue.code for issue in record.issues] == ["modifier-unknown"]
    assert record.findings == ()
