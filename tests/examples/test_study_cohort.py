"""The stand-in for the founding study: FHIR that a server takes, marked as synthetic, in an order of days that a patient can live."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from examples.founding_cohort import AGES, BULKY, ECOG, HISTOLOGY, LOOKED, PATTERNS
from examples.study_cohort import FILE, bundles, export, rows
from examples.study_fit import cost, women
from examples.study_treatment import limit, plans
from examples.synthetic_patients import patients
from shared.fhir.r4 import check

BUNDLES = bundles()
RESOURCES = [entry["resource"] for bundle in BUNDLES for entry in bundle["entry"]]


def test_the_same_file_gives_the_same_bytes() -> None:
    assert json.dumps(bundles()) == json.dumps(BUNDLES)


def test_every_resource_is_marked_as_test_data_and_no_id_stands_twice() -> None:
    assert all({tag["code"] for tag in resource["meta"]["tag"]} >= {"HTEST", "synthetic"} for resource in RESOURCES)
    names = Counter(f"{resource['resourceType']}/{resource['id']}" for resource in RESOURCES)
    assert set(names.values()) == {1}
    others = {entry["resource"]["id"] for bundle in patients() for entry in bundle["entry"]}
    assert not others & {resource["id"] for resource in RESOURCES}


def test_the_export_has_the_types_of_a_treated_patient() -> None:
    kinds = {resource["resourceType"] for resource in RESOURCES}
    assert kinds == {"Patient", "Condition", "Observation", "Procedure", "MedicationAdministration", "Encounter"}


@pytest.mark.slow
def test_every_resource_is_valid_r4() -> None:
    """By the models of fhir.resources, and by the bound codes, targets and invariants that these do not know."""
    for bundle in BUNDLES[::4]:
        assert not check(bundle)


def test_the_characteristics_are_those_of_the_printed_tables() -> None:
    """Dealt anew among the women, within their group; the patterns of spread among all."""
    found = rows()
    for key, table in (("age", AGES), ("ecog", ECOG), ("histology", HISTOLOGY), ("looked", LOOKED)):
        for group in "AB":
            assert Counter(row[key] for row in found if row["group"] == group) == Counter(table[group])  # type: ignore[index]
    for group in "AB":
        assert sum(row["diameter"] >= 40 for row in found if row["group"] == group) == sum(BULKY[group])
    patterns = Counter((tuple(sorted(organ for organ, _ in row["organs"])), row["node"] is not None) for row in found)
    assert patterns == Counter({(tuple(sorted(organs)), nodes): count for organs, nodes, count in PATTERNS})


def test_all_first_treatment_begins_before_any_progression_and_ends_before_the_last_day() -> None:
    found = rows()
    for number, plan in plans(found).items():
        row = found[number - 1]
        assert all(day < limit(row) for day, _ in plan.cycles), number
        assert all(beam.start < limit(row) and beam.end < row["end"] for beam in plan.beams), number
        assert [day for day, _ in plan.cycles] == sorted({day for day, _ in plan.cycles})


def test_nothing_happens_after_death_or_before_the_study_or_after_it() -> None:
    for bundle in BUNDLES:
        resources = [entry["resource"] for entry in bundle["entry"]]
        days = [resource[key] for resource in resources for key in ("effectiveDateTime", "onsetDateTime") if key in resource]
        days += [resource["performedPeriod"]["end"] for resource in resources if "performedPeriod" in resource]
        assert min(days) >= "2006-10-01"
        assert max(days) <= resources[0].get("deceasedDateTime", "2017-12-31") <= "2017-12-31"


def test_the_file_is_what_the_annealing_left() -> None:
    """Its distance from the aims is that of a fit, and its women are those of the founding cohort, dealt anew."""
    found = rows()
    given = [
        row | {"spread": (row["organs"], row["node"]), "fate": "dead" if row["dead"] else "progressed" if row["progression"] else "free"}
        for row in found
    ]
    assert cost(given) < 25
    assert sorted(row["age"] for row in given) == sorted(woman["age"] for woman in women(1))
    with FILE.open(newline="") as file:
        assert len(list(csv.reader(file))) == 49


def test_an_export_has_one_file_a_type_and_takes_the_other_patients_on_request(tmp_path: Path) -> None:
    alone, more = export(tmp_path / "alone"), export(tmp_path / "more", others=True)
    assert {path.stem for path in alone.iterdir()} == {resource["resourceType"] for resource in RESOURCES}
    assert [len((folder / "Patient.ndjson").read_text().splitlines()) for folder in (alone, more)] == [48, 88]
