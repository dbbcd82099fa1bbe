"""Two codes are the same code where their systems mean the same and the spelling is set aside."""

from __future__ import annotations

import pytest

from shared.fhir.codes import (
    ATC,
    FIGO_CODES,
    FIGO_STAGES,
    ICD_10,
    ICD_O_3,
    LOINC,
    NCIT,
    RXNORM,
    SNOMED,
    by_prefix,
    certainty_letter,
    codes,
    icd10,
    key,
)
from shared.oncology.record import Coding, Concept


@pytest.mark.parametrize(
    ("system", "code", "same"),
    [
        ("http://hl7.org/fhir/sid/icd-10-cm", "C53.9", (ICD_10, "C539")),
        ("http://hl7.org/fhir/sid/icd-10", "C53.9", (ICD_10, "C539")),
        ("http://fhir.de/CodeSystem/bfarm/icd-10-gm", "C53.9 G", (ICD_10, "C539")),
        ("http://fhir.de/CodeSystem/dimdi/icd-10-gm", "C53.9G", (ICD_10, "C539")),
        ("urn:oid:2.16.840.1.113883.6.90", "c53.9", (ICD_10, "C539")),
        ("http://hl7.org/fhir/sid/icd-10", "C79.5+", (ICD_10, "C795")),
        ("http://snomed.info/sct", "363354003", (SNOMED, "363354003")),
        ("http://snomed.info/sct", "363354003:363698007=71252005", (SNOMED, "363354003")),
        ("http://snomed.info/sct", "363354003 |Malignant tumour of cervix|", (SNOMED, "363354003")),
        ("urn:oid:2.16.840.1.113883.6.96", "363354003", (SNOMED, "363354003")),
        ("urn:oid:2.16.840.1.113883.6.1", "21889-1", (LOINC, "21889-1")),
        ("http://ncimeta.nci.nih.gov", "C96254", (NCIT, "C96254")),
        ("https://nih-ncpi.github.io/ncpi-fhir-ig/CodeSystem-ncit.html", "C176582", (NCIT, "C176582")),
        ("http://terminology.hl7.org/CodeSystem/icd-o-3", "8070/3", (ICD_O_3, "8070/3")),
        ("http://www.nlm.nih.gov/research/umls/rxnorm", "2555", (RXNORM, "2555")),
        ("http://www.whocc.no/atc", "L01XA01", (ATC, "L01XA01")),
        ("urn:local", "C53.9", ("urn:local", "C53.9")),
    ],
)
def test_a_coding_is_compared_by_what_it_means(system: str, code: str, same: tuple[str, str]) -> None:
    assert key(Coding(system, code)) == same


@pytest.mark.parametrize("coding", [Coding(None, "C53.9"), Coding("http://loinc.org", None), Coding(None, None, "Cervix")])
def test_half_a_coding_means_nothing(coding: Coding) -> None:
    assert key(coding) is None
    assert list(codes(Concept((coding,)))) == []


def test_text_is_no_code() -> None:
    assert list(codes(Concept(text="C53.9"))) == []
    assert list(codes(None)) == []


def test_codings_keep_their_order() -> None:
    concept = Concept((Coding(SNOMED, "1"), Coding("http://hl7.org/fhir/sid/icd-10", "C53.9"), Coding(SNOMED, "2")))

    assert list(codes(concept)) == [(SNOMED, "1"), (ICD_10, "C539"), (SNOMED, "2")]


@pytest.mark.parametrize(
    ("code", "letter", "bare"),
    [
        ("C53.9 G", "G", "C539"),
        ("C53.9V", "V", "C539"),
        ("c53.9 a", "A", "C539"),
        ("C53.9 Z", "Z", "C539"),
        ("C53.9", None, "C539"),
        ("C53", None, "C53"),
        ("C7B.02", None, "C7B02"),
        ("Z85.41", None, "Z8541"),
        (" C53.9 ", None, "C539"),
    ],
)
def test_the_german_certainty_letter_is_read_and_then_set_aside(code: str, letter: str | None, bare: str) -> None:
    assert certainty_letter(code) == letter
    assert icd10(code) == bare


def test_the_longest_prefix_wins() -> None:
    table: dict[str, object] = {"C795": "bone", "C7952": "marrow", "C79": "other"}

    assert by_prefix(table, "C7951") == "bone"
    assert by_prefix(table, "C7952") == "marrow"
    assert by_prefix(table, "C791") == "other"
    assert by_prefix(table, "C78") is None
    assert by_prefix({"C": "any"}, "C78") is None


def test_every_stage_of_the_cervix_has_one_ncit_code() -> None:
    assert len(FIGO_STAGES) == len(FIGO_CODES) == 22
    assert FIGO_STAGES["C96259"] == "IIIC1"
    assert FIGO_CODES["IB3"] == "C162222"
