"""The candidates side by side: verdict, reasons, cautions, doses, evidence, approvals; and what many of them share, once.

What several candidates ask for, and what is said of several, stands once with their numbers; what rules a candidate out stands in a
table of its own, without doses.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.recommend.citations import places
from services.recommend.xhtml import heading, items, marked_items, paragraph, strong, table, text
from shared.oncology.recommendation import Candidate, Caution, DoseAmount, Reason, Recommendation
from shared.oncology.wording import basis_words, course_words, rule_words, sentence

_ANSWERS = {"holds": "Met", "fails": "Fails", "unknown": "Not known"}
_VERDICTS = {"eligible": "eligible on the record", "cannot-tell": "cannot tell yet", "ruled-out": "ruled out"}


def candidates(recommendation: Recommendation) -> str:
    """Everything of the candidates; nothing where none is listed."""
    listed = recommendation.candidates
    offered, out = [c for c in listed if c.verdict != "ruled-out"], [c for c in listed if c.verdict == "ruled-out"]
    parts = [heading(f"Candidates ({len(offered)} to discuss, {len(out)} ruled out)") if listed else ""]
    parts.append(_shared("Open criteria, and the candidates that an answer would settle", _open(offered)))
    if offered:
        order = "Numbers are the order that the policy declares, not a choice. Doses are references, never an order."
        grades = sorted({c.grade.by for c in offered if c.grade})
        parts.append(paragraph(text(f"{order} {_graded(grades)}")))
        columns = ("Candidate", "For and against", "Reference doses and schedule", "Evidence and approvals")
        parts.append(table(columns, [_row(c) for c in offered], ("19%", "24%", "28%", "29%")))
        parts.append(_shared("Doses were reckoned from", ((b, c) for c in offered for d in c.doses if (b := _basis(c, d.drug)))))
    if out:
        parts.append(heading("Ruled out"))
        parts.append(table(("Candidate", "What rules it out"), [_ruled_out(c) for c in out], ("40%",)))
    parts.append(_shared("To ask, and for which candidates", ((m.ask, c) for c in offered for m in c.missing)))
    parts.append(_shared("Remarks, and on which candidates", ((note, c) for c in offered for note in c.notes)))
    parts.append(_rests_on(listed))
    return "".join(parts)


def _open(offered: Iterable[Candidate]) -> list[tuple[str, Candidate]]:
    return [(reason.says, candidate) for candidate in offered for reason in candidate.reasons if reason.verdict == "unknown"]


def _row(candidate: Candidate) -> tuple[str, str, str, str]:
    name = f"{strong(f'{candidate.rank}. {candidate.title}')}<br/>{text(_VERDICTS[candidate.verdict])}; {text(candidate.intent)}"
    grade = f"<br/>{text(candidate.grade.text)}" if candidate.grade else ""
    unknown = [r for r in candidate.reasons if r.verdict == "unknown"]
    lines = [f"{strong('Caution')}: {text(c.says)}" for c in candidate.cautions]
    lines += [f"{strong('Not known')}: {text(r.says)}" for r in unknown]
    met = [r.criterion.replace("-", " ") for r in candidate.reasons if r.verdict == "holds"]
    lines += [text(f"Met: {', '.join(met)}")] if met else []
    asked = len(candidate.missing) - len(unknown)
    lines += [f"Open questions: {asked} (listed below)"] if asked > 0 else []
    return name + grade, marked_items(lines), _doses(candidate), _evidence(candidate)


def _graded(by: list[str]) -> str:
    return f"Grades: {'; '.join(by)}." if by else ""


def _doses(candidate: Candidate) -> str:
    lines = [*candidate.schedule, *[None] * len(candidate.doses)]
    shown = []
    for dose, line in zip(candidate.doses, lines, strict=False):
        policy = f", by policy {dose.rounded:g} {dose.unit}" if dose.rounded is not None else ""
        amount = f"{dose.amount:g} {dose.unit}{policy}" if dose.amount is not None else _no_amount(dose)
        cap = f", at most {dose.cap:g} {dose.unit} a dose" if dose.cap is not None else ""
        shown.append(f"{text(rule_words(dose, line))}: {strong(amount)}{text(cap)}")
    courses = [text(course_words(course)) for course in candidate.radiotherapy]
    return marked_items([*shown, *courses]) or text("No drug and no course is fixed")


def _no_amount(dose: DoseAmount) -> str:
    return "no amount: the label asks for less" if "reduced" in dose.basis else "no amount: inputs missing"


def _evidence(candidate: Candidate) -> str:
    """Each work once, with the checked figures that it reports; then what the agencies have said."""
    works: dict[str, list[str]] = {}
    for figure in candidate.evidence:
        said = works.setdefault(figure.id, [])
        if words := sentence(figure):
            said.append(f"{words}{f' ({figure.at})' if figure.at else ''}")
    lines = [f"{strong(work)}: {text('; '.join(said)) if said else 'cited without a figure'}" for work, said in works.items()]
    for r in candidate.regulatory:
        mark = "" if r.checked else " (not checked against the source)"
        status = f"{r.status}{f' since {r.since}' if r.since else ''}{f', {r.use}' if r.use else ''}"
        lines.append(text(f"{r.agency}: {r.use if r.status == 'not-found' and r.use else status}{mark}"))
    return marked_items(lines)


def _ruled_out(candidate: Candidate) -> tuple[str, str]:
    why = [b.says for b in candidate.blocks] + [r.says for r in candidate.reasons if r.verdict == "fails"]
    return strong(f"{candidate.rank}. {candidate.title}"), items(why)


def _basis(candidate: Candidate, drug: str) -> str:
    words = [basis_words(dose) for dose in candidate.doses if dose.drug == drug and dose.amount is not None]
    return f"{drug}: {words[0]}" if words and words[0] else ""


def _shared(title: str, lines: Iterable[tuple[str, Candidate]]) -> str:
    """Each line once, with the numbers of the candidates that it belongs to."""
    found: dict[str, list[int]] = {}
    for line, candidate in lines:
        ranks = found.setdefault(line.rstrip("."), [])
        if candidate.rank not in ranks:
            ranks.append(candidate.rank)
    shown = [f"{text(line)} <i>({text(_ranks(ranks))})</i>" for line, ranks in found.items()]
    return paragraph(strong(title)) + marked_items(shown) if shown else ""


def _ranks(ranks: list[int]) -> str:
    """Numbers with their runs drawn together: 1 to 4, 7."""
    runs: list[list[int]] = []
    for rank in sorted(ranks):
        if runs and rank == runs[-1][-1] + 1:
            runs[-1].append(rank)
        else:
            runs.append([rank])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def _rests_on(listed: Iterable[Candidate]) -> str:
    """Every criterion that was asked, once: its answer, its findings, and the place in a work for each candidate it was asked of."""
    rows: dict[tuple[str, str], dict[str, list[int]]] = {}
    for candidate in listed:
        rules: list[tuple[str, Reason | Caution]] = [*((_ANSWERS[r.verdict], r) for r in candidate.reasons)]
        rules += [*(("Caution", c) for c in candidate.cautions), *(("Rules out", b) for b in candidate.blocks)]
        for answer, rule in rules:
            says = f"{strong(answer)}: {text(rule.says)} <i>{text(rule.criterion)}</i>"
            works = rows.setdefault((says, text(", ".join(rule.sources) or "no finding")), {})
            works.setdefault(places(rule) or "policy", []).append(candidate.rank)
    shown = [(*row, items(f"{work} ({_ranks(ranks)})" for work, ranks in works.items())) for row, works in rows.items()]
    head = ("Criterion", "Findings", "Work, place in it, and candidates")
    return heading("Criteria: what each answer rests on") + table(head, shown, ("42%", "26%")) if rows else ""
