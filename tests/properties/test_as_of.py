"""With a day asked for, nothing is proposed or cited that was approved or published later: on a grid of days, in both outputs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from services.recommend.app import drugs
from services.recommend.candidates import recommend
from services.recommend.careplan import transaction
from services.recommend.dates import known
from services.recommend.decision import Answer
from services.recommend.library import library
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from shared.oncology.recommendation import Recommendation
from shared.oncology.record import encode
from tests import synthetic
from tests.recommend.case import Case, Expected, Line, Spread, Staged, record, staging

DAYS = ("2008-06-30", "2014-08-13", "2014-08-14", "2018-06-30", "2021-10-12", "2021-10-13", "2023-10-31", "2024-04-29", "2025-06-30")
CASES = ("ivb-cps-10", "ivb-renal-impairment", "iva-bladder-mucosa", "recurrent-lung-after-chemoradiation", "ib3-by-text")
LABELLED = ("approved", "accelerated", "conditional")


@cache
def of_patient(case: str, day: str) -> Answer:
    """A synthetic patient as if she had come on that day: the same record, read with every date moved before it."""
    read = read_bundle(moved(case, day), as_of=day)
    staged = stage(read, rules())
    return Answer(read, staged, recommend(read, staged, library()))


def moved(case: str, day: str) -> bytes:
    """The case with its years so far back that all of it lies before the day."""
    back = 2027 - int(day[:4]) + 1
    text = synthetic.raw(case).decode()
    for year in range(1930, 2028):
        text = text.replace(f'"{year}-', f'"{year - back}-')
    return text.encode()


PATIENTS = (
    Staged(),
    Staged(figo_2018="IVA", figo_2009="IVA"),
    Staged(figo_2018="IIIC1", figo_2009="IIB"),
    Staged(histology="8041/3"),
    Staged(spread=(Spread(site="lung", of="organ", lesions=2),), few=True),
    Staged(state="recurrent", figo_2018="IIB", figo_2009="IIB", window_end="2005-01-01"),
)


@cache
def of_case(number: int, day: str) -> Recommendation:
    """A patient of a case, fit and with every marker, as if it were that day; after a first line where the number is odd."""
    markers = (
        Line(observation="loinc 81695-9", id="msi", answer="loinc LA26203-2", on="2005-02-01"),
        Line(observation="loinc 94076-7", id="tmb", value=14, unit="{mut}/Mb", on="2005-02-01"),
        Line(observation="loinc 18474-7", id="her2", text="3+", on="2005-02-01"),
    )
    case = Case(says="", staged=PATIENTS[number], record=markers, as_of=day, expect=Expected())
    return recommend(record(case), staging(case.staged), library())


def strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from strings(inner)


def named(node: Any) -> set[str]:
    """The works of recommend that an output names: by id, citation, DOI, PubMed or registry number, wherever they stand."""
    words = list(strings(node))
    whole, text = set(words), "\n".join(words)
    found = set()
    for work in library().works.values():
        identifiers = [value for value in (work.doi, work.citation) if value]
        if work.id in whole or any(value in text for value in identifiers):
            found.add(work.id)
    return found


def later(works: set[str], day: str) -> set[str]:
    return {name for name in works if not known(library().works[name].published, day)}


def sinces(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("since"), str):
            yield node["since"]
        for inner in node.values():
            yield from sinces(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from sinces(inner)


def check(found: Recommendation, day: str) -> None:
    """Nothing in the answer is of a later day; nothing is offered that was neither approved nor published by then."""
    plain = json.loads(encode(found))
    assert later(named(plain), day) == set()
    assert [since for since in sinces(plain) if since > day] == []
    for candidate in found.candidates:
        regimen = library().regimens[candidate.regimen]
        approved = [status.since for status in regimen.regulatory if status.status in LABELLED and status.since]
        published = [library().works[shown.work].published for shown in regimen.evidence]
        if candidate.intent != "supportive":
            assert any(known(date, day) for date in approved or [date for date in published if date] or published), candidate.regimen
    for trial in found.trials:
        assert any(known(library().works[place.work].published, day) for place in library().trials[trial.id].because), trial.id
        on = library().trials[trial.id].status_on
        assert known(on, day) or not any(str(on) in note for note in trial.notes)


@pytest.mark.parametrize("day", DAYS)
@pytest.mark.parametrize("number", range(len(PATIENTS)))
def test_no_answer_names_what_came_later(number: int, day: str) -> None:
    check(of_case(number, day), day)


@pytest.mark.parametrize("day", DAYS)
@pytest.mark.parametrize("case", CASES)
def test_no_careplan_names_what_came_later(case: str, day: str) -> None:
    """The whole transaction: RequestGroup, requests, narrative, DetectedIssues, Provenance."""
    answer = of_patient(case, day)
    check(answer.recommendation, day)
    bundle = transaction(answer, drugs(library()), at=f"{day}T12:00:00Z", software="0.1.0")
    assert later(named(bundle), day) == set()


def test_the_grid_of_days_tells_something() -> None:
    """Early days list less than late ones, and the check finds a later work where one stands."""
    listed = [len(of_case(0, day).candidates) for day in DAYS]
    assert listed[0] < listed[-1]
    assert sorted(listed) == listed
    assert later(named(json.loads(encode(of_case(0, DAYS[-1])))), "2008-06-30")


def test_an_approval_counts_from_its_day() -> None:
    """Pembrolizumab with chemotherapy for a CPS of at least 1: approved by the FDA on 13 October 2021, and not the day before."""
    name = "pembrolizumab-cisplatin-paclitaxel-bevacizumab"
    before, after = ({c.regimen for c in of_case(0, day).candidates} for day in ("2021-10-12", "2021-10-13"))
    assert name not in before
    assert name in after
