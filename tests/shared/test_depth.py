"""JSON that is nested without reason: seen and cut without recursion."""

from __future__ import annotations

import json
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.fhir.depth import DEEPEST, shallow, too_deep

JSON = st.recursive(
    st.none() | st.integers() | st.text(st.sampled_from('a"\\[]{}\n')),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.sampled_from('a"\\[]{}')), inner, max_size=3),
    max_leaves=30,
)


def levels(value: object) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(levels, inside), default=0)


def cut(value: object, most: int) -> object:
    """The same, by recursion."""
    if isinstance(value, list):
        return [cut(one, most - 1) for one in value] if most > 0 else []
    if isinstance(value, dict):
        return {name: cut(one, most - 1) for name, one in value.items()} if most >= 0 else {}
    return value


@given(JSON, st.integers(0, 6))
def test_levels_are_counted_and_cut_as_recursion_would(value: object, most: int) -> None:
    raw = json.dumps(value).encode()
    assert too_deep(raw, most) is (levels(value) > most)
    assert json.loads(shallow(raw, most)) == cut(value, most)
    assert levels(json.loads(shallow(raw, most))) <= most + 2


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'{"a":[', b"]}")])
def test_nesting_without_end_is_seen_and_cut(opening: bytes, closing: bytes) -> None:
    raw = opening * 200_000 + b"1" + closing * 200_000
    assert too_deep(raw)
    assert not too_deep(shallow(raw), DEEPEST + 2)
    assert too_deep(opening * 200_000), "where it does not end at all, too"


def test_a_long_resource_is_not_a_deep_one() -> None:
    raw = b'{"a":[' + b",".join([b'{"b":"[[[["}'] * 1_000) + b"]}"
    assert max(accumulate({ord("{"): 1, ord("}"): -1}.get(byte, 0) for byte in raw)) == 2
    assert not too_deep(raw)
    assert shallow(raw) == raw
