"""The knowledge of recommend once loaded: everything by id, and what a regimen asks together with its drugs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import msgspec

from services.recommend.codes import CodeBook
from services.recommend.evidence import Work
from services.recommend.policy import Policy
from services.recommend.regimen import Contraindication, Need, Precautions, Regimen
from shared.oncology.stage import Knowledge


class Library(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Everything that recommend knows, by id."""

    regimens: Mapping[str, Regimen]
    precautions: Mapping[str, Precautions]
    works: Mapping[str, Work]
    policies: Mapping[str, Policy]
    book: CodeBook
    knowledge: Knowledge

    @cached_property
    def next_review(self) -> str:
        """The earliest day on which a file asks to be looked at again."""
        reviewed = [r.review for part in (self.regimens, self.precautions, self.policies) for r in part.values()]
        return min(review.next for review in reviewed)

    @cached_property
    def drafts(self) -> int:
        """How many files nobody has signed off."""
        reviewed = [r.review for part in (self.regimens, self.precautions, self.policies) for r in part.values()]
        return sum(review.state == "draft" for review in reviewed)

    def precautions_for(self, regimen: Regimen) -> list[Precautions]:
        """The precautions of the regimen's drugs and of their classes, each once, in the order of the drugs."""
        names = [name for drug in regimen.drugs for name in (drug, *self.book.drug(drug).classes)]
        return [self.precautions[name] for name in dict.fromkeys(names) if name in self.precautions]

    def needs(self, regimen: Regimen) -> list[Need]:
        """The regimen's own criteria, then its drugs'."""
        return [*regimen.needs, *(need for p in self.precautions_for(regimen) for need in p.needs)]

    def contraindications(self, regimen: Regimen) -> list[Contraindication]:
        """The regimen's own contraindications, then its drugs'."""
        return [*regimen.contraindications, *(rule for p in self.precautions_for(regimen) for rule in p.contraindications)]
