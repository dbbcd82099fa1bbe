"""What an export does not hold of a type, or not all of it; and what of a study's columns cannot be told without it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from shared.oncology.not_read import FINDINGS, TREATMENTS

_MEDICATION: Final = frozenset({"MedicationRequest", "MedicationAdministration", "MedicationStatement"})
_GIVEN: Final = _MEDICATION - {"MedicationRequest"}
IRRADIATED: Final = (
    "group",
    "pelvic_radiotherapy",
    "external_gy",
    "brachytherapy_gy",
    "point_a_eqd2_gy",
    "metastasis_radiotherapy",
    "definitive_days",
    "cycles_before",
    "cycles_during",
    "cycles_after",
)


def absent(kinds: Collection[str], files: Iterable[str]) -> tuple[str, ...]:
    """The types of treatment and of findings that no line and no file's name has. One kind of medication stands for the others."""
    named = " ".join(files)
    lacking = {kind for kind in TREATMENTS | FINDINGS if kind not in kinds and kind not in named}
    return tuple(sorted(lacking if lacking >= _MEDICATION else lacking - _MEDICATION))


def cut_off(files: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """The types of treatment and of findings that files hold which break off: by their lines, and by the name of the file."""
    return tuple(sorted(kind for kind in TREATMENTS | FINDINGS if any(kind in found or kind in name for name, found in files.items())))


def withheld(columns: dict[str, Any], unread: Collection[str]) -> dict[str, Any]:
    """A patient's columns without those that only the types unread could tell: no radiotherapy on record is then no group B."""
    away = set[str]()
    if "Procedure" in unread:
        away |= set(IRRADIATED)
    if set(unread) >= _MEDICATION and not columns.get("cycles"):
        away |= {"cycles", "cycles_before", "cycles_during", "cycles_after"}
    kept = columns | {name: None for name in away if name in columns}
    if "group" in away and "reasons" in kept:
        kept["reasons"] = [each for each in kept["reasons"] if not each["assigned"].startswith("group ")]
    return kept


def why_nobody(unread: Collection[str], kinds: Collection[str]) -> str:
    """Why nobody can be counted, where it lies with the export; empty where it does not."""
    if set(unread) >= _MEDICATION:
        return "The export has no medication of any kind, or not all of it: cycles of chemotherapy cannot be told, and nobody is counted."
    for kind, what in (("Condition", "diagnoses"), ("Observation", "ECOG and outcome")):
        if kind in unread:
            return f"The export has no {kind}, or not all of them: {what} cannot be told."
    if kinds and not _GIVEN.intersection(kinds):
        return "The export has orders of medication alone, and nothing given: an order is no cycle."
    return ""
