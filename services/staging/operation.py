"""A FHIR operation over HTTP: which formats it takes and gives, and its input as Parameters. Source: FHIR R4 3.1.0 (http), 3.2.0."""

from __future__ import annotations

import msgspec

from shared.fhir.outcome import Refused, Unreadable

# What clients send JSON under that do not look. Never what a web page may send without asking first: a form, or nothing at all.
_UNNAMED = ("application/octet-stream",)
_ONE = "give one parameter that holds the Bundle of one patient as its resource"


class _Parameter(msgspec.Struct):
    name: str = ""
    resource: msgspec.Raw = msgspec.Raw()


class _Parameters(msgspec.Struct):
    type: str = msgspec.field(name="resourceType", default="")
    parameter: tuple[_Parameter, ...] = ()


def takes_json(content_type: str | None) -> None:
    """Raises Refused (415) where the body says that it is in another format."""
    name = _media_type(content_type or "")
    if name not in _UNNAMED and not _is_json(name):
        text = "The body is in a format that is not taken here: send FHIR R4 as JSON (application/fhir+json)."
        raise Refused(text, status=415, code="not-supported")


def gives_json(accept: str | None, wanted: str | None) -> None:
    """Raises Refused (406) where the caller takes no JSON; `wanted` is `_format`, which goes before the Accept header."""
    # A plus sign in a URL is a space: `_format=application/fhir+json` arrives without it.
    asked = wanted.replace(" ", "+") if wanted else accept or "*/*"
    names = [_media_type(one) for one in asked.split(",")]
    if not any(name in ("*/*", "application/*", "json") or _is_json(name) for name in names):
        text = "The answer is given as FHIR R4 in JSON only: ask for application/fhir+json."
        raise Refused(text, status=406, code="not-supported")


def input_bundle(body: bytes) -> bytes:
    """The Bundle in the body: the body itself, or the resource of the one parameter. Raises Unreadable where it is not that."""
    try:
        given = msgspec.json.decode(body, type=_Parameters)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return body  # the reader says what is wrong with it
    if given.type != "Parameters":
        return body
    if len(given.parameter) != 1:
        raise Unreadable(f"The Parameters hold {len(given.parameter)} parameters; {_ONE}.", where="Parameters.parameter")
    resource = bytes(given.parameter[0].resource)
    if not resource:
        raise Unreadable(f"The parameter holds no resource; {_ONE}.", where="Parameters.parameter[0].resource")
    return resource


def _media_type(text: str) -> str:
    return text.partition(";")[0].strip().lower()


def _is_json(name: str) -> bool:
    return name in ("application/json", "text/json") or (name.startswith("application/") and name.endswith("+json"))
