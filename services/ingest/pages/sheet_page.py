"""Answers out of the ledger as printed sheets, in HTML. Takes about a tenth of a second a patient: call it in a thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from services.ingest.pages.answer_page import answer_view
from services.ingest.pages.decision_view import DecisionView
from services.ingest.pages.rendering import Place, render, static_name
from services.ingest.pages.sheet import Sheet
from services.ingest.pages.sheet_fit import fitted
from services.ingest.tables import Answer, expanded
from shared.oncology.recommendation import Recommendation
from shared.oncology.stage import Staging


class Paper(NamedTuple):
    """One printed page: the sheet, what was decided, and what has to be said of the answer's age."""

    sheet: Sheet
    decided: tuple[DecisionView, ...]
    notice: str


def paper(answer: Answer, place: Place, decided: Sequence[DecisionView], notice: str, number: int = 1) -> Paper:
    """The printed page of an answer. It always names the patient: paper leaves the EHR that shows her beside us."""
    view = answer_view(answer, place, with_banner=True, plots=False)
    staging = msgspec.json.decode(expanded(answer.staging), type=Staging)
    recommendation = msgspec.json.decode(expanded(answer.recommendation), type=Recommendation)
    return Paper(fitted(view, staging, recommendation, number), tuple(decided), notice)


def sheet_page(papers: Sequence[Paper], place: Place, printed: str, *, pdf: str, unready: Sequence[str] | None = None) -> str:
    """The document; with a line for each patient in front of them where `unready` says of whom there is no sheet."""
    shown = {"papers": papers, "place": place, "css": static_name("sheet.css"), "printed": printed, "pdf": pdf, "unready": unready}
    return render("sheet.html", **shown)
