"""A small FHIR R4 server with switches: it stores resources, and takes as little as it is told to.

async with small_server(Switches(transactions=False)) as server:
    async with FhirClient(server.base_url) as client: ...

It is a peer and no mock: what is written is there, versions count, searches look. What it offers stands in its CapabilityStatement, and is
what it does. `break_at` names the write at which something happens once: the connection breaks before anything is stored, or after it, or
the server says that it is busy.
"""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote
from uuid import uuid4

from aiohttp import web

Json = dict[str, Any]
READ = ("Patient", "Condition", "Observation", "Procedure", "MedicationRequest", "MedicationAdministration", "MedicationStatement")
READ += ("AllergyIntolerance", "Medication")
WRITTEN = (
    "CarePlan",
    "RequestGroup",
    "MedicationRequest",
    "ServiceRequest",
    "Observation",
    "DetectedIssue",
    "Task",
    "Device",
    "Provenance",
)
_SHAPING = {"_count", "_include", "_sort", "_total", "_format"}


@dataclass
class Switches:
    """What the server takes. `creates` are the kinds it lets a client create; without `searched` nothing is found by identifier."""

    transactions: bool = True
    conditional: bool = True
    update_create: bool = True
    history: bool = True
    updates: bool = True
    searched: bool = True
    creates: tuple[str, ...] = WRITTEN
    token: str | None = None


@dataclass
class Small:
    """The server at `base_url`; `writes` counts what was stored, `asked` holds every request as (method, path)."""

    switches: Switches
    base_url: str = ""
    stored: dict[str, dict[str, list[Json]]] = field(default_factory=dict)
    writes: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)
    break_at: tuple[int, Literal["before", "after", "busy"]] | None = None

    def load(self, bundle: Json) -> None:
        """Stores the resources of a Bundle as they are, whatever the switches say."""
        for entry in bundle["entry"]:
            self._keep(entry["resource"]["resourceType"], entry["resource"]["id"], entry["resource"])

    def all(self, kind: str) -> list[Json]:
        """The newest version of each resource of a kind."""
        return [versions[-1] for versions in self.stored.get(kind, {}).values()]

    def count(self) -> dict[str, int]:
        return {kind: len(found) for kind, found in self.stored.items()}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path_qs))
        steps = [step for step in request.path.removeprefix("/fhir").split("/") if step]
        if steps == ["metadata"]:
            return _said(200, self._capabilities())
        if self.switches.token and request.headers.get("Authorization") != f"Bearer {self.switches.token}":
            return _refused(401, "login")
        body = json.loads(await request.read() or b"{}") if request.method in ("POST", "PUT") and "_search" not in steps else {}
        match request.method, steps:
            case "POST", []:
                return self._transaction(body)
            case "POST", [_, "_search"]:
                return _refused(405, "not-supported")
            case "POST", [kind]:
                return self._create(request, kind, body)
            case "PUT", [kind, name]:
                return self._update(request, kind, name, body)
            case "GET", [kind]:
                return self._search(request, kind)
            case "GET", [kind, name]:
                versions = self.stored.get(kind, {}).get(name)
                return _said(200, versions[-1]) if versions else _refused(404, "not-found")
            case "GET", [kind, name, "_history"] if self.switches.history:
                entries = [{"resource": version} for version in reversed(self.stored.get(kind, {}).get(name, []))]
                return _said(200, {"resourceType": "Bundle", "type": "history", "entry": entries})
        return _refused(404, "not-supported")

    def _create(self, request: web.Request, kind: str, body: Json) -> web.StreamResponse:
        if kind not in self.switches.creates:
            return _refused(405, "not-supported")
        condition = request.headers.get("If-None-Exist") if self.switches.conditional else None
        if condition:
            there = [one for one in self.all(kind) if _identified(one, unquote(condition).removeprefix("identifier="))]
            if len(there) > 1:
                return _refused(412, "multiple-matches")
            if there:
                return _said(200, there[0], kind)
        if unknown := [r for r in _references(body) if not r.startswith(("#", "http")) and not self._there(r)]:
            return _refused(422, "not-found", f"{len(unknown)} references lead nowhere")
        return self._stored(request, 201, kind, uuid4().hex, body)

    def _update(self, request: web.Request, kind: str, name: str, body: Json) -> web.StreamResponse:
        versions = self.stored.get(kind, {}).get(name)
        if versions is None and not (self.switches.update_create and kind in self.switches.creates):
            return _refused(405, "not-supported")
        if versions is not None and not self.switches.updates:
            return _refused(405, "not-supported")
        match = request.headers.get("If-Match")
        if match and versions is not None and match != f'W/"{len(versions)}"':
            return _refused(412, "conflict")
        return self._stored(request, 200 if versions else 201, kind, name, body)

    def _stored(self, request: web.Request, status: int, kind: str, name: str, body: Json) -> web.StreamResponse:
        self.writes += 1
        broken = self.break_at is not None and self.break_at[0] == self.writes and self.break_at[1]
        if broken == "busy":
            return _refused(503, "transient")
        if broken != "before":
            self._keep(kind, name, body)
        if broken:
            assert request.transport is not None
            request.transport.abort()
            raise ConnectionResetError
        return _said(status, self.stored[kind][name][-1], kind)

    def _keep(self, kind: str, name: str, body: Json) -> None:
        versions = self.stored.setdefault(kind, {}).setdefault(name, [])
        meta = {**body.get("meta", {}), "versionId": str(len(versions) + 1), "lastUpdated": f"2026-11-22T12:00:{len(versions):02}Z"}
        versions.append({**deepcopy(body), "id": name, "meta": meta})

    def _search(self, request: web.Request, kind: str) -> web.StreamResponse:
        found = self.all(kind)
        for name, value in request.query.items():
            if name in _SHAPING:
                continue
            if name not in self._searches(kind):
                return _refused(400, "not-supported")
            found = [one for one in found if _matches(one, name, value)]
        entries = [{"fullUrl": f"{self.base_url}/{kind}/{one['id']}", "resource": one, "search": {"mode": "match"}} for one in found]
        return _said(200, {"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries})

    def _transaction(self, body: Json) -> web.StreamResponse:
        if not self.switches.transactions:
            return _refused(404, "not-supported")
        return (
            _said(200, {"resourceType": "Bundle", "type": "transaction-response"}) if not body.get("entry") else _refused(501, "too-costly")
        )

    def _there(self, reference: str) -> bool:
        kind, _, rest = reference.partition("/")
        return rest.split("/")[0] in self.stored.get(kind, {})

    def _searches(self, kind: str) -> set[str]:
        named = {"identifier"} if self.switches.searched else set()
        if kind == "Provenance":
            return {"target"} if self.switches.searched else set()
        return {*named, "patient", "code", "body-site"} if kind not in ("Patient", "Device") else named

    def _capabilities(self) -> Json:
        rest: Json = {"mode": "server", "resource": [self._capability(kind) for kind in sorted({*READ, *WRITTEN, *self.switches.creates})]}
        if self.switches.transactions:
            rest["interaction"] = [{"code": "transaction"}]
        software = {"name": "small", "version": "1"}
        return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "software": software, "rest": [rest]}

    def _capability(self, kind: str) -> Json:
        codes = ["read", "search-type", *(["create"] if kind in self.switches.creates else [])]
        codes += ["update"] if self.switches.updates and kind in self.switches.creates else []
        codes += ["history-instance"] if self.switches.history else []
        return {
            "type": kind,
            "interaction": [{"code": code} for code in codes],
            "versioning": "versioned-update",
            "conditionalCreate": self.switches.conditional,
            "updateCreate": self.switches.update_create,
            "searchParam": [{"name": name, "type": "token"} for name in sorted(self._searches(kind))],
        }


@asynccontextmanager
async def small_server(switches: Switches | None = None) -> AsyncIterator[Small]:
    """The server on a free port of this machine."""
    small = Small(switches or Switches())
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/fhir{rest:.*}", small.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    listener = socket.create_server(("127.0.0.1", 0))
    await web.SockSite(runner, listener).start()
    small.base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/fhir"
    try:
        yield small
    finally:
        await runner.cleanup()


def _matches(resource: Json, name: str, value: str) -> bool:
    if name == "patient":
        about = resource.get("subject") or resource.get("patient") or {}
        return str(about.get("reference", "")).removeprefix("Patient/") == value.removeprefix("Patient/")
    if name == "identifier":
        return _identified(resource, value)
    if name == "target":
        return any(target["reference"].split("/_history/")[0] == value for target in resource.get("target", ()))
    element = resource.get({"code": "code", "body-site": "bodySite"}[name]) or {}
    codings = [coding for one in (element if isinstance(element, list) else [element]) for coding in one.get("coding", ())]
    return any(_is(coding, token) for coding in codings for token in value.split(","))


def _is(coding: Json, token: str) -> bool:
    system, bar, code = token.rpartition("|")
    return (not code or coding.get("code") == code) and (not bar or coding.get("system") == system)


def _identified(resource: Json, token: str) -> bool:
    return any(f"{one.get('system')}|{one.get('value')}" == token for one in resource.get("identifier", ()))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _said(status: int, resource: Json, kind: str | None = None) -> web.StreamResponse:
    headers = {}
    if kind:
        version = resource["meta"]["versionId"]
        headers = {"Location": f"{kind}/{resource['id']}/_history/{version}", "ETag": f'W/"{version}"'}
    return web.Response(status=status, body=json.dumps(resource).encode(), content_type="application/fhir+json", headers=headers)


def _refused(status: int, code: str, text: str = "") -> web.StreamResponse:
    issue = {"severity": "error", "code": code, **({"diagnostics": text} if text else {})}
    return _said(status, {"resourceType": "OperationOutcome", "issue": [issue]})
