"""Regimen × agency → whether that agency has approved it for this disease, as a criterion."""

from __future__ import annotations

from collections.abc import Callable

from services.recommend.dates import known
from services.recommend.eligibility import UNCHECKED
from services.recommend.regimen import Agency, Regimen
from shared.oncology.recommendation import Reason
from shared.oncology.stage import Missing

LABELLED = ("approved", "accelerated", "conditional")


def approval(regimen: Regimen, region: Agency, as_of: str | None, cites: Callable[[str], bool]) -> tuple[Reason, Missing | None]:
    """Whether the agency that the caller names has approved this regimen for this disease by the day asked for."""
    said = [status for status in regimen.regulatory if status.agency == region]
    now = [status for status in said if known(status.since, as_of)]
    name, held = f"approved-by-{region.lower()}", [status for status in now if status.status in LABELLED]
    if said and not now:
        text = f"{region}: no approval by {as_of} is in the knowledge."
        return Reason(criterion=name, verdict="fails", says=text), None
    if not said or (not held and now[0].status == "not-found" and not now[0].checked):
        found = f"{now[0].use or 'not found'}{UNCHECKED}" if now else "not in the knowledge"
        text = f"Whether the {region} has approved this regimen is open: {found}."
        return Reason(criterion=name, verdict="unknown", says=text), Missing(name, f"The {region} label of this regimen")
    best = (held or now)[0]
    text = f"{region}: {best.status}{f' since {best.since}' if best.since else ''}{f', for {best.use}' if best.use else ''}"
    text += "." if best.checked else f"{UNCHECKED}."
    works = tuple(place.work for place in best.because if cites(place.work))
    return Reason(criterion=name, verdict="holds" if held else "fails", says=text, evidence=works), None
