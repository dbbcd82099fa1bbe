"""All sheets of the rule files of staging, by name, and the booklet that holds them all."""

from __future__ import annotations

from collections.abc import Callable

from services.staging import code_sheets, sheets
from services.staging.casebook import Casebook
from services.staging.knowledge import EDITIONS, Rules
from services.staging.sheets import Sheet

BOOKLET = "staging"
_FILES: dict[str, Callable[[Rules, Casebook | None], Sheet]] = {
    "tnm": code_sheets.tnm,
    "metastatic-sites": code_sheets.sites,
    "primary": lambda rules, _: code_sheets.coded(
        "primary", "The primary: which codes name it, and where FIGO does not apply", rules.primary, rules
    ),
    "recorded": lambda rules, _: code_sheets.coded("recorded", "How a recorded FIGO stage arrives", rules.recorded, rules),
    "observations": lambda rules, _: code_sheets.coded(
        "observations", "What values, methods and treatments mean", rules.observations, rules
    ),
    "facts": sheets.facts,
    "references": lambda rules, _: sheets.references(rules),
}
NAMES = (*EDITIONS, *_FILES)


def sheet(name: str, rules: Rules, book: Casebook | None) -> Sheet:
    """The sheet of one rule file, named as the file is."""
    return sheets.stage_table(name, rules, book) if name in EDITIONS else _FILES[name](rules, book)


def booklet(rules: Rules, book: Casebook | None) -> tuple[Sheet, ...]:
    """Every rule file of staging, in reading order."""
    return tuple(sheet(name, rules, book) for name in NAMES)
