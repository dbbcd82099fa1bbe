"""Staging → how many distant lesions there are, and whether the bones are among them: what local treatment of metastases hinges on."""

from __future__ import annotations

from math import inf

from services.recommend.eligibility import Fact, Measured, Told
from shared.oncology.stage import Staging

DISTANT = ("organ", "peritoneal", "distant-node")


def metastases(staging: Staging) -> dict[str, Fact]:
    """The facts `distant-lesions` and `bone-metastasis`. An uncounted or unsettled site leaves the number open upwards."""
    found: dict[str, Fact] = {}
    spread = [m for m in staging.metastases if m.site_class in DISTANT]
    if definite := [m for m in spread if m.certainty == "definite"]:
        least = sum(m.lesions or 1 for m in definite)
        counted = all(m.lesions for m in definite) and definite == spread
        sources = tuple(dict.fromkeys(s for m in definite for s in m.sources))
        found["distant-lesions"] = Measured(low=least, high=least if counted else inf, unit="{lesion}", sources=sources)
    if bones := [m for m in spread if m.site == "bone"]:
        sure = [m for m in bones if m.certainty == "definite"]
        sources = tuple(dict.fromkeys(s for m in sure or bones for s in m.sources))
        found["bone-metastasis"] = Told(values=("there",) if sure else ("there", "no"), sources=sources)
    return found
