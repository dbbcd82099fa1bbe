"""The knowledge of recommend once loaded: everything by id, and what a regimen asks together with its drugs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import msgspec

from services.recommend.codes import CodeBook
from services.recommend.evidence import Work
from services.recommend.pathway import PathwayFile
from services.recommend.policy import Policy
from services.recommend.prognosis import PrognosisFile
from services.recommend.regimen import Contraindication, Need, Precautions, Regimen, Remark, Review
from services.recommend.trial import TrialFile
from shared.fhir.outcome import Refused
from shared.oncology.stage import Knowledge


class Library(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Everything that recommend knows, by id."""

    regimens: Mapping[str, Regimen]
    precautions: Mapping[str, Precautions]
    works: Mapping[str, Work]
    policies: Mapping[str, Policy]
    trials: Mapping[str, TrialFile]
    pathways: Mapping[str, PathwayFile]
    prognoses: Mapping[str, PrognosisFile]
    book: CodeBook
    knowledge: Knowledge

    @cached_property
    def reviews(self) -> dict[str, Review]:
        """The state of review of every file, by the file's name."""
        return (
            {f"regimens/{r.id}.yaml": r.review for r in self.regimens.values()}
            | {f"precautions/{p.of}.yaml": p.review for p in self.precautions.values()}
            | {f"policy/{p.id}.yaml": p.review for p in self.policies.values()}
            | {f"trials/{t.id}.yaml": t.review for t in self.trials.values()}
            | {f"pathways/{p.id}.yaml": p.review for p in self.pathways.values()}
            | {f"prognosis/{p.id}.yaml": p.review for p in self.prognoses.values()}
        )

    @cached_property
    def next_review(self) -> str:
        """The earliest day on which a file asks to be looked at again."""
        return min(review.next for review in self.reviews.values())

    @cached_property
    def drafts(self) -> int:
        """How many files nobody has signed off."""
        return sum(review.state == "draft" for review in self.reviews.values())

    def overdue(self, today: str) -> list[str]:
        """The files that asked to be looked at again before that day, and the works that are past a review date of their own."""
        works = {f"evidence/{work.id}.yaml": work.next_review for work in self.works.values() if work.next_review}
        due = {name: review.next for name, review in self.reviews.items()} | works
        return sorted(name for name, date in due.items() if date < today)

    def policy(self, name: str) -> Policy:
        """The policy of that name; raises Refused, naming those that there are."""
        if name not in self.policies:
            raise Refused(f"There is no policy {name[:60]}; there are: {', '.join(sorted(self.policies))}.")
        return self.policies[name]

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

    def remarks(self, regimen: Regimen) -> list[Remark]:
        """The regimen's own remarks, then its drugs'."""
        return [*regimen.remarks, *(remark for p in self.precautions_for(regimen) for remark in p.remarks)]
