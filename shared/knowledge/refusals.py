"""What the checker of types says of a knowledge file, in the words of whoever writes one: what is wrong, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec.inspect import DictType, LiteralType, StructType, Type, UnionType, VarTupleType, type_info

STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_PATTERNS = {
    r"^\d{4}": 'a date, in quotes: "2026", "2026-02" or "2026-02-11"',
    "^[a-z0-9]": "an id: small letters, digits and single hyphens",
    r"^10\.": "a DOI without its address: 10.1200/JCO.23.00914",
    "^NCT": "a number of ClinicalTrials.gov: NCT03635567",
    r"^\d+$": 'a number in quotes: "37910822"',
}
_WANTED = {
    "str": "words",
    "int": "a whole number, without quotes",
    "float": "a number, without quotes and with a decimal point",
    "bool": "true or false, in small letters and without quotes",
    "array": "a list: [one, two], or a line with a dash for each",
    "object": "keys with values: {key: value}",
    "null": "null",
}
_GOT = {
    "str": "words",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "{…}",
    "null": "nothing",
}
_YAML = {
    "did not find expected ',' or '}'": "a comma or a closing brace is missing, or words with one of { , : stand without quotes",
    "did not find expected ',' or ']'": "a comma or a closing bracket is missing, or words with one of [ , : stand without quotes",
    "mapping values are not allowed in this context": "words with a colon need quotes around them, or a line is indented too far",
    "found a tab character that violates indentation": "a tab stands where spaces belong",
    "found character that cannot start any token": "a tab, or another sign that begins no value; indent with spaces, put words in quotes",
    "did not find expected '-' indicator": "the line is not indented as its neighbours are",
    "did not find expected key": "the line is not indented as its neighbours are, or a quote is not closed",
    "could not find expected ':'": "a colon is missing after a key",
}


def unreadable(problem: str | None, line: str) -> str:
    """What YAML could not read, and why it may be."""
    curly = " The line has typographic quotes: write straight ones." if re.search("[“”„‘’«»]", line) else ""
    told = _YAML.get(problem or "")
    return f"Not readable as YAML: {told or problem}.{curly}"


def mended(message: str, where: str, schema: Any, text: str) -> str:
    """A message of msgspec about the place `where`, for people; `text` is what stands there, where it is one word."""
    for pattern, say in _SAYINGS:
        if found := re.fullmatch(pattern, message):
            return say(found, schema, where, text)
    return f"{message[:1].upper()}{message[1:]}."


def _unknown(found: re.Match[str], schema: Any, where: str, _: str) -> str:
    keys = sorted({field.encode_name for kind in _at(schema, where) if isinstance(kind, StructType) for field in kind.fields})
    near = get_close_matches(found[1], keys, n=1)
    hint = f"Is `{near[0]}` meant?" if near else f"There are: {', '.join(keys)}."
    return f"There is no key `{found[1]}` here. {hint}"


def _enum(found: re.Match[str], schema: Any, where: str, _: str) -> str:
    values = [str(value) for kind in _at(schema, where) if isinstance(kind, LiteralType) for value in kind.values]
    return f"`{found[1]}` is not known here; there are: {', '.join(values)}."


def _pattern(found: re.Match[str], _: Any, __: str, text: str) -> str:
    regex = found[1].replace("\\\\", "\\")
    wanted = next((words for start, words in _PATTERNS.items() if regex.startswith(start)), f"what matches {regex}")
    return f"`{text}` does not do; wanted is {wanted}."


def _kind(found: re.Match[str], _: Any, __: str, text: str) -> str:
    wanted, got = found[1].replace(" | null", ""), found[2]
    quote = "; put it in quotes" if wanted == "str" and got in ("int", "float", "bool", "object") else ""
    what = f"`{text}`" if text and got != "null" else _GOT.get(got, got)
    return f"Expected {_WANTED.get(wanted, wanted)}, found {what}{quote}."


_SAYINGS: list[tuple[str, Callable[[re.Match[str], Any, str, str], str]]] = [
    (r"Object contains unknown field `(.+)`", _unknown),
    (
        r"Object missing required field `(.+)`",
        lambda found, *_: f"The key `{found[1]}` is missing here.",
    ),
    (r"Invalid enum value '?(.+?)'?", _enum),
    (r"Expected `str` matching regex '(.+)'", _pattern),
    (
        r"Expected `array` of length (\d+), got (\d+)",
        lambda found, *_: f"Expected a list of {found[1]}, found {found[2]}: is a comma missing, or one too many?",
    ),
    (r"Expected `(?:array|str)` of length >= 1", lambda *_: "Something must stand here: it is empty."),
    (r"Expected `([^`]+)`, got `([^`]+)`", _kind),
    (r"Expected `(?:int|float)` (>|>=|<|<=) ([\d.]+)", lambda found, *_: f"The number must be {found[1]} {float(found[2]):g}."),
]


def _at(schema: Any, where: str) -> list[Type]:
    """The types that may stand at a path of msgspec such as `$.rows[2].when`."""
    kinds = list(_each(type_info(schema)))
    for name, _ in STEP.findall(where):
        kinds = [inner for kind in kinds for inner in _below(kind, name)]
    return kinds


def _below(kind: Type, name: str) -> Iterator[Type]:
    if isinstance(kind, StructType) and name:
        yield from (inner for field in kind.fields if field.encode_name == name for inner in _each(field.type))
    elif isinstance(kind, VarTupleType) and not name:
        yield from _each(kind.item_type)
    elif isinstance(kind, DictType):
        yield from _each(kind.value_type)


def _each(kind: Type) -> Iterator[Type]:
    """A type, or each of a union."""
    if isinstance(kind, UnionType):
        for one in kind.types:
            yield from _each(one)
    elif isinstance(kind, msgspec.inspect.Metadata):
        yield from _each(kind.type)
    else:
        yield kind
