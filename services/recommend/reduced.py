"""A transaction without the kinds that a server does not take, and without what refers to them. What is left is valid by itself."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

Json = dict[str, Any]
# What is left of an element that held a reference, and says nothing without it.
_EMPTY = {"extension", "id", "url", "type", "title", "display", "code", "role"}
_GONE = object()


def reduced(bundle: Json, lacking: Collection[str]) -> Json:
    """The same transaction without those kinds; the narrative of the CarePlan still says all of it."""
    if not lacking or "entry" not in bundle:
        return bundle
    gone = {entry["fullUrl"] for entry in bundle["entry"] if entry["resource"]["resourceType"] in lacking}
    kept = [entry for entry in bundle["entry"] if entry["fullUrl"] not in gone]
    entries = [{**entry, "resource": _without(entry["resource"], gone)} for entry in kept]
    return {name: value for name, value in bundle.items() if name != "entry"} | ({"entry": entries} if entries else {})


def _without(value: Any, gone: Collection[str]) -> Any:
    if isinstance(value, list):
        items = [one for one in (_without(item, gone) for item in value) if one is not _GONE]
        return items if items or not value else _GONE
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("reference"), str) and value["reference"] in gone:
        return _GONE
    left = {name: one for name, one in ((name, _without(inner, gone)) for name, inner in value.items()) if one is not _GONE}
    return _GONE if len(left) < len(value) and left.keys() <= _EMPTY else left
