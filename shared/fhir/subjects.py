"""Whose a resource is: references to the patient in every form that a sender may use, each with one outcome."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from shared.fhir import resources as r4

_CONDITIONAL = re.compile(r"(?:^|/)Patient\?(.*)$")
_TYPED = re.compile(r"(?:^|/)([A-Z][A-Za-z]+)/[^/]+$")
_BASE = re.compile(r"^https?://(.*?)/Patient/")


def stranger(subject: r4.Reference, local: str | None, person: r4.Patient | None) -> str | None:
    """Why a resource cannot be told to be the patient's; None where it is hers, or may be counted as another's (`local` is its address).

    A Group or a Device is no patient; a contained patient has no identity outside its resource; one that is named by an identifier is ours
    where our Patient has that identifier. The sentence holds no identifier.
    """
    reference = subject.reference or ""
    if reference.startswith("#"):
        return "its patient stands inside it and cannot be told to be the patient of the record"
    if "?" in reference and (conditional := _CONDITIONAL.search(reference)):
        wanted = {tuple(value.rpartition("|")[::2]) for value in parse_qs(conditional.group(1)).get("identifier", [])}
        ours = {(i.system or "", i.value or "") for i in person.identifier} if person else set()
        return None if wanted & ours else "it names its patient by a search, which fits no Patient of the record"
    if not reference and subject.identifier and person and person.identifier:
        known = [i for i in person.identifier if i.value == subject.identifier.value and i.system == subject.identifier.system]
        return None if known else "it names its patient by an identifier that the Patient of the record does not have"
    kind = _TYPED.search(local or "")
    return f"it is about a {kind.group(1)}, not about a patient" if kind and kind.group(1) != "Patient" else None


def hers(subject: r4.Reference) -> bool:
    """Whether a subject that is no stranger is the patient of the record without an address of its own."""
    return not subject.reference or ("?" in subject.reference and _CONDITIONAL.search(subject.reference) is not None)


def servers(addresses: set[str]) -> set[str]:
    """The servers that absolute addresses of patients name."""
    return {found.group(1) for address in addresses if (found := _BASE.match(address))}
