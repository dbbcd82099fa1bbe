"""Few metastases by a named definition: chosen for a record, for the service and on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from services.staging.app import create
from services.staging.knowledge import rules
from services.staging.settings import StagingSettings
from services.staging.stage import stage
from shared.fhir.outcome import Refused
from shared.fhir.reader import read_bundle
from shared.oncology.record import encode
from tests.cli.test_offline_commands import figaro
from tests.staging.case import Chart, Seen, bundle

FIVE = Chart(tnm=["cT2b", "cN0"], extent={"distant-organ": Seen(is_=True, site="liver", lesions=5), "distant-nodes": False})


@pytest.mark.parametrize(("name", "definition"), [(name, rule.definition) for name, rule in rules().sites.oligometastatic.items()])
def test_every_definition_answers_in_its_own_words_and_cites_its_work(name: str, definition: str) -> None:
    answer = stage(read_bundle(bundle(FIVE)), rules(), name).oligometastatic

    assert answer.definition == definition
    assert answer.reference in rules().works


@pytest.mark.parametrize("name", ["sabr-comet", "nccn-2020"])
def test_a_controlled_primary_is_asked_for_and_never_assumed(name: str) -> None:
    answer = stage(read_bundle(bundle(FIVE)), rules(), name).oligometastatic

    assert answer.value is None
    assert [m.fact for m in answer.missing] == ["primary_controlled"]


def test_the_service_answers_by_the_definition_of_its_settings() -> None:
    record = encode(read_bundle(bundle(FIVE)))

    def few(settings: StagingSettings) -> object:
        here = TestClient(create(settings), base_url="http://127.0.0.1")
        return here.post("/stage", content=record, headers={"Content-Type": "application/json"}).json()["oligometastatic"]["value"]

    assert few(StagingSettings()) is False
    assert few(StagingSettings(oligometastasis="sabr-comet")) is None
    with pytest.raises(Refused, match="give one of yin-2019"):
        create(StagingSettings(oligometastasis="many"))


def test_the_command_line_takes_the_same_names(tmp_path: Path) -> None:
    file = tmp_path / "patient.json"
    file.write_bytes(bundle(FIVE))

    done = figaro("stage", str(file), "--oligometastasis", "nccn-2020")
    refused = figaro("stage", str(file), "--oligometastasis", "many")

    assert json.loads(done.stdout)["oligometastatic"]["value"] is None
    assert (refused.returncode, refused.stdout) == (2, b"")
    assert "no definition of oligometastasis named 'many'" in refused.stderr.decode()
