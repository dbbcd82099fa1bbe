"""How many of one UCUM unit is one of another, by the units library (pint, with UCUM's codes read by ucumvert).

What a factor cannot tell stays with the caller: annotations ({score}, {1.73_m2}) have no size in UCUM, and so are never equal to silence;
an amount of substance is no mass without a molar mass.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any


class NotComparable(ValueError):
    """The two units measure different things, or one of them is no UCUM code."""


@cache
def factor(code: str, into: str) -> float:
    """How many `into` one `code` is, to twelve figures; raises NotComparable. The library is loaded when first asked."""
    if code == into:
        return 1.0
    if _annotations(code) - {"{creat}"} != _annotations(into):
        raise NotComparable(f"{code} and {into} are annotated differently")
    try:
        size = _registry().from_ucum(code).to(_registry().from_ucum(into)).magnitude
    except Exception as error:  # lark's and pint's, and AttributeError for what they half understand
        raise NotComparable(f"{code} is not convertible to {into}") from error
    return float(f"{size:.12g}")


def load() -> None:
    """Loads the library now (half a second), so that no first request waits for it."""
    _registry()


def _annotations(code: str) -> set[str]:
    return set(re.findall(r"\{[^}]*\}", code))


@cache
def _registry() -> Any:
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry()
