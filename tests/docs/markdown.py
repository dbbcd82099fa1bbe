"""The documents, and what they say that can be checked."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def files() -> list[Path]:
    """What is in the repository or about to be, and what git ignores left out."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return sorted(path for name in set(listed.split("\0")) if name and (path := ROOT / name).is_file())


PAGES = [path for path in files() if path.suffix == ".md"]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(page: Path, language: str | None = None) -> list[str]:
    """The fenced blocks of a page, or those of one language ("" for none)."""
    return [body for found, body in _FENCE.findall(page.read_text()) if language is None or found == language]


def prose(page: Path) -> str:
    return _FENCE.sub("", page.read_text())


def spans(page: Path) -> list[str]:
    """What stands in backticks, outside the blocks."""
    return _SPAN.findall(prose(page))


def links(page: Path) -> list[str]:
    return _LINK.findall(_SPAN.sub("", prose(page)))


def anchors(page: Path) -> set[str]:
    """The headings as they are linked to."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(prose(page))}


def commands(page: Path) -> Iterator[str]:
    """Every command line that runs something of ours, from the blocks and from the backticks."""
    lines = [line for block in blocks(page, "") for line in block.splitlines()]
    for text in (*lines, *spans(page)):
        yield text.partition(" #")[0].strip()


def rows(page: Path, section: str) -> list[list[str]]:
    """The cells of the tables below a heading, header lines left out."""
    text = page.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
