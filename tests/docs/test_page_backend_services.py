"""docs/backend-services.md followed word for word, at the strict token endpoint of sekmet-fhir."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from shared.fhir.client import FhirClient
from shared.service.embedded import embedded_fhir_server
from shared.smart.issuers import Issuers, read_issuers
from shared.smart.servers import Servers, reaching
from tests.docs.following import Page, Terminal, exports
from tests.ingest.patients import bundle, metastatic
from tests.journeys.figaro import Cases, until
from tests.journeys.test_kill import free_port

pytestmark = [pytest.mark.server, pytest.mark.slow]
Json = dict[str, Any]
LIFE = 3  # seconds of a token: a key that is replaced is soon needed
LOADER, TOKEN = "of-the-test-only", "a-token-of-the-archive"


class Hospital:
    """The page, its three servers at ports of this machine, and the folder in which a new user sits."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self._ports = free_port(), {name: free_port() for name in ("st-elsewhere", "archive", "try-out")}
        self.url = f"http://127.0.0.1:{self.port}"
        self.base = {name: f"http://127.0.0.1:{port}/fhir" for name, port in self._ports.items()}
        self.page = Page(
            "backend-services.md",
            {
                "https://fhir.st-elsewhere.example/r4": self.base["st-elsewhere"],
                "https://archive.example/fhir": self.base["archive"],
                "http://127.0.0.1:8080/fhir": self.base["try-out"],
                "Patient/17": "Patient/first",
            },
        )

    @contextmanager
    def ehr(self, scopes: dict[str, str], *, writer: Json) -> Iterator[None]:
        """The server of the hospital, with the clients as they are registered there: the reading one by its file, the other as said."""
        clients: list[Json] = [
            {"client_id": "figaro-ingest", "jwks": self.key_set("ingest"), "scopes": scopes["read"]},
            {"client_id": "figaro-recommend", "scopes": scopes["write"], **writer},
            {"client_id": "loader", "client_secret": LOADER, "scopes": "system/*.cruds"},
        ]
        data = self.folder / "ehr"
        data.mkdir(exist_ok=True)
        with embedded_fhir_server(clients=clients, token_life=LIFE, folder=data, port=self._ports["st-elsewhere"]):
            yield

    @contextmanager
    def others(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(embedded_fhir_server(token=TOKEN, port=self._ports["archive"]))
            stack.enter_context(embedded_fhir_server(port=self._ports["try-out"]))
            yield

    def key_set(self, name: str) -> Json:
        found: Json = json.loads((self.folder / f"{name}.jwks.json").read_text())
        return found

    @asynccontextmanager
    async def loader(self) -> AsyncIterator[FhirClient]:
        """Who may do everything at st-elsewhere."""
        (self.folder / "loader").write_text(LOADER)
        client = {"auth": "client-secret", "client_id": "loader", "secret": {"file": "loader"}, "scopes": ["system/*.cruds"]}
        file = self.folder / "loading.yaml"
        file.write_text(json.dumps({"issuers": [{"id": "loading", "base": self.base["st-elsewhere"], "write": client}]}))
        issuers = Issuers(read_issuers(file))
        async with reaching(issuers, ()) as session:
            yield Servers(issuers, "write", session)(None)

    async def post(self, place: str, body: Json | None = None) -> tuple[int, Json]:
        async with aiohttp.ClientSession() as session, session.post(f"{self.url}/ingest{place}", json=body) as answer:
            return answer.status, await answer.json(content_type=None)

    async def answered(self, body: Json) -> Json:
        status, case = await self.post("/cases", body)
        assert status == 202, case
        found = await Cases(f"{self.url}/ingest").done(case["id"])
        assert found["state"] == "answered", found["outcome"]
        return found

    async def published(self) -> list[str]:
        """The kid of every key that ingest shows to anybody."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/ingest/.well-known/jwks.json") as answer:
            return [key["kid"] for key in (await answer.json())["keys"]]


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    return Hospital(tmp_path)


def private(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if '"d"' in file.read_text()]


async def test_the_page_followed_word_for_word_leads_from_keys_to_careplans_and_to_other_keys(hospital: Hospital) -> None:
    """Every block in its order; the reading client is registered by its file, the writing one by the address of our key set."""
    page, folder = hospital.page, hospital.folder
    first, other = (Terminal(folder, FIGARO_PORT=str(hospital.port)) for _ in range(2))
    [make] = page.blocks("1. Make the keys")
    first.run(make)
    page.says("Each folder now holds a private key that only its owner can read; the files hold what to register. The default is ES384")
    for name in ("ingest", "recommend"):
        [key] = private(folder / "keys" / name)
        assert (key.stat().st_mode & 0o777, key.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        [shown] = hospital.key_set(name)["keys"]
        assert (shown["alg"], "d" in shown) == ("ES384", False)

    file, serve, check = page.blocks("3. Write the issuers file")
    page.says("`issuers.yaml`, beside `keys/`:")
    (folder / "issuers.yaml").write_text(file)
    (folder / "secrets").mkdir()
    (folder / "secrets/archive").write_text(f"{TOKEN}\n")
    ours = yaml.safe_load(file)["issuers"][0]
    scopes = {role: " ".join(ours[role]["scopes"]) for role in ("read", "write")}
    at_our_address = {"jwks_url": f"{hospital.url}/ingest/.well-known/jwks.json"}
    with ExitStack() as ehr, hospital.others():
        ehr.enter_context(hospital.ehr(scopes, writer=at_our_address))
        with first.stays(serve, hospital.url) as log:
            other.run(exports(serve))
            await _connected(hospital, other, check)
            await _rotated(hospital, other)
            stuck = await _leaked(hospital, other, make)
            page.says("If a key has leaked, delete its file, make a new one, and register that.")
            ehr.close()
            ehr.enter_context(hospital.ehr(scopes, writer={"jwks": hospital.key_set("recommend")}))
            await _tried_again(hospital, stuck)
        told = log.read_text()
    assert not page.left
    assert '"level": "error"' not in told
    assert LOADER not in told
    assert TOKEN not in told


async def _connected(hospital: Hospital, other: Terminal, check: str) -> None:
    """Each of the three servers of the file is answered in its own way, and no other is asked."""
    page = hospital.page
    assert re.search(r"^auth +yes +our token is taken$", other.run(check).stdout, re.MULTILINE)
    patients = {who: bundle(metastatic(who)) for who in ("first", "second", "third")}
    async with hospital.loader() as loader:
        for one in patients.values():
            await loader.transaction(one)
        given = re.search(r'`(\{"patient".*?\})`', page.words)
        assert given
        case = await hospital.answered(json.loads(given[1]))
        assert json.loads(await loader.read("CarePlan", case["careplan"]["reference"].partition("/")[2]))["status"] == "draft"
    async with FhirClient(hospital.base["archive"], token=TOKEN) as archive, FhirClient(hospital.base["try-out"]) as trying:
        for server in (archive, trying):
            await server.transaction(patients["first"])
        kept = await hospital.answered({"patient": "Patient/first", "base": hospital.base["archive"]})
        page.says("write_mode: page # nothing is written there")
        assert (kept["mode"], kept["careplan"], len(await archive.search("CarePlan"))) == ("page", None, 0)
        tried = await hospital.answered({"patient": "Patient/first", "base": hospital.base["try-out"]})
        assert (tried["mode"], len(await trying.search("CarePlan"))) == ("transaction", 1)
    page.says("it need not where there is only one, or where `FIGARO_FHIR_BASE` says which is the default")
    assert (await hospital.post("/cases", {"patient": "Patient/first"}))[0] == 422
    page.says("A server that is not in the file is never asked.")
    assert (await hospital.post("/cases", {"patient": "Patient/first", "base": "https://fhir.example/r4"}))[0] == 403


async def _rotated(hospital: Hospital, other: Terminal) -> None:
    """Published at once, while the old key signs on; nothing is restarted."""
    page = hospital.page
    [rotate] = page.blocks("4. Replace a key")
    before = await hospital.published()
    assert sorted(before) == sorted(key["kid"] for name in ("ingest", "recommend") for key in hospital.key_set(name)["keys"])
    told = other.run(rotate).stderr
    page.says("The new key is published at once and signs after 24 hours")
    assert len(set(await hospital.published()) - set(before)) == 1
    assert set(before) <= set(await hospital.published())
    assert "signs from" in told
    assert "is published until" in told
    page.says("Nothing is restarted, and no request fails.")
    await asyncio.sleep(LIFE + 0.5)
    await hospital.answered({"patient": "Patient/second", "base": hospital.base["st-elsewhere"]})


async def _leaked(hospital: Hospital, other: Terminal, make: str) -> str:
    """A key that the server does not know is refused, in the words of the page; the id of the case that waits for it."""
    page = hospital.page
    [leaked] = private(hospital.folder / "keys/recommend")
    other.run(f"rm keys/recommend/{leaked.name}\n{make.splitlines()[1]}")
    await asyncio.sleep(LIFE + 0.5)
    _, case = await hospital.post("/cases", {"patient": "Patient/third", "base": hospital.base["st-elsewhere"]})
    found = await Cases(f"{hospital.url}/ingest").done(case["id"])
    said = found["outcome"]["issue"][0]["details"]["text"]
    assert found["state"] == "stuck"
    page.says("| `invalid_client` | `client_id`, and whether the kid of `figaro keys jwks` is registered there |")
    assert "invalid_client" in said
    assert "figaro keys jwks" in said
    [kid] = [key["kid"] for key in hospital.key_set("recommend")["keys"]]
    assert kid in other.run(".venv/bin/figaro keys jwks keys/recommend").stdout
    return str(case["id"])


async def _tried_again(hospital: Hospital, case: str) -> None:
    """With the new key registered; for ten seconds a refusal is believed."""
    cases = Cases(f"{hospital.url}/ingest")

    async def answered() -> bool:
        assert (await hospital.post(f"/cases/{case}/retry"))[0] == 202
        return bool((await cases.done(case))["state"] == "answered")

    await until(answered, seconds=30)


async def test_other_keys_wait_as_the_page_says(hospital: Hospital) -> None:
    """`--alg RS384` in a folder that has a key, and `--wait 168`."""
    page, terminal = hospital.page, Terminal(hospital.folder)
    [make] = page.blocks("1. Make the keys")
    [rotate] = page.blocks("4. Replace a key")
    first, second = make.splitlines()
    assert "signs at once" in terminal.run(first).stderr
    page.says("with `--alg RS384` a folder gets a key for EHRs that take no other, and may hold one of each")
    page.says("A key made in a folder that has one already signs after 24 hours only")
    more = terminal.run(first.replace(" >", " --alg RS384 >"))
    assert "RS384" in more.stderr
    assert "signs from" in more.stderr
    assert {key["alg"] for key in hospital.key_set("ingest")["keys"]} == {"ES384", "RS384"}
    page.says("register the new JWK Set within the 24 hours, or say `--wait 168`")
    terminal.run(second)
    assert "signs from" in terminal.run(f"{rotate.strip().replace('ingest', 'recommend')} --wait 168").stderr
