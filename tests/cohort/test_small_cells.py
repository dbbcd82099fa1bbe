"""With small cells hidden no sum gives one away: not within a table, nor between tables, nor along the flow diagram."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import pytest

from services.cohort.comparison import univariate
from services.cohort.counting import Counting, Line
from services.cohort.definitions import definitions, printed
from services.cohort.flow import diagram, everybody
from services.cohort.report import made
from services.cohort.statistics import frame
from services.cohort.suppression import column
from services.cohort.tables import table1, table2, table4
from shared.fhir.outcome import Refused
from tests.cohort.bounds import given_away, of_flow, of_line, of_parts, of_spread
from tests.cohort.study_rows import rows

STUDY, FOUNDING = definitions(), printed()
PARTS = ("ECOG", "Histology", "Size", "Haemoglobin", "Leucocytes", "Metastases found")
pytestmark = pytest.mark.usefixtures("fitted_once")


def blocks(lines: list[Line]) -> dict[str, list[Line]]:
    """The lines below each head."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        if line.head:
            found[line.label] = here = []
        elif found and "median" not in line.label:
            here.append(line)
    return found


def leaks(data: Any, threshold: int) -> list[str]:
    """What the four tables on a frame give away."""
    it = Counting(data, FOUNDING, threshold)
    sizes = [str(size) for size in it.sizes]
    one, found = blocks(table1(it, STUDY)), []
    for head, lines in one.items():
        if head.startswith(PARTS):
            found += given_away(of_parts(lines, sizes), threshold)
    alone = [line for line in one["First treatment"] if "Cycles of" not in line.label] + table4(it)
    for line in alone:
        found += given_away(of_line(line, sizes), threshold)
    organs = {organ for each in data["metastatic_organs"] for organ in each}
    sums, asked = of_spread(table2(it), univariate(it, STUDY), organs, sizes[0])
    return found + given_away(sums, threshold, asked)


def drawn(seed: int) -> list[dict[str, Any]]:
    """The study's rows with other findings: some of them rare."""
    rng = Random(seed)
    rare = [rng.choice((0.03, 0.08, 0.15, 0.4)) for _ in range(6)]
    told = []
    for row in rows():
        organs = [
            organ
            for organ, share in zip(("bone", "lung", "liver", "brain"), rng.sample([0.9, *rare[:3]], 4), strict=True)
            if rng.random() < share
        ]
        organs = organs[:2] or ["bone"]
        told.append(
            row
            | {"metastatic_organs": tuple(sorted(organs)), "organs": len(organs) == 1, "nodes": rng.random() < rare[3]}
            | {organ: organ in organs for organ in ("bone", "lung", "liver")}
            | {"leucocytes": rng.random() < rare[4], "ecog_score": 0 if rng.random() > rare[5] else rng.choice((1, 2))}
        )
    return told


@pytest.mark.parametrize("threshold", [3, 5, 10])
def test_the_study_s_tables_give_no_small_count_away(threshold: int) -> None:
    assert leaks(frame(rows()), threshold) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_tables_of_other_cohorts_give_no_small_count_away(seed: int) -> None:
    assert leaks(frame(drawn(seed)), 5) == []


def test_the_bounds_find_what_a_sum_gives_away() -> None:
    """All 8, and of A and B less than 5: 4 and 4. 36 of 48 and one that is hidden: 12, which is not small."""
    both = [Line(label="high", ours=("8 (16.7)", "< 5", "< 5")), Line(label="low", ours=("40 (83.3)", "–", "–"))]
    assert given_away(of_parts(both, ("48", "36", "12")), 5) == ["high 1 = 4", "high 2 = 4"]
    assert given_away([({"a": 1, "b": 1}, "48"), ({"a": 1}, "36")], 5) == []


def test_hidden_numbers_of_a_sum_might_each_be_the_threshold() -> None:
    rng = Random(7)
    for _ in range(300):
        numbers = [rng.choice((0, 0, 1, 2, 3, 4, 5, 8, 30)) for _ in range(rng.randint(2, 9))]
        if sum(numbers) >= 5:
            shown = column(numbers, 5)
            away = [n for n, text in enumerate(shown) if not text.isdecimal()]
            assert not [text for text in shown if text.isdecimal() and 0 < int(text) < 5]
            least = 1 if "0" in shown or 0 not in numbers else 0
            assert not away or sum(numbers[n] for n in away) - least * (len(away) - 1) >= 5 or len(away) == len(numbers), numbers


@pytest.mark.parametrize("out", [[3, 29, 1, 0, 0, 0, 7, 0, 0], [3, 0, 0], [2, 2], [4, 4], [9, 2], [1, 1, 1, 1, 1]])
def test_the_flow_diagram_gives_no_small_count_away(out: list[int]) -> None:
    left = Counter({criterion.id: number for criterion, number in zip(STUDY.criteria, out, strict=False)} | {"": 48})
    assert given_away(of_flow(everybody(left, 5), diagram(left, STUDY, 5), "48"), 5) == []


def test_two_with_several_organs_are_told_by_no_table() -> None:
    """48 patients and 50 organs would tell it."""
    few = [row | {"metastatic_organs": (row["metastatic_organs"][0],), "organs": True} for row in rows()]
    for n in (0, 1):
        few[n] |= {"metastatic_organs": ("bone", "lung"), "organs": False}
    few = [row | {organ: organ in row["metastatic_organs"] for organ in ("bone", "lung", "liver")} for row in few]
    assert leaks(frame(few), 5) == []
    it = Counting(frame(few), FOUNDING, 5)
    assert [line.ours[0] for line in table2(it)][-2:] == ["–", "–"]


def test_a_threshold_of_two_is_refused() -> None:
    """Less than 2 is 1."""
    with pytest.raises(Refused, match="3 or more"):
        made(rows(), threshold=2)
