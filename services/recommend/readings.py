"""Values of Observations → numbers in the unit of a fact, or why not. Only UCUM codes and printed units that are listed are understood."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import inf

import msgspec

from services.recommend.codes import CodeBook, Measure, Scale, said
from services.recommend.dates import day
from services.recommend.eligibility import Measured, Told
from shared.oncology.record import Concept, Finding, Quantity, Record, Value

USABLE = (None, "final", "amended", "corrected")
IN_WORDS = {"pd-l1-cps": ("CPS", "combined positive score")}  # a score without a LOINC code of its own
NEVER = {"pd-l1-cps": {"loinc": ("83053-9",), "ncit": ("C184941", "C199175")}}  # TPS and immune-cell score are no CPS
SAME = 0.1  # two values of one day within a tenth of each other do not contradict each other
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


def misdated(record: Record) -> list[Finding]:
    """Observations that would be used but for a date that contradicts the record, or lies after its day."""
    today = record.today or "9999"
    return [
        f for f in record.findings if f.kind == "observation" and f.status in USABLE and (not f.plausible or (f.when or "")[:10] > today)
    ]


def about(book: CodeBook, asked: Measure | Scale, finding: Finding) -> bool:
    """Whether the finding tells what is asked."""
    if isinstance(asked, Measure):
        return any(_is(book, asked, finding, concept, value) for concept, value in _parts(finding))
    return any(_of(book, asked, concept) for concept, _ in _parts(finding))


def settled(measure: Measure, found: list[Measured]) -> tuple[Measured, list[Measured]]:
    """The newest value; where values of its day contradict it, everything between them, and the values that do."""
    newest = found[0]
    same = [r for r in found if r.when is not None and r.when == newest.when] if measure.steady else []
    same = same or [newest]
    low, high = max(r.low for r in same), min(r.high for r in same)
    if len(same) < 2 or low - high <= SAME * abs(low):
        return newest, []
    sources = tuple(dict.fromkeys(source for r in same for source in r.sources))
    return msgspec.structs.replace(newest, low=min(r.low for r in same), high=max(r.high for r in same), sources=sources), same


def impossible(measure: Measure, found: list[Measured]) -> bool:
    """Whether the two newest values are too far apart for both to be right."""
    if measure.apart is None or len(found) < 2 or found[0].exact is None or found[1].exact is None:
        return False
    newer, older = day(found[0].when), day(found[1].when)
    if newer and older and (newer - older).days > measure.apart.days:
        return False
    small, large = sorted((found[0].exact, found[1].exact))
    return large >= measure.apart.ratio * small


def numbers(book: CodeBook, measure: Measure, findings: list[Finding]) -> Iterator[Measured | Refusal]:
    """Every reading of the measure, newest first; refusals stand in their place."""
    newest = findings[::-1]
    if measure.in_order:
        order = [code for codes in measure.codes.values() for code in codes]
        newest.sort(key=lambda f: min((order.index(c.code) for c in f.concept.codings if c.code in order), default=len(order)))
        newest.sort(key=lambda f: f.when or "", reverse=True)
    for finding in newest:
        for concept, value in _parts(finding):
            if _is(book, measure, finding, concept, value) and (reading := _number(book, measure, finding, value)) is not None:
                yield reading


def told(book: CodeBook, scale: Scale, findings: list[Finding]) -> Told | None:
    """The newest answer on the scale; other answers of the same day leave it open between them."""
    every = answers(book, scale, findings)
    if not every:
        return None
    found = [(answer, f) for answer, f in every if f.when == every[0][1].when]
    same = found if found[0][1].when else found[:1]
    values, sources = (tuple(dict.fromkeys(part)) for part in zip(*((answer, f.source) for answer, f in same), strict=True))
    return Told(values=values, sources=sources if len(values) > 1 else (same[0][1].source,), when=same[0][1].when)


def answers(book: CodeBook, scale: Scale, findings: list[Finding]) -> list[tuple[str, Finding]]:
    """Every answer on the scale, newest first."""
    found: list[tuple[str, Finding]] = []
    for finding in reversed(findings):
        of = [book.answer(v.concept, v.text, scale.answers) for concept, v in _parts(finding) if _of(book, scale, concept)]
        found += [(str(answer), finding) for answer in of[:1] if answer is not None]
    return found


def _of(book: CodeBook, scale: Scale, concept: Concept) -> bool:
    return book.means(concept, scale.codes) or said(concept, scale.words)


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
            text = (
                f"{measure.says.capitalize()} of {quantity.value} in the unit {unit} is not understood and was not used; ask for its unit."
            )
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
    return measure.unit.startswith("{") and measure.unit.endswith("}")


def _converted(measure: Measure, quantity: Quantity) -> float | None:
    unit = quantity.ucum or (None if quantity.system else quantity.unit)
    if unit is None and quantity.code is None and quantity.unit is None and _unitless(measure):
        return float(quantity.value)
    for understood in measure.units:
        if unit == understood.code or (quantity.ucum is None and unit in understood.printed):
            return understood.converted(float(quantity.value), measure.unit)
    return None


def _believed(measure: Measure, finding: Finding, low: float, high: float, comparator: str) -> Measured | Refusal:
    least, most = measure.plausible
    if not (least <= low <= high <= most):
        value = f"{measure.says.capitalize()} of {low:g} {measure.unit}"
        text = f"{value} lies outside {least:g} to {most:g} and was not used; ask what was measured."
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
