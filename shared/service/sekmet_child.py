"""The child process of `shared.service.embedded`: serves sekmet-fhir on a listening socket it was handed, until its standard input ends.

Standard input ends when the parent closes it, and also when the parent is killed: the child never outlives it.
Arguments: the number of the socket's file descriptor, and a JSON file of sekmet settings. Where a smart-configuration.json stands beside
that file, it is shown in the place of sekmet's own, which knows no launches.
"""

from __future__ import annotations

import json
import shutil
import socket
import sys
import threading
from pathlib import Path

import uvicorn
from fastapi.responses import FileResponse
from fastapi.routing import APIRoute
from sekmet.config import Settings, set_settings
from sekmet.fhir.search_params import PARAMS, SearchParam
from sekmet.main import create_app

# Types that sekmet stores but neither lists in its CapabilityStatement nor finds again, and search parameters of FHIR R4 that it lacks.
# Conditional creates search by identifier, so Figaro's write-back needs them.
MORE = (
    ("RequestGroup", SearchParam("identifier", "token", ("identifier",))),
    ("RequestGroup", SearchParam("patient", "reference", ("subject",), "Patient")),
    ("RequestGroup", SearchParam("status", "token", ("status",))),
    ("DetectedIssue", SearchParam("identifier", "token", ("identifier",))),
    ("DetectedIssue", SearchParam("patient", "reference", ("patient",), "Patient")),
    ("DetectedIssue", SearchParam("implicated", "reference", ("implicated",))),
    ("BodyStructure", SearchParam("identifier", "token", ("identifier",))),
    ("BodyStructure", SearchParam("patient", "reference", ("patient",), "Patient")),
    ("Observation", SearchParam("focus", "reference", ("focus",))),
    ("CarePlan", SearchParam("replaces", "reference", ("replaces",))),
)


def main(descriptor: str, settings_file: str) -> None:
    settings = Settings.model_validate(json.loads(Path(settings_file).read_text()))
    set_settings(settings)
    for resource_type, parameter in MORE:
        PARAMS.setdefault(resource_type, {})[parameter.name] = parameter
    app = create_app(settings)
    launches = Path(settings_file).with_name("smart-configuration.json")
    if launches.exists():
        shown = APIRoute("/fhir/.well-known/smart-configuration", lambda: FileResponse(launches))
        app.router.routes.insert(0, shown)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2))

    def leave_with_parent() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=leave_with_parent, daemon=True).start()
    server.run(sockets=[socket.socket(fileno=int(descriptor))])
    folder = Path(settings_file).parent
    if folder.name.startswith("figaro-fhir-"):  # a killed parent could not remove what it had made
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
