"""Scopes in two spellings (SM-40 to SM-43)."""

from __future__ import annotations

import pytest

from shared.smart.scopes import missing, scope


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("system/Patient.r", "system/Patient.read"),
        ("system/Patient.rs", "system/*.rs"),
        ("system/Patient.rs", "system/Patient.r system/Patient.s"),
        ("system/CarePlan.crus", "system/*.*"),
        ("system/CarePlan.write", "system/CarePlan.cud"),
        ("launch", "launch openid"),
        ("system/Observation.rs?category=laboratory", "system/Observation.rs?category=laboratory"),
        ("system/Observation.rs?category=laboratory", "system/Observation.rs"),
    ],
)
def test_sm40_and_sm42_a_grant_is_read_in_either_spelling(asked: str, granted: str) -> None:
    assert missing([asked], granted.split()) == ()


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("system/Patient.rs", "system/Patient.r"),
        ("system/Patient.r", "patient/Patient.r"),
        ("system/Patient.r", "system/Condition.r"),
        ("system/CarePlan.c", "system/CarePlan.read"),
        ("system/Observation.rs", "system/Observation.rs?category=laboratory"),
        ("launch", "openid"),
        ("system/Patient.r", ""),
    ],
)
def test_sm43_a_narrower_grant_is_not_the_whole(asked: str, granted: str) -> None:
    assert missing([asked], granted.split()) == (asked,)


@pytest.mark.parametrize(
    "text", ["openid", "system/Patient.", "system/Patient.sr", "system/Patient.dus", "clinic/Patient.r", "system/Patient"]
)
def test_sm40_what_is_no_resource_scope_is_none(text: str) -> None:
    assert scope(text) is None
