"""What a person sees of many patients at once."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from services import screens
from services.journey import Outcome, Seen

WHY = "The FHIR server at https://fhir.example/r4 answered 422 to POST: the resource breaks one of its rules; its own issues tell which."


def test_what_holds_a_patient_up_is_said_to_its_end_in_a_pipe_too() -> None:
    held = Seen(id="1", patient="Patient/17", state="stuck", outcome=Outcome(issue=({"details": {"text": WHY}},)))
    printed = Console(file=StringIO(), width=80)
    printed.print(screens.patients([held]))
    assert WHY not in printed.file.getvalue()  # type: ignore[attr-defined]
    for line in screens.stuck([held, Seen(id="2", patient="Patient/18", state="answered")]):
        printed.print(line, soft_wrap=True)
    assert f"Patient/17 is stuck: {WHY}\n" in printed.file.getvalue()  # type: ignore[attr-defined]
    assert "Patient/18" not in printed.file.getvalue()  # type: ignore[attr-defined]
