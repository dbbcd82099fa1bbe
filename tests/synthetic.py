"""The synthetic patients by the name of their case, as the tests ask for them."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from typing import Any

from examples.synthetic_patients import CASES, patients

Json = dict[str, Any]


@cache
def _bundles() -> dict[str, Json]:
    return {case.case: bundle for case, bundle in zip(CASES, patients(), strict=True)}


def bundle(case: str) -> Json:
    """The transaction Bundle of one case, the caller's own to change."""
    return deepcopy(_bundles()[case])


def raw(case: str) -> bytes:
    """The same as bytes."""
    return json.dumps(bundle(case)).encode()


def renamed(case: str, prefix: str) -> Json:
    """The case under ids of its own, so that two tests never share a patient on one server."""
    return json.loads(raw(case).replace(b"syn-", f"{prefix}-".encode()))  # type: ignore[no-any-return]
