"""R with the package `survival`, to recompute what the cohort report shows. As root it is installed by apt where it is missing."""

from __future__ import annotations

import shutil
import subprocess

from tests.peers.apt import install

_PACKAGES = ("r-base-core", "r-cran-survival", "r-cran-jsonlite")
_THERE = "quit(status = !all(requireNamespace('survival', quietly = TRUE), requireNamespace('jsonlite', quietly = TRUE)))"


def rscript() -> str:
    """The path of Rscript. Raises RuntimeError, saying what to install."""
    install(_found, *_PACKAGES)
    found = _found()
    if found is None:
        raise RuntimeError(f"install R with survival and jsonlite first (on Debian: apt-get install {' '.join(_PACKAGES)})")
    return found


def _found() -> str | None:
    path = shutil.which("Rscript")
    return path if path and subprocess.run([path, "-e", _THERE], check=False, capture_output=True).returncode == 0 else None
