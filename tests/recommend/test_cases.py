"""Every case file under tests/cases/regimens and tests/cases/dosing, run through the whole of recommend."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from services.recommend.candidates import recommend
from services.recommend.dosing import adjusted_weight, calvert, cockcroft_gault, deindexed, du_bois, mosteller, rounded
from services.recommend.library import library
from services.recommend.radiotherapy import bed, eqd2
from shared.knowledge.loader import load
from shared.oncology.recommendation import Recommendation
from tests.recommend.case import Case, Expected, cases, record, staging

CASES = Path(__file__).parents[1] / "cases"
FORMULAS = {
    "mosteller": mosteller,
    "du-bois": du_bois,
    "cockcroft-gault": cockcroft_gault,
    "adjusted-weight": adjusted_weight,
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
    answer = recommend(record(case), staging(case.staged), library(), region=case.region)
    _compare(case.expect, answer, path.parent.name)


def _compare(expect: Expected, answer: Recommendation, regimen: str) -> None:
    ranked = {candidate.regimen: candidate for candidate in answer.candidates}
    if expect.setting:
        assert answer.situation.setting == expect.setting
    if expect.line:
        assert answer.situation.line == expect.line
    if expect.note:
        assert any(expect.note in note.text for note in answer.notes), [note.text for note in answer.notes]
    if expect.no_note:
        assert not any(expect.no_note in note.text for note in answer.notes), [note.text for note in answer.notes]
    if expect.verdict == "not-listed":
        assert regimen not in ranked
        return
    found = ranked[regimen]
    reasons = {reason.criterion: reason.verdict for reason in found.reasons}
    assert found.verdict == expect.verdict, (reasons, found.blocks)
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
