"""The candidates as a page shows them: the first three side by side, the others behind their titles, what is ruled out last."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from services.ingest.pages.links import Cited, Link, Links
from shared.fhir.words import joined
from shared.oncology.recommendation import (
    Activity,
    Candidate,
    Caution,
    DoseAmount,
    EvidenceFigure,
    Reason,
    Recommendation,
    Regulatory,
)
from shared.oncology.wording import basis_words, course_words, rule_words, sentence

OPEN = 3
VERDICTS = {"eligible": "Eligible on the record", "cannot-tell": "Cannot tell yet", "ruled-out": "Ruled out"}
_ANSWERS = {"holds": "Met", "fails": "Fails", "unknown": "Not known"}


class Claim(NamedTuple):
    """A sentence, the resources it rests on, and the works it is taken from. `mark` is its verdict in a word."""

    mark: str
    says: str
    criterion: str
    sources: tuple[Link, ...]
    works: tuple[Cited, ...]


class Dose(NamedTuple):
    """A reference dose: `amount` is for this patient, "" where it cannot be told, and `why` says the reason."""

    drug: str
    rule: str
    amount: str
    why: str
    cap: str
    when: str
    inputs: str
    sources: tuple[Link, ...]
    work: Cited | None
    checked: bool


class Course(NamedTuple):
    """A course of radiotherapy, in words."""

    says: str
    work: Cited


class Work(NamedTuple):
    """A work with the checked figures that are taken from it, in words; none where none was checked."""

    cited: Cited
    figures: tuple[str, ...]


class Approval(NamedTuple):
    """What one agency says."""

    agency: str
    says: str
    work: Cited | None
    checked: bool


class CandidateView(NamedTuple):
    """One candidate. `why` is the one line that explains its verdict; `verdict` the wire's word, `verdict_words` ours."""

    regimen: str
    anchor: str
    rank: int
    title: str
    intent: str
    verdict: str
    verdict_words: str
    why: str
    grade: str
    graded_by: str
    blocks: tuple[Claim, ...]
    cautions: tuple[Claim, ...]
    fails: tuple[Claim, ...]
    unknown: tuple[Claim, ...]
    met: tuple[Claim, ...]
    asks: tuple[str, ...]
    doses: tuple[Dose, ...]
    inputs: tuple[str, ...]
    courses: tuple[Course, ...]
    works: tuple[Work, ...]
    approvals: tuple[Approval, ...]
    notes: tuple[str, ...]


class First(NamedTuple):
    """The first candidate, its best figure, and the first that is eligible on the record where that is another."""

    candidate: CandidateView
    figure: EvidenceFigure | None
    work: Cited | None
    eligible: CandidateView | None


def candidates(recommendation: Recommendation, links: Links) -> tuple[CandidateView, ...]:
    """All of them, in the order of the policy, what is ruled out last."""
    return tuple(_view(candidate, links) for candidate in recommendation.candidates)


def first(recommendation: Recommendation, shown: tuple[CandidateView, ...], links: Links) -> First | None:
    """What a reader finds first; None where nothing is offered."""
    offered = [view for view in shown if view.verdict != "ruled-out"]
    if not offered:
        return None
    source = next(c for c in recommendation.candidates if c.regimen == offered[0].regimen)
    best = next((f for f in source.evidence if f.checked and f.hazard_ratio is not None), None)
    best = best or next((f for f in source.evidence if sentence(f)), None)
    work = best.id if best else source.evidence[0].id if source.evidence else None
    eligible = next((view for view in offered if view.verdict == "eligible"), None)
    return First(offered[0], best, links.work(work) if work else None, eligible if eligible is not offered[0] else None)


def blocked(recommendation: Recommendation, links: Links) -> tuple[tuple[Claim, str], ...]:
    """Each contraindication that holds, once, and how much it rules out."""
    found: dict[tuple[str, str], tuple[Caution, int]] = {}
    for candidate in recommendation.candidates:
        for block in candidate.blocks:
            key = (block.criterion, block.says)
            found[key] = (block, found.get(key, (block, 0))[1] + 1)
    total = len(recommendation.candidates)
    return tuple((_claim("Rules out", block, links), f"{count} of {total} candidates") for block, count in found.values())


def _view(c: Candidate, links: Links) -> CandidateView:
    by_answer = {answer: tuple(_claim(_ANSWERS[answer], r, links) for r in c.reasons if r.verdict == answer) for answer in _ANSWERS}
    doses = tuple(_doses(c, links))
    return CandidateView(
        regimen=c.regimen,
        anchor=f"candidate-{c.rank}",
        rank=c.rank,
        title=c.title,
        intent=c.intent,
        verdict=c.verdict,
        verdict_words=VERDICTS[c.verdict],
        why=_why(c),
        grade=c.grade.text if c.grade else "",
        graded_by=c.grade.by if c.grade else "",
        blocks=tuple(_claim("Rules out", block, links) for block in c.blocks),
        cautions=tuple(_claim("Caution", caution, links) for caution in c.cautions),
        fails=by_answer["fails"],
        unknown=by_answer["unknown"],
        met=by_answer["holds"],
        asks=tuple(dict.fromkeys(m.ask for m in c.missing)),
        doses=doses,
        inputs=tuple(dict.fromkeys(dose.inputs for dose in doses if dose.inputs)),
        courses=tuple(Course(course_words(course), links.work(course.reference, course.at)) for course in c.radiotherapy),
        works=tuple(_works(c.evidence, links)),
        approvals=tuple(_approval(status, links) for status in c.regulatory),
        notes=c.notes,
    )


def _why(c: Candidate) -> str:
    """The verdict's reason, in one line."""
    if c.verdict == "ruled-out":
        rules: list[Reason | Caution] = [*c.blocks, *(r for r in c.reasons if r.verdict == "fails")]
        return rules[0].says if rules else ""
    unknown = [r.criterion for r in c.reasons if r.verdict == "unknown"]
    asked = [m.ask for m in c.missing][: len(unknown)]
    if c.verdict == "cannot-tell":
        return f"Not on record: {joined(asked)}" if asked else "A criterion is open"
    said = _counted(len(c.cautions), "caution") if c.cautions else "No contraindication recorded"
    return f"{said}; {_counted(len(c.missing), 'question')} to ask" if c.missing else said


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _claim(mark: str, rule: Reason | Caution, links: Links) -> Claim:
    words = rule.criterion.replace("-", " ")
    return Claim(mark, rule.says, words, links.sources(rule.sources), links.works(rule.evidence, rule.at))


def _doses(c: Candidate, links: Links) -> Iterator[Dose]:
    lines: list[Activity | None] = [*c.schedule, *[None] * len(c.doses)]
    for dose, line in zip(c.doses, lines, strict=False):
        amount = f"{dose.amount:g} {dose.unit}" if dose.amount is not None else ""
        rounded = f", by policy {dose.rounded:g} {dose.unit}" if dose.amount is not None and dose.rounded is not None else ""
        yield Dose(
            drug=dose.drug,
            rule=dose.rule,
            amount=amount + rounded,
            why=_no_amount(dose),
            cap=f"at most {dose.cap:g} {dose.unit} a dose" if dose.cap is not None else "",
            when=rule_words(dose, line).removeprefix(f"{dose.drug} {dose.rule} "),
            inputs=basis_words(dose) if dose.amount is not None else "",
            sources=links.sources(dose.sources),
            work=links.work(dose.reference, dose.at) if dose.reference else None,
            checked=dose.checked,
        )


def _no_amount(dose: DoseAmount) -> str:
    if dose.amount is not None:
        return ""
    return str(dose.basis["reduced"]) if dose.basis.get("reduced") else "inputs are missing"


def _works(figures: Iterable[EvidenceFigure], links: Links) -> Iterator[Work]:
    """Each work once, with its figures."""
    found: dict[str, list[str]] = {}
    for figure in figures:
        said = found.setdefault(figure.id, [])
        if words := sentence(figure):
            said.append(words)
    for name, said in found.items():
        yield Work(links.work(name), tuple(said))


def _approval(status: Regulatory, links: Links) -> Approval:
    since = f" since {status.since}" if status.since else ""
    use = f", {status.use}" if status.use else ""
    said = status.use if status.status == "not-found" and status.use else f"{status.status.replace('-', ' ')}{since}{use}"
    work = links.work(status.reference, status.at) if status.reference else None
    return Approval(status.agency, said, work, status.checked)
