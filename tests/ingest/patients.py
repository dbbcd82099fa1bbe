"""Synthetic patients, and only such: nobody lived them."""

from __future__ import annotations

from typing import Any

SYNTHETIC = {"tag": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HTEST"}]}
EXTENT = "https://figaro.example/fhir/CodeSystem/extent-of-disease"

Json = dict[str, Any]


def patient(id: str, **more: Any) -> Json:
    return {"resourceType": "Patient", "id": id, "meta": SYNTHETIC, "gender": "female", "birthDate": "1970-01-01", **more}


def concept(system: str, code: str) -> Json:
    return {"coding": [{"system": system, "code": code}]}


def cervical_cancer(id: str, subject: str, **more: Any) -> Json:
    return {
        "resourceType": "Condition",
        "id": id,
        "meta": SYNTHETIC,
        "subject": {"reference": subject},
        "code": concept("http://hl7.org/fhir/sid/icd-10-cm", "C53.9"),
        "onsetDateTime": "2026-02-11",
        "verificationStatus": concept("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed"),
        "clinicalStatus": concept("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
        "bodySite": [concept("http://terminology.hl7.org/CodeSystem/icd-o-3", "C53.9")],
        **more,
    }


def observation(id: str, subject: str, code: Json, when: str = "2026-02-20", **value: Any) -> Json:
    return {
        "resourceType": "Observation",
        "id": id,
        "meta": SYNTHETIC,
        "status": "final",
        "subject": {"reference": subject},
        "code": code,
        "effectiveDateTime": when,
        **value,
    }


def ecog(id: str, subject: str, score: int) -> Json:
    return observation(id, subject, concept("http://loinc.org", "89247-1"), valueInteger=score)


def extent(id: str, subject: str, code: str, value: bool) -> Json:
    return observation(id, subject, concept(EXTENT, code), valueBoolean=value)


def metastatic(id: str) -> list[Json]:
    """A patient with cancer of the cervix, parametrial growth and a lung metastasis."""
    me = f"Patient/{id}"
    lung = {"bodySite": concept("http://snomed.info/sct", "39607008")}
    return [
        patient(id),
        cervical_cancer(f"{id}-c", me),
        extent(f"{id}-p", me, "parametrium", True),
        extent(f"{id}-m", me, "distant-organ", True) | lung,
        ecog(f"{id}-e", me, 1),
        {
            "resourceType": "MedicationStatement",
            "id": f"{id}-s",
            "meta": SYNTHETIC,
            "status": "active",
            "subject": {"reference": me},
            "medicationCodeableConcept": {"text": "ramipril"},
        },
    ]


def bundle(resources: list[Json]) -> Json:
    """A transaction that puts each resource at its own id."""
    entries = [{"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}} for r in resources]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}
