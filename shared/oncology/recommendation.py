"""The answer of recommend: candidate regimens with their reasons, doses and evidence. Candidates, never an order."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.oncology.stage import Knowledge, Missing

CandidateVerdict = Literal["eligible", "cannot-tell", "ruled-out"]
ReasonVerdict = Literal["holds", "fails", "unknown"]


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """The setting, the FIGO 2018 label and the line of systemic treatment for advanced disease (1 is the first)."""

    setting: str | None
    stage: str | None
    line: int | None


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """A criterion that was asked, and its verdict."""

    criterion: str
    verdict: ReasonVerdict
    says: str
    sources: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


class Caution(msgspec.Struct, frozen=True, kw_only=True):
    """A contraindication that holds: as a block it rules the candidate out, as a caution it warns."""

    criterion: str
    says: str
    sources: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()


class DoseAmount(msgspec.Struct, frozen=True, kw_only=True):
    """A reference dose: the rule as written, the amount for this patient (None: inputs missing) and what it was computed from."""

    drug: str
    rule: str
    amount: float | None
    unit: str
    basis: dict[str, str | float | None] = {}
    cap: float | None = None
    day: tuple[int, ...] = ()
    cycle_days: int | None = None
    rounded: float | None = None
    checked: bool = True


class Radiotherapy(msgspec.Struct, frozen=True, kw_only=True):
    """One course of radiotherapy in gray; ranges as (low, high); EQD2 and BED for the alpha/beta given."""

    course: Literal["external-beam", "brachytherapy", "nodal-boost", "palliative", "stereotactic"]
    target: str
    total_gy: tuple[float, float] | float | None = None
    fractions: tuple[int, int] | int | None = None
    gy_per_fraction: tuple[float, float] | float | None = None
    alpha_beta: float | None = None
    eqd2_gy: tuple[float, float] | float | None = None
    bed_gy: tuple[float, float] | float | None = None
    reference: str
    checked: bool = True


class Activity(msgspec.Struct, frozen=True, kw_only=True):
    """An activity of the schedule, in days from day 1 of cycle 1."""

    activity: str
    day: int
    cycle: int | None = None
    repeats: str | None = None


class Grade(msgspec.Struct, frozen=True, kw_only=True):
    """A grade as its issuer words it."""

    text: str
    by: str


class EvidenceFigure(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a cited work. An unchecked figure is left out: then only the citation stands."""

    id: str
    citation: str
    doi: str | None = None
    pmid: str | None = None
    nct: str | None = None
    endpoint: str | None = None
    hazard_ratio: float | None = None
    ci: tuple[float, float] | None = None
    level: int | None = None
    p: str | None = None
    months: tuple[float, float] | None = None
    n: int | None = None
    population: str | None = None
    says: str | None = None
    checked: bool = False


class Regulatory(msgspec.Struct, frozen=True, kw_only=True):
    """The status at one agency, and its wording in ours."""

    agency: str
    status: str
    since: str | None = None
    use: str | None = msgspec.field(name="for", default=None)
    checked: bool = True


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One fixed set of drugs or one local treatment, with everything for and against it."""

    regimen: str
    title: str
    intent: str
    rank: int
    verdict: CandidateVerdict
    reasons: tuple[Reason, ...] = ()
    missing: tuple[Missing, ...] = ()
    cautions: tuple[Caution, ...] = ()
    blocks: tuple[Caution, ...] = ()
    doses: tuple[DoseAmount, ...] = ()
    radiotherapy: tuple[Radiotherapy, ...] = ()
    schedule: tuple[Activity, ...] = ()
    grade: Grade | None = None
    evidence: tuple[EvidenceFigure, ...] = ()
    regulatory: tuple[Regulatory, ...] = ()
    notes: tuple[str, ...] = ()


class TrialCriterion(msgspec.Struct, frozen=True, kw_only=True):
    """One criterion of a trial, and its verdict for this record."""

    text: str
    verdict: ReasonVerdict
    sources: tuple[str, ...] = ()
    ask: str | None = None


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A trial that may be asked about."""

    id: str
    title: str
    registry: str | None
    verdict: CandidateVerdict
    criteria: tuple[TrialCriterion, ...] = ()


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence for the board, with its sources."""

    text: str
    sources: tuple[str, ...] = ()


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything recommend says of one record and its staging."""

    patient: str
    situation: Situation
    candidates: tuple[Candidate, ...] = ()
    trials: tuple[Trial, ...] = ()
    notes: tuple[Note, ...] = ()
    knowledge: Knowledge
