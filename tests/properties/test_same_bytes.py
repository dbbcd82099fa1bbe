"""The same record gives the same bytes, whatever the order of its entries, and whatever it carries that is no finding."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.synthetic_patients import patients
from services.staging import figo
from services.staging.knowledge import Rules, rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from shared.oncology.record import encode
from tests import synthetic
from tests.properties.test_interval import QUICK, charts, histories
from tests.staging.case import Chart, Diagnosis, Seen, bundle

SCT, ICD_10_CM = "http://snomed.info/sct", "http://hl7.org/fhir/sid/icd-10-cm"
SAME = {"C78.00": "94391008", "C78.6": "94627008", "C79.51": "94222008", "C77.5": "94350006", "C53.9": "363354003"}


def answered(data: bytes) -> bytes:
    return encode(stage(read_bundle(data), rules()))


def entries(chart: Chart) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(bundle(chart))["entry"]
    return found


def bundled(entries: list[dict[str, Any]]) -> bytes:
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()


@given(histories())
@QUICK
def test_the_same_input_gives_the_same_bytes(chart: Chart) -> None:
    assert answered(bundle(chart)) == answered(bundle(chart))


def test_a_memory_that_is_full_is_emptied_and_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """How many answers a process has given before says nothing about the next one."""
    monkeypatch.setattr(figo, "_MANY", 2)
    forgetful = Rules()
    for data in (synthetic.raw(each.case) for each in synthetic.CASES[:20]):
        assert encode(stage(read_bundle(data), forgetful)) == answered(data)
        assert all(1 <= len(reader.known) <= 2 for reader in forgetful.tables.values())


@given(histories(), st.randoms(use_true_random=False))
@QUICK
def test_the_order_of_entries_does_not_matter(chart: Chart, random: Random) -> None:
    given_first = entries(chart)
    shuffled = random.sample(given_first, len(given_first))

    assert answered(bundled(shuffled)) == answered(bundled(given_first))


@given(charts(), st.sampled_from(("C53.0", "C78.7", "C79.51", "C50.9", "D06.9")), st.sampled_from(("refuted", "entered-in-error")))
@QUICK
def test_what_is_refuted_or_entered_in_error_changes_nothing(chart: Chart, code: str, verification: str) -> None:
    wrong = [Diagnosis(id=f"x{n}", icd10cm=code, verification=verification, on=on) for n, on in enumerate(("2020-01-01", "2026-02-13"))]
    wrong += [Diagnosis(id="x9", snomed="314970000", verification=verification)]
    never = Seen(is_=True, by="biopsy", status="entered-in-error")
    extra = Chart(spread=wrong, extent={"distant-organ": never, "pelvic-wall": never, "bladder-mucosa": never})
    added = [each for each in entries(extra) if each["resource"]["id"] not in ("17", "c1")]
    for entry in added:
        entry["resource"]["id"] += "-wrong"

    assert answered(bundled(entries(chart) + added)) == answered(bundle(chart))


@given(histories(), st.randoms(use_true_random=False))
@QUICK
def test_the_ids_of_resources_do_not_matter(chart: Chart, random: Random) -> None:
    given_first = entries(chart)
    ids = [entry["resource"]["id"] for entry in given_first]
    others = [f"zz{number:03d}" for number in random.sample(range(len(ids)), len(ids))]
    renamed = json.dumps(given_first)
    for old, new in zip(ids, others, strict=True):
        renamed = renamed.replace(f'"id": "{old}"', f'"id": "{new}"').replace(f'/{old}"', f'/{new}"')
    said = answered(bundled(json.loads(renamed))).decode()
    for old, new in zip(ids, others, strict=True):
        said = said.replace(new, old)

    assert unordered(json.loads(said)) == unordered(json.loads(answered(bundle(chart))))


def unordered(value: Any) -> Any:
    """An answer with its lists as bags: sources stand in the order of their references, and so does what is told of each. Which of
    two treatments of one day closes the window, and which of two findings that say the same is named in a conflict, the ids may decide.
    """
    if isinstance(value, dict):
        dropped = {"ends_with", "sources"} if value.get("code") == "extent-conflict" else {"ends_with"}
        kept = {name: part for name, part in value.items() if name not in dropped}
        return {name: part if name in ("missing", "could_be") else unordered(part) for name, part in kept.items()}
    if isinstance(value, str) and " " in value:
        return re.sub(r"[A-Z]\w+/[\w-]+", "a reference", value)
    return sorted(map(unordered, value), key=repr) if isinstance(value, list) else value


@given(histories(), st.sampled_from(("Some words", "\u5b50\u5bab\u9888\u764c", "  ", "see report")))
@QUICK
def test_displays_do_not_matter(chart: Chart, display: str) -> None:
    def shown(value: Any) -> Any:
        if isinstance(value, dict):
            more = {"display": display} if "code" in value and "system" in value and "value" not in value and "display" not in value else {}
            return {name: shown(part) for name, part in value.items()} | more
        return [shown(part) for part in value] if isinstance(value, list) else value

    assert answered(bundled(shown(entries(chart)))) == answered(bundle(chart))


@given(charts())
@QUICK
def test_a_second_coding_of_the_same_meaning_changes_nothing(chart: Chart) -> None:
    doubled = entries(chart)
    for entry in doubled:
        if entry["resource"]["resourceType"] == "Condition":
            codings = entry["resource"]["code"]["coding"]
            codings += [{"system": SCT, "code": SAME[coding["code"]]} for coding in codings if coding["code"] in SAME]
            codings += codings[:1]

    assert answered(bundled(doubled)) == answered(bundle(chart))


@given(histories())
@QUICK
def test_a_resource_that_stands_twice_changes_nothing(chart: Chart) -> None:
    assert answered(bundled(entries(chart) * 2)) == answered(bundle(chart))


@given(histories())
@QUICK
def test_what_staging_does_not_read_changes_nothing(chart: Chart) -> None:
    other: list[dict[str, Any]] = [
        {"resourceType": "Observation", "status": "final", "code": {"coding": [{"system": "http://loinc.org", "code": "718-7"}]}},
        {"resourceType": "Condition", "code": {"coding": [{"system": ICD_10_CM, "code": "E11.9"}]}, "onsetDateTime": "2001-05-01"},
        {"resourceType": "AllergyIntolerance", "code": {"text": "Penicillin"}},
        {"resourceType": "Immunization", "status": "completed"},
    ]
    person = {"reference": "Patient/17"}
    added = [{"resource": {"id": f"o{n}", "subject": person, "patient": person, **each}} for n, each in enumerate(other)]

    assert answered(bundled(entries(chart) + added)) == answered(bundle(chart))


def test_another_process_with_another_hash_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    data = tmp_path / "patients.ndjson"
    data.write_bytes(b"\n".join(json.dumps(each).encode() for each in patients()[40:70]))
    script = (
        "import sys; from services.staging.knowledge import rules; from services.staging.stage import stage;"
        "from shared.fhir.reader import read_bundle; from shared.oncology.record import encode;"
        "[sys.stdout.buffer.write(encode(stage(read_bundle(line), rules()))) for line in open(sys.argv[1], 'rb')]"
    )
    root = Path(__file__).parents[2]
    said = [
        subprocess.run(
            [sys.executable, "-c", script, str(data)],
            check=True,
            capture_output=True,
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
        ).stdout
        for seed in ("1", "2")
    ]

    assert said[0] == said[1]
    assert said[0] == b"".join(answered(line) for line in data.read_bytes().splitlines())
