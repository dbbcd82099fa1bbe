"""Damaged, twice, without ids, or in other words: a row still says what `figaro stage` says of a Bundle of the same resources."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from random import Random

import pytest

from examples.population import population
from examples.synthetic_patients import patients
from services.cohort.rows import row_of
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.outcome import FigaroError
from shared.fhir.reader import read_bundle
from shared.oncology.record import encode
from tests.cohort.export import Json, done, planned, resources, write


def drop(resource: Json, rng: Random) -> None:
    """An element is missing."""
    del resource[rng.choice([key for key in resource if key not in ("resourceType", "id", "subject")])]


def wrong(resource: Json, rng: Random) -> None:
    """An element is of another type."""
    element = rng.choice([key for key in resource if key not in ("resourceType", "id", "subject")])
    resource[element] = rng.choice([7, "no", [], {}, None, True])


def nameless(resource: Json, _: Random) -> None:
    resource.pop("id", None)


def modified(resource: Json, _: Random) -> None:
    resource["modifierExtension"] = [{"url": "https://x.example/not", "valueBoolean": True}]


def by_a_machine(resource: Json, _: Random) -> None:
    resource["meta"] = {"security": [{"code": "AIAST"}]}


def taken_back(resource: Json, _: Random) -> None:
    resource["verificationStatus"] = {"coding": [{"code": "entered-in-error"}]}


def in_words(resource: Json, rng: Random) -> None:
    resource["code"] = {"text": rng.choice(["Zervixkarzinom", "cervical cancer", "FIGO IIB", "cough"])}


def escaped(resource: Json, _: Random) -> None:
    """The same in JSON that is written otherwise."""
    resource["note"] = [{"text": 'a \u2028 b \\ " {}[] C53.9'}]


def elsewhere(resource: Json, _: Random) -> None:
    if "subject" in resource:
        patient = resource["subject"]["reference"].removeprefix("https://ehr.example/fhir/").removesuffix("/_history/3")
        resource["subject"]["reference"] = f"https://ehr.example/fhir/{patient}/_history/3"


def far(resource: Json, rng: Random) -> None:
    resource[rng.choice(["onsetDateTime", "effectiveDateTime", "recordedDate"])] = rng.choice(["2999-01-01", "soon", "1850"])


DAMAGE: list[Callable[[Json, Random], None]] = [
    drop,
    wrong,
    nameless,
    modified,
    by_a_machine,
    taken_back,
    in_words,
    escaped,
    elsewhere,
    far,
]


def damaged(bundle: Json, rng: Random) -> list[Json]:
    found = list(deepcopy(list(resources([bundle]))))
    for _ in range(rng.randint(1, 5)):
        resource = rng.choice(found[1:])
        if rng.random() < 0.3:
            found.append(deepcopy(resource))
            resource = found[-1]
        if rng.random() < 0.3:
            resource["meta"] = {"versionId": str(rng.randint(1, 12)), "lastUpdated": f"2026-10-0{rng.randint(1, 9)}T00:00:00Z"}
        rng.choice(DAMAGE)(resource, rng)
    if rng.random() < 0.2:
        found = [one for one in found if one["resourceType"] != "Condition"]
    if rng.random() < 0.1:
        del found[0]
    return sorted(found, key=lambda one: str(one["resourceType"]))


def asked_alone(patient: str, hers: list[Json]) -> Json:
    """The row of what `figaro stage` answers, or its error."""
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in hers]}
    try:
        found: Json = json.loads(encode(row_of(stage(read_bundle(json.dumps(bundle).encode()), rules()))))
    except FigaroError as error:
        return {"patient": patient, "error": error.text}
    return found


@pytest.mark.parametrize("seed", range(4))
def test_a_row_says_what_stage_says_of_the_same_damaged_resources(tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    given = {f"Patient/{bundle['entry'][0]['resource']['id']}": damaged(bundle, rng) for bundle in [*patients(), *population(40, seed)]}
    export = write(tmp_path / "export", [one for hers in given.values() for one in hers])
    _, rows = done(planned(export, piece=200_000, all=seed % 2 == 1))
    for patient, hers in given.items():
        alone = asked_alone(patient, hers)
        if patient in rows:
            row = rows[patient]
            told = row if row["error"] is None else {"patient": patient, "error": row["error"]}
            assert {name: (value, alone.get(name)) for name, value in told.items() if value != alone.get(name)} == {}
        else:
            assert alone.get("condition") is None
            assert alone["figo_2018"]["stage"] is None
            assert "to be read, and coded" not in (alone["why_not"] or "")
