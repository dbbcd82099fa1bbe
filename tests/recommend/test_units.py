"""Units: what the library converts, what it cannot, and that codes.yaml gives a factor of its own only where it must."""

from __future__ import annotations

import pytest

from services.recommend.codes import Measure, Unit
from services.recommend.library import library
from services.recommend.units import SAID, NotComparable, computed, factor

UNITS = [(measure, unit) for measure in library().book.measures for unit in measure.units]


@pytest.mark.parametrize(
    ("code", "into", "times"),
    [
        ("[lb_av]", "kg", 0.45359237),
        ("[in_i]", "cm", 2.54),
        ("10*3/uL", "10*9/L", 1.0),
        ("/uL", "10*9/L", 0.001),
        ("mL/s", "mL/min", 60.0),
        ("mg/(24.h)", "g/d", 0.001),
        ("mg/g{creat}", "g/g", 0.001),
    ],
)
def test_ucum_codes_are_converted(code: str, into: str, times: float) -> None:
    """By UCUM's own definitions."""
    assert factor(code, into) == times


@pytest.mark.parametrize(("code", "into"), SAID)
def test_a_factor_that_is_written_down_is_that_of_the_library(code: str, into: str) -> None:
    assert factor(code, into) == SAID[code, into] == computed(code, into)


@pytest.mark.parametrize(
    ("code", "into"),
    [
        ("mL/min/{1.73_m2}", "mL/min"),
        ("mL/min", "mL/min/{1.73_m2}"),
        ("umol/L", "mg/dL"),
        ("kg", "cm"),
        ("K/uL", "10*9/L"),
        ("{score}", "1"),
        ("furlong", "cm"),
    ],
)
def test_what_is_not_the_same_quantity_is_not_converted(code: str, into: str) -> None:
    """An indexed clearance is none; an amount of substance is no mass; a printed unit is no UCUM code."""
    with pytest.raises(NotComparable):
        factor(code, into)


@pytest.mark.parametrize(("measure", "unit"), UNITS, ids=[f"{measure.fact} in {unit.code}" for measure, unit in UNITS])
def test_a_factor_is_written_only_where_the_library_has_none(measure: Measure, unit: Unit) -> None:
    """Every listed unit converts; a factor by hand is only what no library knows, as that a milliequivalent is half a millimole."""
    assert unit.converted(1.0, measure.unit) > 0
    if unit.times is not None or unit.divide is not None:
        try:
            known = factor(unit.code, measure.unit)
        except NotComparable:
            return
        assert known != unit.converted(1.0, measure.unit)


def test_a_printed_unit_means_one_thing_for_a_measure() -> None:
    """No print stands for two codes of one measure."""
    for measure in library().book.measures:
        printed = [text for unit in measure.units for text in unit.printed]
        assert len(printed) == len(set(printed)), measure.fact
