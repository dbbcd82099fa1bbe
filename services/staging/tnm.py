"""TNM as recorded: the category of an observation, the version it was given in, and the facts it states."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from services.staging.knowledge import Rules
from services.staging.schema import Bounds, Category, Said
from services.staging.statements import Kind, Statement
from shared.fhir.codes import SNOMED, codes
from shared.knowledge.table import Measure
from shared.oncology.record import Finding, Issue
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN

_TEXT = re.compile(r"^\s*(yc|yp|rp|[cprya])?\s*([TNM])?\s*(X|is|0|[1-4][a-d]?[1-3]?)(mi|[ab])?\s*(\(.*\))?\s*$", re.IGNORECASE)
_VERSION = re.compile(r"\b(?:version\s*)?([6-9])(?:th)?\b", re.IGNORECASE)

# What a resected specimen shows: its denial is pathology, and overrides what was felt or seen (R1).
ON_A_SPECIMEN = ("cervix", "vagina")


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
            category += (match.group(4) or "").lower() + ("(i+)" if "(i+)" in (match.group(5) or "").lower() else "")
            if _known(category, rules):
                return Recorded(axis, category, (match.group(1) or prefix or "").lower() or None, _version(finding, rules), finding)
    return None


def _known(value: str, rules: Rules) -> bool:
    """Whether the cervix has such a category: T2c, N3 and M1a are of other organs, or slips."""
    plain = value.removesuffix("(i+)")
    if plain[0] == "N":
        plain = plain.removesuffix("mi").removesuffix("a") if plain[1:2] in ("1", "2") else plain
    return plain in rules.tnm.categories or plain in ("TX", "T0", "Tis", "NX", "MX")


def choose(found: Sequence[Recorded], rules: Rules) -> tuple[dict[str, Recorded], list[Issue]]:
    """The category of each axis that counts: pathology, then the later one, then the lower; and the contradictions.

    Categories after treatment (y), of a recurrence (r) or at autopsy (a) count for nothing. A finer category is no contradiction.
    """
    if not found:
        return {}, []
    order = [*("TX", "NX", "MX", "T0", "Tis"), *rules.tnm.categories]
    best: dict[str, Recorded] = {}
    issues: list[Issue] = []
    for axis in "tnm":
        usable = [c for c in found if c.axis == axis and not (c.prefix and c.prefix[0] in "yra")]
        usable = [c for c in usable if not c.value.endswith("X")] or usable
        if not usable:
            continue
        top = max(_weight(c) for c in usable)
        tied = [c for c in usable if _weight(c) == top]
        lowest = min(tied, key=lambda c: (order.index(_plain(c.value)), c.finding.source))
        chosen = best[axis] = max((c for c in tied if c.value.startswith(lowest.value)), key=lambda c: (len(c.value), c.finding.source))
        against = [c for c in usable if not (c.value.startswith(chosen.value) or chosen.value.startswith(c.value))]
        if against:
            why = "pathology" if top[0] and not all(c.prefix == "p" for c in against) else "the later one"
            why = why if len(tied) == 1 or why == "pathology" else "the lower one"
            values = ", ".join(sorted({c.value for c in (chosen, *against)}))
            text = f"The {axis.upper()} categories {values} contradict each other; {why} counts."
            sources = tuple(sorted({c.finding.source for c in (chosen, *against)}))
            issues.append(Issue(severity="warning", code="extent-conflict", text=text, sources=sources))
    return best, issues


def _weight(it: Recorded) -> tuple[bool, str]:
    return it.prefix == "p", it.finding.when or ""


def _plain(value: str) -> str:
    """The category as the rules have it: N1mi and N1a are N1."""
    plain = value.partition("(")[0]
    return plain.removesuffix("mi").removesuffix("a") if plain[0] == "N" else plain


def together(best: dict[str, Recorded]) -> Iterator[Statement]:
    """What N0 and M0 without version and date say together: whichever version, one of them excludes para-aortic nodes."""
    n, m = best.get("n"), best.get("m")
    if n and m and n.value == "N0" and m.value == "M0" and _in_force(n) is None and _in_force(m) is None:
        for fact in ("para_aortic_nodes", "regional_nodes"):
            yield Statement(fact, FAILS, n.finding.source, kind="summary")


def label(it: Recorded) -> str:
    """A category with its prefix: "cT2b"."""
    return f"{it.prefix or ''}{it.value}"


def holds(it: Recorded, rules: Rules) -> tuple[str, ...]:
    """The facts that a category states to hold."""
    category = rules.tnm.categories.get(_plain(it.value))
    return _said(category, _in_force(it)).holds if category is not None else ()


def statements(it: Recorded, rules: Rules) -> Iterator[Statement]:
    """The facts that a recorded category states."""
    category = rules.tnm.categories.get(_plain(it.value))
    if category is None:
        return
    named = label(it)
    finding, method, when = it.finding, "p" if it.prefix == "p" else None, it.finding.when or ""
    version = _in_force(it)
    says = _said(category, version)
    for fact in says.holds:
        ask = rules.facts[fact].ask if fact == "distant_or_para_aortic" else None
        # That a tumour is confined is somebody's summary: what was found beyond the cervix counts before it.
        held: Kind = "summary" if fact == "confined_to_cervix" else "finding"
        yield Statement(fact, HOLDS, finding.source, when, method, held, ask=ask, category=named)
    if it.value == "T0":
        yield Statement("confined_to_cervix", UNKNOWN, finding.source, when, method, "implied")  # no tumour, and none to be confined
    for fact in says.fails:
        # pN0 is what the pathologist saw in the nodes; cN0 and M0 are somebody's summary, and N1 only implies that there is no N2.
        free: Kind = "implied" if it.value[1] != "0" else "finding" if method == "p" and it.axis == "n" else "summary"
        yield Statement(fact, FAILS, finding.source, when, method, free, category=named)
    for group in category.denies:
        seen: Kind = "finding" if method == "p" and group in ON_A_SPECIMEN else "implied"
        yield from (Statement(fact, FAILS, finding.source, when, method, seen, category=named) for fact in rules.tnm.beyond[group])
    measured: Kind = "summary" if method == "p" else "implied"  # a length in a pathological category is pathology (R1)
    size = _bounds(category.size, category.before_9, version)
    if size is not None:
        yield Statement("tumour_size", HOLDS, finding.source, when, method, measured, size, category=named)
    if category.depth is not None:
        yield Statement("stromal_invasion_depth", HOLDS, finding.source, when, method, measured, _measure(category.depth), category=named)


def _in_force(it: Recorded) -> str | None:
    """The version that a category speaks: the one named, else the one in force on its day (8 since 2018, 9 since 2021), else not known."""
    year = (it.finding.when or "")[:4]
    if it.version is not None or not year:
        return it.version
    return "9" if year >= "2021" else "8" if year >= "2018" else "7"


def _said(category: Category, version: str | None) -> Said:
    """What a category states in a version; without one, what all versions agree on."""
    own = Said(category.holds, category.fails)
    return {None: category.undated, "6": category.in_7, "7": category.in_7, "8": category.in_8}.get(version) or own


def _bounds(now: Bounds | None, before: Bounds | None, version: str | None) -> Measure | None:
    if now is None:
        return None
    if before is None or version == "9":
        return _measure(now)
    if version is not None:
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
        if code in ("6", "7", "8", "9"):
            return code
    if finding.method is not None and finding.method.text and (match := _VERSION.search(finding.method.text)):
        return match.group(1)
    return None
