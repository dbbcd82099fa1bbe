"""What holds for every patient: doses stay under their cap, and silence neither admits nor excludes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from hypothesis import given, settings
from hypothesis import strategies as st

from services.recommend.candidates import recommend
from services.recommend.library import library
from shared.oncology.not_read import ALLERGIES, FINDINGS, TREATMENTS
from shared.oncology.recommendation import Recommendation
from tests.recommend.case import FIT, Case, Expected, Line, Staged, record, staging

NEEDED = {"ecog": "ecog", "cps": "pd-l1-cps"}


def answer(lines: tuple[Line, ...], silent: tuple[str, ...] = (), stage: str = "IVB") -> Recommendation:
    """The recommendation for the fit woman with these lines."""
    case = Case(says="", record=lines, silent=silent, staged=Staged(figo_2018=stage, figo_2009=stage), expect=Expected(verdict="eligible"))
    return recommend(record(case), staging(case.staged), library())


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(130, 200),
    weight=st.integers(35, 160),
    creatinine=st.decimals("0.3", "6", places=2),
    stage=st.sampled_from(["IVA", "IVB"]),
)
def test_no_dose_exceeds_its_cap(height: int, weight: int, creatinine: float, stage: str) -> None:
    """Calvert with its GFR cap, and the weekly cisplatin, for every body."""
    lines = (
        Line(observation="loinc 8302-2", value=height, unit="cm"),
        Line(observation="loinc 29463-7", value=weight, unit="kg"),
        Line(observation="loinc 2160-0", value=float(creatinine), unit="mg/dL"),
    )
    for candidate in answer(lines, stage=stage).candidates:
        for dose in candidate.doses:
            assert dose.amount is None or dose.cap is None or dose.amount <= dose.cap


@settings(max_examples=60, deadline=None)
@given(silent=st.sets(st.sampled_from([line.id for line in FIT if line.id])))
def test_silence_neither_admits_nor_excludes(silent: set[str]) -> None:
    """Taking facts from a fit woman's record rules nothing out, and a criterion that has lost its fact is not eligible but asked for."""
    for candidate in answer((), tuple(silent)).candidates:
        assert candidate.verdict != "ruled-out"
        unknown = [reason for reason in candidate.reasons if reason.verdict == "unknown"]
        assert (candidate.verdict == "cannot-tell") == bool(unknown)
        missing = {gap.fact for gap in candidate.missing}
        for fact in (NEEDED[name] for name in silent if name in NEEDED):
            asked = any(need.fact == fact for need in library().needs(library().regimens[candidate.regimen]))
            assert not asked or fact in missing


UNREAD = sorted(TREATMENTS | FINDINGS | ALLERGIES)
HISTORY = (
    Line(given="carboplatin", on="2025-06-01"),
    Line(given="paclitaxel", on="2025-06-01"),
    Line(given="pembrolizumab", on="2026-01-20"),
    Line(procedure="sct 1217123003", site="sct 12921003", on="2025-03-01", until="2025-04-20"),
    Line(observation="loinc 97509-4", answer="sct 271299001", on="2025-12-01"),
    Line(observation="loinc 2160-0", value=3, unit="mg/dL"),
    Line(allergy="paclitaxel"),
)


@settings(max_examples=60, deadline=None)
@given(
    lines=st.sets(st.sampled_from(range(len(HISTORY)))),
    state=st.sampled_from(("initial", "persistent", "recurrent")),
    stage=st.sampled_from(("IIB", "IVA", "IVB")),
    unread=st.sets(st.sampled_from(UNREAD)),
    one=st.sampled_from(UNREAD),
)
def test_what_was_not_read_makes_nobody_eligible(
    lines: set[int], state: Literal["initial", "persistent", "recurrent"], stage: str, unread: set[str], one: str
) -> None:
    """A type more that nobody could read turns no candidate and no trial into one that is eligible, and the new ones are none."""
    staged = Staged(figo_2018=stage, figo_2009=stage, state=state)

    def verdicts(types: set[str]) -> Mapping[str, str]:
        case = Case(says="", record=tuple(HISTORY[n] for n in sorted(lines)), staged=staged, unread=tuple(types), expect=Expected())
        said = recommend(record(case), staging(staged, case.unread), library())
        return {c.regimen: c.verdict for c in said.candidates} | {t.id: t.verdict for t in said.trials}

    seen, blind = verdicts(unread), verdicts({*unread, one})
    free = {name for name, regimen in library().regimens.items() if regimen.intent == "supportive"}
    assert set(seen) <= set(blind)
    for name, verdict in blind.items():
        assert verdict != "eligible" or seen.get(name) == "eligible" or name in free, name
