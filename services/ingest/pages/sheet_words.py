"""Texts of the tumour-board sheet, cut by rule: between words, and never so that what nobody has checked looks checked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from services.ingest.pages.rendering import plain
from shared.oncology.wording import UNCHECKED

_UNCHECKED: Final = f" ({UNCHECKED})"


class Cut(NamedTuple):
    """The first of a list, and how many more there are on the screen."""

    shown: tuple[str, ...]
    further: int


def short(text: str, long: int) -> str:
    """A text of at most `long` characters; † stands for what nobody has checked, and is kept."""
    told = text.replace(_UNCHECKED, "†")
    clean = plain(told, 4 * long)
    if len(clean) <= long:
        return clean
    head = clean[:long].rpartition(" ")[0] or clean[:long]
    return f"{head.rstrip(' ,;.')}…{'†' if '†' in told and '†' not in head else ''}"


def says(claim: str, long: int) -> str:
    """A criterion and what is on record for it: where it is too long, the criterion is cut."""
    head, on_record, tail = claim.partition(" On record: ")
    told = f"{on_record}{short(tail, long // 2)}" if on_record else ""
    return short(head, long - len(told)) + told


def cut(texts: Iterable[str], most: int, long: int) -> Cut:
    """The first of some texts, each of them cut."""
    listed = [*texts]
    return Cut(tuple(short(text, long) for text in listed[:most]), max(0, len(listed) - most))


def metres(text: str) -> str:
    """Square metres as one prints them."""
    return text.replace("m2", "m²")
