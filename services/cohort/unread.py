"""What an export does not hold of a type, or not all of it; and what of a study's columns cannot be told without it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from shared.oncology.not_read import FINDINGS, PERSON, TREATMENTS

_MEDICATION: Final = frozenset({"MedicationRequest", "MedicationAdministration", "MedicationStatement"})
_GIVEN: Final = _MEDICATION - {"MedicationRequest"}
_MATTER: Final = TREATMENTS | FINDINGS | PERSON
_BESIDE: Final = ("cycles_before", "cycles_during", "cycles_after")
IRRADIATED: Final = (
    "group",
    "pelvic_radiotherapy",
    "external_gy",
    "brachytherapy_gy",
    "point_a_eqd2_gy",
    "metastasis_radiotherapy",
    "definitive_days",
    *_BESIDE,
)
_PROGRESSION: Final = (
    "best_locoregional",
    "best_distant",
    "progressed",
    "progressed_locoregional",
    "progressed_distant",
    "progressed_on",
    "pfs_days",
    "pfs_event",
)
_VITAL: Final = ("died", "died_on", "os_days", "pfs_days", "pfs_event")


class Unread(NamedTuple):
    """The types of which silence tells nothing: those that the export has none of, those of files that break off, and those with `lost`
    lines, of which nobody can tell whose they were. Of types with resources in the shape of another version (`foreign`) some patients'
    are not read.
    """

    absent: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    @property
    def types(self) -> tuple[str, ...]:
        return tuple(sorted({*self.absent, *self.cut, *self.lost}))

    @property
    def of_everyone(self) -> tuple[str, ...]:
        """Without Patient: that is known for each patient."""
        return tuple(kind for kind in self.types if kind not in PERSON)

    def how(self, kinds: Collection[str], name: str) -> str:
        """What happened to these types, which together are called so."""
        if set(kinds) <= set(self.absent):
            other = " in the shape of FHIR R4" if not {*kinds}.isdisjoint(self.foreign) else ""
            return f"the export has no {name}{other}"
        of = next((kind for kind in sorted(kinds) if kind in (*self.cut, *self.lost)), name.split(maxsplit=1)[0])
        if not {*kinds}.isdisjoint(self.cut):
            return f"a file of {name.split(maxsplit=1)[0] if name.startswith('medication') else of} breaks off"
        if not {*kinds}.isdisjoint(self.lost):
            return f"nobody can tell whose some lines of {of} are"
        return f"not all that is hers of {name.split(maxsplit=1)[0]} could be read"


def absent(kinds: Collection[str], empty: Collection[str]) -> tuple[str, ...]:
    """The types of patients, of treatment and of findings that no line read in the shape of R4 has (`kinds`), nor the name of a file that
    is `empty`. One kind of medication stands for the others.
    """
    named = " ".join(empty)
    lacking = {kind for kind in _MATTER if kind not in kinds and kind not in named}
    return tuple(sorted(lacking if lacking >= _MEDICATION else lacking - _MEDICATION))


def cut_off(files: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """The types that files hold which break off: by their lines, and by the name of the file."""
    return tuple(sorted(kind for kind in _MATTER if any(kind in found or kind in name for name, found in files.items())))


def held(name: str, kinds: Collection[str]) -> frozenset[str]:
    """The types of treatment and of findings that a line of a file may be of, of which nothing can be read: of any, where nothing tells."""
    found = frozenset(kind for kind in TREATMENTS | FINDINGS if kind in kinds or kind in name)
    return found if found or {*kinds} or any(kind in name for kind in PERSON) else TREATMENTS | FINDINGS


def withheld(columns: dict[str, Any], unread: Unread, hers: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A patient's columns without those that only the types unread could tell: no radiotherapy on record is then no group B.

    `hers` are types of which not all that is hers could be read. She alone is then left out, as incomplete. The reasons say so in place
    of what they said.
    """
    everyone = frozenset(unread.of_everyone)
    types = everyone | hers
    if not types:
        return columns
    away, says, incomplete = set[str](), dict[str, str](), list[str]()
    if "Procedure" in types:
        away |= set(IRRADIATED)
        says["group"] = f"radiotherapy is not known: {unread.how(['Procedure'], 'Procedure')}"
        incomplete += [says["group"]] if "Procedure" not in everyone else []
    lost = _GIVEN & ({*unread.cut, *unread.lost} | hers)
    if lost or everyone >= _MEDICATION:
        kinds, name = (lost, sorted(lost)[0]) if lost and not everyone >= _MEDICATION else (_MEDICATION, "medication of any kind")
        away |= {name for name in ("cycles", "every_cycle") if lost or not columns.get(name)}
        if "cycles" in away:
            away |= set(_BESIDE)
            says["cycles"] = f"chemotherapy is not known: {unread.how(kinds, name)}"
    if of := sorted(FINDINGS & types):
        away |= set(_PROGRESSION)
        says["response"] = f"response and progression are not known: {unread.how(of[-1:], of[-1])}"
        incomplete.append(says["response"])
    if PERSON & hers:
        away |= set(_VITAL) - ({"pfs_days", "pfs_event"} if columns.get("progressed_on") else set())
        says["vital"] = "vital status is not known: no Patient of hers could be read"
        incomplete.append(says["vital"])
    kept = columns | {name: None for name in away if name in columns}
    if "reasons" in kept:
        kept["reasons"] = [_open(about, says[about]) if (about := _about(each["assigned"])) in says else each for each in kept["reasons"]]
        if kept["reasons"] and "vital" in says:
            kept["reasons"].append(_open("vital", says["vital"]))
    return _left_out(kept, incomplete) if incomplete and kept.get("reasons") else kept


def _left_out(columns: dict[str, Any], why: list[str]) -> dict[str, Any]:
    not_met = [*columns["not_met"], *({"complete"} - {*columns["not_met"]})]
    reason = {"assigned": "left out: complete", "says": f"incomplete data: {'; '.join(why)}", "sources": ()}
    reasons = [reason, *(each for each in columns["reasons"] if each["assigned"] != "left out: complete")]
    return columns | {"counted": False, "not_met": not_met, "left_out": columns["left_out"] or "complete", "reasons": reasons}


_CALLED: Final = {"vital": "vital status open", "response": "progression open"}


def _open(about: str, says: str) -> dict[str, Any]:
    return {"assigned": _CALLED.get(about, f"{about} open"), "says": says, "sources": ()}


def _about(assigned: str) -> str:
    """ "group A" is about the group, "4 cycles" about cycles."""
    if assigned == "response and progression":
        return "response"
    return "group" if assigned.startswith("group ") else "cycles" if assigned.endswith(" cycles") else ""


def why_nobody(unread: Collection[str], kinds: Collection[str]) -> str:
    """Why nobody can be counted, where it lies with the export; empty where it does not."""
    if set(unread) >= _MEDICATION:
        return "The export has no medication of any kind, or not all of it: cycles of chemotherapy cannot be told, and nobody is counted."
    for kind, what in (("Condition", "diagnoses"), ("Observation", "ECOG and outcome")):
        if kind in unread:
            return f"The export has no {kind}, or not all of them: {what} cannot be told."
    if "Patient" in unread:
        return "The export has no Patient, or not all of them: nobody knows who lives."
    if kinds and not _MEDICATION.intersection(kinds):
        return "The export has an empty file of medication, which says that nobody had any: so there are no cycles."
    if kinds and not _GIVEN.intersection(kinds):
        return "The export has orders of medication alone, and nothing given: an order is no cycle."
    return ""
