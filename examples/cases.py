"""A case: a synthetic patient with a label, and what a reader of her record should conclude. The conclusion is never in the FHIR."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, NotRequired, TypedDict

from examples.resources import Chart


class Expected(TypedDict):
    """What should be concluded.

    `figo_2018` is the stage with its suffix, None where FIGO does not apply. `sites` are the definite metastases outside the
    pelvis (organ, peritoneal, distant node), `equivocal` the doubtful ones, `regional` the regional nodes. A key that is not
    there is not fixed.
    """

    figo_2018: str | None
    applies: bool
    sites: frozenset[str]
    equivocal: NotRequired[frozenset[str]]
    regional: NotRequired[frozenset[str]]
    oligometastatic: NotRequired[bool]
    could_be: NotRequired[tuple[str, ...]]
    disease_state: NotRequired[str]
    in_window: NotRequired[bool]


class Case(NamedTuple):
    """A synthetic patient's reference, the label of her case, and what is expected of her record."""

    patient: str
    case: str
    expected: Expected


Writer = Callable[[Chart], None]


class Script(NamedTuple):
    """How one case is written: its label, what is expected, what her fitness differs in, and the writer of her findings."""

    case: str
    expected: Expected
    fit: dict[str, float]
    write: Writer


def expect(figo_2018: str | None, *sites: str, applies: bool = True) -> Expected:
    return {"figo_2018": figo_2018, "applies": applies, "sites": frozenset(sites)}


def case(scripts: list[Script], label: str, expected: Expected, **fit: float) -> Callable[[Writer], Writer]:
    """Files the writer below it among the scripts; `fit` is what sets her apart from an unremarkable woman."""

    def file(write: Writer) -> Writer:
        scripts.append(Script(label, expected, fit, write))
        return write

    return file
