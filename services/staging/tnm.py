"""TNM as recorded: the category of an observation, the version it was given in, and the facts it states."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import NamedTuple

from services.staging.knowledge import Rules
from services.staging.schema import Bounds, Category
from services.staging.statements import Statement
from shared.fhir.codes import SNOMED, codes
from shared.knowledge.table import Measure
from shared.oncology.record import Finding
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN

_TEXT = re.compile(r"^\s*(yc|yp|rp|[cprya])?\s*([TNM])?\s*(X|is|0|[1-4][a-d]?[1-3]?)(mi|[ab])?\s*(\(.*\))?\s*$", re.IGNORECASE)
_VERSION = re.compile(r"\b(?:version\s*)?([6-9])(?:th)?\b", re.IGNORECASE)


class Recorded(NamedTuple):
    """One recorded category: axis ("t"), value ("T2b"), prefix ("c", "p", "yp", …), AJCC version, and where it stands."""

    axis: str
    value: str
    prefix: str | None
    version: str | None
    finding: Finding


def recorded(finding: Finding, axis: str, prefix: str | None, rules: Rules) -> Recorded | None:
    """The category that an observation records: by code first, then by strict text; None where neither can be read."""
    value = finding.value
    concept = value.concept
    for pair in codes(concept):
        if (known := rules.values.get(pair)) is not None:
            return Recorded(axis, known[1], known[0], _version(finding, rules), finding)
    texts = [c.code for c in concept.codings if c.code and c.system != SNOMED] if concept else []
    texts += [c.display for c in concept.codings if c.display] if concept else []
    for text in (*texts, (concept.text if concept else None), value.text):
        if text and (match := _TEXT.match(text.rpartition("#")[2])) and (match.group(2) or axis).lower() == axis:
            number = match.group(3)
            category = axis.upper() + (number.upper() if number.upper() == "X" else number.lower())
            category += (match.group(4) or "").lower() + (match.group(5) or "").lower()
            return Recorded(axis, category, (match.group(1) or prefix or "").lower() or None, _version(finding, rules), finding)
    return None


def statements(it: Recorded, rules: Rules) -> Iterator[Statement]:
    """The facts that a recorded category states. Categories after treatment (y), of a recurrence (r) or at autopsy (a) state none."""
    if it.prefix and it.prefix[0] in "yra":
        return
    category = _category(it.value, rules)
    if category is None:
        return
    finding, method = it.finding, "p" if it.prefix == "p" else None
    when = finding.when or ""
    source = finding.source
    unsure = it.version is None and not when
    old = it.version in ("7", "8") or (it.version is None and bool(when) and when[:4] < "2021")
    holds = category.holds
    if category.before_9_holds and (old or unsure):
        yield from (Statement(f, HOLDS, source, when, method) for f in category.before_9_holds)
    elif it.value == "M1" and (it.version == "7"):
        yield Statement("distant_metastasis", UNKNOWN, source, when, method, ask="The site of M1: para-aortic nodes alone are IIIC2 today")
    else:
        yield from (Statement(f, HOLDS, source, when, method) for f in holds)
        yield from (Statement(f, FAILS, source, when, method, direct=it.value[1] == "0") for f in category.fails)
    for group in category.denies:
        yield from (Statement(f, FAILS, source, when, method, direct=False) for f in rules.tnm.beyond[group])
    size = _bounds(category.size, category.before_9, old, unsure)
    if size is not None:
        yield Statement("tumour_size", HOLDS, source, when, method, direct=False, measure=size)
    if category.depth is not None:
        yield Statement("stromal_invasion_depth", HOLDS, source, when, method, direct=False, measure=_measure(category.depth))


def _category(value: str, rules: Rules) -> Category | None:
    """The rule of a category; N1mi and N1a state what N1 states, M1a what M1 does."""
    while value:
        if (found := rules.tnm.categories.get(value)) is not None:
            return found
        value = value.partition("(")[0] if "(" in value else value[:-1]
    return None


def _bounds(now: Bounds | None, before: Bounds | None, old: bool, unsure: bool) -> Measure | None:
    if now is None:
        return None
    if before is None or not (old or unsure):
        return _measure(now)
    if old:
        return _measure(before)
    lows = [b.more_than for b in (now, before)]
    highs = [b.at_most for b in (now, before)]
    low = None if None in lows else min(x for x in lows if x is not None)
    high = None if None in highs else max(x for x in highs if x is not None)
    return Measure(low, high, low_open=low is not None)


def _measure(bounds: Bounds) -> Measure:
    low: Decimal | None = bounds.more_than
    return Measure(low, bounds.at_most, low_open=low is not None)


def _version(finding: Finding, rules: Rules) -> str | None:
    for system, code in codes(finding.method):
        if system == SNOMED and code in rules.tnm.versions:
            return rules.tnm.versions[code]
        if code in ("7", "8", "9"):
            return code
    if finding.method is not None and finding.method.text and (match := _VERSION.search(finding.method.text)):
        return match.group(1)
    return None
