"""The candidates in the table of the tumour-board sheet: verdict, for and against, reference doses, the best checked figure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from services.ingest.pages.candidate_view import CandidateView, Claim, Dose
from services.ingest.pages.forest import runs
from services.ingest.pages.links import Cited
from services.ingest.pages.sheet_forest import best_figure
from services.ingest.pages.sheet_words import metres, says, short
from shared.oncology.recommendation import Recommendation

SAYS, DOSE, FIGURE = 42, 54, 34  # characters of a line in the columns
_SHORTER: Final = (("intravenously", "IV"), ("at most ", "≤\u00a0"))
_EVERY: Final = re.compile(r"day (\d+(?:, \d+)*) every (\d+) days")


class SheetDose(NamedTuple):
    """A reference dose in short; `inputs` is the letter of what its amount was worked out from."""

    drug: str
    rule: str
    amount: str
    when: str
    inputs: str


class SheetCandidate(NamedTuple):
    """A row. `against` are pairs of a mark ("fails", "unknown", "caution") and a sentence, `further` how many more of them there are."""

    rank: int
    title: str
    intent: str
    verdict: str
    verdict_words: str
    met: int
    against: tuple[tuple[str, str], ...]
    further: int
    doses: tuple[SheetDose, ...]
    courses: tuple[str, ...]
    figure: str
    cited: tuple[Cited, ...]


def letters(chosen: Iterable[CandidateView]) -> dict[str, str]:
    """A letter for each set of inputs that the amounts were worked out from."""
    told = dict.fromkeys(dose.inputs for one in chosen if one.verdict != "ruled-out" for dose in one.doses if dose.inputs)
    return {inputs: chr(ord("a") + number) for number, inputs in enumerate([*told][:6])}


def table(chosen: Sequence[CandidateView], recommendation: Recommendation) -> tuple[SheetCandidate, ...]:
    """The rows; what an earlier row has told is named only: "as for candidate 1"."""
    named, told, found = letters(chosen), dict[str, int](), list[SheetCandidate]()
    figures = {c.rank: c.evidence for c in recommendation.candidates}
    for c in chosen:
        ruled_out = c.verdict == "ruled-out"
        same = {told[one.says] for one in c.courses if one.says in told}
        courses = [short(one.says, 3 * DOSE) for one in c.courses if one.says not in told][:2]
        courses += [f"irradiation as for candidate {runs(same)}"] if same else []
        if not ruled_out:
            told |= {one.says: c.rank for one in c.courses if one.says not in told}
        against, further = _against(c, told)
        found.append(
            SheetCandidate(
                rank=c.rank,
                title=short(c.title, 110),
                intent=short(c.intent, 24),
                verdict=c.verdict,
                verdict_words=c.verdict_words,
                met=len(c.met),
                against=against,
                further=further,
                doses=() if ruled_out else tuple(_dose(dose, named) for dose in c.doses[:5]),
                courses=() if ruled_out else tuple(courses),
                figure=best_figure(figures.get(c.rank, ()), 4 * FIGURE),
                cited=(*(work.cited for work in c.works), *(dose.work for dose in c.doses if dose.work and not ruled_out)),
            )
        )
    return tuple(found)


def _against(c: CandidateView, told: dict[str, int]) -> tuple[tuple[tuple[str, str], ...], int]:
    """The first two of what speaks against it or is open, and how many more there are."""
    marked: list[tuple[str, Claim]] = [("fails", one) for one in (*c.blocks, *c.fails)]
    marked += [*(("unknown", one) for one in c.unknown), *(("caution", one) for one in c.cautions)]
    shown = []
    for mark, one in marked[:2]:
        before = told.setdefault(one.says, c.rank)
        shown.append((mark, says(one.says, 3 * SAYS) if before == c.rank else f"{short(one.says, 50)} as for candidate {before}"))
    return tuple(shown), max(0, len(marked) - 2)


def _dose(dose: Dose, named: dict[str, str]) -> SheetDose:
    when = dose.when + (f"; {dose.cap}" if dose.cap else "")
    for word, shorter in _SHORTER:
        when = when.replace(word, shorter)
    when = short(_EVERY.sub(r"d\1 q\2d", when), 2 * DOSE)
    rule = "" if dose.rule == dose.amount else metres(dose.rule)
    rule += "" if dose.checked or "†" in when else "†"
    amount = dose.amount or f"no amount: {short(dose.why, 40)}"
    return SheetDose(dose.drug, rule, amount, when, named.get(dose.inputs, "") if dose.amount else "")
