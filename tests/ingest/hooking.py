"""An EHR that calls CDS Hooks: its keys and their JWKS on loopback, its tokens, and what it sends along."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import JWSRegistry

from examples.synthetic_patients import patients
from services.ingest.hooks.prefetch import QUERIES
from services.together import TogetherSettings, together
from tests.peers.small_server import Small, Switches, small_server

Json = dict[str, Any]
Key = ECKey | RSAKey | OctKey
PUBLIC = "https://figaro.example/ingest"
ISS, ORIGIN, LENT, SECRET = "https://ehr.example", "https://ehr.example", "lent for one call", "a secret of this test only"
PEOPLE = {bundle["entry"][0]["resource"]["id"]: bundle for bundle in patients()}
_ALL = JWSRegistry(algorithms=["ES384", "RS384", "ES256", "RS256", "HS256", "none"], strict_check_header=False)


class Ehr:
    """The EHR and the Figaro it calls. `fetched` counts how often its JWKS was asked for."""

    def __init__(self, fhir: Small) -> None:
        self.fhir = fhir
        self.key: ECKey = ECKey.generate_key("P-384", parameters={"kid": "k1", "use": "sig"})
        self.rsa: RSAKey = RSAKey.generate_key(2048, parameters={"kid": "r1", "use": "sig", "alg": "RS384"})
        self.old: RSAKey = RSAKey.import_key(self.rsa.as_dict(private=True) | {"alg": "RS256", "kid": "r2"})
        self.published: list[Key] = [self.key, self.rsa, self.old]
        self.fetched = 0
        self.broken = False
        self.url = ""
        self.jwks_url = ""
        self.session: aiohttp.ClientSession

    async def jwks(self, _: web.Request) -> web.Response:
        self.fetched += 1
        if self.broken:
            raise web.HTTPInternalServerError
        return web.json_response({"keys": [key.as_dict(private=False) for key in self.published]}, headers={"Cache-Control": "max-age=600"})

    def token(self, path: str, *, key: Key | None = None, header: Mapping[str, Any] = {}, **claims: Any) -> str:
        """A token for one call; a header or claim that is None is left out."""
        now = int(time.time())
        said = {"iss": ISS, "aud": f"{PUBLIC}{path}", "iat": now, "exp": now + 300, "jti": str(uuid4()), **claims}
        headers = {"alg": "ES384", "kid": "k1", "typ": "JWT", **header}
        kept = [{name: value for name, value in each.items() if value is not None} for each in (headers, said)]
        return jwt.encode(kept[0], kept[1], key or self.key, registry=_ALL)

    async def call(
        self, path: str, body: object = None, *, method: str | None = None, token: str | None = None, **headers: str
    ) -> tuple[int, Any, Mapping[str, str]]:
        """One call with a good token, unless another is given ("" for none); status, JSON and headers of the answer."""
        offered = self.token(path) if token is None else token
        sent = {"Authorization": f"Bearer {offered}", **headers} if offered else dict(headers)
        raw = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        how = method or ("GET" if body is None else "POST")
        async with self.session.request(how, f"{self.url}/ingest{path}", data=raw, headers=sent) as answer:
            said = await answer.read()
            return answer.status, json.loads(said) if said[:1] in (b"{", b"[") else said.decode(), answer.headers

    async def cards(self, call: Json, service: str = "figaro-patient-view") -> list[Json]:
        """The cards of a call that is answered with 200."""
        status, said, _ = await self.call(f"/cds-services/{service}", call)
        assert status == 200, said
        cards: list[Json] = said["cards"]
        return cards

    def hook(self, patient: str, hook: str = "patient-view", **more: Any) -> Json:
        """A call for a synthetic patient, with all of her prefetched."""
        context = {"userId": "Practitioner/1", "patientId": patient}
        return {"hook": hook, "hookInstance": str(uuid4()), "context": context, "prefetch": prefetch(patient), "hookVersion": "2.0", **more}

    def order(self, patient: str, *orders: Json, hook: str = "order-sign", **more: Any) -> Json:
        """A call for what is being ordered for her."""
        call = self.hook(patient, hook, **more)
        call["context"]["draftOrders"] = {"resourceType": "Bundle", "entry": [{"resource": order} for order in orders]}
        if hook == "order-select":
            call["context"]["selections"] = [f"MedicationRequest/{orders[-1]['id']}"]
        return call

    def lent(self, patient: str, **more: Any) -> Json:
        """The members of a call that lend a token."""
        return {
            "fhirServer": self.fhir.base_url,
            "fhirAuthorization": {
                "access_token": LENT,
                "token_type": "Bearer",
                "expires_in": 300,
                "scope": "patient/*.rs",
                "subject": "figaro",
                "patient": patient,
                **more,
            },
        }


def prefetch(patient: str) -> Json:
    """Everything of a synthetic patient, under our keys; null where she has none of it."""
    found: Json = dict.fromkeys(QUERIES)
    for entry in PEOPLE[patient]["entry"]:
        resource = entry["resource"]
        key = next((key for key, query in QUERIES.items() if query.type == resource["resourceType"]), None)
        if key == "patient":
            found[key] = resource
        elif key is not None:
            found[key] = found[key] or {"resourceType": "Bundle", "type": "searchset", "entry": []}
            found[key]["entry"].append({"resource": resource})
    return found


def draft(patient: str, drug: str, milligrams: float | None = None, id: str | None = None, **more: Any) -> Json:
    """A draft order: by the drug's name, or with `medicationCodeableConcept` by a code."""
    dose = {"dosageInstruction": [{"doseAndRate": [{"doseQuantity": {"value": milligrams, "unit": "mg"}}]}]} if milligrams else {}
    named = {} if "medicationReference" in more else {"medicationCodeableConcept": {"text": drug}}
    subject = {"subject": {"reference": f"Patient/{patient}"}}
    head = {"resourceType": "MedicationRequest", "id": id or f"{drug}-1", "status": "draft", "intent": "order"}
    return {**head, **subject, **named, **dose, **more}


@asynccontextmanager
async def ehr(folder: Path, *, base: str | None = None, **settings: Any) -> AsyncIterator[Ehr]:
    """An EHR with its FHIR server (or the one at `base`), and a Figaro that knows it."""
    async with small_server(Switches(token=LENT)) as fhir, aiohttp.ClientSession() as session:
        fhir.base_url = base or fhir.base_url
        peer = Ehr(fhir)
        app = web.Application()
        app.router.add_get("/jwks.json", peer.jwks)
        async with TestServer(app, host="127.0.0.1") as server:
            peer.jwks_url = str(server.make_url("/jwks.json"))
            peer.session = session
            issuers = folder / "issuers.yaml"
            issuers.write_text(
                f"issuers:\n  - id: st-elsewhere\n    base: {fhir.base_url}\n    write_mode: page\n    hooks:\n"
                f"      - {{iss: '{ISS}', jwks_url: '{peer.jwks_url}', origins: ['{ORIGIN}']}}\n"
                f"      - {{iss: 'https://second.example', jwks_url: '{peer.jwks_url}', tenant: north, algorithms: [ES256, RS256]}}\n"
            )
            usual = {"hook_seconds": 20, "hook_limit_seconds": 30, "rate_hooks": "10000/second"}
            told = {"issuers": issuers, "data_directory": folder, "public_url": PUBLIC, "port": 0, "api_secret": SECRET}
            async with together(TogetherSettings(**{**usual, **told, **settings})) as url:
                peer.url = url
                yield peer
