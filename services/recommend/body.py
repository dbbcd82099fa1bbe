"""What is reckoned from a woman's measures: body surface, and creatinine clearance, each with its formula, inputs and their dates.

A clearance is in mL/min. An eGFR is per 1.73 m2 and becomes a clearance only with her own body surface.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.recommend.dosing import Basis, adjusted_weight, bmi, cockcroft_gault, deindexed, du_bois, mosteller, rounded
from services.recommend.eligibility import Fact, Measured
from services.recommend.policy import Policy

BODY_MASS = (11.0, 80.0)  # kg/m2; outside, height or weight is wrong
HEAVY = 25.0  # kg/m2; from here the adjusted weight counts where the policy says so
RECORDED = "recorded-clearance"


def fits(height: Measured, weight: Measured) -> bool:
    """Whether height and weight can be one woman's."""
    if height.exact is None or weight.exact is None:
        return True
    return BODY_MASS[0] <= bmi(height.exact, weight.exact) <= BODY_MASS[1]


def surface(known: Mapping[str, Fact], policy: Policy) -> Measured | None:
    """Body surface in m2 by the policy's formula, else as recorded."""
    height, weight, recorded = (_number(known, fact) for fact in ("height", "weight", "recorded-body-surface"))
    if height and weight and height.exact and weight.exact:
        area = (mosteller if policy.bsa == "mosteller" else du_bois)(height.exact, weight.exact)
        inputs: Basis = {"height_cm": rounded(height.exact, 1), "height_date": height.when}
        inputs |= {"weight_kg": rounded(weight.exact, 2), "weight_date": weight.when}
        newest = max(height.when or "", weight.when or "") or None
        sources = height.sources + weight.sources
        return Measured(low=area, high=area, unit="m2", sources=sources, when=newest, how=policy.bsa, inputs=inputs)
    if recorded:
        return msgspec.structs.replace(recorded, how="as recorded", inputs={"recorded_date": recorded.when})
    return None


def clearance(known: Mapping[str, Fact], policy: Policy) -> Measured | None:
    """The newest of: a recorded clearance, Cockcroft-Gault, a de-indexed eGFR; on one day, in this order."""
    recorded = _number(known, RECORDED)
    if recorded:
        recorded = msgspec.structs.replace(recorded, how="as recorded", inputs={"clearance_date": recorded.when})
    found = [reading for reading in (recorded, _cockcroft_gault(known, policy), _deindexed(known)) if reading]
    return max(found, key=lambda reading: reading.when or "", default=None)


def _cockcroft_gault(known: Mapping[str, Fact], policy: Policy) -> Measured | None:
    creatinine, weight, height, age = (_number(known, fact) for fact in ("creatinine", "weight", "height", "age"))
    if not (creatinine and weight and age and creatinine.exact and weight.exact and age.exact is not None):
        return None
    kilograms, chosen = _weight(height.exact if height else None, weight.exact, policy)
    least = policy.number("creatinine-floor") if policy.creatinine_floor else 0.0
    value = cockcroft_gault(age.exact, kilograms, creatinine.exact, least)
    inputs: Basis = {"creatinine_mg_dl": rounded(creatinine.exact, 3), "creatinine_date": creatinine.when}
    inputs |= {"weight_kg": rounded(kilograms, 2), "weight_used": chosen, "weight_date": weight.when, "age_years": age.exact}
    inputs |= {"sex_factor": "female", "creatinine_floor_mg_dl": least or None}
    sources = creatinine.sources + weight.sources + age.sources
    return Measured(low=value, high=value, unit="mL/min", sources=sources, when=creatinine.when, how="Cockcroft-Gault", inputs=inputs)


def _weight(height: float | None, weight: float, policy: Policy) -> tuple[float, str]:
    if policy.weight == "actual":
        return weight, "actual"
    if height is None:
        return weight, "actual, since no height tells the body mass index"
    if bmi(height, weight) < HEAVY:
        return weight, "actual, body mass index below 25"
    return adjusted_weight(height, weight), "adjusted, body mass index 25 or more"


def _deindexed(known: Mapping[str, Fact]) -> Measured | None:
    egfr, area = _number(known, "egfr"), _number(known, "body-surface")
    if egfr is None or area is None or area.exact is None:
        return None
    inputs: Basis = {"egfr_ml_min_173": egfr.exact, "egfr_date": egfr.when, "bsa_m2": rounded(area.exact, 3), "bsa_formula": area.how}
    return msgspec.structs.replace(
        egfr,
        low=deindexed(egfr.low, area.exact),
        high=deindexed(egfr.high, area.exact),
        unit="mL/min",
        sources=egfr.sources + area.sources,
        how="eGFR de-indexed with the body surface",
        inputs=inputs | area.inputs,
    )


def _number(known: Mapping[str, Fact], fact: str) -> Measured | None:
    value = known.get(fact)
    return value if isinstance(value, Measured) else None
