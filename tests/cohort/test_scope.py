"""Who gets a row: whoever has something that names the cervix, and nobody else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from services.cohort_command import names_the_cervix
from shared.fhir.codes import LOINC, SNOMED
from shared.fhir.reader import read_resources
from tests.cohort.export import Json, done, planned, write

ICD_10 = "http://hl7.org/fhir/sid/icd-10"


def said(kind: str, code: Json, **more: object) -> Json:
    return {"resourceType": kind, "id": "1", "status": "final", "subject": {"reference": "Patient/1"}, "code": code} | more


def coded(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


@pytest.mark.parametrize(
    ("resource", "named"),
    [
        (said("Condition", coded(ICD_10, "C53.9")), True),
        (said("Condition", coded(ICD_10, "D06.9")), True),
        (said("Condition", coded(ICD_10, "N87.1")), True),
        (said("Condition", coded("http://hl7.org/fhir/sid/icd-10-cm", "Z85.41")), True),
        (said("Condition", coded(SNOMED, "363354003")), True),
        (said("Condition", coded(SNOMED, "314970000")), True),
        (said("Condition", {"text": "Zervixkarzinom, FIGO IIB"}), True),
        (said("Condition", coded(SNOMED, "363346000"), bodySite=[coded(SNOMED, "71252005")]), True),
        (said("Condition", coded(ICD_10, "C50.9")), False),
        (said("Condition", coded(ICD_10, "C78.0")), False),
        (said("Condition", coded(ICD_10, "I10")), False),
        (said("Condition", {"text": "Mammakarzinom"}), False),
        (said("Condition", {}), False),
        (said("Observation", coded(SNOMED, "385361009")), True),
        (said("Observation", {"text": "FIGO-Stadium"}), True),
        (said("Observation", {"text": "FIGO Ovar"}), False),
        (said("Observation", coded(LOINC, "21908-9")), False),
        (said("Observation", coded(LOINC, "718-7")), False),
        (said("Procedure", coded(SNOMED, "116140006")), False),
    ],
)
def test_what_names_the_cervix_and_what_does_not(tmp_path: Path, resource: Json, named: bool) -> None:
    (finding,) = read_resources("Patient/1", [json.dumps(resource).encode()]).findings
    assert names_the_cervix(finding) is named
    patient = {"resourceType": "Patient", "id": "1"}
    assert len(done(planned(write(tmp_path / "export", [patient, resource])))[1]) == named
