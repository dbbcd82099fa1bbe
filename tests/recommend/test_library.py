"""The knowledge files: what stands in them, and what the loader refuses."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from services.recommend.app import knowledge
from services.recommend.library import CASES, FOLDER, check, library, load_library, show
from services.recommend.text import kinds
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
    (REGIMEN, "intent: palliative", "intent: palliative\nmood: good", "no key `mood`"),
    (REGIMEN, "intent: palliative", "intent: palliative\nintent: palliative", "stands twice"),
    (REGIMEN, "fact: ecog", "fact: eccog", "No fact is called `eccog`"),
    (REGIMEN, 'unit: "{score}"', "unit: mg", "`ecog` is in {score}"),
    (REGIMEN, "work: gog-169", "work: gog-170", "gog-170"),
    (REGIMEN, "show: [os, pfs]", "show: [os, efs]", "no figure `efs`"),
    (REGIMEN, "drug: cisplatin", "drug: cisplatinum", "`cisplatinum` is not in codes.yaml"),
    (REGIMEN, "per: m2", "per: kg", "is not given in mg/m2"),
    (REGIMEN, 'because: [{work: gog-204, at: "Population"}]', "because: []", "it is empty"),
    (REGIMEN, "    ask: Whether there are distant metastases\n", "", "The key `ask`"),
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
    (REGIMEN, "{per: m2, amount: 50, unit: mg/m2}", "{per: m2, amount: 50}", "The key `unit`"),
    (REGIMEN, "unit: mg/m2}", "unit: mg/m2, lighter: {below_kg: 50, amount: 40, unit: mg}}", "no other amount for a lighter patient"),
    (REGIMEN, ', next: "2027-05-22"}', "}", "The key `next`"),
    ("precautions/paclitaxel.yaml", ', next: "2027-05-22"}', "}", "The key `next`"),
    (
        "precautions/paclitaxel.yaml",
        'work: paclitaxel-label, at: "Dosage and administration, premed',
        'work: nobody, at: "Premed',
        "nobody",
    ),
    (
        "precautions/topotecan.yaml",
        "    because: [{work: topotecan-label",
        "    checked: true\n    because: [{work: topotecan-label",
        "nobody has seen",
    ),
    (
        "regimens/dostarlimab.yaml",
        'at: "Dosage and administration"}]\n    checked: false',
        'at: "Label"}]\n    checked: true',
        "nobody has seen",
    ),
    ("evidence/impower133.yaml", "    checked: false", "    checked: true", "`os` is called checked"),
    ("evidence/keynote-826.yaml", "    at: Abstract, results; median follow-up 39.1 months\n", "", "The key `at`"),
    ("evidence/keynote-826.yaml", 'published: "2023-11-01"', "published: yesterday", "wanted is a date"),
]


@pytest.mark.parametrize(("file", "old", "new", "says"), SPOILT, ids=[f"{file}: {says}" for file, _, _, says in SPOILT])
def test_a_spoilt_file_is_refused_by_name_and_line(copy: Path, file: str, old: str, new: str, says: str) -> None:
    """A refusal names the file, a line, and what is wrong."""
    spoil(copy, file, old, new)
    with pytest.raises(KnowledgeError) as refusal:
        load_library(copy)
    assert refusal.value.file == f"{(copy / file).parent.name}/{Path(file).name}"
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


@pytest.mark.parametrize("kind", ["eligible", "ruled-out", "cannot-tell"])
def test_a_regimen_without_a_case_of_each_kind_is_refused(tmp_path: Path, kind: str) -> None:
    """The refusal names the regimen's file and what its cases lack."""
    cases = Path(shutil.copytree(CASES, tmp_path / "cases"))
    for path in (cases / "cemiplimab").glob("*.yaml"):
        if f"verdict: {kind}" in path.read_text(encoding="utf-8"):
            path.unlink()
    [refusal] = check(cases=cases)
    assert (refusal.file, refusal.text) == (
        "regimens/cemiplimab.yaml",
        f"The regimen `cemiplimab` has no case that is {kind}: add it below tests/cases.",
    )


def test_cases_of_no_regimen_are_refused(tmp_path: Path) -> None:
    """A folder that no regimen's name leads to is a regimen forgotten or renamed."""
    cases = Path(shutil.copytree(CASES, tmp_path / "cases"))
    (cases / "aspirin").mkdir()
    assert ["aspirin" in refusal.text for refusal in check(cases=cases)] == [True]


def test_a_regimen_that_a_trial_found_no_better_is_refused(copy: Path) -> None:
    """The loader refuses a regimen that gives exactly what a work says was no better."""
    spoil(copy, "regimens/carboplatin-chemoradiation.yaml", "  - drug: carboplatin\n", "  - drug: cisplatin\n")
    spoil(copy, "regimens/carboplatin-chemoradiation.yaml", "{per: auc, amount: 2, unit: mg.min/mL}", "{per: m2, amount: 40, unit: mg/m2}")
    spoil(copy, "evidence/calla.yaml", "drugs: [durvalumab, cisplatin]", "drugs: [cisplatin]")
    assert "regimens/carboplatin-chemoradiation.yaml" in {refusal.file for refusal in check(copy) if "never proposed" in refusal.text}


def test_what_a_trial_found_no_better_is_known_and_in_no_regimen() -> None:
    """Durvalumab with chemoradiation stands as a work with its figure, and is never proposed."""
    calla = library().works["calla"]
    assert calla.negative is not None
    assert [figure.hazard_ratio for figure in calla.figures] == [0.84]
    assert not [r for r in library().regimens.values() if set(r.drugs) == {"durvalumab", "cisplatin"}]
    remarks = [remark.says for remark in library().regimens["cisplatin-chemoradiation"].remarks]
    assert any("never proposed" in remark for remark in remarks)


def test_what_is_past_its_review_shows_in_the_health_of_the_service() -> None:
    """The patients' page has been past its own date since 2024; after the review date every file is."""
    assert knowledge(library(), "2026-11-22")["overdue"] == ["evidence/cruk-stage-4.yaml"]
    assert set(library().reviews) <= set(library().overdue("2027-12-31"))


def test_the_founding_documents_stand_with_what_is_wrong_in_them() -> None:
    """The study with its inconsistencies, the protocol with its gaps, the patients' page with its date."""
    works = library().works
    assert len(works["yin-2019"].notes) >= 6
    assert any("Registry number" in note for note in works["ivb-radiotherapy-protocol"].notes)
    assert works["cruk-stage-4"].next_review == "2024-10-24"


def test_a_drug_by_mouth_is_given_every_day() -> None:
    """Twice a day, not on the first day of a cycle of one day."""
    assert "larotrectinib 100 mg by mouth, twice a day, until progression or toxicity" in show("larotrectinib")
    assert "selpercatinib 160 mg (120 mg below 50 kg) by mouth, twice a day" in show("selpercatinib")


def test_every_checked_hazard_ratio_stands_in_the_list_that_was_compared_with_the_sources() -> None:
    """A checked hazard ratio is one of those compared with its work; a new one needs a line here as well."""
    compared = {
        "beatcc": {0.43, 0.62, 0.68, 0.73},
        "calla": {0.84},
        "cccmac": {0.81},
        "compassion-16": {0.62, 0.64},
        "empower-cervical-1": {0.67, 0.69},
        "frumovitz-2017": {0.21},
        "frumovitz-2023": {0.27},
        "gog-179": {0.76},
        "gog-204": {1.15, 1.26, 1.27, 1.32, 1.36, 1.39},
        "gog-240": {0.71, 1.39},
        "gog-240-final": {0.64, 0.68, 0.77},
        "innovatv-301": {0.67, 0.70},
        "interlace": {0.65},
        "keynote-826": {0.58, 0.60, 0.63, 0.65},
        "keynote-826-first": {0.61, 0.63, 0.74, 0.76},
        "keynote-a18": {0.59, 0.91},
        "keynote-a18-final": {0.72, 0.73},
        "keynote-a18-survival": {0.67, 1.35},
        "seer-m1-2018": {0.69, 0.79},
        "wang-2018": {0.64, 0.72},
        "yin-2019": {0.32, 0.40, 0.52},
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
    assert "hazard ratio 0.60 (95 % CI 0.49 to 0.74)" in text
    assert "held back until checked" in text
    assert "Review: draft, signed by nobody yet" in text


def test_a_work_reads_as_text() -> None:
    """The founding study carries its inconsistencies with it."""
    text = show("yin-2019")
    assert "42 of 48" in text
    assert "hazard ratio 0.32" in text


def test_an_unknown_name_is_answered_with_what_is_near_it() -> None:
    """The error names what was probably meant, and where the names stand."""
    with pytest.raises(NotFound, match=r"Near it: .*cisplatin-paclitaxel"):
        show("cisplatin-paclitaxol")
    with pytest.raises(NotFound, match=r"called chicken soup\. `figaro knowledge show` lists"):
        show("chicken soup")


@pytest.mark.parametrize("name", sorted({name for of in kinds(library()).values() for name in of}))
def test_everything_reads_as_text(name: str) -> None:
    """No file breaks its own plain text."""
    assert show(name).strip()
