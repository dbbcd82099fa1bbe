"""Three-valued logic, bounds on a measure, and the reading of a table."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations, product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.knowledge.table import Fact, InForce, Measure, Reader, Reference, Review, Row, Table, When, asked, holding, judge
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN, Verdict, every, negated, some

ALL = (HOLDS, FAILS, UNKNOWN)


@pytest.mark.parametrize(
    ("one", "other", "both", "either"),
    [
        (HOLDS, HOLDS, HOLDS, HOLDS),
        (HOLDS, FAILS, FAILS, HOLDS),
        (HOLDS, UNKNOWN, UNKNOWN, HOLDS),
        (FAILS, FAILS, FAILS, FAILS),
        (FAILS, UNKNOWN, FAILS, UNKNOWN),
        (UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN),
    ],
)
def test_the_truth_tables_are_kleenes(one: Verdict, other: Verdict, both: Verdict, either: Verdict) -> None:
    assert every([one, other]) is every([other, one]) is both
    assert some([one, other]) is some([other, one]) is either


def test_not_exchanges_and_leaves_the_unknown() -> None:
    assert [negated(v) for v in ALL] == [FAILS, HOLDS, UNKNOWN]
    for one, other in product(ALL, ALL):
        assert negated(every([one, other])) is some([negated(one), negated(other)])


def test_of_nothing_all_hold_and_none_does() -> None:
    assert every([]) is HOLDS
    assert some([]) is FAILS


def test_a_boolean_or_silence() -> None:
    assert [Verdict.of(v) for v in (True, False, None)] == [HOLDS, FAILS, UNKNOWN]


@given(st.lists(st.sampled_from(ALL), max_size=4))
def test_order_decides_nothing(verdicts: list[Verdict]) -> None:
    assert {every(order) for order in permutations(verdicts)} == {every(verdicts)}
    assert {some(order) for order in permutations(verdicts)} == {some(verdicts)}


def mm(low: str | None, high: str | None, *, low_open: bool = False, high_open: bool = False) -> Measure:
    return Measure(Decimal(low) if low else None, Decimal(high) if high else None, low_open, high_open)


@pytest.mark.parametrize(
    ("measure", "verdict"),
    [
        (mm("40", "40"), HOLDS),
        (mm("40.1", "40.1"), FAILS),
        (mm("39.9", "39.9"), HOLDS),
        (mm(None, "40"), HOLDS),
        (mm(None, "40", high_open=True), HOLDS),
        (mm(None, "41"), UNKNOWN),
        (mm("40", None), UNKNOWN),
        (mm("40", None, low_open=True), FAILS),
        (mm("41", None), FAILS),
        (mm("39", None, low_open=True), UNKNOWN),
        (mm("35", "45"), UNKNOWN),
        (mm("35", "40"), HOLDS),
        (mm("40", "45", low_open=True), FAILS),
        (mm(None, None), UNKNOWN),
    ],
)
def test_at_most_forty(measure: Measure, verdict: Verdict) -> None:
    assert measure.at_most(Decimal(40)) is verdict


FACTS = {
    "yes": Fact(HOLDS, sources=("Observation/1",)),
    "no": Fact(FAILS),
    "small": Fact(HOLDS, Measure(Decimal(20), Decimal(20))),
}


def when(**content: object) -> When:
    return msgspec.convert(content, When)


@pytest.mark.parametrize(
    ("condition", "verdict", "asks", "holds"),
    [
        (when(fact="yes"), HOLDS, [], ["yes"]),
        (when(fact="no"), FAILS, [], []),
        (when(fact="silent"), UNKNOWN, ["silent"], []),
        (when(fact="yes", unless="no"), HOLDS, [], ["yes"]),
        (when(fact="yes", unless="yes"), FAILS, [], []),
        (when(fact="yes", unless="silent"), HOLDS, [], ["yes"]),
        (when(fact="silent", unless="yes"), FAILS, [], []),
        (when(fact="small", at_most=20, unit="mm"), HOLDS, [], ["small"]),
        (when(fact="small", more_than=20, unit="mm"), FAILS, [], []),
        (when(fact="silent", at_most=20, unit="mm"), UNKNOWN, ["silent"], []),
        (when(fact="yes", at_most=20, unit="mm"), UNKNOWN, ["yes"], []),
        (when(all=[{"fact": "yes"}, {"fact": "silent"}]), UNKNOWN, ["silent"], ["yes"]),
        (when(all=[{"fact": "no"}, {"fact": "silent"}]), FAILS, ["silent"], []),
        (when(any=[{"fact": "no"}, {"fact": "silent"}]), UNKNOWN, ["silent"], []),
        (when(any=[{"fact": "yes"}, {"fact": "silent"}]), HOLDS, ["silent"], ["yes"]),
        (when(**{"not": {"fact": "no"}}), HOLDS, [], []),
        (when(**{"not": {"fact": "silent"}}), UNKNOWN, ["silent"], []),
    ],
)
def test_a_condition_is_judged_asks_and_gives_its_reasons(condition: When, verdict: Verdict, asks: list[str], holds: list[str]) -> None:
    assert judge(condition, FACTS) is verdict
    assert list(asked(condition, FACTS)) == asks
    assert list(holding(condition, FACTS)) == holds


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"fact": "a", "any": [{"fact": "b"}]},
        {"all": [{"fact": "a"}], "any": [{"fact": "b"}]},
        {"fact": "a", "at_most": 3},
        {"fact": "a", "unit": "mm"},
        {"fact": "a", "at_most": 3, "more_than": 1, "unit": "mm"},
        {"any": [{"fact": "a"}], "at_most": 3, "unit": "mm"},
        {"fact": "a", "at_least": 3, "unit": "mm"},
        {"fact": "a", "at_most": "three", "unit": "mm"},
    ],
)
def test_a_condition_that_could_be_read_two_ways_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(content, When)


def reader(*rows: tuple[str, str]) -> Reader:
    reference = Reference("work", "place")
    made = tuple(Row(stage, f"{stage}.", When(fact=fact), reference, True) for stage, fact in rows)
    return Reader(Table("test", "Test", InForce("2018", None), Review("draft", (), None, "2027"), made))


def test_the_first_row_that_holds_is_the_answer_and_unknown_rows_above_it_are_open() -> None:
    reading = reader(("IV", "silent"), ("III", "no"), ("II", "yes"), ("I", "yes")).read(FACTS)

    assert reading.row is not None
    assert reading.row.stage == "II"
    assert [row.stage for row in reading.open] == ["IV"]


def test_a_silent_record_leaves_every_row_open() -> None:
    reading = reader(("IV", "silent"), ("III", "silent"), ("II", "silent")).read({})

    assert reading.row is None
    assert [row.stage for row in reading.open] == ["IV", "III", "II"]


def test_a_record_that_excludes_every_row_leaves_none_open() -> None:
    assert reader(("IV", "no"), ("III", "no")).read(FACTS) == (None, [])
