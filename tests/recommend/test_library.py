"""The knowledge files: what stands in them, and what the loader refuses."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from services.recommend.library import FOLDER, check, library, load_library, show
from shared.fhir.outcome import KnowledgeError, NotFound


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the knowledge that a test may spoil."""
    for path in FOLDER.rglob("*.yaml"):
        target = tmp_path / path.relative_to(FOLDER)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    return tmp_path


def spoil(folder: Path, name: str, old: str, new: str) -> None:
    """Replaces one piece of one file."""
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_knowledge_as_delivered_is_sound() -> None:
    """Nothing in the package is refused."""
    assert check() == []


def test_the_edition_and_a_digest_name_the_knowledge() -> None:
    """The same bytes have the same digest; one changed byte has another."""
    assert library().knowledge == load_library().knowledge
    assert library().knowledge.edition == "2026.1"
    assert re.fullmatch(r"[0-9a-f]{32}", library().knowledge.digest)


def test_a_changed_byte_changes_the_digest(copy: Path) -> None:
    """The digest is of the bytes."""
    spoil(copy, "evidence/cccmac.yaml", "prolonged survival", "prolonged  survival")
    assert load_library(copy).knowledge.digest != library().knowledge.digest


REGIMEN = "regimens/cisplatin-paclitaxel.yaml"
SPOILT = [
    (REGIMEN, "intent: palliative", "intent: palliative\nmood: good", "unknown field"),
    (REGIMEN, "intent: palliative", "intent: palliative\nintent: palliative", "stands twice"),
    (REGIMEN, "fact: ecog", "fact: eccog", "No fact is called `eccog`"),
    (REGIMEN, 'unit: "{score}"', "unit: mg", "`ecog` is in {score}"),
    (REGIMEN, "work: gog-169", "work: gog-170", "gog-170"),
    (REGIMEN, "show: [os, pfs]", "show: [os, efs]", "no figure `efs`"),
    (REGIMEN, "drug: cisplatin", "drug: cisplatinum", "`cisplatinum` is not in codes.yaml"),
    (REGIMEN, "per: m2", "per: kg", "is not given in mg/m2"),
    (REGIMEN, 'because: [{work: gog-204, at: "Population"}]', "because: []", "length >= 1"),
    (REGIMEN, "    ask: Whether there are distant metastases\n", "", "missing required field `ask`"),
    (REGIMEN, "generic: true\n", "", "neither what an agency has said"),
    (REGIMEN, "id: cisplatin-paclitaxel", "id: paclitaxel-cisplatin", "is not the file's name"),
    (
        "precautions/cisplatin.yaml",
        "at_least: {policy: cisplatin-clearance-minimum}",
        "at_least: {policy: nothing}",
        "`nothing` is not a parameter",
    ),
    ("precautions/cisplatin.yaml", "of: cisplatin", "of: cisplatine", "cisplatine"),
    (
        "policy/default.yaml",
        "[cisplatin-paclitaxel, carboplatin-paclitaxel]",
        "[cisplatin-paclitaxel]",
        "leaves out carboplatin-paclitaxel",
    ),
    ("policy/default.yaml", "{fact: creatinine, days", "{fact: kreatinine, days", "No fact is called `kreatinine`"),
    ("evidence/keynote-826.yaml", "ci: [0.49, 0.74]", "ci: [0.61, 0.74]", "outside its interval"),
    ("evidence/keynote-826.yaml", "    level: 95\n", "", "an interval needs its level"),
    ("evidence/keynote-826.yaml", 'published: "2023-11-01"', "published: yesterday", "yesterday|published|regex"),
]


@pytest.mark.parametrize(("file", "old", "new", "says"), SPOILT, ids=[f"{file}: {says}" for file, _, _, says in SPOILT])
def test_a_spoilt_file_is_refused_by_name_and_line(copy: Path, file: str, old: str, new: str, says: str) -> None:
    """A refusal names the file, a line, and what is wrong."""
    spoil(copy, file, old, new)
    with pytest.raises(KnowledgeError) as refusal:
        load_library(copy)
    assert Path(file).name == refusal.value.file
    assert refusal.value.line
    assert re.search(says.replace("{", r"\{"), refusal.value.text) or re.search(says, refusal.value.text)
    assert check(copy)


def test_an_uncited_work_is_refused(copy: Path) -> None:
    """Every work is cited at least once."""
    (copy / "evidence" / "idle.yaml").write_text(
        'id: idle\ncitation: "Nobody, nowhere"\ndesign: label\nseen: nowhere\nsays: Nothing.\n', encoding="utf-8"
    )
    with pytest.raises(KnowledgeError, match="cited nowhere"):
        load_library(copy)


def test_every_checked_hazard_ratio_stands_in_the_list_that_was_compared_with_the_sources() -> None:
    """A checked hazard ratio is one of those compared with its work; a new one needs a line here as well."""
    compared = {
        "keynote-826": {0.60, 0.63, 0.58, 0.65},
        "keynote-826-first": {0.63, 0.74},
        "gog-240": {0.71},
        "gog-240-final": {0.77, 0.68},
        "gog-204": {1.15, 1.32, 1.26},
        "beatcc": {0.68, 0.62, 0.43},
        "compassion-16": {0.64, 0.62},
        "keynote-a18": {0.59, 0.91},
        "keynote-a18-survival": {0.67},
        "interlace": {0.65},
        "cccmac": {0.81},
        "innovatv-301": {0.70, 0.67},
        "empower-cervical-1": {0.67},
        "yin-2019": {0.32, 0.40},
        "wang-2018": {0.72},
    }
    shown = {
        work.id: {figure.hazard_ratio for figure in work.figures if figure.checked and figure.hazard_ratio is not None}
        for work in library().works.values()
    }
    assert {name: ratios for name, ratios in shown.items() if ratios} == compared


def test_a_regimen_reads_as_text() -> None:
    """Drugs with doses, criteria, evidence and review, for a person."""
    text = show("pembrolizumab-cisplatin-paclitaxel-bevacizumab")
    assert "pembrolizumab 200 mg intravenously" in text
    assert "hazard ratio 0.6 (95 % CI 0.49 to 0.74)" in text
    assert "held back until checked" in text
    assert "Review: draft, by nobody yet" in text


def test_a_work_reads_as_text() -> None:
    """The founding study carries its inconsistencies with it."""
    text = show("yin-2019")
    assert "42 of 48" in text
    assert "hazard ratio 0.32" in text


def test_an_unknown_name_is_answered_with_what_there_is() -> None:
    """The error names the regimens."""
    with pytest.raises(NotFound, match="cisplatin-paclitaxel"):
        show("aspirin")


@pytest.mark.parametrize("name", sorted(library().regimens) + sorted(library().works))
def test_everything_reads_as_text(name: str) -> None:
    """No file breaks its own plain text."""
    assert show(name).strip()
