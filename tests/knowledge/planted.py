"""A copy of the staging rules with a fault planted in it."""

from __future__ import annotations

import shutil
from pathlib import Path

from services.staging.knowledge import RULES, Rules


def planted(tmp_path: Path, *changes: tuple[str, str, str]) -> Rules:
    """The rules with each (file, old, new) changed once; whoever finds nothing to change has a test that cannot fail."""
    folder = tmp_path / "rules"
    shutil.copytree(RULES, folder)
    for file, old, new in changes:
        text = (folder / file).read_text()
        assert old in text, f"{file} no longer holds {old!r}"
        (folder / file).write_text(text.replace(old, new, 1))
    return Rules(folder)
