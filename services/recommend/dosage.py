"""A reference dose as FHIR R4 says it: a Dosage with its rule, its amount, what it was reckoned from, and the days of its cycle.

R4 has no day of a cycle in Timing: how often in how many days stands in `repeat`, the days themselves in `code.text`, and in the
extension timing-daysOfCycle on the action. Source: FHIR R4 4.0.1 Dosage, Timing.
"""

from __future__ import annotations

from typing import Any

from shared.oncology.recommendation import Activity, DoseAmount

Json = dict[str, Any]
NEVER = "Reference, never an order"
UNCHECKED = "not checked against the source"
_UCUM = "http://unitsofmeasure.org"
_FORMULAS = {
    "mosteller": "by body surface (Mosteller)",
    "du-bois": "by body surface (DuBois)",
    "as recorded": "by body surface, as recorded",
    "by weight": "by weight",
    "flat, by weight": "flat, by band of weight",
}
_INPUTS = {
    "bsa_m2": "body surface {} m2",
    "height_cm": "height {} cm",
    "weight_kg": "weight {} kg",
    "weight_used": "weight used: {}",
    "age_years": "age {}",
    "creatinine_mg_dl": "creatinine {} mg/dL",
    "creatinine_floor_mg_dl": "creatinine at least {} mg/dL",
    "egfr_ml_min_173": "eGFR {} mL/min/1.73 m2",
    "bsa_formula": "body surface by {}",
    "recorded_date": "recorded on {}",
    "clearance_date": "clearance recorded on {}",
    "gfr_ml_min": "clearance {} mL/min",
    "uncapped_mg": "without the cap {} mg",
}
_DATED = ("height_cm", "weight_kg", "creatinine_mg_dl", "egfr_ml_min_173")


def dosage(dose: DoseAmount, line: Activity | None, *, proposed: bool) -> Json:
    """One Dosage. `line` is its line of the schedule; what is not `proposed` keeps its rule, and has no amount that somebody might take."""
    words = [f"{NEVER}: {rule_words(dose, line)}"]
    if proposed:
        words.append(amount_words(dose))
    else:
        words.append("Ruled out for this patient, and so without an amount")
    if dose.cap is not None and proposed:
        words.append(f"At most {dose.cap:g} {dose.unit} a dose")
    found: Json = {"text": ". ".join(words) + ".", "additionalInstruction": [{"text": NEVER}]}
    if not dose.checked:
        found["additionalInstruction"].append({"text": UNCHECKED.capitalize()})
    if repeat := timing(dose):
        found["timing"] = repeat
    if dose.route:
        found["route"] = {"text": dose.route}
    if proposed and dose.amount is not None:
        kind = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/dose-rate-type", "code": "calculated"}]}
        found["doseAndRate"] = [{"type": kind, "doseQuantity": _quantity(dose.amount, dose.unit)}]
    if proposed and dose.cap is not None:
        found["maxDosePerAdministration"] = _quantity(dose.cap, dose.unit)
    return found


def timing(dose: DoseAmount) -> Json | None:
    """How often in how many days, with the days of the cycle in words; None where the cycle is not known."""
    if not dose.cycle_days:
        return None
    daily = dose.cycle_days == 1
    often = dose.times_a_day if daily else max(len(dose.day), 1) * dose.times_a_day
    return {
        "repeat": {"frequency": often, "period": dose.cycle_days, "periodUnit": "d"},
        "code": {"text": _days(dose)},
    }


def rule_words(dose: DoseAmount, line: Activity | None = None) -> str:
    """Drug, rule, way and rhythm, as the knowledge says them; with the mark where nobody has checked them."""
    if line is not None:
        words = line.activity + (f", {line.repeats}" if line.repeats else "") + (f", from day {line.day}" if line.day > 1 else "")
    else:
        words = " ".join(filter(None, (dose.drug, dose.rule, dose.route))) + f", {_days(dose)}"
    return words if dose.checked else f"{words} ({UNCHECKED})"


def amount_words(dose: DoseAmount) -> str:
    """What the rule comes to for this patient, and from what; or that its inputs are missing."""
    if dose.amount is None:
        why = dose.basis.get("reduced")
        return f"No amount for this patient: {f'less than the rule, by the label. {why}' if why else 'see what is missing'}"
    policy = f", by policy {dose.rounded:g} {dose.unit}" if dose.rounded is not None else ""
    return f"For this patient {dose.amount:g} {dose.unit}{policy}" + (f": {basis}" if (basis := basis_words(dose)) else "")


def basis_words(dose: DoseAmount) -> str:
    """Formula, inputs with their dates, what was capped, and the rounding; nothing for a flat dose."""
    basis = dose.basis
    formula = str(basis.get("formula") or "")
    if formula in ("", "flat"):
        return ""
    words = [_FORMULAS.get(formula, formula.replace("calvert", "Calvert"))]
    for name, says in _INPUTS.items():
        if (value := basis.get(name)) is not None:
            date = basis.get(f"{name.partition('_')[0]}_date") if name in _DATED else None
            words.append(says.format(f"{value:g}" if isinstance(value, float) else value) + (f" of {date}" if date else ""))
    if "creatinine_mg_dl" in basis and not basis.get("creatinine_floor_mg_dl"):
        words.append("creatinine without a floor")
    if basis.get("gfr_used_ml_min") != basis.get("gfr_ml_min"):
        words.append(f"clearance taken as {basis['gfr_used_ml_min']:g} mL/min, the cap")
    return ", ".join([*words, *([f"rounded {basis['rounding']}"] if "rounding" in basis else [])])


def _days(dose: DoseAmount) -> str:
    if dose.cycle_days == 1:
        return "once a day" if dose.times_a_day == 1 else "twice a day"
    days = f"day {', '.join(map(str, dose.day))}" if dose.day else ""
    return f"{days} every {dose.cycle_days} days".strip() if dose.cycle_days else days


def _quantity(value: float, unit: str) -> Json:
    return {"value": value, "unit": unit, "system": _UCUM, "code": unit}
