"""The searches ask for every observation that a rule reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from services.ingest.searches import CODES_PER_SEARCH, EXTENT, OBSERVATION_CODES, searches_for

SERVICES = Path(__file__).parents[2] / "services"


def codes_of_staging() -> Iterator[str]:
    rules = {path.stem: yaml.safe_load(path.read_text()) for path in (SERVICES / "staging" / "rules").glob("*.yaml")}
    yield from rules["recorded"]["snomed"]
    yield from rules["recorded"]["ncit"]
    yield from rules["recorded"]["tnm_group_codes"]
    yield from (code for codes in rules["primary"]["histology_observations"].values() for code in codes)
    observations = rules["observations"]
    yield from (*observations["size"], *observations["size_components"], observations["disease_status"], observations["obds_site"])
    yield from (code for axis in rules["tnm"]["axes"].values() for codes in axis.values() for code in codes)


def codes_of_recommend() -> Iterator[str]:
    known: dict[str, Any] = yaml.safe_load((SERVICES / "recommend" / "codes.yaml").read_text())
    for measured in (*known["measures"], *known["scales"]):
        for codes in measured["codes"].values():
            yield from codes


def test_every_observation_that_staging_reads_is_asked_for() -> None:
    assert set(codes_of_staging()) - set(OBSERVATION_CODES) == set()
    assert len(set(codes_of_staging())) > 25


def test_every_observation_that_recommend_reads_is_asked_for() -> None:
    assert set(codes_of_recommend()) - set(OBSERVATION_CODES) == set()
    assert len(set(codes_of_recommend())) > 25


def test_no_code_is_asked_for_twice_and_each_is_in_one_search() -> None:
    assert len(OBSERVATION_CODES) == len(set(OBSERVATION_CODES))
    searched = [value for search in searches_for("1") for name, value in search.params if name == "code"]
    assert sorted(code for codes in searched for code in codes.split(",")) == sorted([*OBSERVATION_CODES, f"{EXTENT}|"])
    assert max(codes.count(",") for codes in searched) < CODES_PER_SEARCH


def test_every_search_is_of_one_patient_and_filters_by_nothing_but_code() -> None:
    for search in searches_for("17"):
        names = {name for name, _ in search.params}
        assert ("patient", "17") in search.params
        assert names <= {"patient", "code", "code:missing", "_include"}
        assert search.optional <= (search.type in ("Observation", "BodyStructure"))
