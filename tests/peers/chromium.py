"""Chromium, to see what a page looks like on paper. As root it is installed by apt where it is missing."""

from __future__ import annotations

import shutil

from tests.peers.apt import install

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_PACKAGES = ("chromium", "fonts-liberation")


def chromium() -> str:
    """Its path. Raises RuntimeError, saying what to install."""
    install(_found, *_PACKAGES)
    found = _found()
    if found is None:
        raise RuntimeError(f"install Chromium first (on Debian: apt-get install {' '.join(_PACKAGES)})")
    return found


def _found() -> str | None:
    return next((path for name in _NAMES if (path := shutil.which(name))), None)
