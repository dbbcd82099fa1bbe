"""The issuers file: what it takes, and that a refusal names the line and no secret."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.ingest.searches import searches_for
from shared.fhir.outcome import Refused
from shared.fhir.write_mode import KINDS
from shared.smart.clients import Bearer, Open, PrivateKeyJwt
from shared.smart.issuers import Issuer, Issuers, issuers_of, read_issuers
from shared.smart.keys import new_key
from shared.smart.scopes import missing, scope
from tests.docs.markdown import ROOT, blocks

FILE = """\
issuers:
  - id: st-elsewhere
    base: https://FHIR.st-elsewhere.example:443/r4/
    read: {auth: private-key-jwt, client_id: figaro-ingest, keys: keys/ingest, scopes: [system/Patient.rs]}
    write: {auth: client-secret, client_id: figaro-recommend, secret: {file: secret.txt}, scopes: []}
    hosts: [login.example]
    limits: {concurrency: 2, per_second: 5}
    policy: cisplatin-60
    subscription: {secrets: [{env: OLD}, {env: NEW}]}
  - id: try-out
    base: http://127.0.0.1:8080/fhir
    read: {auth: none}
    write: {auth: bearer, token: {env: TRY_OUT}}
  - id: read-only
    base: https://other.example/fhir
    read: {auth: bearer, token: {env: OTHER}}
    write_mode: page
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "issuers.yaml"
    path.write_text(FILE)
    return path


def listed(file: Path, base: str | None = None) -> Issuers:
    return issuers_of(file=file, base=base, bases=(), token=None, role="write")


def test_every_part_of_a_file_is_read_and_paths_are_relative_to_it(file: Path) -> None:
    first, second, third = read_issuers(file)
    assert first.base == "https://fhir.st-elsewhere.example/r4"
    assert isinstance(first.read, PrivateKeyJwt)
    assert first.read.keys == str(file.parent / "keys/ingest")
    assert first.limits.per_second == 5
    assert first.subscription is not None
    assert len(first.subscription.secrets) == 2
    assert second.read == Open()
    assert isinstance(second.write, Bearer)
    assert third.write is None


def test_sm82_reading_and_writing_are_two_clients(file: Path) -> None:
    first = read_issuers(file)[0]
    assert first.client("read") != first.client("write")


@pytest.mark.parametrize(
    ("this", "becomes", "line", "told"),
    [
        ("private-key-jwt", "canary", 4, "private-key-jwt"),
        ("{file: secret.txt}", "canary", 5, "never itself"),
        ("{file: secret.txt}", "{env: A, file: canary}", 5, "one of the two"),
        ("{file: secret.txt}", "{value: canary}", 5, "There are: env, file"),
        ("    hosts:", "    host:", 6, "Is `hosts` meant?"),
        ("https://FHIR", "http://FHIR", 2, "plain http"),
        ("r4/", "r4/?tenant=1", 2, "query"),
        ("r4/", "fhir/../x", 2, "base URL"),
        ("id: st-elsewhere", "id: St Elsewhere", 2, "`id` is a name"),
        ("id: try-out", "id: st-elsewhere", 1, "wo issuers have"),
        ("http://127.0.0.1:8080/fhir", "https://fhir.st-elsewhere.example/r4", 1, "wo issuers have"),
        ("concurrency: 2", "concurrency: 0", 7, "must be"),
        ("concurrency: 2", "concurrency: canary", 7, "whole number"),
        ("scopes: [system/Patient.rs]", "scope: []", 4, "Is `scopes` meant?"),
        ("    write_mode: page\n", "", 14, "write_mode"),
        ("client_id: figaro-ingest, ", "", 4, "`client_id` is missing"),
        ("[{env: OLD}, {env: NEW}]", "[]", 9, "empty"),
        ("[login.example]", "canary `canary`", 6, "Expected"),
        ("write_mode: page", "write_mode: canary", 17, "auto, page"),
        ("    policy:", "    id:", 8, "stands twice"),
        ("[login.example]", "[login.example", 7, "Not readable as YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_without_its_value(file: Path, this: str, becomes: str, line: int, told: str) -> None:
    assert this in FILE
    file.write_text(FILE.replace(this, becomes, 1))
    with pytest.raises(Refused) as refused:
        read_issuers(file)
    assert f"issuers.yaml, line {line}: " in refused.value.text
    assert told in refused.value.text
    assert "canary" not in refused.value.text


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="FIGARO_ISSUERS"):
        read_issuers(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "asked",
    [
        "https://fhir.st-elsewhere.example.evil.test/r4",
        "https://fhir.st-elsewhere.example@evil.test/r4",
        "https://fhir.st-elsewhere.example/r4/../x",
        "https://fhir.st-elsewhere.example/r4/other",
        "https://fhir.st-elsewhere.example/R4",
        "http://fhir.st-elsewhere.example/r4",
        "https://fhir.st-elsewhere.example:8443/r4",
        "https://fhir.st-elsewhere.example%2fr4",
        "https://[::ffff:127.0.0.1]:8080/fhir",
        "http://2130706433:8080/fhir",
        "http://localhost:8080/fhir",
    ],
)
def test_se08_a_server_that_is_not_on_the_list_is_refused(file: Path, asked: str) -> None:
    issuers = Issuers(read_issuers(file))
    with pytest.raises(Refused):
        issuers(asked)


@pytest.mark.parametrize("asked", ["https://fhir.st-elsewhere.example/r4", "HTTPS://fhir.st-elsewhere.EXAMPLE/r4/"])
def test_se08_a_base_in_another_spelling_is_the_same_issuer(file: Path, asked: str) -> None:
    assert Issuers(read_issuers(file))(asked).id == "st-elsewhere"


def test_se11_a_row_of_an_issuer_that_was_taken_off_the_list_has_a_tenant_still(file: Path) -> None:
    issuers = Issuers(read_issuers(file))
    assert issuers.name("https://fhir.st-elsewhere.example/r4") == "st-elsewhere"
    assert issuers.name("https://gone.example/fhir") == "unlisted"


def test_a_secret_that_is_missing_is_told_at_the_start(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match=r"secret\.txt"):
        listed(file)
    (file.parent / "secret.txt").write_text("canary\n")
    with pytest.raises(Refused, match="TRY_OUT"):
        listed(file)
    monkeypatch.setenv("TRY_OUT", "canary")
    assert "canary" not in repr(list(listed(file)))
    # Writing needs no key for reading: each service holds its own.
    with pytest.raises(Refused, match="figaro keys new"):
        issuers_of(file=file, base=None, bases=(), token=None, role="read")
    new_key(file.parent / "keys/ingest", "ES384")
    monkeypatch.setenv("OTHER", "canary")
    assert issuers_of(file=file, base=None, bases=(), token=None, role="read")


def test_of_several_issuers_none_is_the_default_unless_it_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file.parent / "secret.txt").write_text("canary")
    monkeypatch.setenv("TRY_OUT", "canary")
    with pytest.raises(Refused, match="No FHIR server is named"):
        listed(file)(None)
    assert listed(file, "http://127.0.0.1:8080/fhir")(None).id == "try-out"
    with pytest.raises(Refused, match="not in the settings"):
        listed(file, "http://127.0.0.1:9090/fhir")


def test_a_base_alone_is_a_list_of_one() -> None:
    issuers = issuers_of(file=None, base="http://127.0.0.1:8080/fhir/", bases=(), token=SecretStr("canary"), role="read")
    (one,) = issuers
    assert issuers(None) is one
    assert (one.id, one.base, one.write) == ("default", "http://127.0.0.1:8080/fhir", Open())
    assert isinstance(one.read, Bearer)
    assert one.read.token.read() == "canary"
    assert "canary" not in repr(one)


def test_further_bases_have_names_and_no_token() -> None:
    bases = ("https://other.example/r4", "http://127.0.0.1:8080/fhir")
    issuers = issuers_of(file=None, base="http://127.0.0.1:8080/fhir", bases=bases, token=SecretStr("canary"), role="read")
    assert {issuer.id: issuer.read == Open() for issuer in issuers} == {"default": False, "other-example-r4": True}


def test_a_token_over_plain_http_is_refused_in_the_short_form_too() -> None:
    with pytest.raises(Refused, match="plain http"):
        issuers_of(file=None, base="http://ehr.example/fhir", bases=(), token=SecretStr("canary"), role="read")


def test_the_short_form_beside_a_file_is_refused(file: Path) -> None:
    with pytest.raises(Refused, match="FIGARO_ISSUERS is set"):
        issuers_of(file=file, base=None, bases=(), token=SecretStr("canary"), role="read")


def test_the_file_that_the_documentation_shows_is_one_and_its_scopes_reach_all_that_is_read_and_written(tmp_path: Path) -> None:
    (shown,) = blocks(ROOT / "docs/backend-services.md", "yaml")
    (tmp_path / "issuers.yaml").write_text(shown)
    first = read_issuers(tmp_path / "issuers.yaml")[0]
    assert isinstance(first.read, PrivateKeyJwt)
    assert isinstance(first.write, PrivateKeyJwt)
    searched = [f"system/{search.type}.rs" for search in searches_for("1")]
    assert missing(["system/Patient.r", "system/Medication.r", *searched], first.read.scopes) == ()
    assert missing([f"system/{kind}.crus" for kind in KINDS], first.write.scopes) == ()
    changing = [text for text in first.read.scopes if (found := scope(text)) is None or found.letters & set("cud")]
    assert changing == ["system/AuditEvent.c", "system/Subscription.cruds"]  # the account of its reads, and its own channels


def test_every_key_of_an_issuer_is_explained() -> None:
    page = (ROOT / "docs/backend-services.md").read_text()
    named = set(re.findall(r"`(\w+)`", "\n".join(line for line in page.splitlines() if line.startswith("| `"))))
    assert set(Issuer.__struct_fields__) | {"token_endpoint", "scopes", "auth", "keys", "client_id", "token", "secret"} <= named
