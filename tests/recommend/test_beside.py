"""Every case of trials, pathways and prognostic context under tests/cases, run through the whole of recommend."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from services.recommend.candidates import recommend
from services.recommend.library import library
from services.recommend.pathway import PathwayFile
from shared.knowledge.loader import load
from shared.oncology.recommendation import Pathway, Recommendation
from tests.recommend.case import Case as Told
from tests.recommend.case import Line, Staged, cases, record, staging

CASES = Path(__file__).parents[1] / "cases"


class Stands(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a patient must stand on a pathway. `says`, `next`, `undefined`: words that must be there. `shown: false`: not shown at all."""

    id: str
    shown: bool = True
    state: str | None = None
    track: str | None = None
    passed: tuple[str, ...] | None = None
    says: str | None = None
    next: str | None = None
    undefined: str | None = None
    missing: tuple[str, ...] | None = None
    started: str | None = None
    days: dict[str, int] = {}


class Meets(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a trial must answer: its verdict, and criteria by words of their text."""

    id: str
    verdict: Literal["eligible", "cannot-tell", "ruled-out", "not-listed"]
    criteria: dict[str, Literal["holds", "fails", "unknown"]] = {}
    asks: tuple[str, ...] = ()


class Expected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What must stand beside the candidates. `prognosis`: the group that is hers, by factor; None where no factor may be shown."""

    pathway: Stands | None = None
    trial: Meets | None = None
    prognosis: dict[str, str | None] | None = None
    not_shown: tuple[str, ...] = ()
    note: str | None = None


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One case; `record` and `staged` as in the cases of regimens."""

    says: str
    silent: tuple[str, ...] = ()
    staged: Staged = Staged()
    record: tuple[Line, ...] = ()
    as_of: str | None = None
    expect: Expected


def _all() -> list[Any]:
    paths = [path for folder in ("pathways", "trials", "prognosis") for path in cases(CASES / folder)]
    return [pytest.param(case, id=f"{path.stem}: {case.says}") for path in paths for case in load(path, list[Case])]


def _answer(case: Case) -> Recommendation:
    from tests.recommend.case import Expected as Anything

    told = Told(says=case.says, silent=case.silent, staged=case.staged, record=case.record, as_of=case.as_of, expect=Anything())
    return recommend(record(told), staging(told.staged), library())


@pytest.mark.parametrize("case", _all())
def test_beside(case: Case) -> None:
    """What stands beside the candidates is as the case says."""
    answer = _answer(case)
    if case.expect.pathway:
        _stands(case.expect.pathway, {p.id: p for p in answer.pathways})
    if expected := case.expect.trial:
        found = {trial.id: trial for trial in answer.trials}
        if expected.verdict == "not-listed":
            assert expected.id not in found
        else:
            trial = found[expected.id]
            verdicts = {c.text: c.verdict for c in trial.criteria}
            assert trial.verdict == expected.verdict, verdicts
            for words, verdict in expected.criteria.items():
                assert [v for text, v in verdicts.items() if words in text] == [verdict], verdicts
            asked = " | ".join(c.ask or "" for c in trial.criteria)
            assert [words for words in expected.asks if words not in asked] == []
    if case.expect.prognosis is not None:
        assert case.expect.prognosis or not answer.prognosis
        hers = {p.factor: next((g.group for g in p.groups if g.hers), None) for p in answer.prognosis}
        assert {factor: hers.get(factor) for factor in case.expect.prognosis} == case.expect.prognosis
        assert bool(hers) == bool(case.expect.prognosis)
    assert not set(case.expect.not_shown) & {p.factor for p in answer.prognosis}
    if case.expect.note:
        assert any(case.expect.note in note.text for note in answer.notes)


def _stands(expected: Stands, found: dict[str, Pathway]) -> None:
    assert (expected.id in found) is expected.shown
    if not expected.shown:
        return
    path = found[expected.id]
    passed = tuple(step.state for step in path.passed)
    if expected.state:
        assert path.current.state == expected.state, (passed, path.missing)
    if expected.track:
        assert path.track == expected.track
    if expected.passed is not None:
        assert passed == expected.passed
    assert expected.says is None or expected.says in path.current.says
    assert expected.next is None or expected.next in " | ".join(path.next)
    assert expected.undefined is None or expected.undefined in " | ".join(path.undefined)
    if expected.missing is not None:
        assert tuple(m.fact for m in path.missing) == expected.missing
    assert expected.started is None or path.started == expected.started
    days = {activity.activity: activity.day for activity in path.schedule}
    for words, day in expected.days.items():
        assert [d for text, d in days.items() if words in text] == [day], days


@pytest.mark.parametrize("path", library().pathways.values(), ids=lambda path: path.id)
def test_every_state_of_a_pathway_can_be_reached_and_has_a_case(path: PathwayFile) -> None:
    """No state stands idle: each is reached from the entry, and a case ends in it or passes it."""
    reached, todo = set(), [path.states[0].id]
    while todo:
        name = todo.pop()
        if name not in reached:
            reached.add(name)
            todo += [way.to for way in path.state(name).ways]
    assert reached == {state.id for state in path.states}
    told = [param.values[0].expect.pathway for param in _all()]
    shown = {name for it in told if it and it.id == path.id for name in (it.state, *(it.passed or ()))}
    assert {state.id for state in path.states} <= shown
