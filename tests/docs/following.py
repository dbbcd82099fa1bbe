"""A page followed as a new user does: its blocks are typed into a terminal, in a folder that stands for the repository."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.docs.markdown import ROOT
from tests.peers.apt import install

_BLOCK = re.compile(r"^```(?:\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_NEEDED = {"bash": "bash", "curl": "curl", "openssl": "openssl", "pgrep": "procps", "setsid": "util-linux"}
_PROGRAMS = {"figaro": ' -c "from services.cli import main; main()"', "python": ""}


class Page:
    """A page of docs with its placeholders replaced by what is here; `words` is all of it on one line.

    `left` has the headings whose blocks nobody has taken yet.
    """

    def __init__(self, name: str, replacing: Mapping[str, str]) -> None:
        text = (ROOT / "docs" / name).read_text()
        for told, here in replacing.items():
            assert told in text, f"{name} says no longer {told}"
            text = text.replace(told, here)
        self._name, self.words = name, " ".join(text.split())
        parts = ["", *re.split(r"^## (.+)\n", text, flags=re.MULTILINE)]
        sections = dict(zip(parts[::2], parts[1::2], strict=True))
        self._blocks = {heading: found for heading, section in sections.items() if (found := _BLOCK.findall(section))}

    @property
    def left(self) -> list[str]:
        return list(self._blocks)

    def blocks(self, heading: str) -> list[str]:
        """The fenced blocks below a heading, or with "" those before the first."""
        return self._blocks.pop(heading)

    def says(self, words: str) -> None:
        """What a test goes on to see must stand on the page, in these words."""
        assert " ".join(words.split()) in self.words, f"{self._name} says no longer: {words}"


def exports(block: str) -> str:
    """The settings of a block, for another terminal."""
    return "\n".join(line for line in block.splitlines() if line.startswith("export "))


class Terminal:
    """A shell in `folder`, where `.venv/bin` has what ours has. What is exported in it stays; `told` was exported before."""

    def __init__(self, folder: Path, **told: str) -> None:
        install(_there, *_NEEDED.values())
        assert _there(), f"install {', '.join(_NEEDED.values())}: what the pages have typed needs them"
        self.folder = folder
        mine = {name: value for name, value in os.environ.items() if not name.startswith("FIGARO_") and not name.lower().endswith("_proxy")}
        self._environment = {**mine, "PYTHONPATH": str(ROOT), **told}
        (folder / ".venv/bin").mkdir(parents=True, exist_ok=True)
        for name, how in _PROGRAMS.items():
            program = folder / ".venv/bin" / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}"{how} "$@"\n')
            program.chmod(0o755)

    def run(self, block: str, *, leaves: int = 0) -> subprocess.CompletedProcess[str]:
        """Types it, and waits; each command has to leave with 0, but the last with `leaves`."""
        command = ["bash", "-e", "-o", "pipefail", "-c", f"{block}\nenv -0 > .environment"]
        done = subprocess.run(command, cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == leaves, f"{block}\nleft with {done.returncode}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        assert "Traceback" not in done.stderr, done.stderr
        if leaves == 0:
            kept = (self.folder / ".environment").read_text().split("\0")
            self._environment = dict(line.split("=", 1) for line in kept if line)
        return done

    @contextmanager
    def stays(self, block: str, *addresses: str, then: str = "exit $?") -> Iterator[Path]:
        """Types what stays in the foreground, waits until all `addresses` are live, and ends with Ctrl-C and what is typed `then`.

        Gives the file that all of it prints to.
        """
        log, (keyboard, screen) = self.folder / "terminal.log", os.openpty()
        with log.open("ab") as printed:
            # bash -m on a terminal of its own makes each job a group of its own, so that Ctrl-C reaches the one in the foreground alone.
            command = ["setsid", "--ctty", "bash", "-m", "-c", f"exec 2>&1\n{block}\n{then}"]
            told = {"stdin": screen, "stdout": printed, "stderr": screen}
            shell = subprocess.Popen(command, cwd=self.folder, env=self._environment, **told)  # type: ignore[call-overload]
        try:
            for address in addresses:
                _until_live(shell, f"{address}/health/live", log)
            yield log
            os.write(keyboard, b"\x03")
            assert shell.wait(timeout=30) == 0, log.read_text()[-2000:]
        finally:
            _end(shell)
            os.close(keyboard)
            os.close(screen)


def _there() -> bool:
    return all(map(shutil.which, _NEEDED))


def _until_live(shell: subprocess.Popen[bytes], address: str, log: Path) -> None:
    late = time.monotonic() + 60
    while shell.poll() is None and time.monotonic() < late:
        try:
            _DIRECT.open(address, timeout=5).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"{address} does not answer:\n{log.read_text()[-3000:]}")


def _end(shell: subprocess.Popen[bytes]) -> None:
    """Where the test broke off, nothing of the terminal stays."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        if shell.poll() is not None:
            return
        found = subprocess.run(["pgrep", "-s", str(shell.pid)], capture_output=True, text=True, check=False)
        for one in found.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(one), how)
        with suppress(subprocess.TimeoutExpired):
            shell.wait(timeout=20)
