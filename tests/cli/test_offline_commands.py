"""`figaro stage`, `recommend` and `careplan` as a person or a script runs them: what they print, where, and how they end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import synthetic

ICD_10 = "http://hl7.org/fhir/sid/icd-10"
COMMANDS = ("stage", "recommend", "careplan")


def figaro(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-c", "from services.cli import main; main()", *arguments]
    return subprocess.run(command, input=given, capture_output=True, timeout=60, check=False)


def ndjson(*cases: str) -> bytes:
    return b"".join(synthetic.raw(case) + b"\n" for case in cases)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_bundle_in_gives_json_out_and_nothing_else(command: str, tmp_path: Path) -> None:
    file = tmp_path / "patient.json"
    file.write_bytes(json.dumps(synthetic.bundle("ivb-cps-10"), indent=2).encode())
    done = figaro(command, str(file))
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_ndjson_is_answered_line_by_line_in_order_and_a_broken_line_on_its_own_line(command: str) -> None:
    given = ndjson("ivb-cps-10") + b"{broken\n\n" + b"<html></html>\n" + ndjson("iva-bladder-mucosa")
    done = figaro(command, "-", given=given)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 2
    assert [a.get("resourceType") == "OperationOutcome" for a in answers] == [False, True, True, False]
    assert b"line 2" in done.stderr.lower()
    assert b"Traceback" not in done.stderr


def test_the_first_line_may_be_the_broken_one() -> None:
    done = figaro("stage", "-", given=b"{broken\n" + ndjson("ivb-cps-10", "iva-bladder-mucosa"))
    assert done.returncode == 2
    assert len(done.stdout.splitlines()) == 3


def test_the_same_input_gives_the_same_bytes() -> None:
    given = ndjson("ivb-cps-10", "iva-bladder-mucosa")
    for command in COMMANDS:
        assert figaro(command, "-", given=given).stdout == figaro(command, "-", given=given).stdout


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (b"", "empty"),
        (b"\n \n", "empty"),
        (b"not json at all", "not a FHIR Bundle"),
        (b"<html><body>Login</body></html>", "not a FHIR Bundle"),
        (b'{"resourceType":"Patient","id":"1"}', "Patient"),
        (b'{"resourceType":"Bundle","type":"collection"}', "patient"),
        (b"[1, 2]", "not a FHIR Bundle"),
        (b"\xff\xfe\x00", "not a FHIR Bundle"),
    ],
)
def test_bad_input_is_one_clear_sentence_and_exit_2(given: bytes, says: str) -> None:
    for command in COMMANDS:
        done = figaro(command, "-", given=given)
        assert done.returncode == 2
        assert done.stdout == b""
        assert done.stderr.count(b"\n") == 1
        assert says in done.stderr.decode()


def test_two_patients_in_one_bundle_are_refused() -> None:
    both = synthetic.bundle("ivb-cps-10")
    both["entry"] += synthetic.bundle("iva-bladder-mucosa")["entry"]
    done = figaro("stage", "-", given=json.dumps(both).encode())
    assert done.returncode == 2
    assert b"2 patients" in done.stderr


def test_json_errors_are_operation_outcomes() -> None:
    done = figaro("stage", "-", "--json-errors", given=b"nonsense")
    assert done.returncode == 2
    assert json.loads(done.stderr)["resourceType"] == "OperationOutcome"


def test_a_file_that_is_not_there_and_a_day_that_is_none_are_named() -> None:
    missing, day = figaro("stage", "nowhere.json"), figaro("stage", "-", "--as-of", "soon", given=ndjson("ivb-cps-10"))
    assert (missing.returncode, day.returncode) == (2, 2)
    assert b"nowhere.json" in missing.stderr
    assert b"YYYY-MM-DD" in day.stderr


def test_as_of_hides_what_was_published_or_approved_later() -> None:
    given = synthetic.raw("ivb-cps-10").replace(b'"2026-', b'"2012-')

    def regimens(*more: str) -> set[str]:
        return {c["regimen"] for c in json.loads(figaro("recommend", "-", *more, given=given).stdout)["candidates"]}

    later = regimens()
    assert any("pembrolizumab" in name for name in later)
    earlier = regimens("--as-of", "2012-12-31")
    assert earlier
    assert not any("pembrolizumab" in name or "bevacizumab" in name for name in earlier)


def test_out_of_scope_has_no_candidates_and_a_transaction_without_careplan() -> None:
    given = synthetic.raw("carcinoma-in-situ")
    assert json.loads(figaro("recommend", "-", given=given).stdout)["candidates"] == []
    assert json.loads(figaro("careplan", "-", given=given).stdout) == {"resourceType": "Bundle", "type": "transaction"}


def test_text_is_for_people() -> None:
    done = figaro("stage", "-", "--text", given=synthetic.raw("equivocal-lung-nodules"))
    assert b"Could still be IVB" in done.stdout
    assert b"lung" in done.stdout


def test_an_unknown_region_is_refused() -> None:
    assert figaro("recommend", "-", "--region", "XYZ", given=synthetic.raw("ivb-cps-10")).returncode == 2


def test_knowledge_check_finds_no_refusal_and_show_reads_like_a_page() -> None:
    assert figaro("knowledge", "check").returncode == 0
    assert b"lower substage" in figaro("knowledge", "show", "figo-2018").stdout
    assert b"cisplatin" in figaro("knowledge", "show", "cisplatin-paclitaxel").stdout.lower()
    assert figaro("knowledge", "show").stdout.startswith(b"rules of staging\n  staging\n  figo-2018\n")
    unknown = figaro("knowledge", "show", "no-such-thing")
    assert unknown.returncode != 0
    assert b"Traceback" not in unknown.stderr


def test_a_table_and_a_regimen_are_pages_of_html_to_sign_and_a_policy_has_none() -> None:
    page = figaro("knowledge", "show", "staging", "--html")
    assert page.returncode == 0
    assert page.stdout.startswith(b"<!doctype html>")
    assert page.stdout.count(b"Signatures: ") == 7
    assert b"<h1>Cisplatin and paclitaxel</h1>" in figaro("knowledge", "show", "cisplatin-paclitaxel", "--html").stdout
    refused = figaro("knowledge", "show", "default", "--html")
    assert refused.returncode == 2
    assert b"default has no page to print" in refused.stderr


@pytest.mark.parametrize("command", [(), ("stage",), ("recommend",), ("careplan",), ("run",), ("serve",), ("demo",), ("knowledge",)])
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    done = figaro(*command, "--help")
    assert done.returncode == 0
    assert b"Example" in done.stdout or len(command) == 0 or command == ("knowledge",)


@pytest.mark.parametrize(
    "bundle",
    [
        b'{"resourceType":"Bundle","entry":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Condition","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}}]}",
    ],
)
def test_nesting_without_end_is_one_clear_refusal(bundle: bytes) -> None:
    done = figaro("stage", "-", given=bundle)
    assert done.returncode == 2
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_hundred_thousand_entries_are_answered() -> None:
    patient = {"reference": "Patient/1"}
    code = {"coding": [{"system": "http://loinc.org", "code": "718-7"}]}
    given = [{"resourceType": "Observation", "id": f"o{n}", "status": "final", "subject": patient, "code": code} for n in range(100_000)]
    given.append({"resourceType": "Condition", "id": "c", "subject": patient, "code": {"coding": [{"system": ICD_10, "code": "C53.9"}]}})
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r} for r in given]}
    done = figaro("stage", "-", given=json.dumps(bundle).encode())
    assert json.loads(done.stdout)["primary"]["applies"] is True


def test_resources_without_ids_are_known_by_their_address_in_the_file() -> None:
    patient, primary, category = (f"urn:uuid:00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
    resources = {
        patient: {"resourceType": "Patient", "gender": "female"},
        primary: {"resourceType": "Condition", "code": {"coding": [{"system": ICD_10, "code": "C53.9"}]}},
        category: {
            "resourceType": "Observation",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "21905-5"}]},
        },
    }
    resources[category]["valueString"] = "cT2b"
    for url in (primary, category):
        resources[url]["subject"] = {"reference": patient}
    entries = [{"fullUrl": url, "resource": resource} for url, resource in resources.items()]
    given = json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()
    staging = json.loads(figaro("stage", "-", given=given).stdout)
    assert (staging["patient"], staging["primary"]["condition"]) == (patient, primary)
    [plan] = [
        e["resource"]
        for e in json.loads(figaro("careplan", "-", given=given).stdout)["entry"]
        if e["resource"]["resourceType"] == "CarePlan"
    ]
    assert plan["subject"]["reference"] == patient


def test_a_fault_of_ours_is_one_sentence_without_the_words_of_the_record(tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(
        "import services.staging.stage as staging\n"
        "def fail(*_): raise ValueError('Mrs Example')\n"
        "staging.stage = fail\n"
        "from services.cli import main\n"
        "main()\n"
    )
    for given, code in ((synthetic.raw("ivb-cps-10"), 70), (ndjson("ivb-cps-10", "ivb-no-cps"), 2)):
        done = subprocess.run([sys.executable, str(broken), "stage", "-"], input=given, capture_output=True, timeout=60, check=False)
        assert done.returncode == code
        assert b"fault of Figaro" in done.stderr
        assert b"Traceback" not in done.stderr
        assert b"Mrs Example" not in done.stderr + done.stdout
