"""What follows from the facts that findings state: nodes of a level from nodes of no level, a lesion from its size, labels from silence."""

from __future__ import annotations

from decimal import Decimal

from msgspec.structs import replace

from shared.knowledge.table import Fact, Measure
from shared.oncology.record import Issue
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN, negated, some

SILENT = Fact()
# Labels that only a category states: nobody observes them, so silence about them says nothing and they do not hold.
LABELS = ("stage_ii_extent", "stage_iii_extent", "stage_iiib_extent", "stage_iv_extent", "adjacent_organ", "distant_metastasis")
MUCOSA = ("bladder_mucosa", "rectal_mucosa")
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


def adjacent_organ_contradicted(facts: dict[str, Fact]) -> Issue | None:
    """T4 although both mucosae and the bowel were found free: it is no longer held, only left open, and the contradiction is named."""
    organ = facts.get("adjacent_organ", SILENT)
    free = [facts.get(name, SILENT) for name in (*MUCOSA, "bowel_contiguous")]
    if organ.verdict is not HOLDS or any(fact.verdict is not FAILS for fact in free):
        return None
    facts["adjacent_organ"] = replace(organ, verdict=UNKNOWN, doubts=organ.sources)
    sources = tuple(sorted({*organ.sources, *(source for fact in free for source in fact.sources)}))
    text = "T4 is recorded, and the mucosa of bladder and rectum and the bowel were found free; the lower stage is taken."
    return Issue(severity="warning", code="extent-conflict", text=text, sources=sources)


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
        facts["distant_metastasis"] = replace(either, verdict=UNKNOWN, doubts=either.sources)


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
    if microscopic.verdict is HOLDS and size.measure is None:
        facts["tumour_size"] = Fact(HOLDS, Measure(None, Decimal(40)), microscopic.sources)  # nobody sees 4 cm only under the microscope
