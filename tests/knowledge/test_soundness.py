"""`figaro knowledge check` refuses a gap, an overlap, a row out of reach, a fact that nobody supplies, a row without a case."""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from services.staging import casebook, soundness
from services.staging.consequences import LIMITS, complete
from services.staging.knowledge import EDITIONS, RULES, rules
from shared.knowledge.table import Fact, Measure
from shared.oncology.verdict import HOLDS
from tests.knowledge.planted import planted

IB2 = "all: [{fact: clinical_lesion}, {fact: tumour_size, more_than: 20, unit: mm}, {fact: tumour_size, at_most: 40, unit: mm}]"
UPPER = "{fact: vagina_upper_two_thirds}, {fact: tumour_size, "
IB1 = "when: {all: [{fact: clinical_lesion}, {fact: tumour_size, at_most: 20, unit: mm}]}"
IIIC2_ROW = """  - stage: IIIC2
    says: Metastasis to para-aortic nodes, with or without pelvic nodes, whatever the size and extent of the primary.
    when: {fact: para_aortic_nodes}
    reference: {work: figo-cervix-2018, at: "Table 1; SEER regional nodes note 5"}
    checked: true
"""


def refused(tmp_path: Path, *changes: tuple[str, str]) -> list[str]:
    """What is refused of FIGO 2018 once these texts of it are changed."""
    copy = planted(tmp_path, *(("figo-2018.yaml", old, new) for old, new in changes))
    return [str(each) for each in soundness.refusals(copy)]


def test_the_shipped_tables_are_sound_and_every_row_site_and_category_has_a_case() -> None:
    book = casebook.casebook()
    assert book is not None
    assert [str(each) for each in soundness.refusals(rules())] == []
    assert [str(each) for each in casebook.refusals(rules(), book)] == []


@pytest.mark.parametrize("edition", EDITIONS)
def test_every_known_tumour_is_answered_by_a_row_that_is_no_parent(edition: str) -> None:
    answers = [row for _, row in soundness.known_cases(rules().tables[edition], rules())]
    leaves = {row.stage for row in rules().tables[edition].table.rows if not row.parent}

    assert {row.stage for row in answers if row is not None} == leaves
    assert None not in answers


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (IB2, IB2.replace("more_than: 20", "more_than: 21"), "greatest diameter of 20.5 mm"),
        (IB1, IB1.replace("at_most: 20", "at_most: 19"), "greatest diameter of 19.5 mm"),
        ("more_than: 3, unit: mm}\n", "more_than: 4, unit: mm}\n", "Row IA answers with"),
        ("{fact: stromal_invasion_depth, at_most: 5, unit: mm}", "{fact: stromal_invasion_depth, at_most: 4, unit: mm}", "of 4.5 mm"),
        (
            "{fact: vagina_upper_two_thirds}, {fact: tumour_size, more_than: 40",
            "{fact: vagina_upper_two_thirds}, {fact: tumour_size, more_than: 50",
            "Row IIA answers",
        ),
        ("        - {fact: pelvic_wall}\n", "", "No row reads `pelvic_wall`"),
        (
            "        - {fact: pelvic_wall}\n",
            "        - {all: [{fact: pelvic_wall}, {fact: parametrium}]}\n",
            "and reads nothing of that spread",
        ),
        ("{any: [{fact: distant_organ}, {fact: distant_nodes}, ", "{any: [{fact: distant_nodes}, ", "No row reads `distant_organ`"),
    ],
)
def test_a_gap_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    (refusal,) = refused(tmp_path, (old, new))

    assert refusal.startswith("figo-2018.yaml: ")
    assert words in refusal
    assert "add" in refusal


@pytest.mark.parametrize(
    ("without", "words"),
    [
        (("IA",), "Row I answers with a lesion seen only under the microscope, stromal invasion of 3.5 mm"),
        (("IA", "I"), "No row answers with a lesion seen only under the microscope, stromal invasion of 3.5 mm, and all else excluded"),
    ],
)
def test_a_gap_below_which_no_parent_of_its_own_stands_is_refused(tmp_path: Path, without: tuple[str, ...], words: str) -> None:
    (refusal,) = refused(tmp_path, ("more_than: 3, unit: mm}\n", "more_than: 4, unit: mm}\n"), *((row_of(stage), "") for stage in without))

    assert refusal.startswith(f"figo-2018.yaml: {words}")


def row_of(stage: str) -> str:
    """A row of FIGO 2018 as it stands in the file."""
    found = re.search(rf"  - stage: {stage}\n(?:    .*\n)+", (RULES / "figo-2018.yaml").read_text())
    assert found is not None
    return found.group()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([(IB2, IB2.replace("more_than: 20", "more_than: 15"))], "Rows IB2 and IB1 both hold with a visible lesion"),
        ([(IB1, IB1.replace("at_most: 20", "at_most: 25"))], "let IB2 begin where IB1 ends"),
        ([(IB1, "when: {fact: clinical_lesion}")], "Rows IB3 and IB1 both hold"),
        ([("more_than: 3, unit: mm}\n", "more_than: 2, unit: mm}\n")], "Rows IA2 and IA1 both hold with stromal invasion of 2.5 mm"),
        (
            [(UPPER + "at_most: 40", UPPER + "at_most: 45")],
            "Rows IIA2 and IIA1 both hold",
        ),
    ],
)  # fmt: skip
def test_an_overlap_of_substages_that_a_measure_tells_apart_is_refused(tmp_path: Path, changes: list[tuple[str, str]], words: str) -> None:
    assert any(words in each and "belongs to" in each for each in refused(tmp_path, *changes))


def test_a_row_that_outranks_another_by_its_place_is_no_overlap() -> None:
    """Pelvic and para-aortic nodes together: both rows hold, and IIIC2 stands above IIIC1."""
    both = {"pelvic_nodes": Fact(HOLDS), "para_aortic_nodes": Fact(HOLDS)}
    reading = rules().tables["figo-2018"].read(both | {"distant_organ": Fact()})

    assert reading.row is not None
    assert reading.row.stage == "IIIC2"


@pytest.mark.parametrize(
    ("changes", "row"),
    [
        ([("when: {fact: pelvic_nodes}", "when: {any: [{fact: pelvic_nodes}, {fact: para_aortic_nodes}]}"), (IIIC2_ROW, ""),
          ("  - stage: IIIC\n", IIIC2_ROW + "  - stage: IIIC\n")], "IIIC2"),
        ([("when: {fact: parametrium}", "when: {all: [{fact: parametrium}, {not: {fact: parametrium}}]}")], "IIB"),
        ([("when: {fact: stage_ii_extent}", "when: {fact: vagina_upper_two_thirds}")], "II"),
        ([("when: {fact: vagina_upper_two_thirds}", "when: {fact: wall_without_mucosa}")], "IIA"),
    ],
)  # fmt: skip
def test_a_row_that_nothing_makes_the_answer_is_refused(tmp_path: Path, changes: list[tuple[str, str]], row: str) -> None:
    assert f"figo-2018.yaml: Row {row} is never the answer, whatever is known" in " ".join(refused(tmp_path, *changes))


def test_a_fact_that_no_reader_supplies_is_refused(tmp_path: Path) -> None:
    fact = 'lymphatics: {finding: "x", place: "x", ask: "x", code: false, supplied_by: [pelvic_nodes]}\n'
    found = planted(
        tmp_path,
        ("facts.yaml", "confined_to_cervix: ", fact + "confined_to_cervix: "),
        ("figo-2018.yaml", "when: {fact: pelvic_nodes}", "when: {any: [{fact: pelvic_nodes}, {fact: lymphatics}]}"),
    )

    (refusal,) = soundness.refusals(found)
    assert str(refusal).startswith(
        "figo-2018.yaml: Row IIIC1 reads `lymphatics`, which no code, TNM category, site or consequence makes true"
    )


def test_a_label_that_categories_no_longer_state_is_refused(tmp_path: Path) -> None:
    """T4 is the only one who says "adjacent organ": without it the row reads what nobody says."""
    found = planted(tmp_path, ("tnm.yaml", "T4: {holds: [adjacent_organ]", "T4: {holds: [bladder_mucosa]"),
                    ("metastatic-sites.yaml", "opens: [adjacent_organ]", "opens: [rectal_mucosa]"))  # fmt: skip

    assert [each.file for each in soundness.refusals(found)] == ["figo-2018.yaml", "figo-2009.yaml"]
    assert all("Row IVA reads `adjacent_organ`" in str(each) for each in soundness.refusals(found))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("lesion}, {fact: tumour_size, more_than: 40, unit: mm}", "lesion}, {fact: tumour_size, more_than: 4, unit: cm}",
         "Row IB3 reads `tumour_size` in cm, and it is measured in mm"),
        ("when: {fact: parametrium}", "when: {fact: parametrium, at_most: 3, unit: mm}",
         "Row IIB reads `parametrium` in mm, and it is no measure"),
        ("when: {fact: microscopic_only}", "when: {fact: tumour_size}", "Row IA reads `tumour_size` in no unit"),
    ],
)  # fmt: skip
def test_a_bound_on_what_is_not_measured_so_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert any(words in each for each in refused(tmp_path, (old, new)))


def test_a_row_without_a_case_is_refused_and_says_where_to_write_one() -> None:
    book = casebook.casebook()
    assert book is not None
    without = casebook.Casebook(tuple(each for each in book.examples if each.stages.get("figo-2018") != "IIIC"))

    assert "figo-2018.yaml: Row IIIC has no case: write one under tests/cases/figo-2018/IIIC that expects it." in [
        str(each) for each in casebook.refusals(rules(), without)
    ]


def test_a_site_and_a_category_without_a_case_are_refused() -> None:
    book = casebook.casebook()
    assert book is not None
    kept = tuple(each for each in book.examples if "T4" not in each.sends and "spleen" not in each.sites)
    found = [str(each) for each in casebook.refusals(rules(), casebook.Casebook(kept))]

    assert any(each.startswith("metastatic-sites.yaml: The site spleen has no case") for each in found)
    assert any(each.startswith("tnm.yaml: The category T4 has no case") for each in found)


def test_an_installed_package_has_no_cases_to_look_at(tmp_path: Path) -> None:
    assert casebook.casebook(tmp_path) is None


@pytest.mark.parametrize(("name", "limit"), LIMITS.items())
def test_the_limits_that_consequences_draw_are_those_the_check_knows(name: str, limit: Decimal) -> None:
    """On the limit and just above it, what follows differs; anywhere else between two limits it does not."""

    def follows(length: Decimal) -> object:
        facts = {
            "microscopic_only": Fact(HOLDS),
            "horizontal_width": length_of(Decimal(1)),
            "stromal_invasion_depth": length_of(Decimal(1)),
        }
        facts[name] = length_of(length)
        complete(facts)
        return facts["lesion_beyond_ia_2009"].verdict

    for_each = [follows(Decimal(n) / 2) for n in range(1, 30)]
    changes = [Decimal(n) / 2 for n, (one, other) in enumerate(pairwise(for_each), 1) if one is not other]
    assert changes == [limit]


def length_of(length: Decimal) -> Fact:
    return Fact(HOLDS, Measure(length, length))
