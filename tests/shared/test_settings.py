"""Settings come from the environment, and a bad one is named without its value."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from services.recommend.settings import RecommendSettings
from shared.fhir.outcome import Refused
from shared.service.settings import Settings, load


class WithSecret(Settings):
    signing_key: SecretStr = SecretStr("of the demo")
    fhir_base_url: str


def test_it_listens_on_this_machine_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(Settings).host == "127.0.0.1"
    monkeypatch.setenv("FIGARO_HOST", "0.0.0.0")
    assert load(Settings).host == "0.0.0.0"


def test_the_secret_of_the_demo_is_refused_outside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIGARO_FHIR_BASE_URL", "http://127.0.0.1/fhir")
    with pytest.raises(Refused, match="FIGARO_SIGNING_KEY still has the secret of the demo"):
        load(WithSecret)
    monkeypatch.setenv("FIGARO_DEMO", "true")
    assert load(WithSecret).demo
    monkeypatch.setenv("FIGARO_DEMO", "false")
    monkeypatch.setenv("FIGARO_SIGNING_KEY", "our own")
    assert "our own" not in repr(load(WithSecret))


def test_a_region_that_is_none_keeps_recommend_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    """And does not wait for the first patient."""
    monkeypatch.setenv("FIGARO_REGION", "canary")
    with pytest.raises(Refused, match=r"FIGARO_REGION: .*'FDA', 'EMA' or 'NMPA'") as refusal:
        load(RecommendSettings)
    assert "canary" not in refusal.value.text


def test_what_is_missing_or_wrong_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIGARO_PORT", "canary")
    with pytest.raises(Refused) as refusal:
        load(WithSecret)
    assert "FIGARO_PORT" in refusal.value.text
    assert "FIGARO_FHIR_BASE_URL" in refusal.value.text
    assert "canary" not in refusal.value.text
