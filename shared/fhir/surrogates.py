"""Half a character in JSON: an escape such as \\ud83d without its other half, which no UTF-8 can hold and no decoder agrees about.

A text that was cut in the middle of a character ends in one. Source: RFC 8259, 8.2.
"""

from __future__ import annotations

import re
from typing import Final

_ANY: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_ESCAPE: Final = re.compile(rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL)


def mended(json: bytes) -> bytes:
    """The JSON with the replacement character in the place of each half."""
    return _ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], json) if _ANY.search(json) else json


def halved(json: bytes) -> bool:
    """Whether there is one."""
    return bool(_ANY.search(json)) and any(found[1] for found in _ESCAPE.finditer(json))
