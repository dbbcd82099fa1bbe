"""The part of XHTML that a FHIR narrative may hold, and everything quoted in it escaped. Readable also where an EHR drops the styles.

Source: FHIR R4 4.0.1 Narrative (elements of XHTML 1.0 chapters 7 to 11 and 15, style attributes, no script, form, or link to outside).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text(value: str) -> str:
    """The value escaped, without what XML does not know."""
    return escape(_NOT_XML.sub("", value))


def strong(value: str) -> str:
    return f"<b>{text(value)}</b>"


def paragraph(markup: str) -> str:
    return f'<p style="margin:4px 0">{markup}</p>' if markup else ""


def heading(value: str) -> str:
    return f'<h3 style="margin:14px 0 4px 0">{text(value)}</h3>'


def items(lines: Iterable[str]) -> str:
    """A list of plain lines; nothing where there are none."""
    return marked_items(text(line) for line in lines)


def marked_items(lines: Iterable[str]) -> str:
    """A list of lines that are markup already."""
    shown = "".join(f"<li>{line}</li>" for line in lines)
    return f'<ul style="margin:2px 0;padding-left:18px">{shown}</ul>' if shown else ""


def table(head: Iterable[str], rows: Iterable[Iterable[str]], widths: Iterable[str] = ()) -> str:
    """A table with a head in plain words and cells of markup; nothing where there are no rows."""
    names, columns = [*head], [*widths]
    sizes = [f' style="width:{width}"' for width in columns] + [""] * (len(names) - len(columns))
    cells = "".join(f'<th align="left"{size}>{text(name)}</th>' for name, size in zip(names, sizes, strict=True))
    body = "".join('<tr valign="top">' + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    frame = 'border="1" cellpadding="4" style="border-collapse:collapse;width:100%;margin:4px 0;font-size:small"'
    return f'<table {frame}><tr style="background:#eee">{cells}</tr>{body}</table>' if body else ""
