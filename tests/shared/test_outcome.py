"""The error tree and its OperationOutcomes, there and back."""

from __future__ import annotations

import inspect
import json
import re

import pytest

from shared.fhir import outcome
from shared.fhir.answer import error_class, from_outcome, from_stranger, issues_of
from shared.fhir.outcome import (
    Conflict,
    FigaroError,
    Gone,
    KnowledgeError,
    NotFhir,
    NotFound,
    OutcomeIssue,
    Rejected,
    Unauthorised,
    Unavailable,
    Unreadable,
    to_bytes,
    tree,
)
from shared.fhir.r4 import complaints

TEXT = "The third line is no Bundle: give one Bundle a line."
HEARD = (OutcomeIssue(severity="error", code="value", text="canary-name was born on canary-date", expression=("Patient.birthDate",)),)
# FHIR R4 4.0.1, issue-type; not-supported and throttled among its leaves.
ISSUE_TYPES = re.findall(
    r"\S+",
    """
    invalid structure required value invariant security login unknown expired forbidden suppressed processing not-supported duplicate
    multiple-matches not-found deleted too-long code-invalid extension too-costly business-rule conflict transient lock-error no-store
    exception timeout incomplete throttled informational
    """,
)


@pytest.fixture(params=tree(), ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[FigaroError]:
    each: type[FigaroError] = request.param
    return each


def test_the_drawn_tree_names_every_error_and_no_other() -> None:
    drawn = {line.split()[-1 if len(line.split()) == 1 else 0] for line in _drawn()}
    assert drawn == {kind.__name__ for kind in tree()}


def test_each_kind_is_its_own(kind: type[FigaroError]) -> None:
    assert [other for other in tree() if other.kind == kind.kind] == [kind]


def test_each_error_is_an_outcome_that_fhir_takes(kind: type[FigaroError]) -> None:
    error = kind(TEXT, outcome=HEARD)
    assert error.code in ISSUE_TYPES
    assert 400 <= error.status < 600
    assert str(error) == TEXT
    assert complaints(to_bytes(error)) == []


def test_each_error_comes_back_over_the_wire_as_it_was(kind: type[FigaroError]) -> None:
    sent = kind(TEXT)
    back = from_outcome(to_bytes(sent), sent.status)
    assert type(back) is kind
    assert (back.text, back.code, back.status, back.severity) == (sent.text, sent.code, sent.status, sent.severity)


def test_what_each_knows_besides_comes_back_too() -> None:
    lost = from_outcome(to_bytes(Unavailable(TEXT, outcome_unknown=True, code="timeout")), 503, retry_after=7)
    assert isinstance(lost, Unavailable)
    assert (lost.outcome_unknown, lost.retry_after, lost.code) == (True, 7, "timeout")
    unread = from_outcome(to_bytes(Unreadable(TEXT, where="Bundle.entry[2]")), 422)
    assert isinstance(unread, Unreadable)
    assert unread.where == "Bundle.entry[2]"
    refused = from_outcome(to_bytes(KnowledgeError("no unit", file="rules/figo.yaml", line=12)), 500)
    assert isinstance(refused, KnowledgeError)
    assert (refused.file, refused.line) == ("rules/figo.yaml", 12)
    assert str(refused) == "rules/figo.yaml:12: no unit"


def test_fc13_a_server_s_words_never_leave_in_our_outcome(kind: type[FigaroError]) -> None:
    error = kind(TEXT, outcome=HEARD)
    assert b"canary" not in to_bytes(error)
    assert "canary" not in str(error) + repr(error)
    assert json.loads(to_bytes(error))["issue"][1] == {"severity": "error", "code": "value", "expression": ["Patient.birthDate"]}


def test_an_issue_of_a_server_that_points_at_nothing_keeps_its_severity_and_code() -> None:
    heard = (OutcomeIssue(severity="warning", code="business-rule", text="canary-name"),)
    assert json.loads(to_bytes(Rejected(TEXT, outcome=heard)))["issue"][1:] == [{"severity": "warning", "code": "business-rule"}]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, NotFhir),
        (400, Rejected),
        (401, Unauthorised),
        (403, Unauthorised),
        (404, NotFound),
        (409, Conflict),
        (410, Gone),
        (412, Conflict),
        (422, Rejected),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b'{"resourceType":"OperationOutcome"}', b"[" * 100_000, b"\xff"], ids=range(6))
def test_a_stranger_s_answer_is_read_by_its_status_whatever_the_body(status: int, kind: type[FigaroError], body: bytes) -> None:
    error = from_outcome(body, status, text=TEXT)
    assert (type(error), error_class(status), str(error)) == (kind, kind, TEXT)


def test_a_stranger_s_issues_are_kept() -> None:
    issue = {"severity": "error", "code": "value", "details": {"text": "one"}, "diagnostics": "two", "expression": ["Patient"]}
    body = json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).encode()
    assert issues_of(body) == (OutcomeIssue(severity="error", code="value", text="one; two", expression=("Patient",)),)
    assert from_outcome(body, 422).outcome == issues_of(body)


def _drawn() -> list[str]:
    page = inspect.getdoc(outcome) or ""
    lines = [line.lstrip("│├└─ ") for line in page.splitlines() if "─ " in line or line.strip() == "FigaroError"]
    return [line for line in lines if line]


def test_fc13_a_stranger_who_borrows_our_codes_is_not_believed() -> None:
    """The words of a FHIR server may quote the patient, whatever code system stands beside them."""
    borrowed = to_bytes(Rejected("Jane Doe has no such Condition."))
    assert "Jane Doe" in str(from_outcome(borrowed, 422))
    assert str(from_stranger(borrowed, 422, text=TEXT)) == TEXT
