"""How a dose is reckoned, as a regimen file says it: by surface, weight, area under the curve, or flat; and the most it may be."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec


class Cap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The most that one dose may be."""

    amount: float
    unit: Literal["mg"]
    checked: bool = False


class Lighter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The flat dose of a patient who weighs less than so many kilograms."""

    below_kg: float
    amount: Annotated[float, msgspec.Meta(gt=0)]
    unit: Literal["mg"]
    checked: bool = False


class DoseRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a dose is reckoned: mg per m2 of body surface, per kg, by area under the curve, or flat."""

    per: Literal["m2", "kg", "auc", "flat"]
    amount: Annotated[float, msgspec.Meta(gt=0)]
    unit: Literal["mg/m2", "mg/kg", "mg", "mg.min/mL"]
    cap: Cap | None = None
    lighter: Lighter | None = None

    def __post_init__(self) -> None:
        if self.unit != {"m2": "mg/m2", "kg": "mg/kg", "flat": "mg", "auc": "mg.min/mL"}[self.per]:
            raise ValueError(f"a dose per {self.per} is not given in {self.unit}")
        if self.lighter and self.per != "flat":
            raise ValueError(f"a dose per {self.per} has no other amount for a lighter patient")

    @property
    def checked(self) -> bool:
        """Whether the cap, and the amount for a lighter patient, were compared with their source."""
        return all(part.checked for part in (self.cap, self.lighter) if part)

    def __str__(self) -> str:
        band = f" ({self.lighter.amount:g} mg below {self.lighter.below_kg:g} kg)" if self.lighter else ""
        return f"AUC {self.amount:g}" if self.per == "auc" else f"{self.amount:g} {self.unit}{band}"
