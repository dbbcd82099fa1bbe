"""READ FIRST. Record → Staging: choose the primary, fix the window, collect the facts, read both tables, name the sites.

Pure: the same record and the same rules give the same bytes. Nothing here reaches a network, a clock or a file.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from services.staging import figo, recorded, sites
from services.staging.categories import tnm
from services.staging.disease_state import disease_state
from services.staging.extent import Extent, Intake
from services.staging.knowledge import EDITIONS, Meaning, Rules
from services.staging.metastases import merge, oligometastatic
from services.staging.primary import USABLE, Tumour, choose
from services.staging.window import Course, course
from shared.fhir.codes import codes
from shared.knowledge.table import Fact, Reader
from shared.oncology.record import Finding, Issue, Record
from shared.oncology.stage import Because, EditionStage, Metastasis, Oligometastatic, Recorded, Staging, Tnm
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN

_RECORDED = "As recorded by a clinician; the record holds no finding that tells the extent."


def stage(record: Record, rules: Rules) -> Staging:
    """Everything staging says of one record."""
    tumour = choose(record, rules)
    when = course(record, tumour, rules)
    if record.as_of:
        # What came after the window and after the day asked for was not known then; within the window it is kept, and named as implausible.
        record = replace(record, findings=tuple(f for f in record.findings if f.plausible or when.includes(f)))
    intake, spread, given = _collect(record, tumour, when, rules)
    extent = _extent(intake, spread)
    spread = [found for each in spread if (found := _settled(each, extent)) is not None]
    metastases = merge(found.spread for found in spread)
    editions: dict[str, EditionStage] = {}
    issues = [*record.issues, *tumour.issues, *extent.issues, *_contested(spread, extent)]
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
        tnm=tnm(extent, rules) if tumour.primary.applies else Tnm(),
        metastases=metastases,
        oligometastatic=_oligometastatic(metastases, extent, rules),
        disease_state=disease_state(record, tumour, when, metastases, rules),
        recorded=told,
        issues=tuple(dict.fromkeys(issues)),
        knowledge=rules.knowledge,
    )


def _collect(record: Record, tumour: Tumour, when: Course, rules: Rules) -> tuple[Intake, list[sites.SiteFinding], list[recorded.Given]]:
    """Hands every finding to whoever reads its kind."""
    intake = Intake(rules, when)
    conditions = [finding for finding in record.findings if finding.kind == "condition"]
    spread = [found for finding in conditions for found in sites.of_condition(finding, tumour, when, rules)]
    given: list[recorded.Given] = []
    own = {f.source for f in tumour.conditions}
    secondary = {found.spread.source for found in spread}
    for finding in record.findings:
        if finding.kind != "observation" or finding.status == "entered-in-error":
            continue
        meaning = next((m for pair in codes(finding.concept) if (m := rules.meanings.get(pair)) is not None), None)
        if meaning is None or _of_another(finding, own if meaning.detail == "tumour_size" else own | secondary, bool(own)):
            continue
        if meaning.kind == "figo":
            read = list(recorded.of_observation(finding, meaning, rules))
            given += read
            if not read and finding.status in USABLE and finding.value.absent is None:
                intake.refuse("value-implausible", "A recorded FIGO stage that is not one of the cervix is not used.", finding)
        elif meaning.kind == "obds":
            spread += sites.of_region(finding, when, rules)
        elif meaning.kind == "status":
            intake.status(finding)
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


def _settled(found: sites.SiteFinding, extent: Extent) -> sites.SiteFinding | None:
    """A finding of spread after all findings of its place are weighed: gone where it was found free, doubtful where it is in doubt."""
    verdict = extent.places.get(found.told) if found.told is not None and found.spread.in_window else None
    if verdict is FAILS and not found.opens:
        return None
    if verdict is UNKNOWN:
        return found._replace(spread=found.spread._replace(certainty="equivocal"))
    return found


def _of_another(finding: Finding, ours: set[str], known: bool) -> bool:
    """Whether the observation is about another tumour: it names a condition, and none of ours, where we know ours."""
    conditions = {reference for reference in finding.focus if reference.startswith("Condition/")}
    return known and bool(conditions) and not conditions & ours


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
    supplied = {name: rule.supplied_by or (name,) for name, rule in rules.facts.items() if not rule.code}
    found = {}
    for edition in EDITIONS:
        reader = rules.tables[edition]
        answer = figo.stage(reader, extent.facts, asks, supplied)
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


def _contested(spread: Iterable[sites.SiteFinding], extent: Extent) -> list[Issue]:
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
