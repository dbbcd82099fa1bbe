"""How deeply JSON is nested: looked at without recursion, before anything that recurses comes to it.

A decoder gives up after some hundred or some thousand levels, depending on the release of Python and on how deep its caller stands; what
works on the result gives up earlier. No resource of a patient comes near: FHIR R4 nests a record's types some ten levels deep, and
extensions of extensions are few.
"""

from __future__ import annotations

import re
from typing import Final

DEEPEST: Final = 100  # levels of objects and lists, one in the other
_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_TOKEN: Final = re.compile(_STRING.pattern + rb"|[\[\]{}]", re.DOTALL)
_STEP: Final = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
_OTHERS: Final = bytes(set(range(256)) - set(b"[]{}"))


def too_deep(json: bytes, most: int = DEEPEST) -> bool:
    """Whether there are more levels than `most` in the JSON."""
    if json.count(b"{") + json.count(b"[") <= most:  # so it is of nearly all, and a record may have thousands
        return False
    level = 0
    for bracket in _STRING.sub(b"", json).translate(None, _OTHERS):
        level += 1 if bracket in b"[{" else -1
        if level > most:
            return True
    return False


def shallow(json: bytes, most: int = DEEPEST) -> bytes:
    """The JSON with every list that lies deeper left empty, and what else lies deeper than that: the elements above keep their types."""
    kept: list[bytes] = []
    level, start, cut = 0, 0, 0
    for token in _TOKEN.finditer(json):
        step = _STEP.get(token[0], 0)
        if step > 0 and not cut and level >= most + (token[0] == b"{"):
            cut = level + 1
            kept.append(json[start : token.end()])
        elif step < 0 and level == cut:
            start, cut = token.start(), 0
        level += step
    return b"".join((*kept, b"" if cut else json[start:]))
