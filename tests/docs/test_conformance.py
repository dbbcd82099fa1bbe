"""docs/conformance.md names tests that are there, and every number that a test claims."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache

import pytest

from tests.docs.markdown import ROOT

PAGE = ROOT / "docs/conformance.md"
FAMILIES = "sm|au|se|ch|su|bd|fc|lg"
IN_A_NAME = re.compile(rf"(?:^|_)({FAMILIES})_?(\d\d)(?=_|$)")
IN_WORDS = re.compile(rf"\b({FAMILIES})-(\d\d)\b", re.IGNORECASE)
ROW = re.compile(r"^\| ([A-Z]{2}-\d\d) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


@cache
def claimed() -> dict[str, set[str]]:
    """Every test of ours, as file::name, with the numbers in its name and its docstring."""
    found: dict[str, set[str]] = {}
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                told = [*IN_A_NAME.findall(node.name), *IN_WORDS.findall(ast.get_docstring(node) or "")]
                found[f"{file.relative_to(ROOT)}::{node.name}"] = {f"{family.upper()}-{number}" for family, number in told}
    return found


def rows() -> list[tuple[str, str, str]]:
    """Number, what it asks, what shows it."""
    return ROW.findall(PAGE.read_text())


def test_every_number_stands_once_in_a_row_that_can_be_read() -> None:
    twice = [number for number, count in Counter(number for number, _, _ in rows()).items() if count > 1]
    assert twice == []
    assert len(rows()) == len(re.findall(r"^\| [A-Z]{2}-\d\d ", PAGE.read_text(), re.MULTILINE))
    assert {number[:2] for number, _, _ in rows()} == {family.upper() for family in FAMILIES.split("|")}


@pytest.mark.parametrize(("number", "shown"), [(number, shown) for number, _, shown in rows()], ids=[row[0] for row in rows()])
def test_a_number_is_shown_by_tests_that_are_there_or_says_why_it_is_not_met(number: str, shown: str) -> None:
    """Of what is met in part, the tests come first, and then what is not met."""
    *named, last = shown.split("; ")
    if not last.startswith("not met:"):
        named.append(last)
    assert last.removeprefix("not met:").strip(), number
    assert [test for test in named if not re.fullmatch(r"`[^`]+`", test)] == [], number
    assert [test for test in named if test.strip("`") not in claimed()] == [], number


def test_every_number_that_a_test_claims_is_listed() -> None:
    listed = {number for number, _, _ in rows()}
    missing = {number: test for test, numbers in claimed().items() for number in numbers if number not in listed}
    assert missing == {}


def test_a_number_is_found_in_a_name_and_in_words_and_nowhere_else() -> None:
    assert IN_A_NAME.findall("test_su_28_and_fc07_but_not_bd_1234_or_ch_5") == [("su", "28"), ("fc", "07")]
    assert IN_WORDS.findall("SU-28, SE-09; not SU-281 or XSU-28") == [("SU", "28"), ("SE", "09")]
