"""READ FIRST. Record → Staging: choose the primary, fix the window, collect the facts, read both tables, name the sites.

Pure: the same record and the same rules give the same bytes. Nothing here reaches a network, a clock or a file.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import UNSET
from msgspec.structs import replace

from services.staging import chronology, figo, recorded, sites, unseen
from services.staging.categories import tnm
from services.staging.disease_state import disease_state
from services.staging.extent import Extent, Intake
from services.staging.knowledge import EDITIONS, Meaning, Rules
from services.staging.metastases import merge, oligometastatic
from services.staging.places import spoken
from services.staging.primary import USABLE, Tumour, choose
from services.staging.statements import Statement
from services.staging.window import Course, course
from shared.fhir.codes import ICD_O_3, codes
from shared.fhir.dates import later
from shared.knowledge.table import Fact, Reader
from shared.oncology.record import Finding, Issue, Record
from shared.oncology.stage import Because, EditionStage, Metastasis, Oligometastatic, Recorded, Staging, Tnm
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN

_RECORDED = "As recorded by a clinician; the record holds no finding that tells the extent."


def stage(record: Record, rules: Rules, oligometastasis: str | None = None) -> Staging:
    """Everything staging says of one record; `oligometastasis` names the definition of few metastases, where not the default."""
    record = chronology.known(record, rules)
    tumour = choose(record, rules)
    if tumour.since:
        record = replace(record, findings=tuple(f for f in record.findings if (f.when or f.recorded or tumour.since) >= tumour.since))
    when = course(record, tumour, rules)
    intake, spread, given = _collect(record, tumour, when, rules)
    extent = _extent(intake, spread)
    found_in_them = [issue for found in spread for issue in found.issues]
    spread = [found for each in spread if (found := _settled(each, extent)) is not None]
    metastases = merge(found.spread for found in spread)
    editions: dict[str, EditionStage] = {}
    issues = [
        *record.issues,
        *tumour.issues,
        *chronology.doubts(record, tumour, when, rules),
        *found_in_them,
        *extent.issues,
        *_contested(spread, extent, rules),
    ]
    told: tuple[Recorded, ...] = ()
    at_diagnosis = extent
    if tumour.primary.applies:
        at_first = chronology.at_diagnosis(given, when, rules)
        editions = _editions(record, extent, at_first, rules)
        if when.unseen:
            intake, early, _ = _collect(record, tumour, when._replace(only_early=True), rules)
            at_diagnosis = _extent(intake, early)
            editions = unseen.joined(editions, _editions(record, at_diagnosis, at_first, rules), rules)
        if record.unread:
            editions = unseen.opened(editions, record.unread, rules)
        told, conflicts = recorded.compare(given, editions)
        issues += conflicts
    return Staging(
        patient=record.patient,
        primary=tumour.primary,
        diagnosed=when.window.start,
        window=when.window,
        editions=editions,
        tnm=tnm(at_diagnosis, rules) if tumour.primary.applies else Tnm(),
        metastases=metastases,
        oligometastatic=unseen.few(_oligometastatic(metastases, extent, rules, oligometastasis), record.unread),
        disease_state=disease_state(record, tumour, when, metastases, rules),
        recorded=told,
        issues=tuple(dict.fromkeys(issues)),
        knowledge=rules.knowledge,
        unread=record.unread or UNSET,
    )


def _collect(record: Record, tumour: Tumour, when: Course, rules: Rules) -> tuple[Intake, list[sites.SiteFinding], list[recorded.Given]]:
    """Hands every finding to whoever reads its kind."""
    intake = Intake(rules, when)
    spread = list(sites.of_conditions(record, tumour, when, rules))
    given: list[recorded.Given] = []
    unplaced: list[tuple[Finding, Meaning]] = []
    own = {f.source for f in tumour.conditions}
    all_own = own | {found.spread.source for found in spread}
    for finding in record.findings:
        if finding.kind != "observation" or finding.status == "entered-in-error":
            continue
        meaning = rules.meaning(finding.concept) or recorded.meaning(finding, rules)
        if meaning is None or _of_another(finding, own if meaning.detail == "tumour_size" else all_own, bool(own)):
            continue
        if meaning.kind == "figo":
            read = list(recorded.of_observation(finding, meaning, rules))
            given += read
            if not read and recorded.faulty(finding, rules):
                intake.refuse("value-implausible", recorded.REFUSED, finding)
        elif meaning.kind == "obds":
            regions = list(sites.of_region(finding, when, rules))
            spread += regions
            if not regions and recorded.faulty(finding, rules):
                intake.refuse("value-implausible", "A site of metastasis that cannot be read is not used.", finding)
        elif meaning.kind == "status":
            spread += sites.of_status(finding, when, rules)
        elif meaning.kind == "extent" and meaning.detail == "tumour_size" and (of_primary := _of_primary(finding, rules)) is not True:
            unplaced += [(finding, meaning)] if of_primary is None else []
        elif meaning.kind in ("extent", "t", "n", "m"):
            _observe(finding, meaning, when, rules, intake, spread)
    if not any(statement.fact == "tumour_size" for statement in intake.statements):
        for finding, meaning in unplaced:
            _observe(finding, meaning, when, rules, intake, spread)
    given += recorded.of_conditions(tumour, rules, {g.source for g in given})
    intake.issues += recorded.refused(tumour, rules)
    return intake, spread, given


def _observe(finding: Finding, meaning: Meaning, when: Course, rules: Rules, intake: Intake, spread: list[sites.SiteFinding]) -> None:
    if finding.status not in USABLE and finding.status != "preliminary":
        return
    found = list(sites.of_observation(finding, meaning, when, rules))
    spread += found
    if when.includes(finding):
        intake.observe(finding, meaning)


def _settled(found: sites.SiteFinding, extent: Extent) -> sites.SiteFinding | None:
    """A finding of spread after all findings of its place are weighed: gone where pathology or the resolution of a doubt found it free,
    doubtful where it is in doubt or contradicted."""
    known = extent.places.get(found.told) if found.told is not None and found.spread.in_window else None
    if known is None or found.undecided or known.verdict is HOLDS or (known.verdict is FAILS and found.opens):
        return found
    if known.verdict is FAILS and (known.method == "p" or found.spread.certainty != "definite"):
        return None
    return found._replace(spread=found.spread._replace(certainty="equivocal"))


def _of_another(finding: Finding, ours: set[str], known: bool) -> bool:
    """Whether the observation is about another tumour: it names a condition, and none of ours, where we know ours."""
    if not finding.focus:
        return False
    conditions = {reference for reference in finding.focus if reference.startswith("Condition/")}
    return known and bool(conditions) and not conditions & ours


def _of_primary(finding: Finding, rules: Rules) -> bool | None:
    """Whether a size is that of the primary, by its place; None where it is about a body structure that does not tell."""
    pairs = [pair for site in (*finding.sites, *finding.lesions) for pair in codes(site)]
    if any(code in rules.primary.cervix_structures or (s == ICD_O_3 and code.upper().startswith("C53")) for s, code in pairs):
        return True
    placed = {rule.site for pair in pairs if (rule := rules.structure(*pair)) is not None}
    if placed:
        return placed == {"uterus"}
    return None if any(reference.startswith(("BodyStructure/", "#")) for reference in finding.focus) else True


def _extent(intake: Intake, spread: Iterable[sites.SiteFinding]) -> Extent:
    """The facts, with what the sites of spread state and leave open."""
    spread = list(spread)
    intake.statements += [statement for found in spread for statement in found.statements]
    extent = intake.extent()
    told, free = _direct(intake.statements)
    opened: dict[str, set[tuple[str, str]]] = {}
    for found in spread:
        if found.spread.in_window and not _told(found, told):
            for fact, ask in found.opens:
                if (found.contested and not _mucosa(fact)) or not _denied(fact, found, free):
                    opened.setdefault(fact, set()).add((ask, found.spread.source))
    for fact in sorted(opened, reverse=True):
        known = extent.facts.get(fact, Fact())
        if known.verdict is not HOLDS:
            doubts = tuple(sorted({*known.doubts, *(source for _, source in opened[fact])}))
            extent.facts[fact] = replace(known, verdict=UNKNOWN, doubts=doubts, ask=min(opened[fact])[0])
    return extent


def _direct(statements: list[Statement]) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """By fact, the sources of the findings that it holds, and the days on which none of it was found anywhere."""
    told: dict[str, set[str]] = {}
    free: dict[str, set[str]] = {}
    for s in statements:
        if s.verdict is HOLDS and s.direct:
            told.setdefault(s.fact, set()).add(s.source)
        elif s.verdict is FAILS and s.direct and not s.place:
            free.setdefault(s.fact, set()).add(s.when)
    return told, free


def _told(found: sites.SiteFinding, told: dict[str, set[str]]) -> bool:
    """Whether another finding tells what the code of this one leaves open: both are the same spread."""
    known = (told.get(fact, set()) for fact in found.told_by)
    return any(len(sources) > (found.spread.source in sources) for sources in known)


def _denied(fact: str, found: sites.SiteFinding, free: dict[str, set[str]]) -> bool:
    """Whether a finding that is not earlier found none of it anywhere. A code for growth into bladder or rectum is no sign of mucosa."""
    return any(_mucosa(fact) or not later(found.spread.when, when) for when in free.get(fact, ()))


def _mucosa(fact: str) -> bool:
    return fact.endswith(("mucosa", "contiguous"))


def _editions(record: Record, extent: Extent, given: list[recorded.Given], rules: Rules) -> dict[str, EditionStage]:
    versions = {finding.source: finding.version for finding in record.findings if finding.version is not None}
    found = {}
    for edition in EDITIONS:
        reader = rules.tables[edition]
        answer = figo.stage(reader, extent.facts, rules.facts, versions)
        stated = recorded.newest(given, edition, reader.stages) if answer.stage is None else None
        found[edition] = answer if stated is None else _as_recorded(reader, stated, extent, rules, versions)
    return found


def _as_recorded(reader: Reader, stated: recorded.Given, extent: Extent, rules: Rules, versions: dict[str, str]) -> EditionStage:
    """The recorded stage, where no finding tells the extent: it settles what it says, and what lies above it stays open."""
    silent = figo.stage(reader, extent.facts, rules.facts, versions, floor=stated.stage)
    says = Because(
        rule=f"{reader.table.edition}/recorded",
        says=_RECORDED,
        facts=(),
        sources=(stated.source,),
        versions=figo.versioned((stated.source,), versions),
        reference="seer-eod-cervix-v9",
        place="stated FIGO stage, where no extent is told",
    )
    return replace(silent, stage=stated.stage, label=stated.stage, because=(says,))


def _contested(spread: Iterable[sites.SiteFinding], extent: Extent, rules: Rules) -> list[Issue]:
    """The findings on whose stage the sources disagree: both readings, each with its source, and the one that is taken."""
    found: list[tuple[str, str, tuple[str, ...]]] = [
        (f"spread to the {spoken(f.spread.site)}", f.contested, (f.spread.source,))
        for f in spread
        if f.contested is not None and f.spread.in_window and not _settled_by_biopsy(f, extent)
    ]
    walls = extent.facts.get("wall_without_mucosa", Fact())
    if walls.doubts:
        found.append(("the wall of bladder or rectum, or bullous oedema, without the mucosa", "wall-without-mucosa", walls.doubts))
    return [
        Issue(severity="information", code="contested", text=rules.disputed(what, key), sources=sources) for what, key, sources in found
    ]


def _settled_by_biopsy(found: sites.SiteFinding, extent: Extent) -> bool:
    """Whether all that the code leaves open is mucosa, and all of that is known."""
    return bool(found.opens) and all(_mucosa(fact) and extent.facts[fact].verdict is not UNKNOWN for fact, _ in found.opens)


def _oligometastatic(metastases: tuple[Metastasis, ...], extent: Extent, rules: Rules, definition: str | None) -> Oligometastatic:
    names = ("distant_organ", "distant_nodes", "para_aortic_nodes")
    known = {name: extent.facts.get(name, Fact()) for name in names}
    free = {name: fact.verdict is FAILS for name, fact in known.items()}
    asks = {name: fact.ask or rules.facts[name].ask for name, fact in known.items()}
    return oligometastatic(metastases, rules.oligometastasis(definition), free, asks)
