"""Text for a card: Markdown in which nothing of clinical origin is markup, and summaries that fit (CH-30, CH-34)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

SUMMARY: Final = 139  # code points: CDS Hooks 2.0 asks for fewer than 140
# What is markup anywhere, what GFM makes into links, and what begins a list at the start of a line.
_MARKUP: Final = re.compile(r"[\\`*_{}\[\]#!|~@&<>]|:(?=//)|(?<=www)\.|^[+-]|(?<=^\d)[.)]|(?<=^\d\d)[.)]", re.IGNORECASE)
_INVISIBLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")


def plain(text: str) -> str:
    """The text on one line, without control characters and without what turns the direction of writing."""
    return " ".join(_INVISIBLE.sub(" ", text).split())


def escaped(text: str) -> str:
    """The text as itself wherever it is shown: what could be Markdown or HTML as character references.

    Backslashes would do for Markdown alone; a client that puts the detail into a page as it stands would still see a tag.
    """
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", plain(text))


def summary(text: str, end: str = "") -> str:
    """At most 139 code points, cut at a word before `end`. A client may take it for HTML: there is none in it."""
    text, room = plain(text).replace("<", "‹").replace(">", "›"), SUMMARY - len(end)
    if len(text) <= room:
        return text + end
    return text[: room - 1].rpartition(" ")[0].rstrip(",;: ") + "…" + end


def bullets(lines: Iterable[str]) -> str:
    """Lines, escaped where they have to be, as a list."""
    return "\n".join(f"- {line}" for line in lines)
