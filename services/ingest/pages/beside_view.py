"""What stands beside the candidates on a page: pathways, trials, what became of other patients, and the sentences for the board."""

from __future__ import annotations

from datetime import date, timedelta
from typing import NamedTuple

from services.ingest.pages.links import Cited, Link, Links, registry
from shared.fhir.words import capital, day
from shared.oncology.recommendation import Activity, Pathway, PrognosticGroup, Recommendation, Situation, Trial

_STATES = {"holds": "met", "fails": "not met", "unknown": "not known"}
_TRIALS = {"eligible": "Fits on the record", "cannot-tell": "Cannot tell yet", "ruled-out": "Does not fit"}
_HERS = {True: "yes", False: "no", None: "not known"}
_SETTINGS = {
    "locally-advanced-iva": "locally advanced, stage IVA",
    "first-line-metastatic": "persistent, recurrent or metastatic, first line",
}
_HELD = "Every candidate with a drug is ruled out on the record: the pathway does not go on as it stands."


class Stage(NamedTuple):
    """One state of a pathway, passed or current."""

    says: str
    sources: tuple[Link, ...]


class PathwayView(NamedTuple):
    """Where she stands on a published pathway. `lines` is its schedule: what, and when."""

    id: str
    title: str
    track: str
    passed: tuple[Stage, ...]
    current: Stage
    next: tuple[str, ...]
    asks: tuple[str, ...]
    undefined: tuple[str, ...]
    notes: tuple[str, ...]
    works: tuple[Cited, ...]
    held: str
    origin: str
    lines: tuple[tuple[str, str], ...]


class CriterionView(NamedTuple):
    """One criterion of a trial."""

    says: str
    verdict: str
    answer: str
    ask: str
    sources: tuple[Link, ...]


class TrialView(NamedTuple):
    """A trial to ask about; `registry` leads to its entry where it has one."""

    title: str
    registry: Link
    verdict: str
    verdict_words: str
    criteria: tuple[CriterionView, ...]
    notes: tuple[str, ...]


class GroupView(NamedTuple):
    """One row of the prognostic table."""

    factor: str
    group: str
    hers: str
    n: int
    alive: str
    progression_free: str


class PrognosisView(NamedTuple):
    """The groups of one table at one time, with its limits."""

    caption: str
    rows: tuple[GroupView, ...]
    limits: tuple[str, ...]
    work: Cited


class NoteView(NamedTuple):
    """A sentence for the board, with the resources and works that it rests on."""

    text: str
    sources: tuple[Link, ...]
    works: tuple[Cited, ...]


def held(recommendation: Recommendation) -> bool:
    """Whether every candidate with a drug is ruled out: then no pathway shows a schedule."""
    systemic = [candidate for candidate in recommendation.candidates if candidate.doses]
    return bool(systemic) and all(candidate.verdict == "ruled-out" for candidate in systemic)


def pathways(recommendation: Recommendation, links: Links) -> tuple[PathwayView, ...]:
    """Each pathway with its current step."""
    hold = held(recommendation)
    return tuple(_pathway(pathway, links, hold) for pathway in recommendation.pathways)


def when(line: Activity, started: str | None) -> str:
    """When one activity falls: a date where a first cycle is on record, else the day of the schedule; and how it recurs."""
    on = (
        f"{day((date.fromisoformat(started[:10]) + timedelta(days=line.day - 1)).isoformat())} (day {line.day})"
        if started
        else f"day {line.day}"
    )
    cycle = f", cycle {line.cycle}" if line.cycle else ""
    return f"{on}{cycle}{f', {line.repeats}' if line.repeats else ''}"


def trials(recommendation: Recommendation, links: Links) -> tuple[TrialView, ...]:
    """Trials that may be asked about."""
    return tuple(_trial(trial, links) for trial in recommendation.trials)


def prognosis(recommendation: Recommendation, links: Links) -> tuple[PrognosisView, ...]:
    """One table per work and time; its limits are the notes that cite nothing but it."""
    found: dict[tuple[str, int, str], list[GroupView]] = {}
    for factor in recommendation.prognosis:
        rows = found.setdefault((factor.work, factor.months, factor.at), [])
        rows += [_group(capital(factor.factor) if not number else "", group) for number, group in enumerate(factor.groups)]
    return tuple(
        PrognosisView(f"At {months} months", tuple(rows), _limits(recommendation, work), links.work(work, at))
        for (work, months, at), rows in found.items()
    )


def notes(recommendation: Recommendation, links: Links) -> tuple[NoteView, ...]:
    """Every other note."""
    tables = {factor.work for factor in recommendation.prognosis}
    kept = [note for note in recommendation.notes if not (note.sources and tables.issuperset(note.sources))]
    return tuple(
        NoteView(
            note.text,
            links.sources(source for source in note.sources if "/" in source),
            links.works(source for source in note.sources if "/" not in source),
        )
        for note in kept
    )


def situation(found: Situation) -> tuple[tuple[str, str], ...]:
    """The setting and what was given before, as pairs of a name and its words."""
    rows = [("Setting", _SETTINGS.get(found.setting or "", (found.setting or "not settled").replace("-", " ")))]
    rows += [("Line", str(found.line))] if found.line is not None else []
    if (now := found.ongoing) is not None:
        rows.append(
            ("Under way", f"{' and '.join(now.drugs)}, {now.cycles} cycle{'' if now.cycles == 1 else 's'}, last on {day(now.last)}")
        )
    rows += [("Came back", found.recurrence)] if found.recurrence else []
    if found.after:
        rows.append(("Given before", ", ".join({"pd-1": "PD-1 or PD-L1 antibody"}.get(name, name) for name in found.after)))
    rows += [("Since platinum", f"{found.platinum_free_days} days")] if found.platinum_free_days is not None else []
    if found.prior_pelvic_radiotherapy is not None:
        rows.append(("Pelvis irradiated", "yes" if found.prior_pelvic_radiotherapy else "no"))
    for course in found.radiotherapy:
        dose = f", {course.total_gy:g} Gy{f' in {course.fractions}' if course.fractions else ''}" if course.total_gy else ""
        days = " to ".join(day(one) for one in (course.start, course.end) if one)
        rows.append(("Irradiation", f"{course.field or 'field not told'}{dose}{f', {days}' if days else ''}"))
    return tuple(rows)


def _pathway(found: Pathway, links: Links, hold: bool) -> PathwayView:
    origin = f"Dates from the first cycle on {day(found.started)}" if found.started else "Days are counted from day 1 of cycle 1"
    return PathwayView(
        id=found.id,
        title=found.title,
        track=found.track or "",
        passed=tuple(Stage(step.says, links.sources(step.sources)) for step in found.passed),
        current=Stage(found.current.says, links.sources(found.current.sources)),
        next=found.next,
        asks=tuple(m.ask for m in found.missing),
        undefined=found.undefined,
        notes=found.notes,
        works=links.works(found.evidence),
        held=_HELD if hold else "",
        origin=origin,
        lines=() if hold else tuple((line.activity, when(line, found.started)) for line in found.schedule),
    )


def _trial(trial: Trial, links: Links) -> TrialView:
    criteria = tuple(CriterionView(c.text, c.verdict, _STATES[c.verdict], c.ask or "", links.sources(c.sources)) for c in trial.criteria)
    entry = registry(trial.registry)
    shown = Link(trial.registry or "no registry number found", entry, external=entry is not None)
    return TrialView(trial.title, shown, trial.verdict, _TRIALS[trial.verdict], criteria, trial.notes)


def _group(factor: str, group: PrognosticGroup) -> GroupView:
    alive, free = (f"{v:g} %" if v is not None else "–" for v in (group.overall_survival, group.progression_free_survival))
    return GroupView(factor, group.group, _HERS[group.hers], group.n, alive, free)


def _limits(recommendation: Recommendation, work: str) -> tuple[str, ...]:
    return tuple(note.text for note in recommendation.notes if note.sources and {*note.sources} == {work})
