"""Patients beside the founding cohort whose disease has left the pelvis, or has come back after treatment."""

from __future__ import annotations

from examples import codes
from examples.cases import Expected, Script, case, expect
from examples.findings import absent, category, distant_node, metastasis, pd_l1, primary, recorded_stage, secondary, size
from examples.resources import Chart, Json, coding, concept, extension, loinc, quantity, snomed

SCRIPTS: list[Script] = []


def ivb(*sites: str, oligometastatic: bool | None = None) -> Expected:
    expected = expect("IVB", *sites)
    if oligometastatic is not None:
        expected["oligometastatic"] = oligometastatic
    return expected


def came_back(figo_2018: str, *sites: str) -> Expected:
    return expect(figo_2018, *sites) | {"disease_state": "recurrent", "in_window": False}


@case(SCRIPTS, "ivb-renal-impairment", ivb("lung", oligometastatic=True), creatinine=2.6, ecog=1)
def renal_impairment(chart: Chart) -> None:
    primary(chart)
    category(chart, "cT3b")
    chart.extent("hydronephrosis", chart.on(6), by=codes.CT)
    metastasis(chart, "lung", 2)
    pd_l1(chart, 8)


@case(SCRIPTS, "ivb-no-cps", ivb("liver", oligometastatic=True), ecog=0)
def no_cps(chart: Chart) -> None:
    primary(chart, encoding="cm")
    category(chart, "cT2b")
    metastasis(chart, "liver", 3, by=codes.PET, encoding="cm")


@case(SCRIPTS, "ivb-cps-0", ivb("bone", oligometastatic=False), ecog=1)
def cps_0(chart: Chart) -> None:
    primary(chart)
    category(chart, "cT2b")
    metastasis(chart, "bone", 6, by=codes.PET, encoding="twice")
    pd_l1(chart, 0)


@case(SCRIPTS, "ivb-cps-10", ivb("lung", "liver", oligometastatic=False), ecog=0)
def cps_10(chart: Chart) -> None:
    primary(chart, "adenocarcinoma")
    category(chart, "cT2b", writing="ajcc")
    metastasis(chart, "lung", 1, encoding="snomed")
    metastasis(chart, "liver", 1, encoding="who")
    pd_l1(chart, 10, component=True)


@case(SCRIPTS, "ivb-small-cell", ivb("liver", oligometastatic=False), ecog=1)
def small_cell(chart: Chart) -> None:
    primary(chart, "small-cell")
    category(chart, "cT2b")
    metastasis(chart, "liver", 5, by=codes.BIOPSY)


@case(SCRIPTS, "ivb-supraclavicular-only", ivb("node-supraclavicular"), ecog=0)
def supraclavicular(chart: Chart) -> None:
    """The nodal track: nothing outside the pelvis but one node, proven by fine-needle aspiration."""
    primary(chart)
    category(chart, "cT2b")
    distant_node(chart, "node-supraclavicular", by=codes.FINE_NEEDLE)
    absent(chart, "distant-organ", "peritoneal-spread", by=codes.PET)


@case(SCRIPTS, "ivb-inguinal-node", ivb("node-inguinal"), ecog=1)
def inguinal(chart: Chart) -> None:
    """Inguinal nodes are distant for the cervix, whatever they are for the lower vagina."""
    primary(chart, encoding="who")
    chart.extent("vagina-lower-third", chart.on(5), by=codes.EXAMINATION)
    distant_node(chart, "node-inguinal", by=codes.FINE_NEEDLE, encoding="snomed")


@case(SCRIPTS, "ivb-peritoneal", ivb("peritoneum"), ecog=1)
def peritoneal(chart: Chart) -> None:
    primary(chart, "adenocarcinoma", "snomed")
    category(chart, "cT2b")
    chart.extent("peritoneal-spread", chart.on(9), by=codes.BIOPSY)
    secondary(chart, codes.SITES["peritoneum"], chart.on(9), "cm")


@case(SCRIPTS, "ivb-outranks-rectal-mucosa", ivb("liver", oligometastatic=True), ecog=1)
def rectum_and_liver(chart: Chart) -> None:
    """Distant disease outranks proven mucosa of the rectum."""
    primary(chart)
    chart.extent("rectal-mucosa", chart.on(6), by=codes.BIOPSY)
    metastasis(chart, "liver", 1, encoding="generic")


@case(SCRIPTS, "ivb-fistula", ivb("lung", oligometastatic=False), ecog=1)
def fistula(chart: Chart) -> None:
    """A fistula blocks bevacizumab."""
    primary(chart)
    category(chart, "cT3b")
    metastasis(chart, "lung", 4, encoding="both")
    chart.condition(
        "fistula", concept(coding(codes.ICD_10_CM, "N82.0", "Vesicovaginal fistula"), text="Vesicovaginal fistula"), chart.on(4)
    )
    pd_l1(chart, 5)


@case(
    SCRIPTS,
    "equivocal-lung-nodules",
    expect("IIIC1r") | {"equivocal": frozenset({"lung"}), "regional": frozenset({"node-pelvic"}), "could_be": ("IVB",)},
)
def equivocal(chart: Chart) -> None:
    """Doubt leaves the lower stage, and says what would change it."""
    primary(chart)
    category(chart, "cT2b")
    chart.extent("pelvic-nodes", chart.on(6), by=codes.MRI)
    nodules = {"code": concept(coding(codes.EXTENT, "lesion-count")), "valueInteger": 3}
    indeterminate = snomed("82334004", "Indeterminate")
    chart.extent("distant-organ", chart.on(9), by=codes.CT, site="39607008", valueCodeableConcept=indeterminate, components=[nodules])
    absent(chart, "para-aortic-nodes", "inguinal-nodes", "distant-nodes", "peritoneal-spread")


@case(SCRIPTS, "provisional-lung-metastasis", expect("IIB") | {"equivocal": frozenset({"lung"}), "could_be": ("IVB",)})
def provisional(chart: Chart) -> None:
    """A provisional Condition establishes nothing."""
    primary(chart, encoding="cm")
    category(chart, "cT2b")
    category(chart, "cN0")
    secondary(chart, codes.SITES["lung"], chart.on(9), "cm", verification="provisional")


@case(SCRIPTS, "abdominal-node-not-told", expect("IIIC2") | {"could_be": ("IVB",)})
def abdominal_node(chart: Chart) -> None:
    """C77.2 is para-aortic or mesenteric: the lower reading is the stage."""
    primary(chart, encoding="cm")
    category(chart, "cT2b")
    related = extension(codes.CONDITION_RELATED, valueReference={"reference": f"Condition/{chart.key}-primary"})
    chart.condition("abdominal-node", concept(coding(codes.ICD_10_CM, "C77.2")), chart.on(9), extensions=[related])


def chemoradiation(chart: Chart, start: int) -> None:
    """External beam 45 Gy in 25, brachytherapy 28 Gy in 4, and cisplatin weekly five times, from `start` days after diagnosis."""
    pelvis = chart.put(
        "BodyStructure", "pelvis", {"location": snomed(codes.CERVIX), "description": "Pelvic volume", "patient": chart.subject}
    )
    courses = (("external", "1156506007", 4500, 25, start, start + 35), ("brachytherapy", "394902000", 2800, 4, start + 37, start + 47))
    for name, modality, centigray, fractions, first, last in courses:
        technique = extension(codes.MCODE + "radiotherapy-modality", valueCodeableConcept=snomed(modality))
        dose = [
            extension("volume", valueReference={"reference": pelvis}),
            extension("totalDoseDelivered", valueQuantity=quantity(centigray, "cGy")),
            extension("fractionsDelivered", valueUnsignedInt=fractions),
        ]
        course: Json = {
            "extension": [
                extension(codes.MCODE + "procedure-intent", valueCodeableConcept=snomed("373808002", "Curative - procedure intent")),
                {"url": codes.MCODE + "radiotherapy-modality-and-technique", "extension": [technique]},
                {"url": codes.MCODE + "radiotherapy-dose-delivered-to-volume", "extension": dose},
            ],
            "status": "completed",
            "code": snomed("1217123003", "Radiotherapy course of treatment"),
            "subject": chart.subject,
            "performedPeriod": {"start": chart.on(first), "end": chart.on(last)},
            "bodySite": [snomed(codes.CERVIX)],
            "reasonReference": [{"reference": f"Condition/{chart.key}-primary"}],
        }
        chart.put("Procedure", name, course, "radiotherapy-course-summary")
    for week in range(5):
        given: Json = {
            "status": "completed",
            "medicationCodeableConcept": concept(coding(codes.RXNORM, "2555", "cisplatin")),
            "subject": chart.subject,
            "effectiveDateTime": chart.on(start + 7 * week),
            "dosage": {"dose": quantity(66, "mg")},
        }
        chart.put("MedicationAdministration", f"cisplatin-{week + 1}", given)


def remission(chart: Chart, offset: int) -> None:
    status = loinc("97509-4", "Cancer disease progression")
    focus = f"Condition/{chart.key}-primary"
    found = snomed("103338009", "In full remission")
    chart.observation("response", status, chart.on(offset), focus=focus, valueCodeableConcept=found, profile="cancer-disease-status")


@case(SCRIPTS, "recurrent-lung-after-chemoradiation", came_back("IIB", "lung"), ecog=1)
def recurrent_lung(chart: Chart) -> None:
    """Lung metastases fourteen months after chemoradiation: the state changes, the stage does not."""
    primary(chart)
    for label in ("cT2b", "cN0", "cM0"):
        category(chart, label)
    recorded_stage(chart, "IIB")
    chemoradiation(chart, 24)
    remission(chart, 165)
    metastasis(chart, "lung", 2, 500, encoding="both")
    chart.assessed = 504
    pd_l1(chart, 12, 506)


@case(SCRIPTS, "recurrent-local", came_back("IB3"), ecog=0)
def recurrent_local(chart: Chart) -> None:
    """The tumour is back in the cervix, proven by biopsy, and nowhere else."""
    primary(chart)
    size(chart, 52)
    for label in ("cT1b3", "cN0", "cM0"):
        category(chart, label, writing="loinc")
    chemoradiation(chart, 21)
    remission(chart, 160)
    chart.condition("recurrence", snomed("314970000", "Local recurrence of malignant tumour of cervix"), chart.on(480))
    for fact in ("pelvic-nodes", "distant-organ"):
        chart.extent(fact, chart.on(478), by=codes.PET, name=f"{fact}-later", valueBoolean=False)
    chart.assessed = 484
