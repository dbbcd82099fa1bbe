"""Figaro against sekmet-fhir, whose token endpoint is strict and whose servers ask for scopes: the whole way, as two clients."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from examples.resources import key_of
from examples.synthetic_patients import patients
from services.journey import Doors, journey
from services.together import TogetherSettings, together
from shared.fhir.client import FhirClient
from shared.fhir.outcome import Unauthorised
from shared.service.embedded import embedded_fhir_server
from shared.smart.issuers import Issuers, read_issuers
from shared.smart.keys import Algorithm, jwks, keys_in, new_key
from shared.smart.servers import Servers, reaching

pytestmark = pytest.mark.server

READ = "system/*.rs"
WRITE = "system/*.cruds"


@contextmanager
def hospital(folder: Path, algorithm: Algorithm = "ES384", *, life: int = 300, read: str = READ) -> Iterator[Path]:
    """A server with two registered clients and a third that loads patients; yields the issuers file."""
    for name in ("read", "write"):
        new_key(folder / name, algorithm)
    clients: list[dict[str, Any]] = [
        {"client_id": "figaro-read", "jwks": jwks(keys_in(folder / "read")), "scopes": read},
        {"client_id": "figaro-write", "jwks": jwks(keys_in(folder / "write")), "scopes": WRITE},
        {"client_id": "loader", "client_secret": "of-the-test", "scopes": WRITE},
    ]
    (folder / "loader").write_text("of-the-test\n")
    with embedded_fhir_server(clients=clients, token_life=life) as base:
        file = folder / "issuers.yaml"
        file.write_text(f"""\
issuers:
  - id: hospital
    base: {base}
    read: {{auth: private-key-jwt, client_id: figaro-read, keys: read, scopes: ["{READ}"]}}
    write: {{auth: private-key-jwt, client_id: figaro-write, keys: write, scopes: ["{WRITE}"]}}
""")
        (folder / "loading.yaml").write_text(f"""\
issuers:
  - id: loading
    base: {base}
    write: {{auth: client-secret, client_id: loader, secret: {{file: loader}}, scopes: ["{WRITE}"]}}
""")
        yield file


async def load(file: Path, *bundles: dict[str, Any]) -> None:
    issuers = Issuers(read_issuers(file.with_name("loading.yaml")))
    async with reaching(issuers, ()) as session:
        server = Servers(issuers, "write", session)(None)
        for bundle in bundles:
            await server.transaction(bundle)


@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
async def test_sm70_a_strict_server_takes_either_algorithm_and_the_token_reads(tmp_path: Path, algorithm: Algorithm) -> None:
    with hospital(tmp_path, algorithm) as file:
        issuers = Issuers(read_issuers(file))
        async with reaching(issuers, ()) as session:
            assert len(await Servers(issuers, "read", session)(None).search("Patient")) == 0
        async with FhirClient(issuers(None).base) as nobody:
            with pytest.raises(Unauthorised):
                await nobody.search("Patient")


async def test_sm82_the_client_that_reads_may_not_write(tmp_path: Path) -> None:
    with hospital(tmp_path) as file:
        issuers = Issuers(read_issuers(file))
        async with reaching(issuers, ()) as session:
            with pytest.raises(Unauthorised) as refused:
                await Servers(issuers, "read", session)(None).create({"resourceType": "Patient"})
            assert refused.value.status == 403
            assert (await Servers(issuers, "write", session)(None).create({"resourceType": "Patient"})).created


async def test_sm80_and_sm82_a_patient_is_seen_through_by_two_clients_with_tokens_of_seconds(tmp_path: Path) -> None:
    (patient,) = [each for each in patients() if key_of(each) == "syn-123"]
    with hospital(tmp_path, life=3) as file, capture_logs(processors=[merge_contextvars]) as logs:
        await load(file, patient)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        settings = TogetherSettings(port=port, issuers=file, data_directory=tmp_path / "data", debounce_seconds=0)
        async with together(settings) as address, aiohttp.ClientSession() as session:
            (case,) = await journey(Doors(session, f"{address}/ingest"), ["Patient/syn-123"], seen=lambda _: None)
            assert case.state == "answered"
            assert case.careplan is not None
            async with session.get(f"{address}/ingest/.well-known/jwks.json") as answer:
                assert answer.headers["Cache-Control"] == "public, max-age=3600"
                assert answer.content_type == "application/json"
                shown = await answer.json()
            async with session.get(f"{address}/ingest/metrics") as metrics:
                assert 'figaro_cases{issuer="hospital",state="answered"} 1.0' in await metrics.text()
    mine = jwks([*keys_in(tmp_path / "read"), *keys_in(tmp_path / "write")])["keys"]
    assert sorted(shown["keys"], key=str) == sorted(mine, key=str)
    assert "d" not in shown["keys"][0]
    told = {(line["event"], line["issuer"]) for line in logs if "issuer" in line}
    assert told >= {("token_issued", "loading"), ("token_issued", "hospital"), ("case_step", "hospital")}
    assert {issuer for _, issuer in told} == {"hospital", "loading"}


async def test_sm81_a_scope_that_is_not_allowed_is_named(tmp_path: Path) -> None:
    with hospital(tmp_path, read="system/Condition.rs") as file:
        issuers = Issuers(read_issuers(file))
        async with reaching(issuers, ()) as session:
            with pytest.raises(Unauthorised, match="a scope is not allowed"):
                await Servers(issuers, "read", session)(None).search("Patient")
