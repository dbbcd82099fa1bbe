"""What a policy file may say: formulas, thresholds, how old a value may be, and the declared order of candidates in each setting."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from services.recommend.regimen import Cited, Id, Predicate, Remark, Review, Setting, Text


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


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy: whose, what it asks, and how it orders."""

    id: Id
    title: Text
    bsa: Literal["mosteller", "du-bois"]
    weight: Literal["actual", "adjusted-from-bmi-25"]
    creatinine_floor: bool
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
