"""Values of Observations → numbers in the unit of a fact, or why not. Only UCUM codes and printed units that are listed are understood."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import inf

import msgspec

from services.recommend.codes import CodeBook, Measure, Scale, said
from services.recommend.eligibility import Measured, Told
from shared.oncology.record import Concept, Finding, Quantity, Record, Value

USABLE = (None, "final", "amended", "corrected")
IN_WORDS = {"pd-l1-cps": ("CPS", "combined positive score")}  # a score without a LOINC code of its own
NEVER = {"pd-l1-cps": {"loinc": ("83053-9",), "ncit": ("C184941", "C199175")}}  # TPS and immune-cell score are no CPS
METHOD = "105302-4"  # LOINC: PD-L1 scoring method


class Refusal(msgspec.Struct, frozen=True):
    """A value that is not used, and why; `code` is one of the interface's issue codes."""

    code: str
    text: str
    source: str
    when: str | None


def usable(record: Record) -> list[Finding]:
    """Observations that may be used: settled, plausibly dated and known on the day of the record; oldest first."""
    today = record.today or "9999"
    chosen = [f for f in record.findings if f.kind == "observation" and f.status in USABLE and f.plausible and (f.when or "")[:10] <= today]
    return sorted(chosen, key=lambda f: (f.when or "", f.recorded or "", f.source))


def numbers(book: CodeBook, measure: Measure, findings: list[Finding]) -> Iterator[Measured | Refusal]:
    """Every reading of the measure, newest first; refusals stand in their place."""
    for finding in reversed(findings):
        for concept, value in _parts(finding):
            if _is(book, measure, finding, concept, value) and (reading := _number(book, measure, finding, value)) is not None:
                yield reading


def told(book: CodeBook, scale: Scale, findings: list[Finding]) -> Told | None:
    """The newest answer on the scale."""
    for finding in reversed(findings):
        for concept, value in _parts(finding):
            if book.means(concept, scale.codes):
                answer = book.answer(value.concept, value.text, scale.answers)
                if answer is not None:
                    return Told(values=(str(answer),), sources=(finding.source,), when=finding.when)
    return None


def _parts(finding: Finding) -> list[tuple[Concept, Value]]:
    return [(finding.concept, finding.value), *((c.concept, c.value) for c in finding.components)]


def _is(book: CodeBook, measure: Measure, finding: Finding, concept: Concept, value: Value) -> bool:
    if book.means(concept, NEVER.get(measure.fact, {})):
        return False
    if book.means(concept, measure.codes):
        return True
    names = IN_WORDS.get(measure.fact)
    if names is None:
        return False
    top = concept is finding.concept
    method = top and any(
        book.means(part.concept, {"loinc": (METHOD,)}) and said(part.value.concept or Concept(text=part.value.text), names)
        for part in finding.components
    )
    return method or said(concept, names) or (value.text is not None and said(Concept(text=value.text), names))


def _number(book: CodeBook, measure: Measure, finding: Finding, value: Value) -> Measured | Refusal | None:
    quantity, comparator = value.quantity, ""
    if quantity is not None:
        amount = _converted(measure, quantity)
        if amount is None:
            unit = quantity.ucum or quantity.code or quantity.unit or "none"
            text = f"{measure.says.capitalize()} of {quantity.value} in the unit {unit} is not understood and was not used."
            return Refusal("unit-not-understood", text, finding.source, finding.when)
        comparator = quantity.comparator or ""
    elif value.low and value.high:
        low, high = _converted(measure, value.low), _converted(measure, value.high)
        return None if low is None or high is None else _believed(measure, finding, low, high, "")
    elif value.integer is not None and _unitless(measure):
        amount = float(value.integer)
    else:
        spoken = _spoken(book, measure, value)
        if spoken is None:
            return None
        comparator, amount = spoken
    return _believed(measure, finding, amount, amount, comparator)


def _spoken(book: CodeBook, measure: Measure, value: Value) -> tuple[str, float] | None:
    answer = book.answer(value.concept, None, measure.answers)
    if isinstance(answer, (int, float)):
        return "", float(answer)
    text = value.text or (value.concept.text if value.concept else None)
    found = re.match(measure.text, text, re.IGNORECASE) if measure.text and text else None
    if found is None:
        return None
    sign = (found.groupdict().get("sign") or "").replace("≥", ">=").replace("≤", "<=")
    return sign, float(found["number"])


def _unitless(measure: Measure) -> bool:
    return measure.unit == "{score}"


def _converted(measure: Measure, quantity: Quantity) -> float | None:
    unit = quantity.ucum or (None if quantity.system else quantity.unit)
    if unit is None and quantity.code is None and quantity.unit is None and _unitless(measure):
        return float(quantity.value)
    for understood in measure.units:
        if unit == understood.code or (quantity.ucum is None and unit in understood.printed):
            return float(quantity.value) * understood.times / understood.divide
    return None


def _believed(measure: Measure, finding: Finding, low: float, high: float, comparator: str) -> Measured | Refusal:
    least, most = measure.plausible
    if not (least <= low <= high <= most):
        text = f"{measure.says.capitalize()} of {low:g} {measure.unit} lies outside {least:g} to {most:g} and was not used."
        return Refusal("value-implausible", text, finding.source, finding.when)
    return Measured(
        low=-inf if comparator in ("<", "<=") else low,
        high=inf if comparator in (">", ">=") else high,
        low_open=comparator == ">",
        high_open=comparator == "<",
        unit=measure.unit,
        sources=(finding.source,),
        when=finding.when,
    )
