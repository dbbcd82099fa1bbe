"""The answer of staging: the stage as an interval in two editions, TNM, metastatic sites, and the chain behind each."""

from __future__ import annotations

from typing import Literal

import msgspec

from shared.oncology.not_read import FINDINGS, TREATMENTS
from shared.oncology.record import Issue

Certainty = Literal["definite", "equivocal", "unknown"]
SiteClass = Literal["organ", "peritoneal", "distant-node", "regional-node", "adjacent", "contested"]
DiseaseState = Literal["initial", "persistent", "recurrent", "progressive"]


class Primary(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The cervical primary as coded; `applies` is False, with the reason, where FIGO does not apply."""

    condition: str | None = None
    site: str | None = None
    histology: str | None = None
    applies: bool = False
    why_not: str | None = None


class Window(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The staging window: from work-up to the start of the first definitive treatment."""

    start: str | None = msgspec.field(name="from", default=None)
    end: str | None = msgspec.field(name="to", default=None)
    ends_with: str | None = None


class Because(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Why a row of the table holds: the rule, its words, its facts and their sources, and the work it comes from.

    `findings` are the facts in plain words, in the same order. `versions` are the versions of the sources (meta.versionId), left out
    where the server told none.
    """

    rule: str
    says: str
    facts: tuple[str, ...]
    findings: tuple[str, ...] = ()
    sources: tuple[str, ...]
    versions: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    reference: str
    place: str | None = None
    checked: bool = True


class Missing(msgspec.Struct, frozen=True, gc=False):
    """A fact nobody has recorded, and what would settle it."""

    fact: str
    ask: str


class EditionStage(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The stage in one edition: what the record settles, and what the missing facts still allow."""

    stage: str | None = None
    suffix: str | None = None
    label: str | None = None
    could_be: tuple[str, ...] = ()
    because: tuple[Because, ...] = ()
    missing: tuple[Missing, ...] = ()


class Tnm(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """TNM categories, as recorded or as derived from the facts; None where not known."""

    t: str | None = None
    n: str | None = None
    m: str | None = None


class Metastasis(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One site of spread. `lesions` is None where nobody counted."""

    site: str
    site_class: SiteClass = msgspec.field(name="class")
    lesions: int | None = None
    certainty: Certainty = "definite"
    in_window: bool = True
    sources: tuple[str, ...] = ()


class Oligometastatic(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Whether the metastases are few, by the named definition; None where the record does not tell."""

    value: bool | None = None
    definition: str
    reference: str
    missing: tuple[Missing, ...] = ()


class Recorded(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A stage that somebody recorded, the edition it was given in, and whether the derived stage agrees (None: cannot tell)."""

    edition: str | None
    stage: str
    source: str
    agrees: bool | None


class Knowledge(msgspec.Struct, frozen=True, gc=False):
    """The knowledge that answered: its edition and the digest of its files."""

    edition: str
    digest: str


class Staging(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything staging says of one record. `unread` are the types of the record that were not read, left out where all were."""

    patient: str
    primary: Primary
    diagnosed: str | None = None
    window: Window = Window()
    editions: dict[str, EditionStage] = {}
    tnm: Tnm = Tnm()
    metastases: tuple[Metastasis, ...] = ()
    oligometastatic: Oligometastatic
    disease_state: DiseaseState = "initial"
    recorded: tuple[Recorded, ...] = ()
    issues: tuple[Issue, ...] = ()
    knowledge: Knowledge
    unread: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET

    @property
    def known_state(self) -> DiseaseState | None:
        """The state of the disease; None where it reads as initial and nobody could see what would tell otherwise."""
        unseen = self.disease_state == "initial" and not (TREATMENTS | FINDINGS).isdisjoint(self.unread or ())
        return None if unseen else self.disease_state
