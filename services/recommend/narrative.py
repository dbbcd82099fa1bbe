"""The CarePlan in words, for an EHR that shows the narrative only: a clinician can read it alone. Proposes, never orders."""

from __future__ import annotations

from collections.abc import Iterable

from services.recommend import activities, candidate_table
from services.recommend.attention import blocked
from services.recommend.xhtml import heading, items, marked_items, paragraph, strong, table, text
from shared.oncology.not_read import remark
from shared.oncology.recommendation import Note, Pathway, Prognosis, Recommendation, Trial
from shared.oncology.stage import EditionStage, Metastasis, Staging
from shared.oncology.wording import identifiers

_USE = (
    "Supports a multidisciplinary board for adults with histologically proven carcinoma of the cervix. It lists candidate options with "
    "their sources; it orders nothing, gives no dose for administration, and replaces no judgement. The patient's wishes decide with the "
    "board."
)
_SETTINGS = {
    "locally-advanced-iva": "locally advanced, stage IVA",
    "first-line-metastatic": "persistent, recurrent or metastatic, first line",
}
_STATES = {"holds": "met", "fails": "not met", "unknown": "not known"}


def narrative(staging: Staging, recommendation: Recommendation, today: str | None = None) -> str:
    """XHTML for CarePlan.text: stage and why, sites, what is missing, the candidates side by side, and what stands beside them.

    `today` is the day that the record counts as today.
    """
    limits = _limits(recommendation)
    parts = [
        paragraph(strong("Proposed treatment options for the tumour board. Not an order: a clinician decides.")),
        paragraph(text(_USE + (f" The record is read as of {today}." if today else ""))),
        paragraph(strong(remark(staging.unread))) if staging.unread else "",
        _stage(staging),
        _situation(recommendation, staging),
        _sites(staging.metastases),
        _titled("Missing for the stage", [m.ask for m in staging.editions["figo-2018"].missing]),
        _titled("To be looked at", [i.text for i in staging.issues if i.severity != "information"]),
        _contraindications(recommendation),
        paragraph(strong(verdict)) if (verdict := nothing_eligible(recommendation)) else "",
        candidate_table.candidates(recommendation),
        *(_pathway(pathway, activities.held(recommendation)) for pathway in recommendation.pathways),
        _trials(recommendation.trials),
        _prognosis(recommendation.prognosis, limits),
        _notes([note for note in recommendation.notes if note not in limits]),
        _works(recommendation),
        _knowledge(staging, recommendation),
    ]
    return f'<div xmlns="http://www.w3.org/1999/xhtml">{"".join(parts)}</div>'


def nothing_eligible(recommendation: Recommendation) -> str | None:
    """The sentence that stands where no candidate is eligible on the record; None where one is."""
    verdicts = {candidate.verdict for candidate in recommendation.candidates}
    if "eligible" in verdicts:
        return None
    if "cannot-tell" in verdicts:
        return "No candidate can be called eligible on the record yet: see what is missing."
    if verdicts:
        return "No candidate is eligible on the record: each is listed with what rules it out."
    return "No candidate is listed."


def _stage(staging: Staging) -> str:
    derived, older = staging.editions["figo-2018"], staging.editions["figo-2009"]
    lines = [_edition("FIGO 2018", derived), _edition("FIGO 2009", older)]
    tnm = " ".join(filter(None, (staging.tnm.t, staging.tnm.n, staging.tnm.m)))
    lines += [f"TNM: {text(tnm)}"] if tnm else []
    lines += [f"{text(f'Recorded: {r.stage}{_of(r.edition)}, {_agreement(r.agrees)}')} {_small(r.source)}" for r in staging.recorded]
    primary = [f"histology {staging.primary.histology}" if staging.primary.histology else "histology not told"]
    primary += [f"diagnosed {staging.diagnosed}"] if staging.diagnosed else []
    lines.append(f"{text('Primary: ' + ', '.join(primary))} {_small(staging.primary.condition or '')}")
    return heading("Stage, derived by rule and not yet reviewed") + marked_items(lines)


def _edition(name: str, derived: EditionStage) -> str:
    could_be = f"; could be {', '.join(derived.could_be)}" if derived.could_be else ""
    because = []
    for b in derived.because:
        found = f" Found: {', '.join(b.findings)}." if b.findings else ""
        mark = "" if b.checked else ", not checked against the source"
        stop = "" if b.says.endswith((".", ".)")) else "."
        because.append(f"{b.says}{stop}{found} [{b.rule}; {b.reference}{f', {b.place}' if b.place else ''}{mark}]")
    head = f"{strong(f'{name} ' + (derived.label or 'not settled'))}{text(could_be)}."
    return f"{head} {text(' '.join(because))} {_small(*(s for b in derived.because for s in b.sources))}"


def _agreement(agrees: bool | None) -> str:
    return {True: "and the derived stage agrees", False: "and the derived stage differs: both stand", None: "not comparable"}[agrees]


def _of(edition: str | None) -> str:
    return f" ({edition})" if edition else " (edition not told)"


def _situation(recommendation: Recommendation, staging: Staging) -> str:
    situation = recommendation.situation
    setting = _SETTINGS.get(situation.setting or "", (situation.setting or "not settled").replace("-", " "))
    lines = [f"Setting: {setting}; disease state: {staging.known_state or 'not known'}"]
    if situation.line is not None:
        lines.append(f"Line of systemic treatment for advanced disease: {situation.line}")
    if (now := situation.ongoing) is not None:
        given = f"{' and '.join(now.drugs)}, {now.cycles} cycle{'' if now.cycles == 1 else 's'} since {now.since}, last given on {now.last}"
        lines.append(f"Ongoing: {given}; criteria of its own regimen do not count it, and a change of treatment is the board's question")
    if situation.recurrence:
        lines.append(f"Recurrence or progression, farthest on record: {situation.recurrence}")
    if situation.after:
        lines.append(f"Given before: {', '.join({'pd-1': 'PD-1 or PD-L1 antibody'}.get(name, name) for name in situation.after)}")
    if situation.platinum_free_days is not None:
        lines.append(f"Days from the last platinum dose to progression, or to the last day of the record: {situation.platinum_free_days}")
    if situation.prior_pelvic_radiotherapy is not None:
        lines.append(f"Radiotherapy to the pelvis before: {'yes' if situation.prior_pelvic_radiotherapy else 'no'}")
    for course in situation.radiotherapy:
        days = " to ".join(filter(None, (course.start, course.end)))
        dose = f", {course.total_gy:g} Gy{f' in {course.fractions} fractions' if course.fractions else ''}" if course.total_gy else ""
        where = course.field or "field not told"
        lines.append(f"Irradiated: {where}{f', {days}' if days else ''}{dose} ({course.source})")
    if any(site.site_class in ("organ", "peritoneal", "distant-node") for site in staging.metastases):
        few = {True: "yes", False: "no", None: "not known"}[staging.oligometastatic.value]
        lines.append(f"Oligometastatic ({staging.oligometastatic.definition}; {staging.oligometastatic.reference}): {few}")
    return heading("Situation") + items(lines)


def _sites(sites: Iterable[Metastasis]) -> str:
    rows = [
        (
            text(site.site.replace("node-", "node, ").replace("-", " ")),
            text(site.site_class.replace("-", " ")),
            text(site.certainty if site.lesions is None else f"{site.certainty}, {site.lesions} counted"),
            text("at diagnosis" if site.in_window else "later"),
            _small(*site.sources),
        )
        for site in sites
    ]
    return heading("Sites of spread") + table(("Site", "Class", "Certainty", "When", "Findings"), rows) if rows else ""


def _contraindications(recommendation: Recommendation) -> str:
    """Each contraindication that holds, before any candidate: what it rules out, and what it rests on."""
    listed = len(recommendation.candidates)
    lines = [
        f"{text(f'{one.block.says} Rules out {len(one.candidates)} of {listed} candidates.')} {_small(*one.block.sources)}"
        for one in blocked(recommendation.candidates)
    ]
    return heading("Contraindications that hold") + marked_items(lines) if lines else ""


def _pathway(pathway: Pathway, hold: bool) -> str:
    head, *rest = activities.pathway_words(pathway, hold=hold)
    rows = [(text(line.activity), text(activities.schedule_line(line, pathway.started))) for line in pathway.schedule if not hold]
    origin = f"Dates from the first cycle on {pathway.started}" if pathway.started else f"In days {activities.RELATIVE}"
    schedule = paragraph(text(f"If it is followed. {origin}.")) + table(("Activity", "When"), rows, ("60%",)) if rows else ""
    return heading("On a published pathway") + paragraph(text(head)) + items(rest) + schedule


def _trials(trials: Iterable[Trial]) -> str:
    verdicts = {"eligible": "fits on the record", "cannot-tell": "cannot tell yet", "ruled-out": "does not fit"}
    rows = []
    for trial in trials:
        asked = [f"{c.text}: {_STATES[c.verdict]}{f'. Ask: {c.ask}' if c.ask else ''}" for c in trial.criteria]
        registry = f" ({trial.registry})" if trial.registry else " (no registry number found)"
        rows.append((f"{strong(trial.title)}{text(registry)}", text(verdicts[trial.verdict]), items([*asked, *trial.notes])))
    return heading("Trials to ask about") + table(("Trial", "Verdict", "Criteria"), rows, ("30%", "12%")) if rows else ""


def _limits(recommendation: Recommendation) -> list[Note]:
    """What must be said of the prognostic tables wherever they stand: the notes that cite nothing but them."""
    tables = {factor.work for factor in recommendation.prognosis}
    return [note for note in recommendation.notes if note.sources and tables.issuperset(note.sources)]


def _prognosis(factors: Iterable[Prognosis], limits: Iterable[Note]) -> str:
    """The published groups beside one another. Groups of patients, never a prediction: the limits stand above the figures."""
    rows = []
    for factor in factors:
        p = "; ".join(f"{n} p {v}" for n, v in (("OS", factor.p_overall_survival), ("PFS", factor.p_progression_free_survival)) if v)
        for group in factor.groups:
            hers = {True: "yes", False: "no", None: "not known"}[group.hers]
            alive = ["-" if v is None else f"{v:g} %" for v in (group.overall_survival, group.progression_free_survival)]
            cells = (
                f"{factor.factor}: {group.group}",
                hers,
                str(group.n),
                *alive,
                p,
                f"{factor.months} months; {factor.work}, {factor.at}",
            )
            rows.append(tuple(map(text, cells)))
    head = ("Group of patients", "She is like them", "n", "Alive", "Progression-free", "p", "At; source")
    first = paragraph(strong("What became of other patients. It predicts nothing for this one."))
    return heading("Prognostic context") + first + items(n.text for n in limits) + table(head, rows, ("30%",)) if rows else ""


def _notes(notes: Iterable[Note]) -> str:
    lines = [f"{note.text} [{', '.join(note.sources)}]" if note.sources else note.text for note in notes]
    return _titled("To be kept in mind", lines)


def _works(recommendation: Recommendation) -> str:
    rows = [(text(name), text(work.citation), text(identifiers(work))) for name, work in sorted(recommendation.works.items())]
    return heading("Works cited") + table(("Id", "Work", "Identifiers"), rows, ("22%",)) if rows else ""


def _knowledge(staging: Staging, recommendation: Recommendation) -> str:
    shown = f"Knowledge: staging {staging.knowledge.edition} ({staging.knowledge.digest[:12]}), "
    shown += f"regimens {recommendation.knowledge.edition} ({recommendation.knowledge.digest[:12]}). "
    return paragraph(text(shown + "Each rule stands in a file of that edition, with its work and the place in it."))


def _titled(title: str, lines: list[str]) -> str:
    return heading(title) + items(lines) if lines else ""


def _small(*sources: str) -> str:
    shown = ", ".join(dict.fromkeys(filter(None, sources)))
    return f'<span style="color:#666;font-size:85%">{text(shown)}</span>' if shown else ""
