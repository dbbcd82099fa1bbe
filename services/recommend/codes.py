"""What `codes.yaml` may say: which codes, units and words mean which fact. System and code come first, words only where listed."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Annotated

import msgspec

from services.recommend.regimen import Id, Text
from services.recommend.units import factor
from shared.oncology.record import Concept, Finding

Codes = dict[str, tuple[str, ...]]
_BY_BEGINNING = ("icd10", "icdo3", "atc", "hcpcs", "icd10pcs", "ops")


class Unit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A UCUM code that is understood, and the same unit as people print it.

    The units library converts it; `times` or `divide` stand where no library can: an amount of substance as a mass, a score, an annotation.
    """

    code: Text
    times: float | None = None
    divide: float | None = None
    printed: tuple[Text, ...] = ()

    def converted(self, value: float, into: str) -> float:
        """The value in the fact's unit."""
        if self.times is None and self.divide is None:
            return value * factor(self.code, into)
        return value * (self.times or 1) / (self.divide or 1)


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A coded or worded value, and what it means."""

    value: float | str
    codes: Codes = {}
    words: tuple[Text, ...] = ()


class Apart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two values so many times apart within so many days cannot both be right."""

    ratio: float
    days: int


class Measure(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A number: its unit, the codes it comes under, the units understood, and the bounds outside which it is not believed.

    `steady`: it does not change within a day, so that two values of one day contradict each other. `in_order`: of one day's values that
    counts whose code stands first.
    """

    fact: Id
    says: Text
    unit: Text
    codes: Codes
    units: tuple[Unit, ...]
    plausible: tuple[float, float]
    steady: bool = False
    in_order: bool = False
    apart: Apart | None = None
    answers: tuple[Answer, ...] = ()
    text: Text | None = None


class Scale(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An observation whose value is one of a few words; it comes under a code, or under one of `words`."""

    fact: Id
    says: Text
    codes: Codes
    words: tuple[Text, ...] = ()
    answers: tuple[Answer, ...]


class Disorder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A condition, procedure or allergy that is there or not. `ever`: a past one counts too; `none`: codes that deny it.

    Words do not count beside one of `not_words`, or under one of `not_codes`. `observed`: Observations that say whether it is there.
    """

    fact: Id
    says: Text
    kinds: tuple[Text, ...] = ("condition",)
    codes: Codes = {}
    words: tuple[Text, ...] = ()
    not_words: tuple[Text, ...] = ()
    not_codes: Codes = {}
    observed: Codes = {}
    none: Codes = {}
    ever: bool = False


class Drug(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An anticancer drug: RxNorm ingredient, ATC, other codes and names, classes. `checked`: its RxNorm code was seen in a public list."""

    id: Id
    name: Text
    rxnorm: Annotated[str, msgspec.Meta(pattern=r"^\d+$")] | None = None
    atc: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]\d{2}[A-Z]{2}\d{2}$")] | None = None
    codes: Codes = {}
    names: tuple[Text, ...] = ()
    classes: tuple[Id, ...] = ()
    checked: bool = False


class Histology(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A class of histology, and the codes that mean it."""

    value: Id
    codes: Codes


class Derived(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fact that is worked out and not read; `unit` where it is a number."""

    fact: Id
    says: Text
    unit: Text | None = None


class CodeBook(msgspec.Struct, frozen=True, kw_only=True, dict=True, forbid_unknown_fields=True):
    """The whole file."""

    systems: Codes
    measures: tuple[Measure, ...]
    scales: tuple[Scale, ...]
    disorders: tuple[Disorder, ...]
    drugs: tuple[Drug, ...]
    histology: tuple[Histology, ...]
    supportive: Codes
    stems: tuple[Text, ...]
    not_anticancer: tuple[Text, ...]
    sites: dict[str, Codes]
    fusions: dict[str, tuple[Text, ...]]
    derived: tuple[Derived, ...]
    never_words: tuple[Text, ...]

    @cached_property
    def _system(self) -> dict[str, str]:
        return {url: name for name, urls in self.systems.items() for url in urls}

    @cached_property
    def asked(self) -> tuple[Measure | Scale, ...]:
        """What Observations are read for."""
        return (*self.measures, *self.scales)

    @cached_property
    def units(self) -> dict[str, str | None]:
        """Every fact that can be supplied, with its unit; None for a fact in words."""
        read: dict[str, str | None] = {m.fact: m.unit for m in self.measures}
        worded = [scale.fact for scale in self.scales] + [disorder.fact for disorder in self.disorders]
        return read | dict.fromkeys(worded) | {derived.fact: derived.unit for derived in self.derived}

    def drug(self, name: str) -> Drug:
        """The drug of that id."""
        return next(drug for drug in self.drugs if drug.id == name)

    def drug_of(self, concept: Concept) -> tuple[Drug, ...]:
        """The anticancer drugs that a medication concept names: by code of ingredient or product, by ATC, else by name as a whole word."""
        wanted = {(self._system.get(c.system or ""), c.code) for c in concept.codings}
        coded = tuple(d for d in self.drugs if ("rxnorm", d.rxnorm) in wanted or ("atc", d.atc) in wanted or self.means(concept, d.codes))
        return coded or tuple(d for d in self.drugs if said(concept, (d.name, *d.names)))

    def sounds_anticancer(self, concept: Concept) -> bool:
        """Whether a word of it ends as the names of anticancer drugs do, and is no drug beside the treatment of the cancer."""
        pattern = rf"\w(?:{'|'.join(self.stems)})(?!\w)"
        return any(re.search(pattern, text, re.IGNORECASE) for text in words(concept)) and not said(concept, self.not_anticancer)

    def coded_in(self, concept: Concept, system: str) -> list[str]:
        """The concept's codes in that system."""
        return [c.code for c in concept.codings if c.code and self._system.get(c.system or "") == system]

    def means(self, concept: Concept | None, codes: Codes) -> bool:
        """Whether a coding of the concept is among the codes; a code of a hierarchy (ICD-10, ATC, OPS) stands for all that begin so."""
        for coding in concept.codings if concept else ():
            system = self._system.get(coding.system or "")
            if system is None or coding.code is None:
                continue
            listed = codes.get(system, ())
            if coding.code in listed or (system in _BY_BEGINNING and coding.code.startswith(tuple(listed))):
                return True
        return False

    def answer(self, concept: Concept | None, text: str | None, answers: tuple[Answer, ...]) -> float | str | None:
        """The first answer that the value means, by code, else by words."""
        for answer in answers:
            if self.means(concept, answer.codes):
                return answer.value
        whole = Concept(text=" ".join([*(words(concept) if concept else ()), text or ""]))
        return next((answer.value for answer in answers if said(whole, answer.words)), None)

    def shows(self, finding: Finding, disorder: Disorder) -> bool:
        """Whether the finding is of this disorder."""
        if finding.kind not in disorder.kinds:
            return False
        by_word = any(said(part, disorder.words) and not said(part, (*disorder.not_words, *self.never_words)) for part in _clauses(finding))
        return (by_word and not self.means(finding.concept, disorder.not_codes)) or self.means(finding.concept, disorder.codes)


def _clauses(finding: Finding) -> list[Concept]:
    """An allergy's texts clause by clause, since one list often grants and denies; every other text as a whole."""
    texts = words(finding.concept)
    if finding.kind != "allergy":
        return [Concept(text=" | ".join(texts))]
    return [Concept(text=clause) for text in texts for clause in re.split(r"[.;\n]|\bbut\b", text)]


def words(concept: Concept) -> list[str]:
    """The texts of a concept: its own, and its codings' displays."""
    return [text for text in (concept.text, *(c.display for c in concept.codings)) if text]


def said(concept: Concept, phrases: tuple[str, ...]) -> bool:
    """Whether one of the phrases stands in the concept's texts, as whole words and whatever the case."""
    if not phrases:
        return False
    pattern = "|".join(re.escape(phrase) for phrase in phrases)
    return any(re.search(rf"(?<!\w)(?:{pattern})(?!\w)", text, re.IGNORECASE) for text in words(concept))
