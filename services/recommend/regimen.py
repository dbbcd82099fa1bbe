"""What a regimen file and a precautions file may say: criteria, drugs and doses, radiotherapy, grade, status, review.

A number always has a unit; a criterion always cites a work and a place in it; `checked`: somebody has compared it with that work.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from services.recommend.amounts import DoseRule

Text = Annotated[str, msgspec.Meta(min_length=1)]
Id = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Date = Annotated[str, msgspec.Meta(pattern=r"^\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?)?$")]
Setting = Literal["locally-advanced", "locally-advanced-iva", "first-line-metastatic", "later-line"]
Intent = Literal["curative", "palliative", "supportive"]
Level = Literal["block", "warn", "ask"]
State = Literal["initial", "persistent", "recurrent", "progressive"]
Agency = Literal["FDA", "EMA", "NMPA"]
Status = Literal["approved", "accelerated", "conditional", "off-label", "not-found", "withdrawn"]
Course = Literal["external-beam", "brachytherapy", "nodal-boost", "palliative", "stereotactic"]
Span = tuple[float, float] | float


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A work, and the place in it."""

    work: Id
    at: Text


Because = Annotated[tuple[Place, ...], msgspec.Meta(min_length=1)]


class Threshold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number with its unit, or the name of a policy's parameter."""

    value: float | None = None
    unit: Text | None = None
    policy: Id | None = None

    def __post_init__(self) -> None:
        if (self.policy is None) == (self.value is None) or (self.value is None) != (self.unit is None):
            raise ValueError("give `value` and `unit`, or `policy`")


class Predicate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question to one fact: exactly one of the comparisons. `recorded`: whether anything of it is on record at all."""

    fact: Id
    at_least: Threshold | None = None
    above: Threshold | None = None
    at_most: Threshold | None = None
    below: Threshold | None = None
    one_of: tuple[Text, ...] | None = None
    is_: bool | None = msgspec.field(name="is", default=None)
    recorded: bool | None = None

    def __post_init__(self) -> None:
        asked = (*self.thresholds, self.one_of, self.is_, self.recorded)
        if sum(part is not None for part in asked) != 1:
            raise ValueError(f"the question to `{self.fact}` needs exactly one of at_least, above, at_most, below, one_of, is, recorded")

    @property
    def thresholds(self) -> tuple[Threshold | None, ...]:
        return self.at_least, self.above, self.at_most, self.below


class Rule(Predicate, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question with a name, a sentence and a source."""

    id: Id
    says: Text
    because: Because
    checked: bool = False


class Need(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A criterion that must hold. Silent, it makes the candidate undecided and `ask` stands in what is missing."""

    ask: Text


class Contraindication(Rule, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A fact that rules out (block), warns (warn), or is only asked for (ask). Silence is asked for where `ask` stands.

    Where `unless` holds the rule does not count at all; where `ask_unless` holds, silence is not asked about. `reduces_dose`: where it
    holds the label asks for less of the drug than the regimen says, and no amount is reckoned.
    """

    level: Level
    reduces_dose: bool = False
    ask: Text | None = None
    unless: Predicate | None = None
    ask_unless: Predicate | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.level == "ask" and self.ask is None:
            raise ValueError(f"`{self.id}` has the level ask and says not what to ask")


class Precautions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a drug, or a class of drugs, asks of every patient who is to have it."""

    of: Id
    needs: tuple[Need, ...] = ()
    contraindications: tuple[Contraindication, ...] = ()
    remarks: tuple[Remark, ...] = ()
    review: Review


class Cited(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What comes from a work."""

    because: Because
    checked: bool = False


class Gives(Cited, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One drug of a regimen: dose, route, days of a cycle of so many days; a cycle of one day is every day, `times_a_day`.

    `first_day` counts from day 1 of cycle 1.

    `checked` speaks of the drug, its dose and its days; what nobody has seen in the work beside them is named in `unchecked`.
    """

    drug: Id
    dose: DoseRule
    route: Text
    over: Text | None = None
    day: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)]
    cycle_days: int
    times_a_day: Literal[1, 2] = 1
    cycles: int | None = None
    until: Text | None = None
    phase: Text | None = None
    first_day: int = 1
    unchecked: tuple[Literal["over", "cycles", "until"], ...] = ()

    @property
    def rhythm(self) -> str:
        """On which days of which cycle, or how often a day."""
        if self.cycle_days == 1:
            return "once a day" if self.times_a_day == 1 else "twice a day"
        return f"day {', '.join(map(str, self.day))} every {self.cycle_days} days"


class Irradiation(Cited, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One course of radiotherapy in gray; ranges as [low, high]."""

    course: Course
    target: Text
    total_gy: Span | None = None
    gy_per_fraction: Span | None = None
    fractions: tuple[int, int] | int | None = None
    alpha_beta: float | None = None
    phase: Text | None = None
    first_day: int = 1


class Shown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A work, and which of its figures to show with this regimen."""

    work: Id
    show: tuple[Id, ...] = ()


class GradeOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A grade as its issuer words it, and the works that it rests on; with none of them published, it does not stand."""

    text: Text
    by: Text
    because: Because


class AgencyStatus(Cited, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one agency has said of this regimen, since when, and for which use."""

    agency: Agency
    status: Status
    since: Date | None = None
    use: Text | None = msgspec.field(name="for", default=None)


class Remark(Cited, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sentence that goes with the regimen; `when` bounds it to patients for whom that holds."""

    says: Text
    when: Predicate | None = None


class Review(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who has looked, when, and when next. A draft has been looked at by nobody."""

    state: Literal["draft", "reviewed"]
    by: tuple[Text, ...] = ()
    on: Date | None = None
    next: Date

    def __post_init__(self) -> None:
        if self.state == "reviewed" and (len(self.by) < 2 or self.on is None):
            raise ValueError("a reviewed file names two reviewers and a date")


class Belongs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For whom the regimen is listed at all: settings, states of disease, and facts that must not be known to fail."""

    settings: Annotated[tuple[Setting, ...], msgspec.Meta(min_length=1)]
    disease: tuple[State, ...] = ("initial", "persistent", "recurrent", "progressive")
    when: tuple[Predicate, ...] = ()


class Regimen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One fixed set of drugs, or one local or supportive treatment. `generic`: no agency's label names the combination as such."""

    id: Id
    title: Text
    intent: Intent
    belongs: Belongs
    needs: tuple[Need, ...] = ()
    contraindications: tuple[Contraindication, ...] = ()
    gives: tuple[Gives, ...] = ()
    radiotherapy: tuple[Irradiation, ...] = ()
    remarks: tuple[Remark, ...] = ()
    grade: GradeOf | None = None
    evidence: Annotated[tuple[Shown, ...], msgspec.Meta(min_length=1)]
    generic: bool = False
    regulatory: tuple[AgencyStatus, ...] = ()
    review: Review

    @property
    def drugs(self) -> tuple[str, ...]:
        """The drugs, each once, in the order of the file."""
        return tuple(dict.fromkeys(given.drug for given in self.gives))
