"""`figaro knowledge export`, and policies on the command line, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

from tests import synthetic
from tests.cli.test_offline_commands import figaro

OURS = 'id: ours\ntitle: Ours\nextends: cisplatin-60\nreview: {state: draft, next: "2027-05-22"}\n'


def test_the_export_is_a_transaction_on_standard_output_or_in_a_file(tmp_path: Path) -> None:
    """The same bytes in both; a folder that is not there is one sentence."""
    done = figaro("knowledge", "export")
    assert (done.returncode, done.stderr) == (0, b"")
    bundle = json.loads(done.stdout)
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "transaction")
    assert figaro("knowledge", "export", "--out", str(tmp_path / "figaro.json")).stdout == b""
    assert (tmp_path / "figaro.json").read_bytes() == done.stdout
    lost = figaro("knowledge", "export", "--out", str(tmp_path / "nowhere" / "figaro.json"))
    assert (lost.returncode, lost.stderr) == (2, b"figaro: figaro.json cannot be written: no such file or directory.\n")


def test_a_policy_of_a_hospital_s_own_answers(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(OURS, encoding="utf-8")
    given = synthetic.raw("ivb-cps-10")
    done = figaro("recommend", "-", "--policies", str(tmp_path), "--policy", "ours", given=given)
    assert done.returncode == 0
    assert "Answered under the policy ours: Ours." in [note["text"] for note in json.loads(done.stdout)["notes"]]
    plan = figaro("careplan", "-", "--policies", str(tmp_path), "--policy", "ours", given=given)
    assert b"Answered under the policy ours" in plan.stdout


def test_a_policy_that_is_not_there_is_refused_and_the_others_are_named() -> None:
    done = figaro("recommend", "-", "--policy", "mars", given=synthetic.raw("ivb-cps-10"))
    assert (done.returncode, done.stderr) == (2, b"figaro: There is no policy mars; there are: cisplatin-60, default.\n")


def test_knowledge_check_reads_a_hospital_s_own_policies_as_strictly_as_ours(tmp_path: Path) -> None:
    """A definition of few metastases that staging has not is found only where both services are at hand: here."""
    (tmp_path / "ours.yaml").write_text(OURS, encoding="utf-8")
    assert figaro("knowledge", "check", "--policies", str(tmp_path)).returncode == 0
    few = 'oligometastasis: {id: yin-2019, definition: "one organ, at most four lesions"}\n'
    (tmp_path / "ours.yaml").write_text(OURS + few, encoding="utf-8")
    refused = figaro("knowledge", "check", "--policies", str(tmp_path))
    assert refused.returncode == 1
    assert b'Staging has no definition yin-2019 of few metastases that says "one organ, at most four lesions"' in refused.stderr
