"""Patients of whom everything is known, so that an answer given to a part of it can be judged by the whole.

A world is drawn first; her stage is read off it straight from the definitions of FIGO 2018 and 2009, without the project's tables.
Then somebody looks at some of it: `seen` makes the record of what they looked at.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from hypothesis import strategies as st

from tests.staging.case import Chart, Extent

BEYOND = (
    *("vagina-upper-two-thirds", "vagina-lower-third", "parametrium", "pelvic-wall", "hydronephrosis", "non-functioning-kidney"),
    *("bladder-mucosa", "rectal-mucosa", "bowel-contiguous"),
)
NODES = ("pelvic-nodes", "para-aortic-nodes")
DISTANT = ("inguinal-nodes", "distant-organ", "peritoneal-spread")
LENGTHS = ("stromal-invasion-depth", "horizontal-width", "tumour-size")


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
        told["confined-to-cervix"] = not any(self.facts[name] for name in BEYOND)
        told["regional-nodes"] = any(self.facts[name] for name in NODES)
        told["distant-nodes"] = self.facts["inguinal-nodes"]
        told["distant-organ"] = self.facts["distant-organ"] or self.facts["peritoneal-spread"]  # "none found anywhere"
        for name, value in zip(LENGTHS, (self.depth, self.width, self.size), strict=True):
            told[name] = f"{value} mm"
        if self.facts["microscopic-only"] and self.depth <= 5:
            del told["tumour-size"]  # what was measured as a tumour was seen
        return told

    def seen(self, looked: Collection[str]) -> Chart:
        """The record of somebody who looked at these facts and no others."""
        return Chart(extent={name: answer for name, answer in self.answers.items() if name in looked})

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
        if f["pelvic-wall"] or f["hydronephrosis"] or f["non-functioning-kidney"]:
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
    facts = {name: draw(rare) for name in (*BEYOND, *NODES, *DISTANT)}
    microscopic = draw(st.booleans()) and not any(facts[name] for name in BEYOND)
    facts["microscopic-only"] = microscopic
    depth = draw(st.integers(1, 8) if microscopic else st.integers(6, 30))
    size = draw(st.integers(depth, 40 if microscopic else 90))
    return World(facts, depth, draw(st.integers(1, 12 if microscopic else 60)), size)


@st.composite
def looked_at(draw: st.DrawFn) -> tuple[World, frozenset[str], str]:
    """A world, what somebody has looked at, and one thing more."""
    world = draw(worlds())
    names = sorted(world.answers)
    looked = draw(st.frozensets(st.sampled_from(names)))
    return world, looked, draw(st.sampled_from(names))
