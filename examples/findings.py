"""What a work-up finds, written the several ways that hospitals write it: primary, TNM, spread, fitness, markers, treatment."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Literal, NamedTuple

from examples import codes
from examples.codes import SITES, Site
from examples.resources import Chart, Json, coding, concept, extension, loinc, quantity, snomed

Encoding = Literal["both", "generic", "cm", "who", "snomed", "twice"]
ENCODINGS: tuple[Encoding, ...] = ("both", "generic", "cm", "who", "snomed", "twice")
Writing = Literal["snomed", "loinc", "ajcc"]

NO_NODES = ("pelvic-nodes", "para-aortic-nodes")
NO_SPREAD = ("inguinal-nodes", "distant-nodes", "distant-organ", "peritoneal-spread")
NO_LOCAL_SPREAD = ("pelvic-wall", "hydronephrosis", "non-functioning-kidney", "bladder-mucosa", "rectal-mucosa", "bowel-contiguous")


def primary(chart: Chart, kind: str = "squamous", encoding: Encoding = "both", *, verification: str = "confirmed") -> str:
    """The cervical primary, confirmed by biopsy on day 0; its reference."""
    cell = codes.HISTOLOGIES[kind]
    morphology = [coding(codes.ICD_O_3, cell.icd_o, cell.words)]
    if cell.morphology:
        morphology.append(coding(codes.SCT, cell.morphology))
    disorder = coding(codes.SCT, cell.disorder)
    cm, who = coding(codes.ICD_10_CM, "C53.9"), coding(codes.ICD_10, "C53.9")
    topography = concept(coding(codes.SCT, codes.CERVIX), coding(codes.ICD_O_3, "C53.9", "Cervix uteri"))
    written: dict[Encoding, Json] = {
        "both": concept(disorder, cm),
        "twice": concept(disorder, cm),
        "cm": concept(cm),
        "who": concept(who),
        "snomed": concept(disorder),
        "generic": snomed("363346000", "Malignant neoplastic disease"),
    }
    return chart.condition(
        "primary",
        written[encoding],
        chart.on(),
        sites=[topography] if encoding == "generic" else [],
        extensions=[extension(codes.MCODE + "histology-morphology-behavior", valueCodeableConcept=concept(*morphology))],
        verification=verification,
        clinical="inactive" if verification == "refuted" else "active",
        profile="primary-cancer-condition" if encoding == "both" else None,
    )


def category(chart: Chart, label: str, offset: int = 8, writing: Writing = "snomed") -> str:
    """A T, N or M category of AJCC version 9 such as "cT2b": as SNOMED CT code, as text under a LOINC code, or as AJCC's own code."""
    letter = label[:2]
    value = codes.TNM_VALUES.get(label)
    code = loinc(codes.TNM_LOINC[letter]) if writing == "loinc" else snomed(codes.TNM_SCT[letter])
    written = concept(text=label)
    if writing == "ajcc":
        written = concept(coding(codes.AJCC, label))
    elif writing == "snomed" and value:
        written = concept(coding(codes.SCT, value), text=label)
    edition = snomed(codes.AJCC_9, "American Joint Committee on Cancer version 9")
    focus = f"Condition/{chart.key}-primary"
    return chart.observation(f"tnm-{letter[1].lower()}", code, chart.on(offset), by=edition, focus=focus, valueCodeableConcept=written)


def size(chart: Chart, millimetres: float, offset: int = 6, *, ours: bool = True) -> str:
    """The greatest diameter of the primary on MRI: under our own code, or as LOINC 21889-1 with its longest dimension, in cm."""
    if ours:
        return chart.extent("tumour-size", chart.on(offset), by=codes.MRI, valueQuantity=quantity(millimetres, "mm"))
    longest = {"code": loinc("33728-7", "Size.maximum dimension in Tumor"), "valueQuantity": quantity(round(millimetres / 10, 1), "cm")}
    looked = snomed(codes.MRI)
    code = loinc("21889-1", "Size Tumor")
    return chart.observation("tumour-size", code, chart.on(offset), by=looked, site=snomed(codes.CERVIX), components=[longest])


def absent(chart: Chart, *facts: str, offset: int = 7, by: str = codes.CT) -> None:
    """Looked for and not found."""
    for fact in facts:
        chart.extent(fact, chart.on(offset), by=by, valueBoolean=False)


def secondary(chart: Chart, site: Site, when: str, encoding: Encoding = "both", *, verification: str = "confirmed") -> None:
    """A secondary Condition at a site, related to the primary. "twice" files the same lesion under two Conditions."""
    where = snomed(site.structure)
    both = (coding(codes.SCT, site.disorder), coding(codes.ICD_10_CM, site.cm))
    generic = snomed(codes.SECONDARY_NODE if site.node else codes.SECONDARY_ANY)
    written: dict[Encoding, tuple[Json, ...]] = {
        "both": (concept(*both),),
        "generic": (generic,),
        "cm": (concept(both[1]),),
        "who": (concept(coding(codes.ICD_10, site.who)),),
        "snomed": (concept(both[0]),),
        "twice": (concept(both[0]), concept(both[1])),
    }
    # ICD-10 puts the spleen under "other digestive organs" and several nodes under one code: the body site says which.
    shared = site.node or site.name == "spleen"
    for number, code in enumerate(written[encoding], start=1):
        chart.condition(
            f"secondary-{site.name}" + (f"-{number}" if encoding == "twice" else ""),
            code,
            when,
            sites=[where] if encoding == "generic" or shared else [],
            extensions=[extension(codes.CONDITION_RELATED, valueReference={"reference": f"Condition/{chart.key}-primary"})],
            verification=verification,
            profile="secondary-cancer-condition" if encoding == "both" else None,
        )


def metastasis(
    chart: Chart,
    organ: str,
    lesions: int | None,
    offset: int = 9,
    *,
    by: str = codes.CT,
    encoding: Encoding = "both",
    condition: bool = True,
) -> None:
    """An organ metastasis: how it was seen and how many lesions, and the secondary Condition beside it."""
    site = SITES[organ]
    count = [{"code": concept(coding(codes.EXTENT, "lesion-count")), "valueInteger": lesions}] if lesions is not None else []
    chart.extent("distant-organ", chart.on(offset), by=by, site=site.structure, name=f"organ-{organ}", components=count)
    if condition:
        secondary(chart, site, chart.on(offset), encoding)


def distant_node(chart: Chart, node: str, offset: int = 9, *, by: str = codes.CT, encoding: Encoding = "both", seen: bool = True) -> None:
    """A distant node metastasis as a secondary Condition and, where `seen`, as extent of disease too."""
    site = SITES[node]
    if seen:
        what = "inguinal-nodes" if node == "node-inguinal" else "distant-nodes"
        chart.extent(what, chart.on(offset), by=by, site=site.structure)
    secondary(chart, site, chart.on(offset), encoding)


class Fitness(NamedTuple):
    """What candidates hinge on besides the tumour. Units: cm, kg, g/dL, 10^9/L, mg/dL, U/L, mmHg."""

    ecog: int = 0
    height: float = 162
    weight: float = 64
    haemoglobin: float = 12.2
    leucocytes: float = 7.1
    neutrophils: float = 4.5
    platelets: float = 262
    creatinine: float = 0.8
    bilirubin: float = 0.5
    alt: float = 19
    systolic: int = 124


def anyone(rng: Random) -> Fitness:
    """An unremarkable woman; up to the age of 62 her creatinine clearance (Cockcroft-Gault) is above 60 mL/min."""
    leucocytes = round(rng.uniform(4.4, 9.6), 1)
    return Fitness(
        ecog=rng.choice((0, 0, 0, 1)),
        height=rng.randint(151, 176),
        weight=round(rng.uniform(54, 88), 1),
        haemoglobin=round(rng.uniform(10.6, 14.1), 1),
        leucocytes=leucocytes,
        neutrophils=round(leucocytes * 0.62, 1),
        platelets=rng.randint(170, 390),
        creatinine=round(rng.uniform(0.5, 0.8), 2),
        bilirubin=round(rng.uniform(0.3, 0.9), 1),
        alt=rng.randint(11, 34),
        systolic=rng.randint(108, 138),
    )


def fitness(chart: Chart, fit: Fitness, *, si: bool = False, full: bool = True) -> None:
    """Performance, body size and laboratory on the day she was assessed; `si` writes g/L, umol/L and 10*9/L."""
    when = chart.on(chart.assessed)
    ecog = loinc("89247-1", "ECOG Performance Status score")
    chart.observation("ecog", ecog, when, category="survey", valueInteger=fit.ecog, profile="ecog-performance-status")
    cells = "10*9/L" if si else "10*3/uL"
    measured: list[tuple[str, str, str, float, str]] = [
        ("height", "8302-2", "Body height", fit.height, "cm"),
        ("weight", "29463-7", "Body weight", fit.weight, "kg"),
        (
            "haemoglobin",
            "718-7",
            "Hemoglobin [Mass/volume] in Blood",
            *((round(fit.haemoglobin * 10), "g/L") if si else (fit.haemoglobin, "g/dL")),
        ),
        _creatinine(fit.creatinine, si=si),
        ("leucocytes", "26464-8" if si else "6690-2", "Leukocytes [#/volume] in Blood", fit.leucocytes, cells),
        ("neutrophils", "26499-4", "Neutrophils [#/volume] in Blood", fit.neutrophils, cells),
        ("platelets", "26515-7" if si else "777-3", "Platelets [#/volume] in Blood", fit.platelets, cells),
        ("bilirubin", "1975-2", "Bilirubin.total [Mass/volume] in Serum or Plasma", fit.bilirubin, "mg/dL"),
        ("alt", "1742-6", "Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma", fit.alt, "U/L"),
    ]
    for name, code, words, value, unit in measured if full else measured[:4]:
        group = "vital-signs" if unit in {"cm", "kg"} else "laboratory"
        chart.observation(name, loinc(code, words), when, category=group, valueQuantity=quantity(value, unit))
    if full:
        parts = [("8480-6", fit.systolic), ("8462-4", 62 + fit.systolic // 8)]
        pressures = [{"code": loinc(code), "valueQuantity": quantity(value, "mm[Hg]")} for code, value in parts]
        chart.observation("blood-pressure", loinc("85354-9"), when, category="vital-signs", components=pressures)


def _creatinine(value: float, *, si: bool) -> tuple[str, str, str, float, str]:
    if si:
        return ("creatinine", "14682-9", "Creatinine [Moles/volume] in Serum or Plasma", round(value * 88.4), "umol/L")
    return ("creatinine", "2160-0", "Creatinine [Mass/volume] in Serum or Plasma", value, "mg/dL")


def not_pregnant(chart: Chart) -> None:
    status = loinc("82810-3", "Pregnancy status")
    chart.observation("pregnancy", status, chart.on(chart.assessed), category="social-history", valueCodeableConcept=snomed("60001007"))


def pd_l1(chart: Chart, cps: int, offset: int = 10, *, component: bool = False) -> None:
    """The PD-L1 combined positive score: as an Observation of its own, or as a component of a 22C3 report that also gives the TPS."""
    score = concept(coding(codes.NCIT, "C176582", "PD-L1 Combined Positive Score"))
    value = quantity(cps, "{score}")
    when = chart.on(offset)
    if not component:
        chart.observation("pd-l1", score, when, category="laboratory", valueQuantity=value)
        return
    proportion = {"code": loinc("83053-9"), "valueQuantity": quantity(max(cps - 1, 0), "%")}
    parts = [{"code": score, "valueQuantity": value}, proportion]
    chart.observation("pd-l1", loinc("85147-7"), when, category="laboratory", components=parts)


def recorded_stage(chart: Chart, label: str, offset: int = 11, *, edition: str | None = codes.FIGO_2018) -> None:
    """A FIGO stage as a clinician recorded it; without an edition the reader has to guess."""
    codings: Iterable[Json] = [coding(codes.SCT, "385361009")] + ([coding(codes.NCIT, edition)] if edition else [])
    value = concept(coding(codes.NCIT, codes.FIGO_VALUES[label], f"FIGO Stage {label}"))
    focus = f"Condition/{chart.key}-primary"
    chart.observation(
        "stage",
        concept(*codings),
        chart.on(offset),
        by=snomed(codes.FIGO_CERVIX),
        focus=focus,
        valueCodeableConcept=value,
        profile="cancer-stage",
    )
