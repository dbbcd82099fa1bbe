"""What a test needs of the system, installed by apt where we are root: by one test process at a time."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path


def install(there: Callable[[], object], *packages: str) -> None:
    """Installs them, quietly, unless they are `there`; does nothing without root or apt. Whoever asked looks for itself what came of it."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    with (Path(tempfile.gettempdir()) / "figaro-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # dpkg refuses two at once, and a program is there before its libraries are
        if there():
            return
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *packages]):
            subprocess.run(["apt-get", *command], check=False, env=environment, stdout=subprocess.DEVNULL, timeout=600)
