"""What a policy file may say: formulas, thresholds, how old a value may be, and the declared order of candidates in each setting."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec

from services.recommend.regimen import Agency, Cited, Id, Predicate, Remark, Review, Rule, Setting, Text

AnyRule = TypeVar("AnyRule", bound=Rule)


class Parameter(Cited, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number that a hospital may set for itself, with its unit and the work it comes from."""

    id: Id
    value: float
    unit: Text
    says: Text


class Age(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many days old a fact may be before the answer says so."""

    fact: Id
    days: int


class Rounding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To which step the doses of a drug are rounded."""

    drug: Id
    to: Annotated[float, msgspec.Meta(gt=0)]
    unit: Literal["mg"]


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Regimens that stand together, in this order where nothing prefers one."""

    says: Text
    regimens: tuple[Id, ...]


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tiers of one setting."""

    setting: Setting
    tiers: tuple[Tier, ...]


class Preference(Cited, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Within a tier, regimens with this drug come first where this holds; or, by `regimen`, that one before all."""

    drug: Id | None = None
    regimen: Id | None = None
    when: Predicate
    says: Text


class Few(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What few metastases are: staging's name of the definition, and its words, by which an answer of staging is compared."""

    id: Id
    definition: Text


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy: whose, what it asks, and how it orders.

    `region`: the agency whose approval is a criterion where the caller names none. `oligometastasis`: by which definition staging must
    have counted; without it, whichever staging was told to use.
    """

    id: Id
    title: Text
    bsa: Literal["mosteller", "du-bois"]
    weight: Literal["actual", "adjusted-from-bmi-25"]
    creatinine_floor: bool
    region: Agency | None = None
    oligometastasis: Few | None = None
    parameters: tuple[Parameter, ...]
    stale_after: tuple[Age, ...] = ()
    rounding: tuple[Rounding, ...] = ()
    order: tuple[Order, ...]
    preferences: tuple[Preference, ...] = ()
    remarks: tuple[Remark, ...] = ()
    review: Review

    def number(self, name: str) -> float:
        """The value of a parameter; the loader has made sure it is there."""
        return next(p.value for p in self.parameters if p.id == name)

    def worded(self, rule: AnyRule) -> AnyRule:
        """The rule with this policy's limit in its words; checked where its words and this policy's number both are."""
        names = {threshold.policy for threshold in rule.thresholds if threshold and threshold.policy}
        limits = [parameter for parameter in self.parameters if parameter.id in names]
        if not limits:
            return rule
        said = " and ".join(f"{limit.value:g} {limit.unit.replace('[', '').replace(']', '')}" for limit in limits)
        checked = rule.checked and all(limit.checked for limit in limits)
        return msgspec.structs.replace(rule, says=f"{rule.says.rstrip('.')} (the policy's limit: {said})", checked=checked)
