"""Pango, which WeasyPrint draws letters with. As root it is installed by apt where it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from ctypes.util import find_library

PACKAGES = ("libpango-1.0-0", "libpangoft2-1.0-0", "fonts-liberation")


def pango() -> None:
    """Makes sure of it. Raises RuntimeError, saying what to install."""
    if not _found() and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL, "timeout": 600}
        subprocess.run(["apt-get", "update", "-qq"], check=False, **quiet)  # type: ignore[call-overload]
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES], check=False, **quiet)  # type: ignore[call-overload]
    if not _found():
        raise RuntimeError(f"install Pango first (on Debian: apt-get install {' '.join(PACKAGES)})")


def _found() -> bool:
    return find_library("pango-1.0") is not None and find_library("pangoft2-1.0") is not None
