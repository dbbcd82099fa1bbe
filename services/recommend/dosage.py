"""A reference dose as FHIR R4 says it: a Dosage with its rule, its amount, what it was reckoned from, and the days of its cycle.

R4 has no day of a cycle in Timing: how often in how many days stands in `repeat`, the days themselves in `code.text`, and in the
extension timing-daysOfCycle on the action. Source: FHIR R4 4.0.1 Dosage, Timing.
"""

from __future__ import annotations

from typing import Any

from shared.oncology.recommendation import Activity, DoseAmount
from shared.oncology.wording import UNCHECKED, basis_words, days_words, rule_words

Json = dict[str, Any]
NEVER = "Reference, never an order"
_UCUM = "http://unitsofmeasure.org"


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
        "code": {"text": days_words(dose)},
    }


def amount_words(dose: DoseAmount) -> str:
    """What the rule comes to for this patient, and from what; or that its inputs are missing."""
    if dose.amount is None:
        why = dose.basis.get("reduced")
        return f"No amount for this patient: {f'less than the rule, by the label. {why}' if why else 'see what is missing'}"
    policy = f", by policy {dose.rounded:g} {dose.unit}" if dose.rounded is not None else ""
    return f"For this patient {dose.amount:g} {dose.unit}{policy}" + (f": {basis}" if (basis := basis_words(dose)) else "")


def _quantity(value: float, unit: str) -> Json:
    return {"value": value, "unit": unit, "system": _UCUM, "code": unit}
