"""Findings, days and places as a clinician says them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec.structs import replace

from shared.fhir.codes import SNOMED, codes
from shared.oncology.record import Finding, Quantity, Value

_CATEGORY = re.compile(r"\b(?:[yr]?[cp])?(?:T(?:is|[0-4X])|N[0-3X]|M[01X])[a-d]?\d?(?:mi)?(?:\(i\+\))?(?![\w.])")
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_METHODS = {
    "363679005": "on imaging",
    "113091000": "on MRI",
    "77477000": "on CT",
    "82918005": "on PET",
    "16310003": "on ultrasound",
    "363680008": "on radiography",
    "5880005": "on examination",
    "104157003": "by microscopy",
    "787377000": "by gross pathology",
    "86273004": "by biopsy",
    "48635004": "by fine-needle aspiration",
}
_NOTED = "noted"
_ANSWERS = {"52101004": "present", "2667000": "absent", "82334004": "indeterminate", "415684004": "suspected"}
_COMPARED = {"<": "less than ", "<=": "at most ", ">": "more than ", ">=": "at least "}
_HISTOLOGIES = {
    **dict.fromkeys(("8070", "8071", "8072", "8052", "8083"), "Squamous cell carcinoma"),
    "8085": "HPV-associated squamous cell carcinoma",
    "8086": "HPV-independent squamous cell carcinoma",
    **dict.fromkeys(("8140", "8144", "8480", "8490"), "Adenocarcinoma"),
    "8483": "HPV-associated adenocarcinoma",
    "8484": "HPV-independent adenocarcinoma",
    "8482": "Gastric-type adenocarcinoma",
    "8310": "Clear cell adenocarcinoma",
    "9110": "Mesonephric adenocarcinoma",
    "8380": "Endometrioid adenocarcinoma",
    "8560": "Adenosquamous carcinoma",
    "8015": "Glassy cell carcinoma",
    "8980": "Carcinosarcoma",
    "8041": "Small cell neuroendocrine carcinoma",
    "8013": "Large cell neuroendocrine carcinoma",
    "8246": "Neuroendocrine carcinoma",
}
_NODES = {"unspecified": "nodes of no told region", "multiple": "nodes of several regions", "para-aortic": "para-aortic nodes"}
_PLACES = {"unknown": "a site not told", "other": "another site"}


def origin(finding: Finding) -> str:
    """How and when something was found: "on MRI of 14 Feb 2026", "by cN1 of 17 May 2026"."""
    when, how = finding.when or finding.recorded, _how(finding)
    return f"{how} {'on' if how == _NOTED else 'of'} {day(when)}" if when else how


def _how(finding: Finding) -> str:
    if finding.kind == "condition":
        return "by the coded diagnosis"
    if finding.kind != "observation":
        return f"by the {finding.kind.replace('-', ' ')}"
    if category := _category(finding):
        return f"by {category}"
    return next((_METHODS[code] for system, code in codes(finding.method) if system == SNOMED and code in _METHODS), _NOTED)


def is_category(finding: Finding) -> bool:
    """Whether a finding is a TNM category by its words."""
    return _category(finding) is not None


def _category(finding: Finding) -> str | None:
    return next((m.group() for text in _texts(finding.value) if (m := _CATEGORY.search(text))), None)


def answer(finding: Finding) -> str:
    """What a finding says: "present", "absent", "45 mm", or the sender's own words."""
    value = finding.value
    if finding.kind == "condition":
        return finding.verification or "present"
    if value.boolean is not None:
        return "present" if value.boolean else "absent"
    if value.quantity is not None:
        return _length(value.quantity)
    for system, code in codes(value.concept):
        if system == SNOMED and code in _ANSWERS:
            return _ANSWERS[code]
    parts = [answer(replace(finding, value=part.value, components=())) for part in finding.components]
    return next((text[:60] for text in _texts(value)), joined(parts) if parts else "nothing that can be read")


def _texts(value: Value) -> list[str]:
    said = value.concept
    texts = [value.text] if said is None else [said.text, *(coding.display for coding in said.codings)]
    return [text for text in texts if text]


def _length(quantity: Quantity) -> str:
    return f"{_COMPARED.get(quantity.comparator or '', '')}{quantity.value} {quantity.unit or quantity.code or ''}".strip()


def day(date: str | None) -> str:
    """An ISO date as it is said: "14 Feb 2026", "Feb 2026", "2026"."""
    year, month, number = [*(date or "").split("-"), "", ""][:3]
    return " ".join(part for part in (number.lstrip("0"), _MONTHS[int(month)] if month else "", year) if part)


def histology(morphology: str | None) -> str:
    """The name of an ICD-O-3 morphology; "Carcinoma" where none is told."""
    return _HISTOLOGIES.get((morphology or "")[:4], f"Carcinoma (ICD-O {morphology})" if morphology else "Carcinoma")


def site(name: str) -> str:
    """A site of spread: "pelvic nodes", "bone marrow", "a site not told"."""
    if name.startswith("node-"):
        return _NODES.get(name[5:], f"{name[5:]} nodes")
    return _PLACES.get(name, name.replace("-", " "))


def joined(parts: Iterable[str], by: str = "and") -> str:
    """Parts in a row: "a, b and c"."""
    *most, last = [*parts] or [""]
    return f"{', '.join(most)} {by} {last}" if most else last


def either(parts: Iterable[str]) -> str:
    """Parts of which one is meant: "a, b or c"."""
    return joined(parts, "or")


def capital(text: str) -> str:
    """A text that begins a sentence."""
    return text[:1].upper() + text[1:]
