"""The shorthand of a case written out as FHIR R4 JSON: what a hospital would send."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from examples.codes import EXTENT, ICD_10, ICD_10_CM, ICD_O_3, LOINC, NCIT, RXNORM, SCT, THO, UCUM
from examples.resources import TEST_DATA
from shared.fhir.reader import read_bundle
from shared.oncology.record import Record
from tests.staging.shorthand import Case, Category, Chart, Diagnosis, Expected, Extent, Json, Seen, Stated, Told, Treatment

__all__ = ["Case", "Category", "Chart", "Diagnosis", "Expected", "Extent", "Json", "Seen", "Stated", "Told", "Treatment"]
__all__ += ["bundle", "record"]

HISTOLOGY = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-histology-morphology-behavior"
RELATED = "http://hl7.org/fhir/StructureDefinition/condition-related"
LATERALITY = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-laterality-qualifier"
INTENT = "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-procedure-intent"
ICD_10_GM = "http://fhir.de/CodeSystem/bfarm/icd-10-gm"
AJCC = "http://cancerstaging.org"
OBDS = "http://dktk.dkfz.de/fhir/onco/core/CodeSystem/UiccstadiumCS"
CERTAINTY = "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit"
LETTERS = "https://fhir.kbv.de/CodeSystem/KBV_CS_SFHIR_ICD_DIAGNOSESICHERHEIT"

METHODS = {
    "imaging": "363679005",
    "MRI": "113091000",
    "CT": "77477000",
    "PET": "82918005",
    "ultrasound": "16310003",
    "radiography": "363680008",
    "microscopy": "104157003",
    "gross": "787377000",
    "biopsy": "86273004",
    "needle": "48635004",
    "examination": "5880005",
}
ANSWERS = {"present": "52101004", "absent": "2667000", "indeterminate": "82334004", "suspected": "415684004"}
SIDES = {"left": "7771000", "right": "24028007"}
STRUCTURES = {
    "adrenal": "23451007",
    "aortic node": "35783009",
    "abdominal node": "818991007",
    "axillary node": "68171009",
    "bladder": "89837001",
    "bone": "119186007",
    "brain": "12738006",
    "cervix": "71252005",
    "coeliac node": "47985009",
    "common iliac node": "245295006",
    "external iliac node": "65349008",
    "inguinal node": "279763008",
    "internal iliac node": "245357003",
    "kidney": "64033007",
    "liver": "10200004",
    "lumbar vertebra": "73903008",
    "lung": "39607008",
    "mediastinal node": "62683002",
    "neck node": "81105003",
    "node": "59441001",
    "obturator node": "36086000",
    "omentum": "27398004",
    "ovary": "15497006",
    "parametrium": "45682005",
    "pararectal node": "21875007",
    "pelvic bone": "118645006",
    "pelvic node": "245294005",
    "peritoneum": "15425007",
    "pleura": "3120008",
    "presacral node": "1187336003",
    "rectum": "34402009",
    "renal hilar node": "249708006",
    "retrocrural node": "890324005",
    "sacrum": "54735007",
    "sigmoid": "60184004",
    "skin": "39937001",
    "spleen": "78961009",
    "supraclavicular node": "76838003",
    "uterus": "35039007",
    "vagina": "76784001",
}
AXES = {
    ("SNOMED", ""): {"T": "78873005", "N": "277206009", "M": "277208005"},
    ("SNOMED", "c"): {"T": "399504009", "N": "399534004", "M": "399387003"},
    ("SNOMED", "p"): {"T": "384625004", "N": "371494008", "M": "371497001"},
    ("LOINC", ""): {"T": "21911-3", "N": "21912-1", "M": "21913-9"},
    ("LOINC", "c"): {"T": "21905-5", "N": "21906-3", "M": "21907-1"},
    ("LOINC", "p"): {"T": "21899-0", "N": "21900-6", "M": "21901-4"},
}
VERSIONS = {"6": "444256004", "7": "443830009", "8": "897275008", "9": "1269566009"}
GROUPS = {
    "SNOMED": "399390009", "SNOMED c": "399537006", "SNOMED p": "399588009",
    "LOINC": "21914-7", "LOINC c": "21908-9", "LOINC p": "21902-2",
}  # fmt: skip
EDITIONS = {"2018": "C186617", "2009": "C186618"}
FIGO = {
    "I": "C96244", "IA": "C96245", "IA1": "C96246", "IA2": "C96247", "IB": "C96248", "IB1": "C96249", "IB2": "C96250", "IB3": "C162222",
    "II": "C96252", "IIA": "C96253", "IIA1": "C162223", "IIA2": "C162224", "IIB": "C96254", "III": "C96255", "IIIA": "C96256",
    "IIIB": "C96257", "IIIC": "C96258", "IIIC1": "C96259", "IIIC2": "C96260", "IV": "C96261", "IVA": "C96262", "IVB": "C96263",
}  # fmt: skip
PROCEDURES = {"radiotherapy": "1217123003", "radical hysterectomy": "116142003", "biopsy": "86273004", "cone": "54535009"}
INTENTS = {"curative": "373808002", "palliative": "363676003", "diagnostic": "261004008"}


def bundle(chart: Chart) -> bytes:
    """The record as a FHIR Bundle in JSON."""
    resources = [{"resourceType": "Patient", "id": "17", "gender": "female", "birthDate": "1970-01-01", **chart.patient}]
    if chart.condition is not None:
        resources.append(_condition(chart.condition, "c1"))
    resources += [_condition(each, f"m{number}") for number, each in enumerate(chart.spread, 1)]
    resources += [_category(each) for each in chart.tnm]
    resources += list(_extent(chart.extent))
    resources += [_recorded(each, number) for number, each in enumerate(chart.recorded, 1)]
    resources += [_treatment(each, number) for number, each in enumerate(chart.treatments, 1)]
    for number, raw in enumerate(chart.fhir, 1):
        resources.append({"id": f"raw-{number}", "subject": {"reference": "Patient/17"}, **raw})
    for resource in resources:
        resource["meta"] = {"tag": TEST_DATA, **resource.get("meta", {})}
    whole: Json = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each} for each in resources]}
    return json.dumps(whole | ({"timestamp": chart.timestamp} if chart.timestamp else {})).encode()


def record(chart: Chart) -> Record:
    """The record as the one reader reads it, with what nobody could see."""
    return msgspec.structs.replace(read_bundle(bundle(chart), as_of=chart.as_of), unread=tuple(sorted(chart.unread)))


def coded(system: str, code: str, text: str | None = None) -> Json:
    return {"coding": [{"system": system, "code": code}]} | ({"text": text} if text else {})


def _resource(kind: str, id: str, **content: Any) -> Json:
    return {"resourceType": kind, "id": id, "subject": {"reference": "Patient/17"}} | {k: v for k, v in content.items() if v is not None}


def _structure(name: str) -> Json:
    return coded(SCT, STRUCTURES.get(name, name))


def _side(side: str | None) -> Json:
    return {"extension": [{"url": LATERALITY, "valueCodeableConcept": coded(SCT, SIDES[side])}]} if side else {}


def _condition(it: Diagnosis, id: str) -> Json:
    systems = ((ICD_10, it.icd10), (ICD_10_CM, it.icd10cm), (ICD_10_GM, it.icd10gm), (ICD_O_3, it.icdo), (SCT, it.snomed))
    codings: list[Json] = [{"system": system, "code": code} for system, code in systems if code]
    if it.certainty:
        german = next(coding for coding in codings if coding["system"] == ICD_10_GM)
        german["extension"] = [{"url": CERTAINTY, "valueCoding": {"system": LETTERS, "code": it.certainty}}]
    code = ({"coding": codings} if codings else {}) | ({"text": it.text} if it.text else {})
    cells = [{"system": s, "code": c} for s, c in ((ICD_O_3, it.histology), (SCT, it.histology_snomed)) if c]
    extensions: list[Json] = [{"url": HISTOLOGY, "valueCodeableConcept": {"coding": cells}}] if cells else []
    extensions += [{"url": RELATED, "valueReference": {"reference": it.related}}] if it.related else []
    sites = [_structure(it.site)] if it.site else []
    sites += [coded(ICD_O_3, it.topography)] if it.topography else []
    return _resource(
        "Condition",
        it.id or id,
        extension=extensions or None,
        clinicalStatus=coded(THO + "condition-clinical", it.clinical),
        verificationStatus=coded(THO + "condition-ver-status", it.verification) if it.verification else None,
        code=code or None,
        bodySite=sites or None,
        onsetDateTime=it.on,
        recordedDate=it.recorded,
        stage=[{"summary": {"text": it.stage}}] if it.stage else None,
    )


def _category(given: str | Category) -> Json:
    it = Category(is_=given) if isinstance(given, str) else given
    prefix = next((p for p in ("yc", "yp", "c", "p", "r") if it.is_.lower().startswith(p)), "")
    axis = it.is_[len(prefix)].upper()
    code = AXES[it.by, prefix if prefix in "cp" else ""][axis]
    value: Json = {"text": it.is_}
    if it.value:
        value = coded(SCT, it.value)
    elif it.code != "text":
        value = {
            "display": {"coding": [{"system": "urn:local:tnm", "code": "7", "display": it.is_}]},
            "ajcc": coded(AJCC, it.is_),
            "uicc": coded("https://www.uicc.org/resources/tnm", it.is_[len(prefix) + 1 :]),
        }[it.code]
    return _resource(
        "Observation",
        f"{axis.lower()}-{it.is_.translate({40: None, 41: None, 43: None})}-{it.on or 'undated'}",
        status=it.status,
        code=coded(SCT if it.by == "SNOMED" else LOINC, code),
        effectiveDateTime=it.on,
        method=_version(it.version),
        valueCodeableConcept=value,
    )


def _version(version: str | None) -> Json | None:
    if version is None:
        return None
    return coded(SCT, VERSIONS[version]) if version in VERSIONS else {"text": version}


def _extent(extent: Extent) -> Iterator[Json]:
    for fact, given in extent.items():
        for number, it in enumerate(given if isinstance(given, list) else [given]):
            seen = it if isinstance(it, Seen) else Seen(is_=it)
            parts: list[Json] = []
            if seen.deposit:
                parts.append({"code": coded(EXTENT, "largest-deposit"), "valueQuantity": _length(seen.deposit)})
            if seen.lesions is not None:
                parts.append({"code": coded(EXTENT, "lesion-count"), "valueInteger": seen.lesions})
            yield _resource(
                "Observation",
                fact if number == 0 else f"{fact}-{number + 1}",
                status=seen.status,
                code=coded(EXTENT, fact),
                effectiveDateTime=seen.on,
                focus=[{"reference": seen.focus}] if seen.focus else None,
                method=coded(SCT, METHODS[seen.by]) if seen.by else None,
                bodySite=_structure(seen.site) | _side(seen.side) if seen.site else None,
                component=parts or None,
                **_answer(seen.is_),
            )


def _answer(it: bool | str) -> Json:
    if isinstance(it, bool):
        return {"valueBoolean": it}
    if it in ANSWERS:
        return {"valueCodeableConcept": coded(SCT, ANSWERS[it])}
    return {"valueQuantity": _length(it)}


def _length(text: str) -> Json:
    """ "> 4 cm" as a Quantity in UCUM; the number goes into the JSON as it is written."""
    comparator, number, unit = ["", *text.split()][-3:]
    quantity: Json = {"value": float(number) if "." in number else int(number), "system": UCUM, "code": unit, "unit": unit}
    return quantity | ({"comparator": comparator} if comparator else {})


def _recorded(it: Stated, number: int) -> Json:
    codings = [{"system": SCT, "code": "385361009"}] + ([{"system": NCIT, "code": EDITIONS[it.edition]}] if it.edition else [])
    code: Json = {"coding": codings}
    if it.group:
        code = coded(SCT if it.group.startswith("SNOMED") else LOINC, GROUPS[it.group])
    value: Json = {"text": it.stage}
    if it.by != "text":
        system = {"NCIt": NCIT, "SNOMED": SCT, "AJCC": AJCC, "oBDS": OBDS}[it.by]
        value = coded(system, FIGO.get(it.stage, it.stage) if it.by == "NCIt" else it.stage)
    return _resource(
        "Observation",
        f"figo-{number}",
        status="final",
        code=code,
        effectiveDateTime=it.on,
        method=_version(it.version),
        valueCodeableConcept=value,
    )


def _treatment(it: Treatment, number: int) -> Json:
    why: Json = {
        "reasonReference": [{"reference": f"Condition/{id}"} for id in it.for_] or None,
        "reasonCode": [coded(ICD_10_CM, it.reason)] if it.reason else None,
    }
    if it.rxnorm:
        drug = coded(RXNORM, it.rxnorm)
        return _resource(
            "MedicationAdministration", f"drug-{number}", status=it.status, medicationCodeableConcept=drug, effectiveDateTime=it.on, **why
        )
    assert it.is_ is not None
    intent = [{"url": INTENT, "valueCodeableConcept": coded(SCT, INTENTS[it.intent])}] if it.intent else None
    period = {"start": it.on, "end": it.until} if it.until else None
    return _resource(
        "Procedure",
        f"treatment-{number}",
        extension=intent,
        status=it.status,
        code=coded(SCT, PROCEDURES.get(it.is_, it.is_)),
        performedDateTime=None if period else it.on,
        performedPeriod=period,
        **why,
    )
