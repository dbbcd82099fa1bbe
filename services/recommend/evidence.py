"""What an evidence file may say: one work, its identifiers, and its figures with the place in the work where they stand."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from services.recommend.regimen import Date, Id, Text

Design = Literal[
    "meta-analysis",
    "review",
    "randomised-phase-3",
    "randomised-phase-2",
    "phase-2",
    "cohort",
    "retrospective",
    "label",
    "guideline",
    "protocol",
    "patient-information",
    "judgement",
]


class Figure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One result as the work reports it. Medians in months, treatment of interest first; `level` is the confidence level in percent."""

    id: Id
    endpoint: Text
    arms: tuple[Text, ...] = ()
    n: int | None = None
    hazard_ratio: float | None = None
    ci: tuple[float, float] | None = None
    level: Literal[90, 95, 99] | None = None
    p: Text | None = None
    months: tuple[float, float] | None = None
    population: Text | None = None
    says: Text | None = None
    at: Text
    checked: bool = False

    def __post_init__(self) -> None:
        if (self.ci is None) != (self.level is None):
            raise ValueError(f"`{self.id}`: an interval needs its level, and a level its interval")
        if self.ci and self.hazard_ratio is not None and not self.ci[0] <= self.hazard_ratio <= self.ci[1]:
            raise ValueError(f"`{self.id}`: the hazard ratio lies outside its interval")


class Negative(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the work tested and found no better: exactly these drugs. It is known, and no regimen may propose it."""

    drugs: Annotated[tuple[Id, ...], msgspec.Meta(min_length=1)]
    with_radiotherapy: bool
    says: Text
    at: Text


class Work(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One work. `published` at the precision known; `seen` says where its figures were read; `next_review` where the work names one.

    `seen` begins with "nowhere" where nobody has seen it: then nothing may call itself checked against it.
    """

    id: Id
    citation: Text
    design: Design
    doi: Annotated[str, msgspec.Meta(pattern=r"^10\.\d{4,}/\S+$")] | None = None
    pmid: Annotated[str, msgspec.Meta(pattern=r"^\d+$")] | None = None
    nct: Annotated[str, msgspec.Meta(pattern=r"^NCT\d{8}$")] | None = None
    published: Date | None = None
    next_review: Date | None = None
    seen: Text
    says: Text
    notes: tuple[Text, ...] = ()
    figures: tuple[Figure, ...] = ()
    negative: Negative | None = None
    unchecked: tuple[Literal["citation", "doi", "pmid", "nct", "published"], ...] = ()

    @property
    def unseen(self) -> bool:
        """Whether nobody has seen the work."""
        return self.seen.startswith("nowhere")
