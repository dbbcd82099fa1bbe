"""Patients of whom everything is known, so that an answer given to a part of it can be judged by the whole.

A world is drawn first; her stage is read off it straight from the definitions of FIGO 2018 and 2009, without the project's tables.
Then somebody looks at some of it: `seen` makes the record of what they looked at, each finding in whichever encoding is drawn for it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple

from hypothesis import strategies as st

from tests.staging.case import Category, Chart, Diagnosis, Extent, Seen

BEYOND = (
    *("vagina-upper-two-thirds", "vagina-lower-third", "parametrium", "pelvic-wall", "hydronephrosis", "non-functioning-kidney"),
    *("bladder-mucosa", "rectal-mucosa", "bowel-contiguous"),
)
NODES = ("pelvic-nodes", "para-aortic-nodes")
DISTANT = ("inguinal-nodes", "distant-organ", "peritoneal-spread")
LENGTHS = ("stromal-invasion-depth", "horizontal-width", "tumour-size")
# The same spread as a diagnosis of its own, in several code systems.
CODED: dict[str, tuple[Diagnosis, ...]] = {
    "pelvic-nodes": (Diagnosis(icd10cm="C77.5"), Diagnosis(snomed="94350006"), Diagnosis(icd10="C77.5", snomed="94350006")),
    "para-aortic-nodes": (Diagnosis(snomed="94392001", site="aortic node"),),
    "inguinal-nodes": (Diagnosis(icd10gm="C77.4"), Diagnosis(snomed="94339008")),
    "distant-organ": (Diagnosis(icd10cm="C78.00"), Diagnosis(icd10="C78.7"), Diagnosis(snomed="94222008")),
    "peritoneal-spread": (Diagnosis(icd10cm="C78.6"), Diagnosis(snomed="94627008")),
}
METHODS = (None, "MRI", "PET", "microscopy")
PROVEN = ("bladder-mucosa", "rectal-mucosa")  # on imaging alone they prove nothing (R11)
T = {
    **{"IA1": "T1a1", "IA2": "T1a2", "IB1": "T1b1", "IB2": "T1b2", "IB3": "T1b3", "IIA1": "T2a1", "IIA2": "T2a2"},
    **{"IIB": "T2b", "IIIA": "T3a", "IIIB": "T3b", "IVA": "T4"},
}
Encoding = dict[str, int]  # which encoding is drawn for a finding


class World(NamedTuple):
    """What is so: a verdict for each fact of extent, and the lengths in mm."""

    facts: dict[str, bool]
    depth: int
    width: int
    size: int

    @property
    def answers(self) -> Extent:
        """Everything that somebody could find out, as extent-of-disease findings."""
        told: Extent = dict(self.facts)
        # Nobody calls an obstructed kidney confined to the cervix, whatever obstructs it.
        told["confined-to-cervix"] = not any(self.facts[name] for name in BEYOND)
        told["regional-nodes"] = any(self.facts[name] for name in NODES)
        told["distant-nodes"] = self.facts["inguinal-nodes"]
        told["distant-organ"] = self.facts["distant-organ"] or self.facts["peritoneal-spread"]  # "none found anywhere"
        for name, value in zip(LENGTHS, (self.depth, self.width, self.size), strict=True):
            told[name] = f"{value} mm"
        if self.facts["microscopic-only"] and self.depth <= 5:
            del told["tumour-size"]  # what was measured as a tumour was seen
        return told

    def seen(self, looked: Collection[str], encoding: Encoding | None = None) -> Chart:
        """The record of somebody who looked at these facts and no others, in the encodings drawn. A known cause of the hydronephrosis
        and a corpus that is reached are told whoever looks: the one takes a stage back, the other changes none."""
        drawn = encoding or {}
        extent: Extent = {name: True for name in ("obstruction-other-cause", "uterine-corpus") if self.facts[name]}
        spread: list[Diagnosis] = []
        for name, answer in self.answers.items():
            if name not in looked:
                continue
            number, coded = drawn.get(name, 0), CODED.get(name, ())
            if number > 2 and answer is True and coded and self.facts[name]:
                spread.append(coded[number % len(coded)])
            elif isinstance(answer, str) and number > 2:
                extent[name] = f"{int(answer.split()[0]) / 10} cm"
            else:
                extent[name] = Seen(is_=answer, by=None if name in PROVEN else METHODS[number % len(METHODS)])
        return Chart(extent=extent, spread=spread)

    def categories(self, axes: Collection[str], by: Literal["SNOMED", "LOINC"] = "SNOMED") -> Chart:
        """The record of somebody who gave these TNM categories of version 9, and no others."""
        nodes, distant = (any(self.facts[name] for name in names) for names in (NODES, DISTANT))
        local = self._replaced(dict.fromkeys((*NODES, *DISTANT), False)).figo_2018()
        values = {
            "T": T[local],
            "N": ("N2" if self.facts["para-aortic-nodes"] else "N1") if nodes else "N0",
            "M": "M1" if distant else "M0",
        }
        return Chart(tnm=[Category(is_=f"c{values[axis]}", by=by, version="9") for axis in sorted(axes)])

    def _replaced(self, facts: dict[str, bool]) -> World:
        return self._replace(facts=self.facts | facts)

    def figo_2018(self) -> str:
        f = self.facts
        if f["para-aortic-nodes"] and not self._beyond_the_pelvis():
            return "IIIC2"
        if f["pelvic-nodes"] and not self._beyond_the_pelvis():
            return "IIIC1"
        local = self._local()
        if local is not None:
            return local
        if f["microscopic-only"] and self.depth <= 5:
            return "IA1" if self.depth <= 3 else "IA2"
        return "IB1" if self.size <= 20 else "IB2" if self.size <= 40 else "IB3"

    def figo_2009(self) -> str:
        local = self._local()
        if local is not None:
            return local
        if self.facts["microscopic-only"] and self.depth <= 5 and self.width <= 7:
            return "IA1" if self.depth <= 3 else "IA2"
        return "IB1" if self.size <= 40 else "IB2"

    def _beyond_the_pelvis(self) -> bool:
        return (self._local() or "").startswith("IV")

    def _local(self) -> str | None:
        f = self.facts
        if any(f[name] for name in DISTANT):
            return "IVB"
        if f["bladder-mucosa"] or f["rectal-mucosa"] or f["bowel-contiguous"]:
            return "IVA"
        kidney = f["hydronephrosis"] or f["non-functioning-kidney"]
        if f["pelvic-wall"] or (kidney and not f["obstruction-other-cause"]):
            return "IIIB"
        if f["vagina-lower-third"]:
            return "IIIA"
        if f["parametrium"]:
            return "IIB"
        if f["vagina-upper-two-thirds"]:
            return "IIA1" if self.size <= 40 else "IIA2"
        return None


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Patients whose disease goes no further, more often than not, than a part of the pelvis."""
    rare = st.sampled_from((False, False, False, True))
    facts = {name: draw(rare) for name in (*BEYOND, *NODES, *DISTANT, "uterine-corpus")}
    facts["obstruction-other-cause"] = draw(rare) and (facts["hydronephrosis"] or facts["non-functioning-kidney"])
    microscopic = draw(st.booleans()) and not any(facts[name] for name in BEYOND)
    facts["microscopic-only"] = microscopic
    depth = draw(st.integers(1, 8) if microscopic else st.integers(6, 30))
    size = draw(st.integers(depth, 40 if microscopic else 90))
    return World(facts, depth, draw(st.integers(1, 12 if microscopic else 60)), size)


def encodings() -> st.SearchStrategy[Encoding]:
    """An encoding for every finding."""
    return st.fixed_dictionaries({name: st.integers(0, 5) for name in (*CODED, *BEYOND, *LENGTHS)})


@st.composite
def looked_at(draw: st.DrawFn) -> tuple[World, frozenset[str], str]:
    """A world, what somebody has looked at, and one thing more."""
    world = draw(worlds())
    names = sorted(world.answers)
    looked = draw(st.frozensets(st.sampled_from(names)))
    return world, looked, draw(st.sampled_from(names))
