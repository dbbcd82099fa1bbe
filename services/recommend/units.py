"""How many of one UCUM unit is one of another, by the units library (pint, with UCUM's codes read by ucumvert).

What a factor cannot tell stays with the caller: annotations ({score}, {1.73_m2}) have no size in UCUM, and so are never equal to silence;
an amount of substance is no mass without a molar mass.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

# What the library says of the units of blood counts, written down: a cohort that reads nothing else of it need not load it.
SAID: Final = {
    ("g/L", "g/dL"): 0.1,
    ("10*3/uL", "10*9/L"): 1.0,
    ("10*3/mm3", "10*9/L"): 1.0,
    ("10*6/L", "10*9/L"): 0.001,
    ("/uL", "10*9/L"): 0.001,
    ("/mm3", "10*9/L"): 0.001,
}


class NotComparable(ValueError):
    """The two units measure different things, or one of them is no UCUM code."""


@cache
def factor(code: str, into: str) -> float:
    """How many `into` one `code` is, to twelve figures; raises NotComparable. The library is loaded when first asked."""
    if code == into:
        return 1.0
    return SAID[code, into] if (code, into) in SAID else computed(code, into)


def computed(code: str, into: str) -> float:
    """The same by the library, whatever is written down; raises NotComparable."""
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
