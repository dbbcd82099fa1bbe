"""Dose arithmetic: body surface, clearance, Calvert, doses. Nothing is rounded on the way; amounts to 0.1 mg, the surface to 0.001 m2.

Sources: Mosteller RD 1987; DuBois D, DuBois EF 1916; Cockcroft DW, Gault MH 1976; Calvert AH 1989; GFR cap: NCCN template, Appendix B,
9 Dec 2020.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal
from math import floor, sqrt

import msgspec

from services.recommend.eligibility import Fact, Measured
from services.recommend.policy import Policy
from services.recommend.regimen import Gives
from shared.oncology.recommendation import Caution, DoseAmount
from shared.oncology.stage import Missing

INPUT = {"m2": "body-surface", "kg": "weight", "auc": "creatinine-clearance"}  # what a dose is reckoned from
ASK = {
    "m2": "Height and weight, for the body surface area",
    "kg": "Body weight in kg",
    "auc": "Creatinine clearance in mL/min, or creatinine with weight and age, for the Calvert formula",
}
Basis = dict[str, str | float | None]


def mosteller(height_cm: float, weight_kg: float) -> float:
    """Body surface in m2."""
    return sqrt(height_cm * weight_kg / 3600)


def du_bois(height_cm: float, weight_kg: float) -> float:
    """Body surface in m2."""
    return float(0.007184 * height_cm**0.725 * weight_kg**0.425)


def bmi(height_cm: float, weight_kg: float) -> float:
    """Body mass index in kg/m2."""
    return weight_kg * 10_000 / (height_cm * height_cm)  # in this order 160 cm and 64 kg are 25 exactly


def ideal_weight(height_cm: float) -> float:
    """A woman's ideal weight in kg: 45.5 kg and 2.3 kg for each inch over 60."""
    return 45.5 + 2.3 * (height_cm / 2.54 - 60)


def adjusted_weight(height_cm: float, weight_kg: float) -> float:
    """Ideal weight and four tenths of what is above it, in kg."""
    ideal = ideal_weight(height_cm)
    return ideal + 0.4 * (weight_kg - ideal)


def cockcroft_gault(age: float, weight_kg: float, creatinine_mg_dl: float, floor_mg_dl: float = 0.0) -> float:
    """A woman's creatinine clearance in mL/min; creatinine below the floor counts as the floor."""
    return (140 - age) * weight_kg / (72 * max(creatinine_mg_dl, floor_mg_dl)) * 0.85


def deindexed(egfr: float, bsa_m2: float) -> float:
    """An eGFR in mL/min/1.73 m2 as mL/min for this body surface."""
    return egfr * bsa_m2 / 1.73


def calvert(auc: float, gfr: float, gfr_cap: float) -> float:
    """Carboplatin in mg; a GFR above the cap (mL/min) counts as the cap."""
    return auc * (min(gfr, gfr_cap) + 25)


def rounded(value: float, decimals: int) -> float:
    """The value to so many decimals as people round: a half goes up."""
    return float(Decimal(repr(value)).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP))


def to_step(amount: float, step: float) -> float:
    """The nearest multiple of the step; a half goes up."""
    return floor(amount / step + 0.5) * step


def dose(
    given: Gives, facts: Mapping[str, Fact], policy: Policy, cites: Callable[[str], bool] = lambda work: True
) -> tuple[DoseAmount, tuple[Missing, ...]]:
    """The reference dose for this patient, and what is missing where it cannot be reckoned. `cites`: works there by then."""
    rule = given.dose
    amount, basis, missing = _reckoned(given, facts, policy)
    ceiling = rule.cap.amount if rule.cap else None
    if rule.per == "auc":
        ceiling = rule.amount * (policy.number("gfr-cap") + 25)
    if amount is not None and ceiling is not None and amount > ceiling:
        basis |= {"uncapped_mg": rounded(amount, 1)}
        amount = ceiling
    phase: Basis = {"phase": given.phase} if given.phase else {}
    step = next((r.to for r in policy.rounding if r.drug == given.drug), None)
    if amount is not None:
        basis |= {"rounding": f"to 0.1 mg; by policy to {step:g} mg" if step else "to 0.1 mg"}
    place = next((place for place in given.because if cites(place.work)), None)
    return DoseAmount(
        drug=given.drug,
        rule=str(rule),
        amount=None if amount is None else rounded(amount, 1),
        unit="mg",
        basis=phase | basis,
        cap=ceiling,
        day=given.day,
        cycle_days=given.cycle_days,
        rounded=None if amount is None or step is None else to_step(amount, step),
        route=given.route,
        times_a_day=given.times_a_day,
        sources=_sources(given, facts) if amount is not None else (),
        reference=place.work if place else None,
        at=place.at if place else None,
        checked=given.checked and rule.checked,
    ), missing


def reduced(amount: DoseAmount, why: str) -> tuple[DoseAmount, tuple[Missing, ...]]:
    """The dose without its amount, since less of the drug is to be given than the regimen says."""
    ask = f"The reduced dose of {amount.drug}, from its label: {why[0].lower()}{why[1:]}"
    basis: Basis = {name: value for name, value in amount.basis.items() if name == "phase"} | {"reduced": why}
    less = msgspec.structs.replace(amount, amount=None, rounded=None, basis=basis, sources=())
    return less, (Missing("reduced-dose", ask),)


def overstated(gives: Iterable[Gives], facts: Mapping[str, Fact], policy: Policy, cites: Callable[[str], bool]) -> list[Caution]:
    """Where a Calvert dose rests on a creatinine below the floor that this policy does not apply: what was used instead."""
    clearance = facts.get("creatinine-clearance")
    if not isinstance(clearance, Measured) or not any(given.dose.per == "auc" for given in gives) or policy.creatinine_floor:
        return []
    creatinine, least, cap = clearance.inputs.get("creatinine_mg_dl"), policy.number("creatinine-floor"), policy.number("gfr-cap")
    if not isinstance(creatinine, float) or creatinine >= least:
        return []
    says = f"A creatinine of {creatinine:g} mg/dL is low and may overstate the clearance ({clearance}), and with it carboplatin. "
    says += (
        f"The policy {policy.id} names a floor of {least:g} mg/dL and does not apply it; weight used: {clearance.inputs['weight_used']}."
    )
    if clearance.low > cap:
        says += f" The clearance is above the cap of {cap:g} mL/min, and so the amount is the most that is ever given for this AUC."
    where = [place for p in policy.parameters if p.id == "creatinine-floor" for place in p.because if cites(place.work)]
    evidence, at = tuple(place.work for place in where), tuple(place.at for place in where)
    return [Caution(criterion="clearance-overstated", says=says, sources=clearance.sources, evidence=evidence, at=at)]


def _sources(given: Gives, facts: Mapping[str, Fact]) -> tuple[str, ...]:
    """The findings that the amount was reckoned from; a flat dose needs none."""
    way = "kg" if given.dose.lighter else given.dose.per
    known = facts.get(INPUT.get(way, ""))
    return known.sources if known else ()


def _reckoned(given: Gives, facts: Mapping[str, Fact], policy: Policy) -> tuple[float | None, Basis, tuple[Missing, ...]]:
    rule = given.dose
    if rule.per == "flat" and rule.lighter is None:
        return rule.amount, {"formula": "flat"}, ()
    way = "kg" if rule.lighter else rule.per
    fact, ask = INPUT[way], ASK[way]
    known = facts.get(fact)
    if not isinstance(known, Measured) or known.exact is None:
        return None, {}, (Missing(fact, ask),)
    value = known.exact
    if rule.lighter:
        amount = rule.lighter.amount if value < rule.lighter.below_kg else rule.amount
        return amount, {"formula": "flat, by weight", "weight_kg": round(value, 3), "weight_date": known.when}, ()
    if rule.per == "m2":
        return rule.amount * value, {"bsa_m2": rounded(value, 3), "formula": known.how} | known.inputs, ()
    if rule.per == "kg":
        return rule.amount * value, {"formula": "by weight", "weight_kg": round(value, 3), "weight_date": known.when}, ()
    cap = policy.number("gfr-cap")
    basis: Basis = {
        "gfr_ml_min": rounded(value, 1),
        "gfr_used_ml_min": rounded(min(value, cap), 1),
        "gfr_cap_ml_min": cap,
        "formula": f"calvert; clearance: {known.how}",
    }
    return calvert(rule.amount, value, cap), basis | known.inputs, ()
