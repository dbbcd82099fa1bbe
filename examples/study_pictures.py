"""The pictures of docs/read-the-cohort-report.md: the report on the stand-in for the study, among the other synthetic patients.

python -m examples.study_pictures docs/pictures
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from examples.study_cohort import export


def pictures(to: Path) -> None:
    """Runs `figaro cohort --report` on the export and keeps the curves."""
    with TemporaryDirectory() as room:
        given, made = export(Path(room) / "study", others=True), Path(room) / "report"
        figaro = Path(sys.executable).with_name("figaro")
        subprocess.run([figaro, "cohort", given, "--report", made], check=True, stdout=subprocess.DEVNULL)
        to.mkdir(parents=True, exist_ok=True)
        for picture in sorted(made.glob("*.svg")):
            shutil.copy(picture, to / picture.name)


if __name__ == "__main__":
    pictures(Path(sys.argv[1]))
