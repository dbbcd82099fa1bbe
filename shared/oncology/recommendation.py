"""The answer of recommend: candidate regimens with their reasons, doses and evidence. Candidates, never an order."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.oncology.stage import Knowledge, Missing

CandidateVerdict = Literal["eligible", "cannot-tell", "ruled-out"]
ReasonVerdict = Literal["holds", "fails", "unknown"]
REFERENCE_ONLY = "reference dose, not an order"


class Irradiated(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A course of radiotherapy that was given: whether its field took in the pelvis (None: nobody told), its days and its dose."""

    field: Literal["pelvis", "elsewhere"] | None
    source: str
    start: str | None = msgspec.field(name="from", default=None)
    end: str | None = msgspec.field(name="to", default=None)
    total_gy: float | None = None
    fractions: int | None = None


class Ongoing(msgspec.Struct, frozen=True, kw_only=True):
    """The line of systemic treatment that is being given: its drugs (of two that replaced each other the later), cycles and days.

    `settled`: it began so long ago, by the policy, that a further drug would be another line.
    """

    drugs: tuple[str, ...]
    cycles: int
    since: str
    last: str
    settled: bool
    sources: tuple[str, ...] = ()


class Situation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The setting, the FIGO 2018 label and the line of systemic treatment for advanced disease (1 is the first).

    What follows stands there only where the record tells it. `recurrence`: the farthest that disease is on record to have come back.
    `after`: what was given before the current line, beside radiotherapy too. `platinum_free_days`: from the last dose of a platinum
    compound to the next recorded progression, or else to the day of the record. `ongoing`: that line is being given already. `sources`:
    what all of this rests on.
    """

    setting: str | None
    stage: str | None
    line: int | None
    ongoing: Ongoing | None = None
    recurrence: Literal["local", "regional", "distant"] | None = None
    after: tuple[Literal["platinum", "pd-1"], ...] = ()
    platinum_free_days: int | None = None
    prior_pelvic_radiotherapy: bool | None = None
    radiotherapy: tuple[Irradiated, ...] = ()
    sources: tuple[str, ...] = ()


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """A criterion that was asked, and its verdict. `evidence`: works; `at`: the place in each, in the same order."""

    criterion: str
    verdict: ReasonVerdict
    says: str
    sources: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    at: tuple[str, ...] = ()


class Caution(msgspec.Struct, frozen=True, kw_only=True):
    """A contraindication that holds: as a block it rules the candidate out, as a caution it warns."""

    criterion: str
    says: str
    sources: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    at: tuple[str, ...] = ()


class DoseAmount(msgspec.Struct, frozen=True, kw_only=True):
    """A reference dose: the rule as written, the amount for this patient (None: inputs missing) and what it was computed from.

    `basis`: formula, inputs with their dates, the clearance before and after its cap, how the amount was rounded. `mark`: what it is.
    `sources`: the findings that went in. `reference` and `at`: the work that gives the rule, and the place in it.
    """

    drug: str
    rule: str
    amount: float | None
    unit: str
    basis: dict[str, str | float | None] = {}
    cap: float | None = None
    day: tuple[int, ...] = ()
    cycle_days: int | None = None
    rounded: float | None = None
    route: str | None = None
    times_a_day: int = 1
    sources: tuple[str, ...] = ()
    reference: str | None = None
    at: str | None = None
    checked: bool = True
    mark: str = REFERENCE_ONLY


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
    at: str | None = None
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
    """One figure of a cited work, and the place in it. An unchecked figure is left out: then only the citation stands."""

    id: str
    citation: str
    doi: str | None = None
    pmid: str | None = None
    nct: str | None = None
    endpoint: str | None = None
    arms: tuple[str, ...] = ()
    hazard_ratio: float | None = None
    ci: tuple[float, float] | None = None
    level: int | None = None
    p: str | None = None
    months: tuple[float, float] | None = None
    n: int | None = None
    population: str | None = None
    says: str | None = None
    at: str | None = None
    checked: bool = False


class Regulatory(msgspec.Struct, frozen=True, kw_only=True):
    """The status at one agency, and its wording in ours; `reference` and `at`: the work that tells it, and the place in it."""

    agency: str
    status: str
    since: str | None = None
    use: str | None = msgspec.field(name="for", default=None)
    reference: str | None = None
    at: str | None = None
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
    evidence: tuple[str, ...] = ()
    at: tuple[str, ...] = ()
    ask: str | None = None


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """A trial that may be asked about."""

    id: str
    title: str
    registry: str | None
    verdict: CandidateVerdict
    criteria: tuple[TrialCriterion, ...] = ()
    notes: tuple[str, ...] = ()


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One state of a pathway: what is done there, and the resources that show it was reached or passed."""

    state: str
    says: str
    sources: tuple[str, ...] = ()


class Pathway(msgspec.Struct, frozen=True, kw_only=True):
    """Where a patient stands on a published pathway. What the pathway leaves undefined is said; nothing is invented for it.

    `schedule` counts in days from day 1 of cycle 1, which is `started` where a cycle was given.
    """

    id: str
    title: str
    track: str | None
    passed: tuple[Step, ...]
    current: Step
    next: tuple[str, ...] = ()
    undefined: tuple[str, ...] = ()
    missing: tuple[Missing, ...] = ()
    schedule: tuple[Activity, ...] = ()
    started: str | None = None
    evidence: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class PrognosticGroup(msgspec.Struct, frozen=True, kw_only=True):
    """One group of a published table beside the other: patients, and shares alive and progression-free, in percent at `months`."""

    group: str
    n: int
    overall_survival: float | None
    progression_free_survival: float | None
    hers: bool | None


class Prognosis(msgspec.Struct, frozen=True, kw_only=True):
    """One factor of a published table. It describes those patients, and predicts nothing for this one."""

    factor: str
    groups: tuple[PrognosticGroup, ...]
    months: int
    p_overall_survival: str | None = None
    p_progression_free_survival: str | None = None
    work: str
    at: str
    sources: tuple[str, ...] = ()


class Citation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A work that the answer cites; an identifier that nobody has checked is left out."""

    citation: str
    doi: str | None = None
    pmid: str | None = None
    nct: str | None = None


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence for the board, with its sources."""

    text: str
    sources: tuple[str, ...] = ()


class Recommendation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything recommend says of one record and its staging; `works` are those that it cites, by id."""

    patient: str
    situation: Situation
    candidates: tuple[Candidate, ...] = ()
    trials: tuple[Trial, ...] = ()
    pathways: tuple[Pathway, ...] = ()
    prognosis: tuple[Prognosis, ...] = ()
    notes: tuple[Note, ...] = ()
    works: dict[str, Citation] = {}
    knowledge: Knowledge
