"""An answer out of the ledger, as HTML. Takes tens of milliseconds of one core: call it in a thread."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.ingest.pages.banner import banner
from services.ingest.pages.decision_view import DecisionView
from services.ingest.pages.links import Links
from services.ingest.pages.progress import Progress
from services.ingest.pages.rendering import Place, render
from services.ingest.pages.resource_view import resource
from services.ingest.pages.view import Answered, Page, Viewer, page
from services.ingest.tables import Answer, expanded
from shared.oncology.recommendation import Recommendation
from shared.oncology.record import Record
from shared.oncology.stage import Staging


def answer_view(answer: Answer, place: Place, *, with_banner: bool, plots: bool = True) -> Page:
    """The view of an answer: what a page, a printed sheet and a list of patients show of it."""
    record = msgspec.json.decode(expanded(answer.record), type=Record)
    staging = msgspec.json.decode(expanded(answer.staging), type=Staging)
    recommendation = msgspec.json.decode(expanded(answer.recommendation), type=Recommendation)
    answered = Answered(answer.id, answer.answered, answer.careplan, answer.careplan_version, answer.mode, answer.whole)
    links = Links(place.base, record.findings, recommendation.works)
    person = resource(expanded(answer.raw), "Patient", "") if with_banner else None
    return page(record, staging, recommendation, answered, links, banner(person or b"{}") if with_banner else None, plots=plots)


def answer_page(answer: Answer, place: Place, viewer: Viewer, progress: Progress | None, decided: Sequence[DecisionView]) -> str:
    """The page of an answer; with `progress` while it is being checked against the record, or cannot be."""
    view = answer_view(answer, place, with_banner=viewer.banner)
    return render("page.html", page=view, viewer=viewer, place=place, progress=progress, decided=decided)
