"""The patient banner, where the EHR asks for it: name, birth date and identifier as the Patient resource has them. Shown, never logged."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from shared.fhir.words import day

_TEST = frozenset({"HTEST", "synthetic"})


class Banner(NamedTuple):
    """What tells the reader whose page this is. `test` marks a synthetic patient."""

    name: str
    born: str
    identifier: str
    test: bool


class _Name(msgspec.Struct, frozen=True):
    use: str = ""
    text: str = ""
    family: str = ""
    given: tuple[str, ...] = ()


class _Coding(msgspec.Struct, frozen=True):
    code: str = ""


class _Type(msgspec.Struct, frozen=True):
    coding: tuple[_Coding, ...] = ()


class _Identifier(msgspec.Struct, frozen=True):
    value: str = ""
    type: _Type = _Type()


class _Meta(msgspec.Struct, frozen=True):
    tag: tuple[_Coding, ...] = ()


class _Patient(msgspec.Struct, frozen=True):
    resource: str = msgspec.field(name="resourceType", default="")
    name: tuple[_Name, ...] = ()
    born: str = msgspec.field(name="birthDate", default="")
    identifier: tuple[_Identifier, ...] = ()
    meta: _Meta = _Meta()


def banner(patient: bytes) -> Banner:
    """The banner of a raw Patient resource; a field that cannot be read is said to be unknown."""
    try:
        told = msgspec.json.decode(patient, type=_Patient)
    except (msgspec.DecodeError, RecursionError):
        told = _Patient()
    name = next((one for one in told.name if one.use == "official"), told.name[0] if told.name else _Name())
    number = next((one for one in told.identifier if any(c.code == "MR" for c in one.type.coding)), None)
    number = number or next((one for one in told.identifier if one.value), _Identifier())
    whole = ", ".join(filter(None, (name.family, " ".join(name.given))))
    return Banner(whole or name.text or "Name not told", _born(told.born), number.value, bool(_TEST & {c.code for c in told.meta.tag}))


def _born(date: str) -> str:
    try:
        return day(date) or "not told"
    except (ValueError, IndexError):
        return "not told"
