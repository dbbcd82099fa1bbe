"""Every case file of recommend under tests/cases, run through the whole of recommend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.recommend.candidates import recommend
from services.recommend.dosing import adjusted_weight, bmi, calvert, cockcroft_gault, deindexed, du_bois, ideal_weight, mosteller, rounded
from services.recommend.library import library
from services.recommend.radiotherapy import bed, eqd2
from shared.knowledge.loader import load
from shared.oncology.recommendation import Recommendation
from shared.oncology.record import encode
from tests.recommend.case import Case, Expected, cases, record, staging

CASES = Path(__file__).parents[1] / "cases"
FORMULAS = {
    "mosteller": mosteller,
    "du-bois": du_bois,
    "cockcroft-gault": cockcroft_gault,
    "adjusted-weight": adjusted_weight,
    "body-mass-index": bmi,
    "ideal-weight": ideal_weight,
    "de-indexed": deindexed,
    "calvert": calvert,
    "bed": bed,
    "eqd2": eqd2,
}


class Sum(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A formula, its inputs in order, and its result to so many decimals."""

    says: str
    formula: str
    inputs: tuple[float, ...]
    result: float
    decimals: int = 1


class Sums(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of sums."""

    source: str
    sums: tuple[Sum, ...]


@pytest.mark.parametrize("path", cases(CASES / "regimens"), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_regimen(path: Path) -> None:
    """The regimen answers as the case says."""
    case = load(path, Case)
    assert case.expect.verdict, "a case of a regimen tells the verdict"
    answer = recommend(record(case), staging(case.staged, case.unread), library(), region=case.region)
    _compare(case.expect, answer, path.parent.name)


def _told(folder: str) -> list[Any]:
    found = [(path.stem, case) for path in cases(CASES / folder) for case in load(path, list[Case])]
    return [pytest.param(case, id=f"{stem}: {case.says}") for stem, case in found]


@pytest.mark.parametrize("case", [*_told("situation"), *_told("fitness"), *_told("bad-input"), *_told("policies")])
def test_patient(case: Case) -> None:
    """What is known of the patient, and what it comes to, is as the case says."""
    answer = recommend(record(case), staging(case.staged, case.unread), library(), policy=case.policy, region=case.region)
    _compare(case.expect, answer, case.regimen)
    assert msgspec.json.decode(encode(answer), type=Recommendation) == answer


def _compare(expect: Expected, answer: Recommendation, regimen: str | None) -> None:
    ranked = {candidate.regimen: candidate for candidate in answer.candidates}
    if expect.setting:
        assert answer.situation.setting == expect.setting
    if expect.line:
        assert answer.situation.line == expect.line
    if expect.note:
        assert any(expect.note in note.text for note in answer.notes), [note.text for note in answer.notes]
    if expect.no_note:
        assert not any(expect.no_note in note.text for note in answer.notes), [note.text for note in answer.notes]
    given = {"recurrence": None, "after": [], **json.loads(encode(answer.situation))}
    assert {name: given.get(name) for name in expect.situation} == expect.situation
    assert not (expect.nobody and answer.candidates)
    if expect.verdict == "not-listed":
        assert regimen not in ranked
        return
    if regimen is None:
        assert expect.verdict is None
        return
    found = ranked[regimen]
    reasons = {reason.criterion: reason.verdict for reason in found.reasons}
    assert expect.verdict in (None, found.verdict), (reasons, found.blocks)
    for verdict, names in (("holds", expect.holds), ("fails", expect.fails), ("unknown", expect.unknown)):
        assert {name: reasons.get(name) for name in names} == dict.fromkeys(names, verdict)
    assert set(expect.blocks) <= {block.criterion for block in found.blocks}
    assert set(expect.cautions) <= {caution.criterion for caution in found.cautions}
    assert not set(expect.no_cautions) & {caution.criterion for caution in found.cautions}
    missing = {gap.fact for gap in found.missing}
    assert set(expect.missing) <= missing
    assert not set(expect.not_missing) & missing
    amounts = {dose.drug: dose.amount for dose in found.doses}
    assert {drug: amounts[drug] for drug in expect.amounts} == expect.amounts
    rules = {rule.criterion: rule.says for rule in (*found.reasons, *found.cautions, *found.blocks)}
    assert {name: rules[name] for name, words in expect.says.items() if words not in rules[name]} == {}
    assert {name: rules[name] for name, words in expect.not_says.items() if words in rules[name]} == {}
    sources = {rule.criterion: rule.sources for rule in (*found.reasons, *found.cautions, *found.blocks)}
    assert {name: sources[name] for name in expect.rests_on} == expect.rests_on
    assert expect.remark is None or any(expect.remark in note for note in found.notes), found.notes
    asked = " | ".join(gap.ask for gap in found.missing)
    assert [words for words in expect.asks if words not in asked] == [], asked
    basis = {dose.drug: dose.basis for dose in found.doses}
    assert {drug: {name: basis[drug].get(name) for name in part} for drug, part in expect.basis.items()} == expect.basis
    assert found.rank == 1 or not expect.first, [(c.rank, c.regimen) for c in answer.candidates]
    if expect.above:
        assert found.rank < ranked[expect.above].rank


@pytest.mark.parametrize(
    "sum_",
    [pytest.param(sum_, id=sum_.says) for path in cases(CASES / "dosing") for sum_ in load(path, Sums).sums],
)
def test_dosing(sum_: Sum) -> None:
    """The formula gives the result that the case shows."""
    assert rounded(FORMULAS[sum_.formula](*sum_.inputs), sum_.decimals) == sum_.result


def test_each_regimen_has_cases() -> None:
    """Every regimen has at least one case, and each of the main ones is once eligible, once ruled out and once undecided."""
    verdicts: dict[str, set[str]] = {}
    for path in cases(CASES / "regimens"):
        verdicts.setdefault(path.parent.name, set()).add(load(path, Case).expect.verdict)
    assert set(verdicts) == set(library().regimens)
    plain = {"best-supportive-care"}
    assert {name for name in verdicts if name not in plain and not {"eligible", "ruled-out", "cannot-tell"} <= verdicts[name]} == set()
