"""Code systems, and what makes two codes the same code. Meaning is matched on system and code, never on display."""

from __future__ import annotations

from functools import lru_cache

from shared.oncology.record import Coding, Concept

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
NCIT = "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ATC = "http://www.whocc.no/atc"
ICD_O_3 = "http://terminology.hl7.org/CodeSystem/icd-o-3"
ICD_10_CM = "http://hl7.org/fhir/sid/icd-10-cm"
ICD_10 = "ICD-10"
AJCC = "http://cancerstaging.org"
ICD_10_SYSTEMS = (ICD_10_CM, "http://hl7.org/fhir/sid/icd-10", "http://fhir.de/CodeSystem/bfarm/icd-10-gm")

# Spellings of one system that real senders use, by the name we know it by. ICD-10 CM, WHO and GM agree on what we read of them.
_ALIASES = {
    ICD_10_CM: ICD_10,
    "http://hl7.org/fhir/sid/icd-10": ICD_10,
    "http://hl7.org/fhir/sid/icd-10-gm": ICD_10,
    "http://fhir.de/CodeSystem/bfarm/icd-10-gm": ICD_10,
    "http://fhir.de/CodeSystem/dimdi/icd-10-gm": ICD_10,
    "urn:oid:2.16.840.1.113883.6.90": ICD_10,
    "urn:oid:2.16.840.1.113883.6.3": ICD_10,
    "urn:oid:2.16.840.1.113883.6.96": SNOMED,
    "urn:oid:2.16.840.1.113883.6.1": LOINC,
    "urn:oid:2.16.840.1.113883.6.43.1": ICD_O_3,
    "http://terminology.hl7.org/ValueSet/icd-o-3": ICD_O_3,
    "http://hl7.org/fhir/sid/icd-O3-topography": ICD_O_3,
    "urn:oid:2.16.840.1.113883.3.26.1.1": NCIT,
    "http://ncimeta.nci.nih.gov": NCIT,
    "https://nih-ncpi.github.io/ncpi-fhir-ig/CodeSystem-ncit.html": NCIT,
}


def codes(concept: Concept | None) -> list[tuple[str, str]]:
    """The codings of a concept as (system, code): aliases resolved, post-coordinated SNOMED cut to its focus, ICD-10 without dots."""
    found: list[tuple[str, str]] = []
    if concept is not None:
        for coding in concept.codings:
            pair = _pair(coding.system, coding.code)
            if pair is not None:
                found.append(pair)
    return found


def key(coding: Coding) -> tuple[str, str] | None:
    """One coding as (system, code); None where either is missing."""
    return _pair(coding.system, coding.code)


@lru_cache(maxsize=8192)
def _pair(system: str | None, code: str | None) -> tuple[str, str] | None:
    if code is None or system is None:
        return None
    system = _ALIASES.get(system, system)
    if system == SNOMED:
        code = code.partition(":")[0].partition("|")[0].strip() if ":" in code or "|" in code else code
    elif system == ICD_10:
        code = icd10(code)
    return system, code


@lru_cache(maxsize=4096)
def icd10(code: str) -> str:
    """An ICD-10 code in capitals, without dot, dagger and German certainty letter: "c53.9 G" is "C539"."""
    code = code.strip().upper().replace(".", "").rstrip("+*!")
    return code.rstrip(" GVAZ") if len(code) > 3 else code


def certainty_letter(code: str) -> str | None:
    """The German certainty letter behind an ICD-10-GM code (G assured, V suspected, A excluded, Z status after), if there is one."""
    code = code.strip().upper()
    return code[-1] if len(code) > 3 and code[-1] in "GVAZ" else None


def by_prefix(table: dict[str, object], code: str, shortest: int = 3) -> object | None:
    """The entry of the longest prefix of the code that the table has."""
    for length in range(len(code), shortest - 1, -1):
        if (found := table.get(code[:length])) is not None:
            return found
    return None


# NCIt codes of the FIGO stages that the cervix has (mCODE 4.0.0, mcode-figo-stage-value-vs); the suffix r or p has no code.
FIGO_STAGES = {
    "C96244": "I",
    "C96245": "IA",
    "C96246": "IA1",
    "C96247": "IA2",
    "C96248": "IB",
    "C96249": "IB1",
    "C96250": "IB2",
    "C162222": "IB3",
    "C96252": "II",
    "C96253": "IIA",
    "C162223": "IIA1",
    "C162224": "IIA2",
    "C96254": "IIB",
    "C96255": "III",
    "C96256": "IIIA",
    "C96257": "IIIB",
    "C96258": "IIIC",
    "C96259": "IIIC1",
    "C96260": "IIIC2",
    "C96261": "IV",
    "C96262": "IVA",
    "C96263": "IVB",
}
FIGO_CODES = {stage: code for code, stage in FIGO_STAGES.items()}
