"""Lengths as findings give them: a quantity, a range or strict text, in millimetres."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from services.staging.knowledge import Rules
from shared.fhir.codes import codes
from shared.knowledge.table import Measure
from shared.oncology.record import Finding, Quantity, Value

LONGEST = Decimal(300)
# A length as text: a number, with at most two decimals lest "1,000" be a thousand, and its unit. Nothing less strict is read.
_LENGTH = re.compile(r"\s*(<=|>=|<|>|≤|≥)?\s*(\d{1,4}(?:[.,]\d{1,2})?)\s*(mm|cm)\s*")
_SIGNS = {"≤": "<=", "≥": ">="}


def millimetres(quantity: Quantity, rules: Rules) -> Decimal | None:
    """A length in millimetres; None where the unit is not one we know."""
    unit = quantity.ucum or (quantity.unit if quantity.system is None else None)
    factor = rules.observations.millimetres.get(unit or "")
    return None if factor is None else quantity.value * factor


def deposit(finding: Finding, rules: Rules) -> Measure | None:
    """The largest deposit that a finding of nodes gives."""
    for component in finding.components:
        if (rules.observations.extent_system, "largest-deposit") in set(codes(component.concept)):
            found = measured(component.value, lambda quantity: _plausible(millimetres(quantity, rules)))
            if found is not None and not found.empty:
                return found
    return None


def measured(value: Value, length: Callable[[Quantity], Decimal | None]) -> Measure | None:
    """What a value says of a length: a quantity with its comparator, a range, or strict text; None where it says nothing we understand."""
    if value.low is not None or value.high is not None:
        ends = (value.low, value.high)
        low, high = (length(end) if end else None for end in ends)
        return Measure(low, high) if (low is None, high is None) == (ends[0] is None, ends[1] is None) else None
    quantity = value.quantity or (written(value.text) if value.text else None)
    if quantity is None or (found := length(quantity)) is None:
        return None
    match quantity.comparator:
        case "<" | "<=":
            return Measure(None, found, high_open=quantity.comparator == "<")
        case ">" | ">=":
            return Measure(found, None, low_open=quantity.comparator == ">")
    return Measure(found, found)


def written(text: str) -> Quantity | None:
    """A length written as text, such as "4 cm" or "> 3,5 cm"; None for anything that is not just that."""
    match = _LENGTH.fullmatch(text)
    if match is None:
        return None
    sign, number, unit = match.groups()
    return Quantity(Decimal(number.replace(",", ".")), unit, _SIGNS.get(sign, sign))


def _plausible(length: Decimal | None) -> Decimal | None:
    return length if length is not None and 0 < length <= LONGEST else None
