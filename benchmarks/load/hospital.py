"""Synthetic patients whose records change again and again, and what befalls each notification of a change. Nobody lived them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice
from random import Random
from typing import Final, Literal, NamedTuple

from tests.ingest.patients import Json, bundle, cervical_cancer, concept, ecog, extent, observation, patient

Fate = Literal["once", "dropped", "doubled", "reordered"]
SHARE: Final = 10  # one notification in so many is dropped, one doubled, one reordered
LUNG: Final = concept("http://snomed.info/sct", "39607008")
LIVER: Final = concept("http://snomed.info/sct", "10200004")
CPS: Final = concept("http://ncithesaurus-stage.nci.nih.gov", "C176582")


class Change(NamedTuple):
    """One new version of one resource of one patient, and what becomes of the notification that tells of it."""

    patient: str
    resource: Json
    fate: Fate


def names(patients: int) -> list[str]:
    """The ids of the patients."""
    return [f"load-{number:04}" for number in range(patients)]


def admission(who: str) -> Json:
    """A transaction with her first record: a cancer of the cervix with growth into the parametrium, no metastasis, ECOG 1."""
    me = f"Patient/{who}"
    findings = [extent(f"{who}-p", me, "parametrium", True), extent(f"{who}-m", me, "distant-organ", False), ecog(f"{who}-e", me, 1)]
    return bundle([patient(who), cervical_cancer(f"{who}-c", me), *findings])


def changes(patients: int, notifications: int, seed: int) -> Iterator[Change]:
    """So many changes, spread evenly over the patients in random order; the same for the same seed."""
    random = Random(seed)
    whose = list(islice(cycle(names(patients)), notifications))
    share = notifications // SHARE
    fates: list[Fate] = [*["dropped"] * share, *["doubled"] * share, *["reordered"] * share]  # type: ignore[list-item]
    fates += ["once"] * (notifications - len(fates))
    random.shuffle(whose)
    random.shuffle(fates)
    for who, fate in zip(whose, fates, strict=True):
        yield Change(who, _finding(who, random), fate)


def _finding(who: str, random: Random) -> Json:
    """What the doctors have found: each kind decides something else about stage or treatment."""
    me = f"Patient/{who}"
    match random.randrange(5):
        case 0:
            return ecog(f"{who}-e", me, random.randrange(5))
        case 1:
            return extent(f"{who}-m", me, "distant-organ", random.random() < 0.5) | {"bodySite": LUNG}
        case 2:
            return extent(f"{who}-l", me, "distant-organ", random.random() < 0.5) | {"bodySite": LIVER}
        case 3:
            return extent(f"{who}-p", me, "parametrium", random.random() < 0.5)
        case _:
            score = {"value": random.choice((0, 1, 10, 40)), "system": "http://unitsofmeasure.org", "code": "{score}"}
            return observation(f"{who}-x", me, CPS, valueQuantity=score)
