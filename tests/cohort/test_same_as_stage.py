"""A row of the cohort says what `figaro stage` says of a Bundle of all her resources."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest

from examples.population import population
from examples.synthetic_patients import patients
from services.cohort.result import TABLE
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from shared.oncology.record import encode
from tests.cohort.export import Json, done, planned, resources, write


@cache
def bundles() -> list[Json]:
    return [*patients(), *population(150, seed=11)]


def by_hand(bundle: Json) -> Json:
    """The answer of `figaro stage`."""
    found: Json = json.loads(encode(stage(read_bundle(json.dumps(bundle).encode()), rules())))
    return found


@cache
def staged() -> dict[str, Json]:
    return {answer["patient"]: answer for answer in map(by_hand, bundles())}


def assert_says(row: Json, answer: Json) -> None:
    assert {name: row[name] for name in ("applies", "why_not", "condition", "site", "histology")} == answer["primary"]
    for edition in ("figo-2018", "figo-2009"):
        told = answer["editions"].get(edition, {"stage": None, "label": None, "could_be": [], "missing": []})
        wanted = {name: told[name] for name in ("stage", "label", "could_be")} | {"missing": [each["fact"] for each in told["missing"]]}
        assert row[edition.replace("-", "_")] == wanted
    assert {letter: row[letter] for letter in "tnm"} == answer["tnm"]
    assert row["metastases"] == [{name: value for name, value in each.items() if name != "sources"} for each in answer["metastases"]]
    assert (row["oligometastatic"], row["oligometastatic_definition"]) == tuple(
        answer["oligometastatic"][n] for n in ("value", "definition")
    )
    for name in ("diagnosed", "disease_state", "issues"):
        assert row[name] == answer[name]
    assert (row["error"], row["knowledge"]) == (None, answer["knowledge"]["digest"])


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("cohort") / "export", resources(bundles()))


def test_every_row_says_what_stage_says_of_her_bundle(export: Path) -> None:
    manifest, rows = done(planned(export))
    assert 100 < len(rows) < len(bundles())
    for patient, row in rows.items():
        assert_says(row, staged()[patient])
    assert manifest.counts.patients.patients == len(staged())


def test_who_has_no_row_has_no_primary_of_the_cervix(export: Path) -> None:
    _, rows = done(planned(export))
    for patient in staged().keys() - rows.keys():
        assert (staged()[patient]["primary"]["condition"], staged()[patient]["editions"], staged()[patient]["recorded"]) == (None, {}, [])


def test_with_all_every_patient_has_a_row(export: Path) -> None:
    _, rows = done(planned(export, to=export.with_name("all"), all=True))
    assert rows.keys() == staged().keys()
    for patient, row in rows.items():
        assert_says(row, staged()[patient])


def test_the_parquet_says_what_the_ndjson_says(export: Path) -> None:
    plan = planned(export)
    _, rows = done(plan)
    assert pq.read_table(plan.folder / TABLE).to_pylist() == list(rows.values())


@pytest.mark.parametrize("seed", [1, 2])
def test_neither_the_order_of_lines_nor_the_files_nor_the_size_of_pieces_matter(export: Path, tmp_path: Path, seed: int) -> None:
    first = planned(export)
    done(first)
    rng = Random(seed)
    lines = [line for file in export.iterdir() for line in file.read_bytes().splitlines(keepends=True)]
    rng.shuffle(lines)
    (tmp_path / "export").mkdir()
    for number in range(3):
        (tmp_path / "export" / f"{number}.ndjson").write_bytes(b"".join(lines[number::3]))
    other = planned(tmp_path / "export", piece=rng.randint(20_000, 90_000))
    assert len(other.pieces()) > 5
    done(other)
    for name in ("cohort.ndjson", "cohort.parquet"):
        assert (other.folder / name).read_bytes() == (first.folder / name).read_bytes()


def test_as_of_asks_about_a_day(export: Path) -> None:
    _, rows = done(planned(export, to=export.with_name("as-of"), as_of="2023-06-30"))
    asked: dict[str, Any] = {bundle["entry"][0]["resource"]["id"]: bundle for bundle in bundles()}
    for patient, row in list(rows.items())[::9]:
        data = json.dumps(asked[patient.removeprefix("Patient/")]).encode()
        assert_says(row, json.loads(encode(stage(read_bundle(data, as_of="2023-06-30"), rules()))))
