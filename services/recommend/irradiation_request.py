"""A course of radiotherapy as an option-intent ServiceRequest, in the elements of mCODE 4.0.0 and CodeX Radiation Therapy 2.0.0.

Only what the knowledge says is coded: a total that is a range, or a dose rate that nobody told, stays in words. The dose stands in cGy.
"""

from __future__ import annotations

from typing import Any

from services.recommend.dosage import NEVER
from shared.fhir.assertion import MCODE, concept
from shared.fhir.codes import SNOMED
from shared.oncology.recommendation import Radiotherapy
from shared.oncology.wording import course_words

Json = dict[str, Any]
_PRESCRIBED = "http://hl7.org/fhir/us/codex-radiation-therapy/StructureDefinition/codexrt-radiotherapy-dose-prescribed-to-volume"
_NULL = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"
_PHOTONS, _HIGH_DOSE_RATE = "1156506007", "394902000"
# No technique is told: mCODE's invariants ask for one beside a modality, and take the null flavour.
_TECHNIQUE = {"url": MCODE + "mcode-radiotherapy-technique", "valueCodeableConcept": concept(_NULL, "UNC", "For the radiation oncologist")}
_CERVIX, _PELVIS, _BONE = "71252005", "12921003", "119186007"
_SITES = {"cervix": _CERVIX, "pelvis": _PELVIS, "painful bone": _BONE}


def irradiation(course: Radiotherapy, patient: Json) -> Json:
    """What is of the course in its ServiceRequest: category, code, modality, dose to a volume, site, and all of it in words."""
    found: Json = {
        "extension": [{"url": MCODE + "mcode-radiotherapy-modality-and-technique", "extension": [_modality(course), _TECHNIQUE]}],
        "category": [concept(SNOMED, "108290001")],
        "code": concept(SNOMED, "1217123003", f"Radiotherapy course: {course.course.replace('-', ' ')}"),
        "bodySite": [_site(course)],
        "note": [{"text": f"{NEVER}: {course_words(course)}."}],
    }
    if isinstance(course.total_gy, float | int):
        found["contained"] = [{"resourceType": "BodyStructure", "id": "volume", "location": _site(course), "patient": patient}]
        found["extension"].append({"url": _PRESCRIBED, "extension": _prescribed(course, course.total_gy)})
    return found


def _modality(course: Radiotherapy) -> Json:
    """Photons for what comes from outside; high dose rate only where the knowledge says so; else what has no code (mCODE: UNC)."""
    if course.course == "brachytherapy":
        told = "high dose rate" in course.target
        value = concept(SNOMED, _HIGH_DOSE_RATE) if told else concept(_NULL, "UNC", "Brachytherapy, dose rate not told")
    elif course.course == "stereotactic":
        value = concept(_NULL, "UNC", "Stereotactic radiotherapy, modality not told")
    else:
        value = concept(SNOMED, _PHOTONS)
    return {"url": MCODE + "mcode-radiotherapy-modality", "valueCodeableConcept": value}


def _site(course: Radiotherapy) -> Json:
    target = next((code for name, code in _SITES.items() if course.target.startswith(name)), None)
    return concept(SNOMED, target, course.target) if target else {"text": course.target}


def _prescribed(course: Radiotherapy, total: float) -> list[Json]:
    parts: list[Json] = [{"url": "volume", "valueReference": {"reference": "#volume"}}]
    if isinstance(course.gy_per_fraction, float | int):
        parts.append({"url": "fractionDose", "valueQuantity": _centigray(course.gy_per_fraction)})
    parts.append({"url": "totalDose", "valueQuantity": _centigray(total)})
    if isinstance(course.fractions, int):
        parts.append({"url": "fractions", "valuePositiveInt": course.fractions})
    return parts


def _centigray(gray: float) -> Json:
    return {"value": round(gray * 100, 1), "unit": "cGy", "system": "http://unitsofmeasure.org", "code": "cGy"}
