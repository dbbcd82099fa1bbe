"""READ FIRST. Record → Staging: choose the primary, fix the window, collect the facts, read both tables, name the sites.

Pure: the same record and the same rules give the same bytes. Nothing here reaches a network, a clock or a file.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from services.staging import figo, recorded, sites
from services.staging.extent import Extent, Intake
from services.staging.knowledge import EDITIONS, Meaning, Rules
from services.staging.metastases import merge, oligometastatic
from services.staging.primary import USABLE, Tumour, choose
from services.staging.window import Course, course
from shared.fhir.codes import codes
from shared.knowledge.table import Fact, Reader
from shared.oncology.record import Finding, Issue, Record
from shared.oncology.stage import Because, DiseaseState, EditionStage, Metastasis, Oligometastatic, Recorded, Staging, Tnm
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN

_T = {"IVA": "T4", "IIIB": "T3b", "IIIA": "T3a", "III": "T3", "IIB": "T2b", "IIA2": "T2a2", "IIA1": "T2a1", "IIA": "T2a", "II": "T2"}
_T |= {"IB3": "T1b3", "IB2": "T1b2", "IB1": "T1b1", "IB": "T1b", "IA2": "T1a2", "IA1": "T1a1", "IA": "T1a", "I": "T1"}
_BEYOND_T = ("distant_organ", "distant_nodes", "peritoneal_spread", "pelvic_nodes", "para_aortic_nodes", "regional_nodes")
_RECORDED = "As recorded by a clinician; the record holds no finding that tells the extent."


def stage(record: Record, rules: Rules) -> Staging:
    """Everything staging says of one record."""
    tumour = choose(record, rules)
    when = course(record, tumour, rules)
    intake, spread, given = _collect(record, tumour, when, rules)
    extent = _extent(intake, spread)
    metastases = merge(found.spread for found in spread)
    editions: dict[str, EditionStage] = {}
    issues = [*record.issues, *tumour.issues, *extent.issues, *_contested(spread, extent, rules)]
    told: tuple[Recorded, ...] = ()
    if tumour.primary.applies:
        editions = _editions(extent, given, rules)
        told, conflicts = recorded.compare(given, editions)
        issues += conflicts
    return Staging(
        patient=record.patient,
        primary=tumour.primary,
        diagnosed=when.window.start,
        window=when.window,
        editions=editions,
        tnm=_tnm(extent, rules) if tumour.primary.applies else Tnm(),
        metastases=metastases,
        oligometastatic=_oligometastatic(metastases, extent, rules),
        disease_state=_state(record, tumour, when, metastases, rules),
        recorded=told,
        issues=tuple(dict.fromkeys(issues)),
        knowledge=rules.knowledge,
    )


def _collect(record: Record, tumour: Tumour, when: Course, rules: Rules) -> tuple[Intake, list[sites.SiteFinding], list[recorded.Given]]:
    """Hands every finding to whoever reads its kind."""
    intake = Intake(rules, when)
    spread: list[sites.SiteFinding] = []
    given: list[recorded.Given] = []
    own = {f.source for f in tumour.conditions}
    for finding in record.findings:
        if finding.kind == "condition":
            spread += sites.of_condition(finding, tumour, when, rules)
        elif finding.kind == "observation" and finding.status != "entered-in-error":
            meaning = next((m for pair in codes(finding.concept) if (m := rules.meanings.get(pair)) is not None), None)
            if meaning is None or _of_another(finding, own):
                continue
            if meaning.kind == "figo":
                given += recorded.of_observation(finding, meaning, rules)
            elif meaning.kind == "obds":
                spread += sites.of_region(finding, when, rules)
            elif meaning.kind in ("extent", "t", "n", "m"):
                _observe(finding, meaning, when, rules, intake, spread)
    given += recorded.of_conditions(tumour, rules, {g.source for g in given})
    return intake, spread, given


def _observe(finding: Finding, meaning: Meaning, when: Course, rules: Rules, intake: Intake, spread: list[sites.SiteFinding]) -> None:
    if finding.status not in USABLE and finding.status != "preliminary":
        return
    if meaning.kind == "extent" and meaning.detail == "tumour_size" and _elsewhere(finding, rules):
        return
    found = list(sites.of_observation(finding, meaning, when, rules))
    spread += found
    if when.includes(finding):
        intake.observe(finding, meaning)


def _of_another(finding: Finding, own: set[str]) -> bool:
    """Whether the observation is about another tumour: it names a condition, and not ours."""
    conditions = {reference for reference in finding.focus if reference.startswith("Condition/")}
    return bool(conditions) and bool(own) and not conditions & own


def _elsewhere(finding: Finding, rules: Rules) -> bool:
    """Whether a size is the size of a metastasis."""
    placed = [rule for site in finding.sites for pair in codes(site) if (rule := rules.structure(*pair)) is not None]
    return any(rule.site_class in ("organ", "distant-node", "regional-node", "peritoneal") for rule in placed)


def _extent(intake: Intake, spread: Iterable[sites.SiteFinding]) -> Extent:
    """The facts, with what the sites of spread state and leave open."""
    opens: list[tuple[str, str, str]] = []
    for found in spread:
        intake.statements += found.statements
        if found.spread.in_window:
            opens += [(fact, ask, found.spread.source) for fact, ask in found.opens]
    denied = {s.fact for s in intake.statements if s.direct and s.verdict is FAILS and s.fact.endswith(("mucosa", "contiguous"))}
    extent = intake.extent()
    for fact, ask, source in opens:
        known = extent.facts.get(fact, Fact())
        if known.verdict is not HOLDS and fact not in denied:
            doubts = tuple(sorted({*known.doubts, source}))
            extent.facts[fact] = replace(known, verdict=UNKNOWN, doubts=doubts, ask=ask)
    return extent


def _editions(extent: Extent, given: list[recorded.Given], rules: Rules) -> dict[str, EditionStage]:
    asks = {name: rule.ask for name, rule in rules.facts.items()}
    askable = frozenset(name for name, rule in rules.facts.items() if rule.code)
    found = {}
    for edition in EDITIONS:
        reader = rules.tables[edition]
        answer = figo.stage(reader, extent.facts, asks, askable)
        if answer.stage is None:
            answer = _as_recorded(reader, answer, recorded.usable(given, edition))
        found[edition] = answer
    return found


def _as_recorded(reader: Reader, silent: EditionStage, given: list[recorded.Given]) -> EditionStage:
    """The recorded stage, where no finding tells the extent: it settles what it says, and what lies above it stays open."""
    order = [row.stage for row in reader.table.rows]
    known = [g for g in given if g.stage in order]
    if not known:
        return silent
    newest = max(known, key=lambda g: (g.when, g.source))
    above = order[: order.index(newest.stage)]
    says = Because(
        rule=f"{reader.table.edition}/recorded",
        says=_RECORDED,
        facts=(),
        sources=(newest.source,),
        reference="seer-eod-cervix-v9",
        place="stated FIGO stage, where no extent is told",
    )
    could_be = tuple(s for s in silent.could_be if s in above)
    return replace(silent, stage=newest.stage, label=newest.stage, could_be=could_be, because=(says,))


def _tnm(extent: Extent, rules: Rules) -> Tnm:
    """The recorded categories, pathology before clinical and then the newest; where none is recorded, what the facts amount to."""
    best: dict[str, str] = {}
    for axis in "tnm":
        found = [c for c in extent.categories if c.axis == axis and not (c.prefix and c.prefix[0] in "yra")]
        if found:
            newest = max(found, key=lambda c: (c.prefix == "p", c.finding.when or "", c.finding.source))
            best[axis] = newest.value
    facts = extent.facts
    if "t" not in best:
        local = {name: Fact(FAILS) if name in _BEYOND_T or name == "distant_metastasis" else fact for name, fact in facts.items()}
        row = rules.tables["figo-2018"].read({**{name: Fact(FAILS) for name in _BEYOND_T}, **local}).row
        if row is not None and row.stage in _T:
            best["t"] = _T[row.stage]
    verdicts = {name: facts[name].verdict for name in ("para_aortic_nodes", "pelvic_nodes") if name in facts}
    if "n" not in best:
        if verdicts.get("para_aortic_nodes") is HOLDS:
            best["n"] = "N2"
        elif verdicts.get("pelvic_nodes") is HOLDS:
            best["n"] = "N1"
        elif list(verdicts.values()) == [FAILS, FAILS]:
            best["n"] = "N0(i+)" if extent.isolated_cells else "N0"
    if "m" not in best:
        distant = [facts[name].verdict if name in facts else UNKNOWN for name in ("distant_organ", "distant_nodes", "peritoneal_spread")]
        best |= {"m": "M1"} if HOLDS in distant else {"m": "M0"} if distant == [FAILS] * 3 else {}
    return Tnm(**best)


def _contested(spread: Iterable[sites.SiteFinding], extent: Extent, rules: Rules) -> list[Issue]:
    """The findings on whose stage the sources disagree, named."""
    found = [
        Issue(
            severity="information",
            code="contested",
            text=f"The sources do not agree on what spread to the {f.spread.site.replace('-', ' ')} means for the stage.",
            sources=(f.spread.source,),
        )
        for f in spread
        if f.contested and f.spread.in_window
    ]
    walls = extent.facts.get("wall_without_mucosa", Fact())
    if walls.doubts:
        text = "Bladder or rectal wall, or bullous oedema, without mucosa: never IVA; IIIA by SEER, no class of its own in FIGO."
        found.append(Issue(severity="information", code="contested", text=text, sources=walls.doubts))
    return found


def _oligometastatic(metastases: tuple[Metastasis, ...], extent: Extent, rules: Rules) -> Oligometastatic:
    rule = rules.sites.oligometastatic
    organ = extent.facts.get("distant_organ", Fact())
    return oligometastatic(
        metastases,
        organ.verdict is FAILS,
        organs=rule.organs,
        lesions=rule.lesions,
        definition=rule.definition,
        reference=rule.reference,
        ask=organ.ask or rules.facts["distant_organ"].ask,
    )


def _state(record: Record, tumour: Tumour, when: Course, metastases: tuple[Metastasis, ...], rules: Rules) -> DiseaseState:
    """Initial until something new is found after the window: on treatment it is progression, after it recurrence."""
    states = {code for f in tumour.conditions for _, code in codes(f.concept)} | {
        code for f in record.findings if f.kind == "condition" and f.verification != "refuted" for _, code in codes(f.concept)
    }
    if any(rules.primary.state_snomed.get(code) == "local-recurrence" for code in states):
        return "recurrent"
    if any(f.clinical in ("recurrence", "relapse") for f in tumour.conditions):
        return "recurrent"
    if when.window.end is None:
        return "initial"
    last = max(t.end for t in when.treatments)
    late = [m for m in metastases if not m.in_window and m.certainty == "definite"]
    dates = [f.when or f.recorded or "" for f in record.findings if any(f.source in m.sources for m in late)]
    if dates:
        return "recurrent" if min(dates) > last else "progressive"
    o = rules.observations
    for finding in record.findings:
        if any((m := rules.meanings.get(pair)) and m.kind == "status" for pair in codes(finding.concept)) and finding.status in USABLE:
            seen = {code for _, code in codes(finding.value.concept)}
            if (finding.when or "") > when.window.end and seen & set(o.worsened):
                return "progressive"
            if (finding.when or "") > last and seen & set(o.stable):
                return "persistent"
    return "initial"
