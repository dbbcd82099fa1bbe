"""The TNM part in FHIRPath: the recorded T, N and M of a patient, and the stage group of AJCC version 9 that they make.

Two ways of the same answer. `plain` asks for each axis in one expression, as one would write it; `fast` is the fastest correct wording
that was found for fhirpathpy: the TNM observations are picked out once, by set operations, and the axes among them. Neither reads
anything but TNM, names a source, or says what is missing. A group is given where the record holds what it needs, and nothing else.

Source of the groups: Olawaiye 2021 (AJCC version 9, cervix uteri). Codes: those of `services/staging/rules/tnm.yaml`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fhirpathpy
from fhirpathpy.models import models

from services.staging.knowledge import Rules

Answer = Callable[[dict[str, Any]], str | None]
# From the most to the least advanced; below IVA each asks for M0, and below IIIC1 for N0 as well.
_LOCAL = ("T3b", "T3a", "T2b", "T2a2", "T2a1", "T1b3", "T1b2", "T1b1", "T1a2", "T1a1")
_STAGES = dict(zip(_LOCAL, ("IIIB", "IIIA", "IIB", "IIA2", "IIA1", "IB3", "IB2", "IB1", "IA2", "IA1"), strict=True))
_USABLE = "(status = 'final' or status = 'amended' or status = 'corrected')"
_RECORDED = "select(coding.code | text)"


def plain(rules: Rules) -> Answer:
    """One expression an axis, each over the whole Bundle; then the group."""
    axis = _compiled(f"Bundle.entry.resource.ofType(Observation).where({_USABLE} and code.coding.exists(code in %axis)).value.{_RECORDED}")
    group, names = _group(), _names(rules)
    axes = {letter: _codes(rules, letter) for letter in "tnm"}

    def answer(bundle: dict[str, Any]) -> str | None:
        recorded = {letter: axis(bundle, {"axis": codes}) for letter, codes in axes.items()}
        return _one(group({}, names | recorded))

    return answer


def fast(rules: Rules) -> Answer:
    """The TNM observations once, then each axis among them; then the group."""
    some = _compiled(f"Bundle.entry.resource.ofType(Observation).where(code.coding.code.intersect(%all).exists()).where({_USABLE})")
    axis = _compiled(f"where(code.coding.code.intersect(%axis).exists()).value.{_RECORDED}")
    group, names = _group(), _names(rules)
    axes = {letter: _codes(rules, letter) for letter in "tnm"}
    every = [code for codes in axes.values() for code in codes]

    def answer(bundle: dict[str, Any]) -> str | None:
        observations = some(bundle, {"all": every})
        if not observations:
            return None
        recorded = {letter: axis(observations, {"axis": codes}) for letter, codes in axes.items()}
        return _one(group({}, names | recorded))

    return answer


def _compiled(expression: str) -> Callable[..., list[Any]]:
    compiled: Callable[..., list[Any]] = fhirpathpy.compile(expression, models["r4"])
    return compiled


def _group() -> Callable[..., list[Any]]:
    """The stage group of %t, %n and %m; nothing where they do not settle it."""

    def holds(axis: str, category: str) -> str:
        return f"%{axis}.intersect(%{category}).exists()"

    local = "{}"
    for category in reversed(_LOCAL):
        local = f"iif({holds('t', category)}, '{_STAGES[category]}', {local})"
    nodes = f"iif({holds('n', 'N2')}, 'IIIC2', iif({holds('n', 'N1')}, 'IIIC1', iif({holds('n', 'N0')}, {local}, {{}})))"
    return _compiled(f"iif({holds('m', 'M1')}, 'IVB', iif({holds('m', 'M0')}, iif({holds('t', 'T4')}, 'IVA', {nodes}), {{}}))")


def _codes(rules: Rules, axis: str) -> list[str]:
    """The codes of an Observation of the axis: SNOMED CT and LOINC."""
    it = rules.tnm.axes[axis]
    return [*it.snomed, *it.snomed_c, *it.snomed_p, *it.loinc, *it.loinc_c, *it.loinc_p]


def _names(rules: Rules) -> dict[str, list[str]]:
    """How each category is written: SNOMED CT codes, AJCC's own, and text."""
    written: dict[str, list[str]] = {}
    for category in ("M1", "M0", "T4", "N2", "N1", "N0", *_LOCAL):
        own = [value for value in (category, f"{category}mi", f"{category}a", f"{category}(i+)") if category[0] == "N" or value == category]
        coded = [code for values in rules.tnm.values.values() for code, value in values.items() if value in own]
        written[category] = coded + [prefix + value for value in own for prefix in ("", "c", "p")]
    return written


def _one(found: list[Any]) -> str | None:
    return str(found[0]) if found else None
