"""READ FIRST. An answer → what a clinician sees of it, in the order of the page. Pure: no clock; addresses are handed in."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup

from services.ingest.pages import anatomy
from services.ingest.pages.banner import Banner
from services.ingest.pages.beside_view import NoteView, PathwayView, PrognosisView, TrialView, notes, pathways, prognosis, situation, trials
from services.ingest.pages.bodymap import BodyMap, SiteView, bodymap, sites
from services.ingest.pages.candidate_view import OPEN, CandidateView, Claim, First, blocked, candidates, first
from services.ingest.pages.forest import forest, rows, unchecked
from services.ingest.pages.links import Cited, Link, Links
from services.ingest.pages.picture import Picture
from services.ingest.pages.rendering import render
from services.ingest.pages.schedule import timelines
from services.ingest.pages.stage_view import Edition, Headline, RecordedView, editions, headline, recorded
from shared.fhir.words import day
from shared.oncology.recommendation import Recommendation
from shared.oncology.record import Issue, Record
from shared.oncology.stage import Staging

_CONFLICTS = ("stage-conflict", "extent-conflict", "contested", "second-primary", "outside-scope")
_WRITTEN = {
    "transaction": "written to the patient's record as a draft CarePlan",
    "ordered": "written to the patient's record as a draft CarePlan, one resource after another",
    "document": "written to the patient's record as a document",
    "page": "kept here: the patient's record takes no CarePlan from us",
}

_NARROW = "kept here only: it was read with a sign-in that does not see all of the record, so no CarePlan is written from it"


class Answered(NamedTuple):
    """When the answer was given and where it stands. `careplan` is a reference, `mode` how it was written.

    Not `whole`: read by a sign-in that does not see all that Figaro would.
    """

    id: int | None
    at: str
    careplan: str | None = None
    version: str | None = None
    mode: str | None = None
    whole: bool = True


class Viewer(NamedTuple):
    """Who looks: what their forms carry, whether they may decide, and whether the EHR shows the patient beside us already."""

    csrf: str = ""
    seen: str = "0"
    may_decide: bool = False
    banner: bool = True


class IssueView(NamedTuple):
    """Something to look at."""

    severity: str
    text: str
    sources: tuple[Link, ...]


class Missing(NamedTuple):
    """What to ask for, and which candidates it settles; the stage where `stage` is True."""

    ask: str
    stage: bool
    ranks: tuple[int, ...]


class Page(NamedTuple):
    """Everything of the page. `out_of_scope` is the reason where FIGO does not apply; then there is no stage and no candidate."""

    banner: Banner | None
    out_of_scope: str
    headline: Headline
    first: First | None
    nothing: str
    sites: tuple[SiteView, ...]
    map: BodyMap
    map_svg: Markup
    missing: tuple[Missing, ...]
    conflicts: tuple[IssueView, ...]
    issues: tuple[IssueView, ...]
    editions: tuple[Edition, ...]
    recorded: tuple[RecordedView, ...]
    situation: tuple[tuple[str, str], ...]
    blocked: tuple[tuple[Claim, str], ...]
    open: tuple[CandidateView, ...]
    more: tuple[CandidateView, ...]
    out: tuple[CandidateView, ...]
    forest: Picture | None
    unchecked: tuple[str, ...]
    timelines: tuple[Picture, ...]
    prognosis: tuple[PrognosisView, ...]
    pathways: tuple[PathwayView, ...]
    trials: tuple[TrialView, ...]
    notes: tuple[NoteView, ...]
    works: tuple[Cited, ...]
    knowledge: tuple[tuple[str, str, str], ...]
    as_of: str
    answered: str
    careplan: str
    answer: int | None


def page(
    record: Record,
    staging: Staging,
    recommendation: Recommendation,
    answered: Answered,
    links: Links,
    shown: Banner | None = None,
    *,
    plots: bool = True,
) -> Page:
    """The page of one answer; `shown` is the patient banner where one is asked for. `plots` take most of the time."""
    listed = candidates(recommendation, links)
    offered = tuple(view for view in listed if view.verdict != "ruled-out")
    chosen = [c for c in recommendation.candidates if c.verdict != "ruled-out"]
    drawn = bodymap(staging.metastases, primary=staging.primary.applies)
    picture = {"map": drawn, "outline": anatomy.OUTLINE, "context": anatomy.CONTEXT, "places": anatomy.PLACES}
    in_scope = staging.primary.applies
    issues = [(issue, _issue(issue, links)) for issue in staging.issues]
    return Page(
        banner=shown,
        out_of_scope="" if in_scope else (staging.primary.why_not or "no invasive carcinoma of the cervix is on record"),
        headline=headline(staging, links),
        first=first(recommendation, listed, links),
        nothing=_nothing(recommendation),
        sites=sites(staging.metastases, links),
        map=drawn,
        map_svg=Markup(render("bodymap.svg", **picture)),  # noqa: S704 -- our own template, escaped
        missing=_missing(staging, recommendation),
        conflicts=tuple(view for issue, view in issues if issue.code in _CONFLICTS and (in_scope or issue.code != "outside-scope")),
        issues=tuple(view for issue, view in issues if issue.code not in _CONFLICTS),
        editions=editions(staging, links),
        recorded=recorded(staging, links),
        situation=situation(recommendation.situation),
        blocked=blocked(recommendation, links),
        open=offered[:OPEN],
        more=offered[OPEN:],
        out=tuple(view for view in listed if view.verdict == "ruled-out"),
        forest=forest(rows(chosen)) if plots else None,
        unchecked=unchecked(chosen),
        timelines=timelines(recommendation, next((c for c in chosen if c.doses), None)) if plots else (),
        prognosis=prognosis(recommendation, links),
        pathways=pathways(recommendation, links),
        trials=trials(recommendation, links),
        notes=notes(recommendation, links),
        works=tuple(links.work(name) for name in sorted(recommendation.works)),
        knowledge=(
            ("Staging", staging.knowledge.edition, staging.knowledge.digest[:12]),
            ("Regimens", recommendation.knowledge.edition, recommendation.knowledge.digest[:12]),
        ),
        as_of=day(record.today) if record.today else "",
        answered=_instant(answered.at),
        careplan=_WRITTEN.get(answered.mode or ("transaction" if answered.careplan else ""), "") if answered.whole else _NARROW,
        answer=answered.id,
    )


def _instant(at: str) -> str:
    """An instant in UTC, to the minute."""
    return f"{day(at[:10])}, {at[11:16]} UTC" if len(at) >= 16 else day(at)


def _issue(issue: Issue, links: Links) -> IssueView:
    return IssueView(issue.severity, issue.text, links.sources(issue.sources))


def _missing(staging: Staging, recommendation: Recommendation) -> tuple[Missing, ...]:
    """What the stage asks for, in its order; then what settles a candidate whose verdict is open. Each once."""
    asked: dict[str, bool] = {m.ask: True for edition in staging.editions.values() for m in edition.missing}
    ranks: dict[str, list[int]] = {ask: [] for ask in asked}
    for c in recommendation.candidates:
        count = sum(reason.verdict == "unknown" for reason in c.reasons)
        for gap in c.missing[:count] if c.verdict == "cannot-tell" else ():
            ranks.setdefault(gap.ask, []).append(c.rank)
    return tuple(Missing(ask, asked.get(ask, False), tuple(found)) for ask, found in ranks.items())


def _nothing(recommendation: Recommendation) -> str:
    """The sentence where no candidate is eligible on the record."""
    verdicts = {candidate.verdict for candidate in recommendation.candidates}
    if "eligible" in verdicts:
        return ""
    if "cannot-tell" in verdicts:
        return "No candidate can be called eligible on the record yet: see what is missing."
    if verdicts:
        return "No candidate is eligible on the record: each is listed with what rules it out."
    setting = (recommendation.situation.setting or "").replace("-", " ")
    return f"No candidate is listed for this setting: {setting}." if setting else "No candidate is listed."
