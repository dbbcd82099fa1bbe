"""What of a record was not read: which types tell of treatment and of disease, and what to ask instead. Silence there is unknown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

TREATMENTS: Final = frozenset({"Procedure", "MedicationRequest", "MedicationAdministration", "MedicationStatement"})
FINDINGS: Final = frozenset({"Condition", "Observation"})
ALLERGIES: Final = frozenset({"AllergyIntolerance"})
PERSON: Final = frozenset({"Patient"})  # of her come sex, birth and death: without her nobody knows whether she lives
_WORDS: Final = {
    "Patient": "sex, birth and death",
    "Condition": "conditions",
    "Observation": "observations",
    "Procedure": "procedures",
    "MedicationRequest": "medication",
    "MedicationAdministration": "medication",
    "MedicationStatement": "medication",
    "AllergyIntolerance": "allergies",
    "BodyStructure": "body structures",
}
_ASKED: Final = (
    ("treatments", TREATMENTS, "Which treatments has she had, and since when?"),
    ("findings", FINDINGS, "What else was found?"),
    ("allergies", ALLERGIES, "Which allergies has she?"),
)


class Question(NamedTuple):
    """What to ask a person, since nobody could read it: the name that stands in `missing`, and the words."""

    about: str
    ask: str


def words(unread: Iterable[str]) -> str:
    """The types in words, each once: "procedures and medication"."""
    said = list(dict.fromkeys(_WORDS.get(one, one) for one in sorted(unread, key=_place)))
    return " and ".join(filter(None, (", ".join(said[:-1]), *said[-1:])))


def remark(unread: Iterable[str]) -> str:
    """The sentence for a reader; empty where everything was read."""
    said = words(unread)
    return f"Not read, or not wholly: {said}. What is silent there is unknown, not absent." if said else ""


def questions(unread: Iterable[str]) -> tuple[Question, ...]:
    """What to ask for what was not read, treatment first."""
    told = frozenset(unread)
    return tuple(
        Question(about, f"{ask} The record of {words(types & told)} was not read, or not wholly.")
        for about, types, ask in _ASKED
        if types & told
    )


def _place(one: str) -> int:
    return list(_WORDS).index(one) if one in _WORDS else len(_WORDS)
