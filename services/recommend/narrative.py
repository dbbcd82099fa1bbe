"""The CarePlan in words, for whoever opens it in an EHR that shows the narrative only. Proposes, never orders."""

from __future__ import annotations

from html import escape

from services.recommend.options import course_words, dose_words, schedule_words, sentence
from shared.oncology.recommendation import Candidate, Recommendation
from shared.oncology.stage import Staging

_VERDICTS = {"eligible": "eligible on the record", "cannot-tell": "cannot tell yet", "ruled-out": "ruled out"}


def narrative(staging: Staging, recommendation: Recommendation) -> str:
    """XHTML for CarePlan.text: stage, sites, what is missing, and every candidate with its reasons, doses and citations."""
    derived = staging.editions["figo-2018"]
    older = staging.editions["figo-2009"]
    could_be = f"; could be {', '.join(derived.could_be)}" if derived.could_be else ""
    parts = [
        "<p><b>Proposed treatment options for the tumour board. Not an order: a clinician decides.</b></p>",
        f"<p>FIGO 2018 {escape(derived.label or 'not settled')}{escape(could_be)}; FIGO 2009 {escape(older.label or 'not settled')}.",
        *(f" {escape(b.says)}" for b in derived.because),
        "</p>",
        _list("Sites", [f"{m.site.replace('-', ' ')} ({m.site_class}, {m.certainty})" for m in staging.metastases]),
        _list("Missing for the stage", [m.ask for m in derived.missing]),
        _list("To be looked at", [i.text for i in staging.issues if i.severity != "information"]),
        f"<p><b>{escape(verdict)}</b></p>" if (verdict := nothing_eligible(recommendation)) else "",
        *(_candidate(candidate) for candidate in recommendation.candidates),
        *(f"<p>{escape(note.text)}</p>" for note in recommendation.notes),
        f"<p>Knowledge: staging {escape(staging.knowledge.edition)}, regimens {escape(recommendation.knowledge.edition)}.</p>",
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


def _candidate(candidate: Candidate) -> str:
    lines = [f"{r.says} ({r.verdict})" for r in candidate.reasons]
    lines += [f"Block: {b.says}" for b in candidate.blocks] + [f"Caution: {c.says}" for c in candidate.cautions]
    lines += [f"To ask: {m.ask}" for m in candidate.missing]
    proposed = candidate.verdict != "ruled-out"
    lines += [f"{d.drug}: {dose_words(d, amount=proposed)}" for d in candidate.doses] + [course_words(c) for c in candidate.radiotherapy]
    lines += schedule_words(candidate) + list(candidate.notes)
    lines += [f"{candidate.grade.text} ({candidate.grade.by})"] if candidate.grade else []
    lines += _citations(candidate)
    head = f"<p><b>{candidate.rank}. {escape(candidate.title)}</b>: {_VERDICTS[candidate.verdict]}</p>"
    return head + _list(None, lines)


def _citations(candidate: Candidate) -> list[str]:
    """Each work once, with the checked figures that it reports."""
    works: dict[str, list[str]] = {}
    for figure in candidate.evidence:
        said = works.setdefault(figure.citation.rstrip("."), [])
        if (words := sentence(figure)) is not None:
            said.append(words)
    return [". ".join([citation, *said]) + "." for citation, said in works.items()]


def _list(title: str | None, lines: list[str]) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return (f"<p>{escape(title)}</p>" if title else "") + f"<ul>{items}</ul>"
