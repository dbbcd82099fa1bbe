"""The app's registration, what it asks for, what a grant allows: without a server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
from yarl import URL

from shared.fhir.outcome import NotFhir, Refused, Unauthorised
from shared.smart.authorization import question
from shared.smart.discovery import SmartConfiguration
from shared.smart.issuers import Issuer, issuers_of, read_issuers
from shared.smart.launch import Launch
from shared.smart.scopes import Granted
from tests.docs.markdown import ROOT, blocks

BASE = "https://ehr.example/fhir"
SAID: dict[str, Any] = {
    "authorization_endpoint": "https://ehr.example/authorize?tenant=1",
    "token_endpoint": "https://ehr.example/token",
    "code_challenge_methods_supported": ("S256",),
    "capabilities": ("permission-v2",),
    "issuer": "https://ehr.example",
}
PUBLIC = Launch(client_id="figaro", client="public", embedded=False)


def ask(app: Launch = PUBLIC, launch: str | None = "xyz", hosts: tuple[str, ...] = (), **said: Any) -> Any:
    issuer = Issuer(id="ehr", base=BASE, write_mode="page", hosts=hosts, launch=app)
    return question(
        issuer, app, SmartConfiguration(**SAID | said), aud=BASE, redirect_uri="https://figaro.example/callback/ehr", launch=launch
    )


def file(folder: Path, launch: str) -> Path:
    made = folder / "issuers.yaml"
    made.write_text(f"issuers:\n  - id: ehr\n    base: {BASE}\n    write_mode: page\n    launch: {launch}\n")
    return made


def test_sm20_a_verifier_is_long_random_and_of_the_allowed_letters() -> None:
    made = [ask() for _ in range(50)]
    for one in (each.verifier for each in made):
        assert 43 <= len(one) <= 128
        assert one.isalnum()
        assert one.isascii()
    assert len({(one.verifier, one.nonce, one.state) for one in made}) == 50
    assert len({value for one in made for value in (one.verifier, one.nonce, one.state)}) == 150


def test_sm12_a_query_of_the_endpoint_stays() -> None:
    query = parse_qs(URL(ask().url).raw_query_string)
    assert query["tenant"] == ["1"]
    assert query["launch"] == ["xyz"]
    assert all(len(values) == 1 for values in query.values())


def test_sm05_a_relative_endpoint_is_resolved_against_the_base() -> None:
    assert ask(authorization_endpoint="../authorize").url.startswith("https://ehr.example/authorize?")


def test_se09_an_endpoint_elsewhere_needs_the_issuers_word() -> None:
    elsewhere: dict[str, Any] = {"authorization_endpoint": "https://login.example/authorize"}
    with pytest.raises(NotFhir, match=r"add login\.example to `hosts`"):
        ask(**elsewhere)
    assert ask(hosts=("login.example",), **elsewhere).url.startswith("https://login.example/authorize?")


@pytest.mark.parametrize(
    ("place", "hosts", "taken"),
    [
        ("ehr.example", (), True),
        ("ehr.example:443", (), True),
        ("ehr.example:8443", (), False),
        ("ehr.example:8443", ("ehr.example:8443",), True),
        ("ehr.example:8443", ("ehr.example",), False),
        ("login.example:9443", ("login.example",), False),
        ("login.example:9443", ("login.example:9443",), True),
        ("login.example", ("login.example:9443",), False),
        ("login.example", ("login.example:443",), True),
        ("login.example:443", ("login.example",), True),
    ],
)
def test_se09_another_port_of_a_host_is_another_place(place: str, hosts: tuple[str, ...], taken: bool) -> None:
    def asked() -> str:
        return str(ask(hosts=hosts, authorization_endpoint=f"https://{place}/authorize").url)

    if taken:
        assert asked().startswith(f"https://{place}/authorize?")
    else:
        with pytest.raises(NotFhir, match=f"add {place} to `hosts`"):
            asked()


@pytest.mark.parametrize("methods", [(), ("plain",), ("s256",)])
def test_sm04_without_s256_nobody_signs_in(methods: tuple[str, ...]) -> None:
    with pytest.raises(Unauthorised, match="PKCE"):
        ask(code_challenge_methods_supported=methods)


def test_sm14_a_form_only_where_the_server_takes_it_and_the_address_is_long() -> None:
    """SM-08: `authorize-post` decides."""
    assert not ask(capabilities=("permission-v2", "authorize-post")).form
    assert not ask(launch="x" * 3_000).form
    asked = ask(launch="x" * 3_000, capabilities=("permission-v2", "authorize-post"))
    assert asked.url == SAID["authorization_endpoint"]
    assert dict(asked.form)["launch"] == "x" * 3_000


def test_sm42_scopes_are_asked_in_the_spelling_the_server_has() -> None:
    """SM-08: `permission-v2` decides."""
    new, old = ask().scopes, ask(capabilities=()).scopes
    assert {"launch", "openid", "fhirUser", "patient/Patient.r", "patient/Observation.rs", "patient/CarePlan.rs"} <= set(new)
    assert {"launch", "openid", "fhirUser", "patient/Patient.read", "patient/Observation.read"} <= set(old)
    assert not [one for one in new if one.endswith((".read", ".write"))]
    assert not [one for one in old if one.endswith((".r", ".rs"))]
    assert "offline_access" not in new


def test_sm42_writing_is_asked_for_only_where_the_file_says_so() -> None:
    assert not [one for one in ask().scopes if "c" in one.rpartition(".")[2] and one.startswith("patient/")]
    writing = Launch(client_id="figaro", client="public", embedded=False, write=True)
    assert {"patient/CarePlan.crus", "patient/Provenance.c", "patient/RequestGroup.c"} <= set(ask(writing).scopes)


def test_sm13_standalone_asks_for_a_patient_whatever_the_file_says() -> None:
    given = Launch(client_id="figaro", client="public", embedded=False, scopes=("launch", "openid", "patient/*.rs"))
    assert ask(given).scopes == ("launch", "openid", "patient/*.rs")
    assert ask(given, launch=None).scopes == ("launch/patient", "openid", "patient/*.rs")
    assert "nonce=" in ask(given).url
    nobody = Launch(client_id="figaro", client="public", embedded=False, scopes=("patient/*.rs",), let_in="unknown-too")
    assert "nonce=" not in ask(nobody).url
    with pytest.raises(ValueError, match="openid"):
        msgspec.structs.replace(nobody, let_in="clinicians")


@pytest.mark.parametrize(
    ("granted", "resource_type", "letters", "reach"),
    [
        ("patient/Observation.rs", "Observation", "rs", "all"),
        ("patient/Observation.read", "Observation", "rs", "all"),
        ("user/*.read", "Observation", "s", "all"),
        ("patient/*.*", "CarePlan", "crus", "all"),
        ("patient/CarePlan.write", "CarePlan", "cu", "all"),
        ("patient/CarePlan.write", "CarePlan", "crus", "none"),
        ("patient/CarePlan.write patient/CarePlan.read", "CarePlan", "crus", "all"),
        ("system/Observation.rs", "Observation", "r", "none"),
        ("patient/Observation.r", "Observation", "rs", "none"),
        ("patient/Observation.sr", "Observation", "r", "none"),
        ("patient/Observation.rs?category=laboratory", "Observation", "rs", "some"),
        ("patient/Observation.rs?category=laboratory patient/Observation.rs", "Observation", "rs", "all"),
        ("patient/Observation.r patient/Observation.s?category=laboratory", "Observation", "rs", "some"),
        ("http://smarthealthit.org/fhir/scopes/patient/Observation.rs", "Observation", "rs", "all"),
        ("openid launch", "Observation", "r", "none"),
    ],
)
def test_sm40_to_sm44_what_a_grant_reaches(granted: str, resource_type: str, letters: str, reach: str) -> None:
    """SM-40, SM-41, SM-42, SM-43, SM-44."""
    assert Granted(granted.split()).reach(resource_type, letters) == reach


@pytest.mark.parametrize(
    ("query", "params", "reach"),
    [
        ("category=lab", [("patient", "1"), ("category", "lab")], "all"),
        ("category=lab", [("patient", "1")], "some"),
        ("category=lab", [("category", "vital-signs")], "some"),
        ("category=lab&code=1", [("category", "lab")], "some"),
        ("category=lab&code=1", [("category", "lab"), ("code", "1")], "all"),
        ("category:in=x", [("category:in", "x")], "some"),
        ("_filter=x", [("_filter", "x")], "some"),
        ("subject.name=x", [("subject.name", "x")], "some"),
        ("category=http://s|lab", [("category", "http://s|lab")], "all"),
    ],
)
def test_sm43_a_granular_grant_covers_a_search_as_narrow_as_itself(query: str, params: list[tuple[str, str]], reach: str) -> None:
    assert Granted([f"patient/Observation.rs?{query}"]).reach("Observation", "s", params) == reach


WRONG = {
    "{client_id: x}": "private-key-jwt client has `keys`",
    "{client_id: x, client: public, keys: k, embedded: false}": "a public one has neither",
    "{client_id: x, client: client-secret, keys: k, embedded: false}": "a client-secret one has `secret`",
    "{client_id: x, client: public}": "the origins of the EHR",
    "{client_id: x, client: public, frame_origins: ['*']}": "without a path and without",
    "{client_id: x, client: public, frame_origins: ['https://*.ehr.example']}": "without a path and without",
    "{client_id: x, client: public, frame_origins: ['https://ehr.example/chart']}": "without a path and without",
    "{client_id: x, client: public, frame_origins: ['http://ehr.example']}": "without a path and without",
    '{client_id: x, client: public, frame_origins: ["https://a.example; script-src *"]}': "without a path and without",
    "{client_id: x, client: public, embedded: false, allow_missing_pkce: true}": "There is no such key",
    "{client_id: x, client: public, embedded: false, id_token_algorithms: [none]}": "line 5",
    "{client_id: x, client: public, embedded: false, id_token_algorithms: [HS256]}": "line 5",
    "{client_id: x, client: public, embedded: false, id_token_algorithms: []}": "line 5",
}


@pytest.mark.parametrize("launch", WRONG)
def test_sm01_a_registration_that_cannot_be_right_is_refused_with_its_line(tmp_path: Path, launch: str) -> None:
    with pytest.raises(Refused) as refused:
        read_issuers(file(tmp_path, launch))
    assert "line 5" in refused.value.text
    assert WRONG[launch] in refused.value.text


def test_sm01_a_secret_or_key_that_is_missing_is_told_at_the_start(tmp_path: Path) -> None:
    for launch, said in (
        ("{client_id: x, keys: nowhere, embedded: false}", "no signing key"),
        ("{client_id: x, client: client-secret, secret: {file: nowhere}, embedded: false}", "A secret is missing"),
    ):
        with pytest.raises(Refused, match=said):
            issuers_of(file=file(tmp_path, launch), base=None, bases=(), token=None, role="read")


def test_a_launch_over_plain_http_is_refused(tmp_path: Path) -> None:
    made = file(tmp_path, "{client_id: x, client: public, embedded: false}")
    made.write_text(made.read_text().replace("https://ehr", "http://ehr"))
    with pytest.raises(Refused, match="over plain http"):
        read_issuers(made)


def test_the_file_that_the_documentation_shows_is_one(tmp_path: Path) -> None:
    page = ROOT / "docs/smart-launch.md"
    (shown,) = blocks(page, "yaml")
    (tmp_path / "issuers.yaml").write_text(shown)
    first, second = (issuer.launch for issuer in read_issuers(tmp_path / "issuers.yaml"))
    assert first is not None
    assert second is not None
    assert (first.client, first.embedded, first.keys) == ("private-key-jwt", True, str(tmp_path / "keys/app"))
    assert (second.client, second.embedded) == ("client-secret", False)
    named = set(re.findall(r"`(\w+)`", "\n".join(line for line in page.read_text().splitlines() if line.startswith("| `"))))
    assert set(Launch.__struct_fields__) - {"keys", "secret"} <= named


def test_the_scopes_that_the_documentation_names_are_those_asked_for() -> None:
    page = (ROOT / "docs/smart-launch.md").read_text()
    told = page[page.index("Asked for are") : page.index("; as `patient/Condition.rs`")]
    asked = [text.split("/")[1].partition(".")[0] for text in ask().scopes if text.startswith("patient/")]
    assert re.findall(r"\b([A-Z][a-zA-Z]+)\b", told.partition("of this patient:")[2]) == asked
