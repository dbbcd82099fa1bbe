"""A site of spread as a FHIR Observation: which site, of what class, and whether it is present or in doubt.

Not a Condition: a machine confirms no diagnosis. mCODE has no profile for it; the question is coded as ours, and beside it the SNOMED CT
disorder where there is one, the value says present or indeterminate. Direct growth and contested sites carry no code of a metastasis.
Codes: mCODE 4.0.0 secondary cancer disorders and body locations.
"""

from __future__ import annotations

from typing import NamedTuple

from shared.fhir.assertion import FIGARO, Json, concept, observation
from shared.fhir.codes import SNOMED
from shared.oncology.record import Record
from shared.oncology.stage import Metastasis, Staging

SPREAD = f"{FIGARO}/CodeSystem/spread"
SITE = f"{FIGARO}/CodeSystem/site"
_PRESENT, _INDETERMINATE = "52101004", "82334004"
_SPREAD = ("organ", "peritoneal", "distant-node", "regional-node")


class Anatomy(NamedTuple):
    """The SNOMED CT codes of a site: the disorder (a metastasis there), and the body structure."""

    disorder: str | None = None
    structure: str | None = None


def site_observation(record: Record, staging: Staging, site: Metastasis, *, issued: str | None = None) -> Json:
    """One site, without identifier; `issued` is an instant."""
    words = f"{site.site.removeprefix('node-')} nodes" if site.site.startswith("node-") else site.site.replace("-", " ")
    anatomy = ANATOMY.get(site.site, Anatomy())
    disorder = _SEPARATE.get(site.site, anatomy.disorder) if site.site_class in _SPREAD else None
    coding: list[Json] = [{"system": SPREAD, "code": "site-of-spread"}]
    coding += [{"system": SNOMED, "code": disorder}] if disorder else []
    structure: list[Json] = [{"system": SNOMED, "code": anatomy.structure}] if anatomy.structure else []
    return {
        **observation(record, staging.primary.condition, site.sources, issued=issued),
        "code": {"coding": coding, "text": f"Spread: {words}"},
        "valueCodeableConcept": concept(SNOMED, _PRESENT if site.certainty == "definite" else _INDETERMINATE, site.certainty),
        "bodySite": {"coding": [*structure, {"system": SITE, "code": site.site}], "text": words},
        "note": [{"text": "Derived by rule, not yet reviewed."}],
        "component": _components(staging, site),
    }


def _components(staging: Staging, site: Metastasis) -> list[Json]:
    found: list[Json] = [
        {"code": concept(SPREAD, "class"), "valueCodeableConcept": concept(f"{SPREAD}-class", site.site_class)},
        {"code": concept(SPREAD, "in-window"), "valueBoolean": site.in_window},
    ]
    if not site.in_window:
        state = concept(f"{FIGARO}/CodeSystem/disease-state", staging.disease_state)
        found.append({"code": concept(SPREAD, "disease-state"), "valueCodeableConcept": state})
    if site.lesions is not None:
        found.append({"code": concept(f"{FIGARO}/CodeSystem/extent-of-disease", "lesion-count"), "valueInteger": site.lesions})
    return found


ANATOMY = {
    "lung": Anatomy("94391008", "39607008"),
    "pleura": Anatomy("94493005", "3120008"),
    "mediastinum": Anatomy("94409002", "72410000"),
    "liver": Anatomy("94381002", "10200004"),
    "bone": Anatomy("94222008", "119186007"),
    "bone-marrow": Anatomy("94217008", "14016003"),
    "brain": Anatomy("94225005", "12738006"),
    "meninges": Anatomy("722671009"),
    "spinal-cord": Anatomy("94600009"),
    "adrenal": Anatomy("94161006", "23451007"),
    "spleen": Anatomy("94603006", "78961009"),
    "kidney": Anatomy("94360002", "64033007"),
    "pancreas": Anatomy("94459006"),
    "peritoneum": Anatomy("94627008", "118762006"),
    "omentum": Anatomy("94626004", "27398004"),
    "retroperitoneum": Anatomy("94628003"),
    "small-intestine": Anatomy("94580002"),
    "large-intestine": Anatomy("94365007"),
    "rectum": Anatomy("94513006", "34402009"),
    "bladder": Anatomy("94186002", "89837001"),
    "ureter": Anatomy("94659001", "87953007"),
    "urethra": Anatomy("94661005"),
    "vagina": Anatomy("94668004", "76784001"),
    "vulva": Anatomy("94681006"),
    "uterus": Anatomy("94665001", "35039007"),
    "parametrium": Anatomy("94465006", "45682005"),
    "ovary": Anatomy("94455000", "15497006"),
    "fallopian-tube": Anatomy("94295001"),
    "skin": Anatomy("94579000", "39937001"),
    "soft-tissue": Anatomy("94264008", "87784001"),
    "breast": Anatomy("94297009"),
    "thyroid": Anatomy("94634005"),
    "unknown": Anatomy("128462008"),
    "node-pelvic": Anatomy("94350006", "245294005"),
    "node-para-aortic": Anatomy(None, "35783009"),
    "node-inguinal": Anatomy("94339008", "279763008"),
    "node-supraclavicular": Anatomy("94614009", "76838003"),
    "node-neck": Anatomy("94397007", "81105003"),
    "node-mediastinal": Anatomy("94408005", "62683002"),
    "node-axillary": Anatomy("94181007", "68171009"),
    "node-mesenteric": Anatomy("94410007"),
    "node-abdominal": Anatomy("94347008"),
    "node-mesorectal": Anatomy("94466007"),
    "node-multiple": Anatomy("94396003"),
    "node-unspecified": Anatomy("94392001", "59441001"),
}
# A metastasis of bladder or rectum is one only where it is told apart from growth into them.
_SEPARATE = {"bladder": "369480009", "rectum": "369459003"}
