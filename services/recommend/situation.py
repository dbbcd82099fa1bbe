"""Staging and treatment → the situation: setting, line, and the facts about the disease.

Settings, from FIGO 2018 and the state of the disease:
  early                    IA to IB2 and IIA1: outside what this knowledge covers; nothing is listed
  locally-advanced         IB3, IIA2, IIB, III: treatment with curative intent
  locally-advanced-iva     IVA
  first-line-metastatic    IVB, or persistent, recurrent or progressive disease: first line of systemic treatment
  later-line               the same after a first line
  stage-iv                 IV, and the record does not tell IVA from IVB: options of both are listed, none is settled
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from services.recommend.codes import CodeBook, Codes
from services.recommend.eligibility import Fact, Facts, Told
from services.recommend.metastases import metastases
from services.recommend.not_read import unread_questions
from services.recommend.readings import usable
from services.recommend.recurrence import Recurrence, recurrence
from services.recommend.treatments import History
from shared.oncology.recommendation import Situation
from shared.oncology.record import Coding, Concept, Finding, Record
from shared.oncology.stage import DiseaseState, EditionStage, Missing, Staging

EARLY = ("I", "IA", "IA1", "IA2", "IB1", "IB2", "IIA1")
SETTINGS = {"IVA": "locally-advanced-iva", "IVB": "first-line-metastatic", "IV": "stage-iv"}
LISTED = {"stage-iv": ("locally-advanced-iva", "first-line-metastatic")}
BOWEL_OR_BLADDER = ("bladder", "rectum", "large-intestine", "small-intestine")
DISTANT = ("organ", "peritoneal", "distant-node")
REPORTED: Codes = {"loinc": ("31206-6", "59847-4", "77753-2")}  # LOINC: histology in a report


class Disease(msgspec.Struct, frozen=True):
    """The situation and the facts behind it."""

    situation: Situation
    facts: Facts
    states: tuple[str, ...]

    @property
    def settings(self) -> tuple[str, ...]:
        """The settings whose regimens are listed."""
        setting = self.situation.setting
        return LISTED.get(setting, (setting,)) if setting else ()


def disease(record: Record, staging: Staging, given: History, book: CodeBook) -> Disease:
    """The situation of the patient as staging and her treatment tell it."""
    stage = staging.editions.get("figo-2018", EditionStage())
    setting = _setting(staging, stage, given.line)
    back = recurrence(record, staging, book)
    known = given.facts() | _extent(staging, stage, back) | metastases(staging) | {"disease-state": Told(values=states(staging))}
    situation = _told(setting, stage, given, known, back)
    asks: dict[str, tuple[Missing, ...]] = {}
    if given.unsure:
        asks["line"] = (Missing("line", f"What was given, and when: {', '.join(given.unsure)}"),)
    if given.paused:
        text = f"How the disease went since the last treatment on record, of {given.paused}: nobody recorded that it progressed"
        asks["line"] = (*asks.get("line", ()), Missing("line", text))
    asks |= dict.fromkeys(("line", "disease-state"), (*asks.get("line", ()), *unread_questions(record.unread))) if record.unread else {}
    for name, edition in staging.editions.items():
        if possible := stages(edition):
            sources = tuple(dict.fromkeys(s for because in edition.because for s in because.sources))
            known[name] = Told(values=possible, sources=sources)
        asks[name] = edition.missing
    if nodes := _figo_2009_and_nodes(staging):
        known["figo-2009-and-nodes"] = nodes
    asks |= {"advanced-disease": stage.missing, "figo-2009-and-nodes": asks.get("figo-2009", ()) + stage.missing}
    if type_ := histology(record, staging, book):
        known["histology"] = type_
        if len(type_.values) > 1:
            asks["histology"] = (Missing("histology", f"Which histology holds, {type_}: {', '.join(type_.sources)}"),)
    return Disease(situation, Facts(known, asks), states(staging))


_SYSTEMIC = ("first-line-metastatic", "later-line", "stage-iv")
_AFTER: tuple[Literal["platinum", "pd-1"], ...] = ("platinum", "pd-1")


def _told(setting: str | None, stage: EditionStage, given: History, known: Mapping[str, Fact], back: Recurrence | None) -> Situation:
    """The situation as it goes out: what the record settles, and on what."""
    after = tuple(name for name in _AFTER if f"prior-{name}" in known)
    pelvic, free = known.get("prior-pelvic-radiotherapy"), given.platinum_free
    used = [known[f"prior-{name}"].sources for name in after] + [fact.sources for fact in (pelvic, free, back and back.fact) if fact]
    return Situation(
        setting=setting,
        stage=stage.label,
        line=given.line if setting in _SYSTEMIC and not given.paused and not given.unseen else None,
        ongoing=given.told() if setting in _SYSTEMIC else None,
        recurrence=back.farthest if back else None,
        after=after,
        platinum_free_days=int(free.exact) if free and free.exact is not None else None,
        prior_pelvic_radiotherapy=True if isinstance(pelvic, Told) and "no" not in pelvic.values else None,
        radiotherapy=tuple(course.told() for course in given.courses),
        sources=tuple(dict.fromkeys(source for sources in used for source in sources)),
    )


def _setting(staging: Staging, stage: EditionStage, line: int | None) -> str | None:
    if stage.stage == "IVB" or staging.disease_state != "initial":
        return "later-line" if line is not None and line > 1 else "first-line-metastatic"
    if stage.stage is None:
        return None
    return SETTINGS.get(stage.stage, "early" if stage.stage in EARLY else "locally-advanced")


def stages(edition: EditionStage) -> tuple[str, ...]:
    """Every stage that the record still allows; a parent whose substage is open gives way to its children."""
    if edition.stage is None:
        return edition.could_be
    open_substage = any(edition.stage in _parents(other) for other in edition.could_be)
    return edition.could_be if open_substage else (edition.stage, *edition.could_be)


def states(staging: Staging) -> tuple[str, ...]:
    """The state of the disease; every state where nobody could see what would tell it."""
    return (staging.known_state,) if staging.known_state else get_args(DiseaseState)


def _parents(stage: str) -> tuple[str, ...]:
    """IIIC and III of IIIC1, III of IIIC, none of III."""
    if stage[-1] not in "123ABC":
        return ()
    return (stage[:-1], *_parents(stage[:-1]))


def _extent(staging: Staging, stage: EditionStage, back: Recurrence | None) -> dict[str, Fact]:
    """Locoregional or distant, the pattern of spread, and growth into bladder or bowel."""
    found: dict[str, Fact] = {}
    spread = [m for m in staging.metastases if m.site_class in DISTANT]
    definite = [m for m in spread if m.certainty == "definite"]
    if definite:
        classes = {m.site_class for m in definite}
        pattern = "node-only" if classes == {"distant-node"} else "organ" if "organ" in classes else "peritoneal"
        found["spread"] = Told(values=(pattern,), sources=tuple(dict.fromkeys(s for m in definite for s in m.sources)))
    possible = stages(stage)
    if staging.disease_state != "initial" or possible == ("IVB",):
        found["advanced-disease"] = Told(values=("advanced",), sources=found["spread"].sources if "spread" in found else ())
    elif possible:
        found["advanced-disease"] = Told(values=("advanced", "no") if "IVB" in possible or staging.known_state is None else ("no",))
    if back:
        found["recurrence-site"] = back.fact
        if back.farthest:
            found["recurrence-so-far"] = Told(values=(back.farthest,), sources=back.fact.sources)
        extents = dict.fromkeys("distant" if value == "distant" else "locoregional" for value in back.fact.values)
        found["extent"] = Told(values=tuple(extents), sources=back.fact.sources)
    elif definite or possible == ("IVB",):
        found["extent"] = Told(values=("distant",), sources=tuple(dict.fromkeys(s for m in definite for s in m.sources)))
    elif possible:
        found["extent"] = Told(values=("locoregional", "distant") if "IVB" in possible or spread else ("locoregional",))
    grown = [m for m in staging.metastases if m.site_class == "adjacent" and m.site in BOWEL_OR_BLADDER]
    sure = [m for m in grown if m.certainty == "definite"]
    if sure or stage.stage == "IVA":
        found["bladder-or-bowel-involved"] = Told(values=("involved",), sources=tuple(s for m in sure for s in m.sources))
    elif grown:
        found["bladder-or-bowel-involved"] = Told(values=("suspected",), sources=tuple(s for m in grown for s in m.sources))
    if staging.oligometastatic.value is not None:
        few, sources = staging.oligometastatic, tuple(dict.fromkeys(s for m in definite for s in m.sources))
        found["oligometastatic"] = Told(values=("few" if few.value else "no",), sources=sources, how=f"counted as {few.definition}")
    return found


def _figo_2009_and_nodes(staging: Staging) -> Told | None:
    """FIGO 2009, which ignored nodes, with what is known of them."""
    edition = staging.editions.get("figo-2009")
    category = (staging.tnm.n or "").lstrip("cp")
    involved = [m for m in staging.metastases if m.site_class == "regional-node" and m.certainty == "definite"]
    nodes = ("N+",) if involved or category.startswith(("N1", "N2", "N3")) else ("N0",) if category.startswith("N0") else ("N+", "N0")
    if edition is None or not (possible := stages(edition)):
        return None
    values = tuple(f"{stage} {node}" for stage in possible for node in nodes)
    return Told(values=values, sources=tuple(s for m in involved for s in m.sources))


def histology(record: Record, staging: Staging, book: CodeBook) -> Told | None:
    """The class of the primary's histology: of the code that staging read, else of the condition's own code.

    A report of that day or later that names another class leaves it open between them.
    """
    code, source = staging.primary.histology, staging.primary.condition
    concepts = [Concept((Coding(system, code),)) for name in ("icdo3", "sct") for system in book.systems[name]] if code else []
    finding = next((f for f in record.findings if f.source == source), None)
    if finding:
        concepts += [c for c in (finding.histology, finding.concept) if c]
    named = next((value for concept in concepts if (value := _class(concept, book))), None)
    since = (finding.when or finding.recorded or "") if finding else ""
    reports = [(_class(f.value.concept, book), f.source) for f in _reports(record, source, book) if (f.when or "9999") >= since]
    against = [(value, report) for value, report in reports if value not in (None, named)]
    if named is None or not against:
        return Told(values=(named,), sources=(source,) if source else (), how=code) if named else None
    sources = ((source,) if source else ()) + tuple(report for _, report in against)
    return Told(values=tuple(dict.fromkeys((named, *(value for value, _ in against if value)))), sources=sources)


def _class(concept: Concept | None, book: CodeBook) -> str | None:
    return next((class_.value for class_ in book.histology if book.means(concept, class_.codes)), None)


def _reports(record: Record, source: str | None, book: CodeBook) -> list[Finding]:
    """Reports of a histology, without those of another tumour or of another organ."""
    return [
        f
        for f in usable(record)
        if book.means(f.concept, REPORTED)
        and not ({r for r in f.focus if r.startswith("Condition/")} - {source})
        and (not f.sites or any(book.means(site, book.sites["pelvis"]) for site in f.sites))
    ]
