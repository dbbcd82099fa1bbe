"""The export of a synthetic hospital: seeded, marked, and of any size."""

from __future__ import annotations

import gzip
import json
from itertools import islice
from pathlib import Path

from examples.population_export import export, write
from shared.fhir.r4 import check


def test_a_patient_depends_on_the_seed_and_her_number_alone() -> None:
    first = list(export(40, 5))
    assert list(islice(export(10**9, 5), 40)) == first
    assert list(export(40, 6)) != first


def test_packed_or_plain_in_one_file_or_several_it_holds_the_same_lines(tmp_path: Path) -> None:
    write(90, 5, tmp_path / "plain")
    write(90, 5, tmp_path / "packed", packed=True, per_file=40)
    plain = {path.name: path.read_bytes() for path in (tmp_path / "plain").iterdir()}
    assert "Encounter.ndjson" in plain
    assert sorted(path.name for path in (tmp_path / "packed").glob("Patient*")) == [f"Patient.{part:03}.ndjson.gz" for part in range(3)]
    for name, lines in plain.items():
        parts = sorted((tmp_path / "packed").glob(name.replace(".ndjson", ".*")))
        assert b"".join(gzip.decompress(part.read_bytes()) for part in parts) == lines


def test_each_resource_is_marked_as_test_data_valid_and_of_her() -> None:
    kinds: set[str] = set()
    for number, hers in enumerate(export(60, 5)):
        for kind, line in hers:
            resource = json.loads(line)
            assert resource["resourceType"] == kind
            assert "HTEST" in {tag["code"] for tag in resource["meta"]["tag"]}
            subject = resource.get("subject") or resource.get("patient")
            assert kind == "Patient" or subject == {"reference": f"Patient/exp-{number:07d}"}
            kinds.add(kind)
    assert {"Patient", "Condition", "Observation", "MedicationRequest", "Encounter", "Procedure"} <= kinds
    entries = [
        {"fullUrl": f"https://x.example/{kind}/{json.loads(line)['id']}", "resource": json.loads(line)}
        for hers in export(8, 5)
        for kind, line in hers
    ]
    assert check({"resourceType": "Bundle", "type": "collection", "entry": entries}, set()) == []
