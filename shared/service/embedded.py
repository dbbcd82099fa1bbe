"""A real FHIR R4 server for the demo and the tests: sekmet-fhir in a process of its own, on a free port of this machine, empty at start."""

from __future__ import annotations

import importlib.util
import json
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from shared.fhir.outcome import Refused, Unavailable

_CHILD = Path(__file__).with_name("sekmet_child.py")


@contextmanager
def embedded_fhir_server(
    *,
    token: str | None = None,
    clients: Sequence[Mapping[str, object]] = (),
    token_life: int = 300,
    notify: Literal["put-resource", "post-endpoint"] = "put-resource",
    launches: Mapping[str, object] | None = None,
    patience: float = 60,
    folder: Path | None = None,
    port: int = 0,
) -> Iterator[str]:
    """Yields the base URL once the server answers; ends it and removes its data on leaving, also after an error.

    Where `folder` is given its data stay there, and the next server of that folder and `port` goes on with them.

    With `token` it asks for that bearer token; with `clients` for one of its own token endpoint, where those are registered (`client_id`,
    `scopes`, and `jwks`, `jwks_url` or `client_secret`), which lives for `token_life` seconds. `notify` is how a rest-hook Subscription
    delivers: PUT below the endpoint, as HAPI does, or POST to it. `launches` is the smart-configuration it shows, of an authorization
    server elsewhere, whose tokens it does not ask for. `patience` is in seconds.

    Raises Refused when the extra is not installed, Unavailable when the server does not start.
    """
    if importlib.util.find_spec("sekmet") is None:
        raise Refused(
            "The embedded FHIR server is not installed: pip install 'figaro-fhir[demo]', or give the base URL of a server you have."
        )
    with ExitStack() as stack:
        place = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="figaro-fhir-")))
        # The child gets the socket and not a port number, so that nobody else can take the port in between.
        with socket.create_server(("127.0.0.1", port)) as listener:
            base_url = f"http://127.0.0.1:{listener.getsockname()[1]}/fhir"
            settings = _settings(base_url, str(place), _auth(token, clients, token_life), notify)
            process = _start(place, listener, settings, launches)
        try:
            _await(process, base_url, patience, place / "log")
            yield base_url
        finally:
            _end(process)


def _auth(token: str | None, clients: Sequence[Mapping[str, object]], token_life: int) -> dict[str, object]:
    if clients:
        return {"types": ["smart"], "smart_clients": list(clients), "token_lifetime": token_life}
    return {"types": ["bearer"], "tokens": [token]} if token else {"types": ["none"]}


def _settings(base_url: str, folder: str, auth: dict[str, object], notify: str) -> dict[str, object]:
    return {
        "base_url": base_url,
        "data_dir": folder,
        "log_inbound": False,
        "simulator": {"enabled": False},
        "server_auth": auth,
        "subscriptions": {"notify_method": notify},
    }


def _start(
    folder: Path, listener: socket.socket, settings: dict[str, object], launches: Mapping[str, object] | None
) -> subprocess.Popen[bytes]:
    settings_file = folder / "settings.json"
    settings_file.write_text(json.dumps(settings))
    if launches:
        (folder / "smart-configuration.json").write_text(json.dumps(launches))
    # -P keeps this folder off the child's path, where log.py and settings.py would shadow other people's modules.
    command = [sys.executable, "-P", str(_CHILD), str(listener.fileno()), str(settings_file)]
    with (folder / "log").open("wb") as log:
        # Nothing in the command comes from outside.
        return subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=folder, pass_fds=[listener.fileno()]
        )


def _await(process: subprocess.Popen[bytes], base_url: str, patience: float, log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    late = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < late:
        try:
            direct.open(f"{base_url}/metadata", timeout=patience).close()
            return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 401:
                return
        except OSError:
            pass
        time.sleep(0.1)
    last = (log.read_text(errors="replace").strip().splitlines() or ["it left no message"])[-1]
    raise Unavailable(f"The embedded FHIR server did not start within {patience:g} s: {last[:300]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
