"""Cases for clinicians: a synthetic patient in a few lines of YAML, and what one regimen must answer. Read by `test_cases.py`.

Every case begins with a fit woman of 53 (ECOG 1, 162 cm, 64 kg, creatinine 0.80 mg/dL, CPS 10, sound blood counts); a line with the same
code replaces hers, `silent` takes facts away, and `unread` are the FHIR types of her record that nobody could see.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

from shared.oncology.record import Coding, Component, Concept, Dose, Finding, Quantity, Record, Value
from shared.oncology.stage import EditionStage, Knowledge, Metastasis, Missing, Oligometastatic, Primary, Staging, Tnm, Window

SYSTEMS = {
    "loinc": "http://loinc.org",
    "sct": "http://snomed.info/sct",
    "icdo3": "http://terminology.hl7.org/CodeSystem/icd-o-3",
    "icd10": "http://hl7.org/fhir/sid/icd-10-cm",
    "ncit": "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
    "rxnorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "atc": "http://www.whocc.no/atc",
    "hgnc": "http://www.genenames.org/geneId",
    "criticality": "http://hl7.org/fhir/allergy-intolerance-criticality",
    "extent": "https://figaro.example/fhir/CodeSystem/extent-of-disease",
}
UCUM = "http://unitsofmeasure.org"
TODAY = "2026-02-11"


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of the record; exactly one of the first six says what it is."""

    observation: str | None = None
    condition: str | None = None
    procedure: str | None = None
    allergy: str | None = None
    given: str | None = None
    ordered: str | None = None
    id: str | None = None
    value: bool | float | int | str | None = None
    unit: str | None = None
    comparator: str | None = None
    answer: str | None = None
    text: str | None = None
    component: str | None = None
    components: dict[str, str] = {}
    components: dict[str, str] = {}
    system: Literal["ucum", "none"] = "ucum"
    status: str | None = None
    verification: str | None = None
    clinical: str | None = None
    severity: str | None = None
    site: str | None = None
    on: str = TODAY
    until: str | None = None
    plausible: bool = True
    undated: bool = False


class Spread(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"of": "class"}):
    """One metastasis."""

    site: str
    of: Literal["organ", "peritoneal", "distant-node", "regional-node", "adjacent", "contested"]
    lesions: int | None = None
    certainty: Literal["definite", "equivocal", "unknown"] = "definite"
    in_window: bool = True


class Staged(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What staging says."""

    figo_2018: str | None = "IVB"
    figo_2009: str | None = "IVB"
    could_be: tuple[str, ...] = ()
    could_be_2009: tuple[str, ...] = ()
    n: str | None = None
    histology: str | None = "8070/3"
    applies: bool = True
    state: Literal["initial", "persistent", "recurrent", "progressive"] = "initial"
    spread: tuple[Spread, ...] = ()
    few: bool | None = None
    window_end: str | None = None


class Expected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the answer must hold; what is not named is not asked. A verdict speaks of one regimen.

    `says`: words in the reason, block or caution of that name; `not_says`: words that are not. `rests_on`: its sources. `asks`: words in
    what is missing. `basis`: by drug, what the dose rests on. `remark`: words in a note of the candidate. `first`: it has rank 1.
    `nobody`: no candidate at all is listed.
    """

    verdict: Literal["eligible", "cannot-tell", "ruled-out", "not-listed"] | None = None
    setting: str | None = None
    line: int | None = None
    holds: tuple[str, ...] = ()
    fails: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    no_cautions: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    not_missing: tuple[str, ...] = ()
    amounts: dict[str, float | None] = {}
    above: str | None = None
    first: bool = False
    remark: str | None = None
    not_says: dict[str, str] = {}
    rests_on: dict[str, tuple[str, ...]] = {}
    situation: dict[str, Any] = {}
    says: dict[str, str] = {}
    asks: tuple[str, ...] = ()
    basis: dict[str, dict[str, str | float | None]] = {}
    nobody: bool = False
    note: str | None = None
    no_note: str | None = None


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One case. Under `regimens/` the folder names the regimen; elsewhere `regimen` does, where the case speaks of one."""

    says: str
    regimen: str | None = None
    sex: str = "female"
    born: str | None = "1973-01-05"
    silent: tuple[str, ...] = ()
    staged: Staged = Staged()
    record: tuple[Line, ...] = ()
    as_of: str | None = None
    region: Literal["FDA", "EMA", "NMPA"] | None = None
    policy: str = "default"
    unread: tuple[str, ...] = ()
    expect: Expected


FIT = (
    Line(observation="loinc 89247-1", id="ecog", value=1),
    Line(observation="loinc 8302-2", id="height", value=162, unit="cm"),
    Line(observation="loinc 29463-7", id="weight", value=64, unit="kg"),
    Line(observation="loinc 2160-0", id="creatinine", value=0.8, unit="mg/dL"),
    Line(observation="ncit C176582", id="cps", value=10, unit="{score}"),
    Line(observation="loinc 718-7", id="haemoglobin", value=12.1, unit="g/dL"),
    Line(observation="loinc 751-8", id="neutrophils", value=4.2, unit="10*9/L"),
    Line(observation="loinc 777-3", id="platelets", value=250, unit="10*9/L"),
)


def cases(folder: Path) -> list[Path]:
    """The case files below a folder."""
    return sorted(folder.rglob("*.yaml"))


def record(case: Case) -> Record:
    """The record of the case, dated on the 11th of February 2026 unless it says otherwise."""
    own = {line.observation for line in case.record}
    lines = [line for line in FIT if line.observation not in own and line.id not in case.silent]
    findings = tuple(_finding(number, line) for number, line in enumerate((*lines, *case.record)) if line.on <= (case.as_of or "9999"))
    today = case.as_of or max([finding.when or "" for finding in findings if finding.plausible] + [TODAY])
    unread = tuple(sorted(case.unread))
    return Record(
        patient="Patient/synthetic", birth_date=case.born, sex=case.sex, today=today, as_of=case.as_of, findings=findings, unread=unread
    )


def staging(staged: Staged, unread: tuple[str, ...] = ()) -> Staging:
    """What staging would have said, where so much was not read."""
    edition = EditionStage(
        stage=staged.figo_2018,
        label=staged.figo_2018,
        could_be=staged.could_be,
        missing=(Missing("distant_organ", "Imaging of chest and abdomen"),) if staged.could_be else (),
    )
    older = EditionStage(stage=staged.figo_2009, label=staged.figo_2009, could_be=staged.could_be_2009)
    return Staging(
        patient="Patient/synthetic",
        primary=Primary(condition="Condition/primary", site="C53.9", histology=staged.histology, applies=staged.applies),
        diagnosed="2026-01-20",
        window=Window(start="2026-01-20", end=staged.window_end),
        editions={"figo-2018": edition, "figo-2009": older} if staged.applies else {},
        tnm=Tnm(n=staged.n),
        metastases=tuple(
            Metastasis(
                site=s.site,
                site_class=s.of,
                lesions=s.lesions,
                certainty=s.certainty,
                in_window=s.in_window,
                sources=(f"Condition/{s.site}",),
            )
            for s in staged.spread
        ),
        oligometastatic=Oligometastatic(value=staged.few, definition="one organ, at most three lesions", reference="yin-2019"),
        disease_state=staged.state,
        knowledge=Knowledge("test", "test"),
        unread=tuple(sorted(unread)) or msgspec.UNSET,
    )


def _concept(text: str | None) -> Concept:
    """`loinc 89247-1` as a coding; anything else as text."""
    system, _, code = (text or "").partition(" ")
    return Concept((Coding(SYSTEMS[system], code),)) if system in SYSTEMS else Concept(text=text)


def _value(line: Line) -> Value:
    if line.answer:
        return Value(concept=_concept(line.answer))
    if isinstance(line.value, bool):
        return Value(boolean=line.value)
    if isinstance(line.value, str):
        return Value(text=line.value)
    if line.value is None:
        return Value()
    if line.unit is None:
        return Value(integer=int(line.value))
    coded = (UCUM, line.unit) if line.system == "ucum" else (None, None)
    return Value(quantity=Quantity(Decimal(str(line.value)), line.unit, line.comparator, *coded))


def _finding(number: int, line: Line) -> Finding:
    kinds = {
        "observation": ("observation", "Observation", line.status or "final"),
        "condition": ("condition", "Condition", line.status),
        "procedure": ("procedure", "Procedure", line.status or "completed"),
        "allergy": ("allergy", "AllergyIntolerance", line.status),
        "given": ("medication-administration", "MedicationAdministration", line.status or "completed"),
        "ordered": ("medication-request", "MedicationRequest", line.status or "active"),
    }
    name = next(name for name in kinds if getattr(line, name) is not None)
    kind, resource, status = kinds[name]
    concept = msgspec.structs.replace(_concept(getattr(line, name)), text=line.text or _concept(getattr(line, name)).text)
    value = _value(line)
    return Finding(
        source=f"{resource}/{line.id or f'{name}-{number}'}",
        kind=kind,  # type: ignore[arg-type]
        concept=concept,
        status=status,
        verification=line.verification or ("confirmed" if name == "condition" else None),
        clinical=line.clinical or ("active" if name == "condition" else None),
        when=None if line.undated else line.on,
        plausible=line.plausible,
        until=line.until,
        value=Value() if line.component else value,
        components=(Component(_concept(line.component), value),) if line.component else _components(line),
        severity=_concept(line.severity) if line.severity else None,
        sites=(_concept(line.site),) if line.site else (),
        doses=(Dose(Decimal("45"), 25, None),) if line.site and name == "procedure" else (),
    )


def _components(line: Line) -> tuple[Component, ...]:
    return tuple(Component(_concept(code), Value(concept=_concept(answer))) for code, answer in line.components.items())
