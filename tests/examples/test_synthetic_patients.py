"""Every synthetic patient is valid FHIR R4, complete in itself, marked as synthetic, and the same each time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fhir.resources.R4B import get_fhir_model_class

from examples.population import population
from examples.resources import collection
from examples.synthetic_patients import CASES, patients

Json = dict[str, Any]

BUNDLES = patients()
POPULATION = list(population(120, seed=7))


def resources(bundle: Json) -> Iterator[Json]:
    return (entry["resource"] for entry in bundle["entry"])


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "reference" in value:
            yield value["reference"]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def named(bundle: Json) -> str:
    return str(bundle["entry"][0]["resource"]["id"])


@pytest.mark.parametrize("bundle", BUNDLES + POPULATION, ids=named)
def test_every_resource_is_valid_and_every_reference_resolves_in_its_bundle(bundle: Json) -> None:
    get_fhir_model_class("Bundle").model_validate(bundle)
    held = set()
    for resource in resources(bundle):
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
        held.add(f"{resource['resourceType']}/{resource['id']}")
    assert len(held) == len(bundle["entry"])
    assert set(references(list(resources(bundle)))) <= held


@pytest.mark.parametrize("bundle", BUNDLES + POPULATION, ids=named)
def test_loading_a_bundle_twice_puts_the_same_ids(bundle: Json) -> None:
    assert bundle["type"] == "transaction"
    for entry in bundle["entry"]:
        resource = entry["resource"]
        assert entry["request"] == {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}
        assert not resource["id"].isdigit()
        assert len(resource["id"]) <= 64
        assert entry["fullUrl"].endswith(entry["request"]["url"])


def test_every_patient_is_marked_as_synthetic() -> None:
    for bundle in BUNDLES + POPULATION:
        (patient,) = (each for each in resources(bundle) if each["resourceType"] == "Patient")
        tags = {(tag["system"], tag["code"]) for tag in patient["meta"]["tag"]}
        assert ("http://terminology.hl7.org/CodeSystem/v3-ActReason", "HTEST") in tags
        assert ("https://figaro.example/fhir/CodeSystem/synthetic", "synthetic") in tags
        assert patient["name"][0]["family"].startswith("Synthetic-")


def test_the_same_seed_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    target = tmp_path / "patients.ndjson"
    command = [sys.executable, "-m", "examples.synthetic_patients", "--out", str(tmp_path / "bundles"), "--ndjson", str(target)]
    subprocess.run(command, check=True, cwd=Path(__file__).parents[2])
    assert target.read_bytes() == b"".join(msgspec.json.encode(collection(bundle)) + b"\n" for bundle in BUNDLES)
    files = [json.loads((tmp_path / "bundles" / f"{named(bundle)}.json").read_text()) for bundle in BUNDLES]
    assert files == BUNDLES


def test_a_collection_holds_the_same_resources_and_asks_for_nothing() -> None:
    for bundle in BUNDLES:
        read = collection(bundle)
        assert read["type"] == "collection"
        assert list(resources(read)) == list(resources(bundle))
        assert not any("request" in entry for entry in read["entry"])


def test_another_seed_gives_other_patients() -> None:
    assert patients(49) != BUNDLES


def test_no_resource_says_what_is_expected_of_it() -> None:
    written = json.dumps(BUNDLES)
    for case in CASES:
        assert case.case not in written


def test_each_patient_has_one_case_and_every_stage_is_among_them() -> None:
    assert [f"Patient/{named(bundle)}" for bundle in BUNDLES] == [case.patient for case in CASES]
    assert len({case.case for case in CASES}) == len(CASES)
    stages = "IA1 IA2 IB1 IB2 IB3 IIA1 IIA2 IIB IIIA IIIB IIIC1r IIIC1p IIIC2r IVA IVB"
    assert set(stages.split()) <= {case.expected["figo_2018"] for case in CASES}


def test_a_patient_of_the_population_depends_on_the_seed_and_her_number_alone() -> None:
    assert list(islice(population(10**9, seed=7), 120)) == POPULATION
    assert next(population(1, seed=8)) != POPULATION[0]


def test_the_population_has_women_without_cervical_cancer() -> None:
    with_primary = ["C53.9" in json.dumps(bundle) or "71252005" in json.dumps(bundle) for bundle in POPULATION]
    assert 0.3 < sum(with_primary) / len(with_primary) < 0.8
