"""A real FHIR R4 server for the tests and for trying Figaro out: HAPI FHIR JPA, in memory or in a folder.

The server is our own small Maven project beside this module, ``hapi/``. The first use builds it,
which needs a JDK 17, Maven and Maven Central (275 MB fetched, once); later uses start the jar of
230 MB that is there. On two cores it builds in about 15 seconds, starts in about 17, and takes
700 MB of memory. It listens on loopback only, keeps nothing after it ends unless it is given a
folder, and calls nobody but the endpoints of the Subscriptions it is given.

In a test::

    with hapi_server() as base:
        urllib.request.urlopen(f"{base}/Patient?_summary=count")

One that is restarted, with what it holds::

    server = HapiServer(data=folder)
    server.start()
    server.kill()
    server.start()  # at the same address
    server.stop()

By hand: ``python -m tests.peers.hapi_server --port 8080 --data var/hapi``.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

PROJECT = Path(__file__).parent / "hapi"
TARGET = PROJECT / "target"
JAR = TARGET / "hapi-peer.jar"
STAMP = TARGET / "built"
START_SECONDS = 180.0
STOP_SECONDS = 20.0
TAIL_LINES = 40
LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def jar() -> Path:
    """The runnable server, built first when it is missing or not of the present sources."""
    TARGET.mkdir(exist_ok=True)
    with (TARGET / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _built():
            _build()
    return JAR


class HapiServer:
    """One server, on loopback. `port` 0 takes a free one and keeps it; with `data`, a folder, what it holds survives its end."""

    def __init__(self, port: int = 0, data: Path | None = None) -> None:
        self.base = ""
        self._port = port
        self._data = data
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        """Its base URL, once it answers. Raises RuntimeError with the end of its log where it does not."""
        # C1 alone: what runs for seconds gains nothing from the other compiler, which takes half of the start.
        command = [_tool("java"), "-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", str(jar())]
        command += [f"--server.port={self._port}", "--until-eof"]
        if self._data is not None:
            self._data.mkdir(parents=True, exist_ok=True)
            command.append(f"--data={self._data.resolve()}")
        with tempfile.TemporaryFile() as log:
            # The server ends when its standard input does, so it never outlives a killed test run.
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
            try:
                self.base = _wait(self._process, log.fileno())
            except BaseException:
                self.kill()
                raise
        self._port = int(self.base.removesuffix("/fhir").rpartition(":")[2])
        return self.base

    def wait(self) -> int | None:
        """Until it has ended by itself, and with what."""
        return self._process.wait() if self._process is not None else None

    def stop(self) -> None:
        """As an operator does; at once where it does not listen."""
        self._end(signal.SIGTERM, signal.SIGKILL)

    def kill(self) -> None:
        """At once, without a word."""
        self._end(signal.SIGKILL)

    def _end(self, *asks: signal.Signals) -> None:
        if (process := self._process) is None:
            return
        for ask in asks:
            if process.poll() is None:
                os.killpg(process.pid, ask)
            try:
                process.wait(STOP_SECONDS)
                break
            except subprocess.TimeoutExpired:
                continue
        if process.stdin:
            process.stdin.close()
        self._process = None


@contextmanager
def hapi_server(port: int = 0, data: Path | None = None) -> Iterator[str]:
    """Run the server and yield its base URL; port 0 takes a free one."""
    server = HapiServer(port, data)
    try:
        yield server.start()
    finally:
        server.stop()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the server in the foreground until Ctrl-C."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="keep what it holds there; without, it forgets")
    told = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _exit)
    try:
        if not _built():
            print("Building HAPI with Maven ...", flush=True)
            jar()
        print("Starting HAPI ...", flush=True)
        server = HapiServer(told.port, told.data)
        try:
            print(f"HAPI at {server.start()}, Ctrl-C ends it", flush=True)
            sys.exit(f"HAPI has ended by itself, with {server.wait()}.")
        finally:
            server.stop()
    except KeyboardInterrupt:
        pass
    except RuntimeError as error:
        sys.exit(str(error))


def _built() -> bool:
    return JAR.exists() and STAMP.exists() and STAMP.read_text() == _digest()


def _build() -> None:
    _tool("javac")
    command = [_tool("mvn"), "-q", "-B", "-f", str(PROJECT / "pom.xml"), "package"]
    digest = _digest()
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        raise RuntimeError(f"Maven could not build HAPI:\n{_tail(done.stdout)}")
    STAMP.write_text(digest)


def _digest() -> str:
    digest = hashlib.sha256()
    for path in [PROJECT / "pom.xml", *sorted((PROJECT / "src").rglob("*.*"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise RuntimeError(
            f"{name} not found: HAPI needs a JDK 17 or newer and Maven 3.6.3 or newer "
            "(on Debian: apt-get install openjdk-17-jdk-headless maven)"
        )
    return path


def _wait(process: subprocess.Popen[bytes], log: int) -> str:
    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        ready = re.search(rb"^HAPI ready (\S+)$", _read(log), re.MULTILINE)
        if ready and _speaks_r4(base := ready[1].decode()):
            return base
        time.sleep(0.2)
    code = process.poll()
    what = f"not ready after {START_SECONDS:.0f} s" if code is None else f"ended with {code}"
    raise RuntimeError(f"HAPI {what}:\n{_tail(_read(log))}")


def _speaks_r4(base: str) -> bool:
    try:
        with LOOPBACK.open(f"{base}/metadata", timeout=30) as answer:
            return bool(json.load(answer)["fhirVersion"] == "4.0.1")
    except OSError:
        return False


def _read(log: int) -> bytes:
    """All of the log, leaving alone the position at which the server writes."""
    return os.pread(log, os.fstat(log).st_size, 0)


def _tail(output: bytes) -> str:
    return "\n".join(output.decode(errors="replace").splitlines()[-TAIL_LINES:])


def _exit(number: int, frame: FrameType | None) -> None:
    sys.exit()


if __name__ == "__main__":
    main()
