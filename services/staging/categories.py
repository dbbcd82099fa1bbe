"""The TNM categories of the answer: as recorded, pathology before clinical and then the newest; what the facts amount to where none is
recorded, or where the recorded one lost to findings."""

from __future__ import annotations

from decimal import Decimal

from services.staging.extent import Extent
from services.staging.knowledge import Rules
from shared.knowledge.table import Fact
from shared.oncology.stage import Tnm
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN

_T = {"IVA": "T4", "IIIB": "T3b", "IIIA": "T3a", "III": "T3", "IIB": "T2b", "IIA2": "T2a2", "IIA1": "T2a1", "IIA": "T2a", "II": "T2"}
_T |= {"IB3": "T1b3", "IB2": "T1b2", "IB1": "T1b1", "IB": "T1b", "IA2": "T1a2", "IA1": "T1a1", "IA": "T1a", "I": "T1"}
_DISTANT = ("distant_organ", "distant_nodes", "peritoneal_spread")
_NODES = ("pelvic_nodes", "para_aortic_nodes", "regional_nodes")
_MICRO = Decimal(2)


def tnm(extent: Extent, rules: Rules) -> Tnm:
    """The three categories; None where neither recorded nor known."""
    best = {axis: category.value for axis, category in extent.categories.items() if axis not in extent.lost}
    told = {axis: value for axis, value in best.items() if not value.endswith("X")}
    return Tnm(
        t=told.get("t") or _t(extent, rules) or best.get("t"),
        n=told.get("n") or _n(extent) or best.get("n"),
        m=told.get("m") or _m(extent),
    )


def _t(extent: Extent, rules: Rules) -> str | None:
    """The local extent, read as a stage of its own: nothing beyond the primary counts."""
    row = rules.tables["figo-2018"].read(extent.facts | {name: Fact(FAILS) for name in (*_DISTANT, *_NODES, "distant_metastasis")}).row
    return _T.get(row.stage) if row is not None else None


def _n(extent: Extent) -> str | None:
    pelvic, para_aortic, regional = (extent.facts.get(name, Fact()) for name in _NODES)
    for number, fact in (("N2", para_aortic), ("N1", pelvic)):
        if fact.verdict is HOLDS:
            return number + _size(fact, extent)
    isolated = any(measure.at_most(Decimal("0.2")) is HOLDS for measure in extent.deposits.values())
    if regional.verdict is not HOLDS and isolated:
        return "N0(i+)"
    return "N0" if pelvic.verdict is para_aortic.verdict is FAILS else None


def _size(fact: Fact, extent: Extent) -> str:
    """ "mi" for micrometastases only (at most 2 mm), "a" for more, nothing where a deposit was not measured (R9)."""
    verdicts = [extent.deposits[s].at_most(_MICRO) if s in extent.deposits else UNKNOWN for s in fact.sources]
    return "a" if FAILS in verdicts else "mi" if verdicts and set(verdicts) == {HOLDS} else ""


def _m(extent: Extent) -> str | None:
    verdicts = {extent.facts.get(name, Fact()).verdict for name in (*_DISTANT, "distant_metastasis")}
    return "M1" if HOLDS in verdicts else "M0" if verdicts == {FAILS} else None
