"""Chromium, to see what a page looks like on paper. As root it is installed by apt where it is missing."""

from __future__ import annotations

import os
import shutil
import subprocess

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PACKAGES = ("chromium", "fonts-liberation")


def chromium() -> str:
    """Its path. Raises RuntimeError, saying what to install."""
    found = _found()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = {"env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, "stdout": subprocess.DEVNULL, "timeout": 600}
        subprocess.run(["apt-get", "update", "-qq"], check=False, **quiet)  # type: ignore[call-overload]
        subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", *_PACKAGES], check=False, **quiet)  # type: ignore[call-overload]
        found = _found()
    if found is None:
        raise RuntimeError(f"install Chromium first (on Debian: apt-get install {' '.join(_PACKAGES)})")
    return found


def _found() -> str | None:
    return next((path for name in _NAMES if (path := shutil.which(name))), None)
