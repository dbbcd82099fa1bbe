"""Pango, which WeasyPrint draws letters with. As root it is installed by apt where it is missing."""

from __future__ import annotations

from ctypes.util import find_library

from tests.peers.apt import install

PACKAGES = ("libpango-1.0-0", "libpangoft2-1.0-0", "fonts-liberation")


def pango() -> None:
    """Makes sure of it. Raises RuntimeError, saying what to install."""
    install(_found, *PACKAGES)
    if not _found():
        raise RuntimeError(f"install Pango first (on Debian: apt-get install {' '.join(PACKAGES)})")


def _found() -> bool:
    return find_library("pango-1.0") is not None and find_library("pangoft2-1.0") is not None
