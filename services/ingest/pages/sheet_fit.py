"""How much fits on the page: the height of a sheet, reckoned from its texts in millimetres of the style sheet.

It errs to the high side; a test draws every synthetic patient's sheet and measures it.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from typing import Final

from services.ingest.pages.sheet import HALF, MOST, Sheet, sheet
from services.ingest.pages.sheet_table import DOSE, FIGURE, SAYS, SheetCandidate
from services.ingest.pages.view import Page
from shared.oncology.recommendation import Recommendation
from shared.oncology.stage import Staging

PAGE: Final = 280.0  # mm of A4 between its margins
_TEXT, _SMALL, _FINE = 3.36, 3.2, 2.8  # mm of a line
_MAP: Final = 40.0
_MARKS: Final = {"fails": "Against: ", "unknown": "Not known: ", "caution": "Caution: "}
_TITLE, _STAGE, _SITE, _WIDE, _FOOT = 21, 78, 34, 165, 180  # characters of a line


def fitted(page: Page, staging: Staging, recommendation: Recommendation, number: int = 1) -> Sheet:
    """The sheet with as many candidates, and then as many figures, as there is room for."""
    listed = len(page.open) + len(page.more) + len(page.out)
    for most in range(min(MOST, listed), 0, -1):
        for bars in (6, 4, 3):
            found = sheet(page, staging, recommendation, number=number, most=most, bars=bars)
            if height(found) <= PAGE:
                return found
    return sheet(page, staging, recommendation, number=number, most=min(1, listed), bars=1)


def height(s: Sheet) -> float:
    """The height of a sheet in mm."""
    foot = 3 * _FINE + _lines("; ".join(s.sources.shown), _FOOT) * _FINE
    return 52 + foot + _answer(s) + _asks(s) + _candidates(s) + _forest(s)


def _answer(s: Sheet) -> float:
    facts = _lines("   ".join(f"{name} {value}" for name, value in s.facts), _STAGE)
    chain = sum(_lines(f"{found} {rule}", _STAGE) for found, rule in s.chain)
    stage = 14 + _TEXT * (facts + chain + _lines(s.recorded, _STAGE) * bool(s.recorded) + 1)
    sites = _TEXT * (_tall(s.sites.shown, _SITE) + bool(s.sites.further) + 2)
    return max(_MAP, stage, sites) + 2


def _asks(s: Sheet) -> float:
    columns = ((s.missing,), (s.conflicts, s.questions))
    told = [sum(_tall(part.shown, HALF) + 1.3 + bool(part.further) for part in column if part.shown) for column in columns]
    return max(told) * _TEXT + 3


def _candidates(s: Sheet) -> float:
    if not s.candidates:
        return _TEXT * 3
    return 11 + sum(map(_row, s.candidates)) + _lines("  ".join(said for _, said in s.inputs), _WIDE) * _FINE * bool(s.inputs)


def _row(c: SheetCandidate) -> float:
    doses = _tall((f"{dose.drug} {dose.amount} {dose.rule}, {dose.when}" for dose in c.doses), DOSE) + _tall(c.courses, DOSE)
    against = _tall((f"   {_MARKS[mark]}{text}" for mark, text in c.against), SAYS) + bool(c.met) + bool(c.further)
    title = _lines(f"{c.rank} {c.title}", _TITLE) + _lines(f"   {c.verdict_words}, {c.intent}", _TITLE + 3)
    return max(title, against, doses, _lines(c.figure, FIGURE)) * _SMALL + 1.5


def _forest(s: Sheet) -> float:
    return 13 + len(s.forest.bars) * 3.5 + bool(s.forest.further) * _SMALL if s.forest else 0.0


def _lines(text: str, wide: int) -> int:
    return max(1, ceil(len(text) / wide))


def _tall(texts: Iterable[str], wide: int) -> int:
    return sum(_lines(text, wide) for text in texts)
