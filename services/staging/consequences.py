"""What follows from the facts that findings state: nodes of a level from nodes of no level, a lesion from its size, labels from silence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from msgspec.structs import replace

from shared.knowledge.table import Fact, Measure, Reader
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN, negated, some

SILENT = Fact()
# Labels that only a category states: nobody observes them, so silence about them says nothing and they do not hold.
LABELS = ("stage_ii_extent", "stage_iii_extent", "stage_iiib_extent", "stage_iv_extent", "adjacent_organ", "distant_metastasis")
MUCOSA = ("bladder_mucosa", "rectal_mucosa")
WALL = ("pelvic_wall", "hydronephrosis", "non_functioning_kidney")
# Growth beyond the uterus, from the lower stage to the higher, and what is known where only some of it is left.
BEYOND = ("vagina_upper_two_thirds", "parametrium", "vagina_lower_third", *WALL, *MUCOSA, "bowel_contiguous")
_LEFT: tuple[tuple[str, tuple[str, ...]], ...] = (
    *((name, (name,)) for name in BEYOND[:3]),
    ("stage_iiib_extent", WALL),
    ("stage_iii_extent", BEYOND[2:6]),
    ("adjacent_organ", BEYOND[6:]),
)
_PARENTS = (("stage_iii_extent", BEYOND[2:]), ("stage_ii_extent", BEYOND))
_GROWTH = ("stage_ii_extent", "stage_iii_extent", "stage_iiib_extent", "stage_iv_extent", "adjacent_organ")
# A label, its category, and what says that it is not so. Where a finding is asked for (T4, M1), the lower stage is taken, else it stands.
_DENIED = (
    ("adjacent_organ", "t", (*MUCOSA, "bowel_contiguous"), True),
    ("distant_metastasis", "m", ("distant_organ", "distant_nodes", "peritoneal_spread"), True),
    ("stage_iiib_extent", "t", WALL, False),
    ("stage_iii_extent", "t", BEYOND[2:6], False),
    ("stage_ii_extent", "t", BEYOND, False),
)
# Where a lesion leaves IA, in mm: deeper than 5 in both editions, wider than 7 in FIGO 2009.
LIMITS = {"stromal_invasion_depth": Decimal(5), "horizontal_width": Decimal(7)}


def complete(facts: dict[str, Fact]) -> None:
    """What follows from the facts: nodes of a level from nodes of no level, a clinical lesion from its size, labels from silence."""

    def known(name: str) -> Fact:
        return facts.get(name, SILENT)

    regional, pelvic, para_aortic = known("regional_nodes"), known("pelvic_nodes"), known("para_aortic_nodes")
    if regional.verdict is HOLDS:
        if pelvic.verdict is FAILS and para_aortic.verdict is UNKNOWN:
            facts["para_aortic_nodes"] = regional
        elif para_aortic.verdict is FAILS and pelvic.verdict is UNKNOWN:
            facts["pelvic_nodes"] = regional
    elif "regional_nodes" not in facts or not regional.doubts:
        either = some([pelvic.verdict, para_aortic.verdict])
        level = para_aortic if para_aortic.verdict is HOLDS else pelvic
        facts["regional_nodes"] = Fact(either, sources=level.sources, method=level.method) if either is HOLDS else Fact(either)
    _metastasis_before_8(facts, known("distant_or_para_aortic"))
    for label in LABELS:
        facts.setdefault(label, Fact(FAILS))
    _lesion(facts, known("stromal_invasion_depth"), known("tumour_size"), known("microscopic_only"), known("horizontal_width"))
    walls = [f for f in (known("bladder_wall"), known("rectal_wall"), known("bullous_oedema")) if f.verdict is HOLDS]
    sources = tuple(sorted({source for wall in walls for source in wall.sources}))
    proven = HOLDS in [known(name).verdict for name in MUCOSA]
    facts["wall_without_mucosa"] = Fact(UNKNOWN, doubts=sources) if walls and not proven else Fact(FAILS)
    _growth(facts)


def _growth(facts: dict[str, Fact]) -> None:
    """How far the primary has grown, where findings leave only one answer: what is not confined is II at least, what is free all round is
    confined, and the only place that is left is where the tumour is."""
    confined = facts.get("confined_to_cervix", SILENT)
    if confined.verdict is FAILS and facts["stage_ii_extent"].verdict is FAILS:
        facts["stage_ii_extent"] = Fact(HOLDS, sources=confined.sources, method=confined.method)
    label, names = next(((name, names) for name, names in _PARENTS if facts[name].verdict is HOLDS), ("", BEYOND))
    if not label and (confined.verdict is not UNKNOWN or confined.doubts):
        return
    left = [name for name in names if not free(name, facts)]
    if facts["wall_without_mucosa"].verdict is not FAILS or any(facts.get(name, SILENT).verdict is HOLDS for name in left):
        return
    if label:
        where = next((name for name, names in _LEFT if {*left} <= {*names}), None) if left else None
        if where is not None and facts.get(where, SILENT).verdict is not HOLDS:
            facts[where] = Fact(HOLDS, sources=facts[label].sources, method=facts[label].method)
    elif not left and all(facts[name].verdict is FAILS for name in _GROWTH):
        sources = {source for name in BEYOND for source in facts[name].sources}
        facts["confined_to_cervix"] = Fact(HOLDS, sources=tuple(sorted(sources)))


def free(name: str, facts: Mapping[str, Fact]) -> bool:
    """Whether a place is free, or what was found in it has another known cause."""
    other_cause = name in WALL[1:] and facts.get("obstruction_other_cause", SILENT).verdict is HOLDS
    return other_cause or facts.get(name, SILENT).verdict is FAILS


def bounds(readers: Iterable[Reader], name: str) -> tuple[Decimal, ...]:
    """The limits that the stages draw through a length, in mm; none for a fact that is yes or no."""
    limits = {limit for reader in readers for limit in reader.bounds.get(name, ())}
    return tuple(sorted(limits | ({LIMITS[name]} if name in LIMITS else set())))


class Denied(NamedTuple):
    """A label that findings deny: the axis of its category, whether the category lost, what was found free, and all sources."""

    label: str
    axis: str
    lost: bool
    free: tuple[str, ...]
    sources: tuple[str, ...]


def denied(facts: dict[str, Fact]) -> Iterator[Denied]:
    """The labels all of whose places were found free. T4 and M1 are no longer held, only left open; any other stands."""
    for label, axis, names, lost in _DENIED:
        told = facts[label]
        if told.verdict is not HOLDS or not all(free(name, facts) for name in names):
            continue
        if lost:
            facts[label] = replace(told, verdict=UNKNOWN, doubts=told.sources)
        sources = {*told.sources, *(source for name in names for source in facts.get(name, SILENT).sources)}
        yield Denied(label, axis, lost, names, tuple(sorted(sources)))


def _metastasis_before_8(facts: dict[str, Fact], either: Fact) -> None:
    """M1 of version 7 counts para-aortic nodes: without a site it is the lower reading, IIIC2, and IVB stays open."""
    names = ("para_aortic_nodes", "distant_organ", "distant_nodes", "peritoneal_spread", "distant_metastasis")
    verdicts = {name: facts.get(name, SILENT).verdict for name in names}
    if either.verdict is not HOLDS or HOLDS in verdicts.values():
        return
    if verdicts["para_aortic_nodes"] is FAILS:
        facts["distant_metastasis"] = either
    else:
        facts["para_aortic_nodes"] = either
        nowhere = all(verdicts[name] is FAILS for name in names[1:4])
        facts["distant_metastasis"] = Fact(FAILS) if nowhere else replace(either, verdict=UNKNOWN, doubts=either.sources)


def _lesion(facts: dict[str, Fact], depth: Fact, size: Fact, microscopic: Fact, width: Fact) -> None:
    """Whether the lesion is more than microscopic: stated, deeper than 5 mm, or of a size that was measured (R28: visible is never IA)."""
    shallow = depth.measure.at_most(LIMITS["stromal_invasion_depth"]) if depth.measure else UNKNOWN
    stated = facts.get("clinical_lesion", SILENT)
    if stated.verdict is UNKNOWN:
        if shallow is FAILS:
            stated = Fact(HOLDS, sources=depth.sources)
        elif microscopic.verdict is HOLDS:
            stated = Fact(FAILS, sources=microscopic.sources) if shallow is HOLDS else Fact()
        elif microscopic.verdict is FAILS:
            stated = Fact(HOLDS, sources=microscopic.sources)
        elif size.measure is not None and shallow is UNKNOWN:
            stated = Fact(HOLDS, sources=size.sources)
        facts["clinical_lesion"] = stated
    narrow = width.measure.at_most(LIMITS["horizontal_width"]) if width.measure else UNKNOWN
    beyond = some([stated.verdict, negated(narrow), negated(shallow) if depth.measure else stated.verdict])
    facts["lesion_beyond_ia_2009"] = Fact(beyond, sources=tuple(sorted({*stated.sources, *width.sources})) if beyond is HOLDS else ())
    if microscopic.verdict is HOLDS and size.measure is None and shallow is not FAILS:
        facts["tumour_size"] = Fact(HOLDS, Measure(None, Decimal(40)), microscopic.sources)  # nobody sees 4 cm only under the microscope
