"""A table read under three-valued facts: what holds, what is open above it, and what changes when one fact does."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.staging.asking import answers, interval, ordered
from services.staging.knowledge import rules
from shared.knowledge.table import Fact, Measure, Reader
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN

READERS = [pytest.param(reader, id=edition) for edition, reader in rules().tables.items()]
YES, NO = Fact(HOLDS), Fact(FAILS)


@pytest.mark.parametrize("reader", READERS)
def test_reading_only_the_rows_that_a_change_touches_gives_what_reading_all_gives(reader: Reader) -> None:
    before = {name: Fact() for name in reader.facts}
    verdicts = reader.verdicts(before)
    for name in reader.facts:
        for answer in answers(reader, name, Fact()):
            after = {**before, name: answer}
            assert reader.verdicts(after, {name}, verdicts) == reader.verdicts(after)


@pytest.mark.parametrize("reader", READERS)
def test_under_a_floor_only_what_lies_above_it_is_open(reader: Reader) -> None:
    silent = reader.verdicts({})
    assert set(silent) == {UNKNOWN}
    reading = reader.reading(silent, "IIB")
    assert reading.row is None
    assert [row.stage for row in reading.open] == list(reader.stages[: reader.stages.index("IIB")])


def test_a_row_that_holds_is_above_any_floor() -> None:
    reader = rules().tables["figo-2018"]
    reading = reader.reading(reader.verdicts({"parametrium": YES}), "IIIB")
    assert reading.row is not None
    assert reading.row.stage == "IIB"


def test_a_parent_does_not_count_beside_a_substage_of_its_own() -> None:
    reader = rules().tables["figo-2018"]
    reading = reader.reading(reader.verdicts({}))
    assert not interval(reading) & {"I", "IA", "IB", "II", "IIA", "III", "IIIC", "IV"}
    assert {"IA1", "IIIC2", None} <= interval(reading)


def test_a_length_is_asked_between_the_limits_that_are_still_open() -> None:
    reader = rules().tables["figo-2018"]

    def lengths(known: Measure) -> list[Decimal | None]:
        return [answer.measure.low for answer in answers(reader, "tumour_size", Fact(HOLDS, known)) if answer.measure is not None]

    assert lengths(Measure()) == [20, 40, 41]
    assert lengths(Measure(None, Decimal(40))) == [20, 40]
    assert lengths(Measure(Decimal(20), Decimal(40), low_open=True)) == [40]
    assert lengths(Measure(Decimal(40), None)) == [40, 41]
    assert lengths(Measure(Decimal(40), None, low_open=True)) == [41]


def test_the_para_aortic_nodes_are_asked_for_before_the_chest_where_t2b_is_all_that_is_known() -> None:
    """A positive para-aortic node ends the question of the pelvic ones; a free chest leaves peritoneum and distant nodes open."""
    reader = rules().tables["figo-2018"]
    known = {name: NO for name in reader.facts if name not in ("tumour_size", "stromal_invasion_depth")}
    nodes = ("pelvic_nodes", "para_aortic_nodes", "regional_nodes")
    distant = ("distant_organ", "distant_nodes", "peritoneal_spread")
    facts = {**known, "parametrium": YES} | dict.fromkeys((*nodes, *distant), Fact())
    order = ordered(reader, facts, (*distant, "para_aortic_nodes", "pelvic_nodes"))
    assert order == ("para_aortic_nodes", "pelvic_nodes", *distant)
