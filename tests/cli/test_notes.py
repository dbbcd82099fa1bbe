"""`figaro stage --text`: a short note that a colleague could have written. Six of them stand whole in `notes/`.

To write them anew after a change of words: python -m tests.cli.test_notes
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from examples.synthetic_patients import CASES
from services.note import WIDTH, note
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from shared.oncology.not_read import words
from tests import synthetic
from tests.staging.case import Chart, bundle

NOTES = Path(__file__).parent / "notes"
WHOLE = (
    "founding-01",
    "iib-nodes-never-looked-for",
    "recorded-iib-derived-iiic1",
    "equivocal-lung-nodules",
    "recurrent-lung-after-chemoradiation",
    "refuted-diagnosis",
)


def noted(data: bytes, width: int = WIDTH) -> str:
    """The note on a Bundle, without the digest of the knowledge."""
    record = read_bundle(data)
    return re.sub(r"\([0-9a-f]{8}\)\.$", "(digest).", note(record, stage(record, rules()), rules(), width), flags=re.MULTILINE)


def on(chart: dict[str, Any], width: int = 1000) -> str:
    return noted(bundle(msgspec.convert(chart, Chart)), width)


@pytest.mark.parametrize("case", WHOLE)
def test_a_note_reads_as_it_stands(case: str) -> None:
    assert noted(synthetic.raw(case)) == (NOTES / f"{case}.txt").read_text()


@pytest.mark.parametrize("unread", [("Procedure",), ("Observation",), ("AllergyIntolerance",)])
def test_a_note_says_what_was_not_read(unread: tuple[str, ...]) -> None:
    record = msgspec.structs.replace(read_bundle(synthetic.raw("founding-01")), unread=unread)
    said = note(record, stage(record, rules()), rules(), 1000)
    assert f"Not read, or not wholly: {words(unread)}. What is silent there is unknown, not absent." in said


@pytest.mark.parametrize("width", [80, WIDTH])
def test_no_note_is_too_wide_has_an_empty_block_or_a_word_of_ours(width: int) -> None:
    for case in CASES:
        lines = noted(synthetic.raw(case.case), width).splitlines()
        assert max(map(len, lines)) <= width
        assert not any(re.search(r"[a-z]_[a-z]", line) for line in lines), case.case
        heads = [number for number, line in enumerate(lines) if number and not lines[number - 1] and not line.startswith("Staging")]
        assert all(lines[number + 1].startswith("  ") for number in heads), case.case
        assert len(lines) < 45, case.case


def test_who_is_out_of_scope_gets_one_sentence_why() -> None:
    told = noted(synthetic.raw("carcinoma-in-situ")).splitlines()
    assert told[1].startswith("FIGO staging of carcinoma of the cervix does not apply here: carcinoma in situ")
    assert len(told) <= 4


def test_a_record_without_a_date_says_so() -> None:
    undated = on({"condition": {"icd10cm": "C53.9", "on": None}, "extent": {"parametrium": {"is": True, "by": "MRI", "on": None}}})
    assert "No finding carries a date; the staging window could not be checked." in undated
    assert "could not be checked" not in on({"tnm": ["cT2b"]})


def test_a_finding_stands_with_its_method_its_day_its_reference_and_version() -> None:
    entry = json.loads(bundle(msgspec.convert({"extent": {"pelvic-nodes": {"is": True, "by": "MRI", "on": "2026-02-14"}}}, Chart)))
    entry["entry"][-1]["resource"]["meta"]["versionId"] = "3"
    data = json.dumps(entry).encode()
    assert "IIIC1r: pelvic node metastasis on MRI of 14 Feb 2026 (Observation/pelvic-nodes, version 3)." in noted(data, 1000)
    record = read_bundle(data)
    because = stage(record, rules()).editions["figo-2018"].because[0]
    assert because.versions == {"Observation/pelvic-nodes": "3"}
    assert because.findings == ("pelvic node metastasis",)


def test_both_sides_of_a_conflict_are_told() -> None:
    seen = [{"is": True, "by": "MRI", "on": "2026-02-14"}, {"is": False, "by": "biopsy", "on": "2026-02-20"}]
    told = on({"tnm": ["cT2b"], "extent": {"pelvic-nodes": seen}})
    assert "Present on MRI of 14 Feb 2026 (Observation/pelvic-nodes)" in told
    assert "absent by biopsy of 20 Feb 2026 (Observation/pelvic-nodes-2)" in told


def test_a_recorded_stage_stands_beside_what_the_record_supports() -> None:
    recorded = [{"stage": "IIB", "edition": "2018", "on": "2026-02-20"}]
    told = on({"tnm": ["cT2b", "cM0"], "extent": {"pelvic-nodes": {"is": True, "by": "MRI"}}, "recorded": recorded})
    assert "Recorded as IIB (FIGO 2018) on 20 Feb 2026" in told
    assert "the record supports IIIC1r, because of pelvic node metastasis" in told


DISPUTED = {
    "a separate ovarian deposit": ({"spread": [{"icd10cm": "C79.60"}]}, "IVB", "no stage of its own", "SEER", "Salvo"),
    "direct growth into the ovary": ({"spread": [{"snomed": "369527008"}]}, "III without", "no class of its own", "SEER", "Bhatla"),
    "the urethra": ({"spread": [{"snomed": "94661005"}]}, "III without", "no class of its own", "SEER", "Bhatla"),
    "a mesorectal node": ({"spread": [{"snomed": "94466007"}]}, "IIIC1", "IVB", "SEER", "Bhatla"),
    "the pleura": ({"spread": [{"icd10cm": "C78.2"}]}, "IVB", "no stage of its own", "SEER", "Bhatla"),
    "a retrocrural node": ({"spread": [{"snomed": "94392001", "site": "890324005"}]}, "IIIC2", "IVB", "SEER", "Bhatla"),
    "the bladder wall": ({"extent": {"bladder-wall": {"is": True, "by": "MRI"}}}, "IIIA", "never IVA", "SEER", "Bhatla"),
}


@pytest.mark.parametrize("finding", DISPUTED)
def test_what_is_contested_is_told_with_both_readings_and_their_sources(finding: str) -> None:
    """R18, R20, R21 and the contested vignettes v13, v34, v46 and v49; in the JSON and in the note."""
    chart, *words = DISPUTED[finding]
    record = read_bundle(bundle(msgspec.convert({"tnm": ["cT2b"], **chart}, Chart)))
    answer = stage(record, rules())
    (issue,) = (i for i in answer.issues if i.code == "contested")
    assert all(word in issue.text for word in words), issue.text
    told = note(record, answer, rules(), 1000)
    assert issue.text in told
    assert "SEER Extent of Disease" in told


def test_what_cannot_be_printed_is_left_out() -> None:
    told = on({"condition": {"icd10cm": "C53.9", "id": "c\x1b[31m1"}, "tnm": ["cT2b"]})
    assert "\x1b" not in told


if __name__ == "__main__":
    for name in WHOLE:
        (NOTES / f"{name}.txt").write_text(noted(synthetic.raw(name)))
