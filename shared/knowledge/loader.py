"""Reads knowledge files: strict YAML into typed values. A refusal names file and line; the digest names the edition's bytes.

Refused: an unknown key, a duplicate key, an alias, a value of another type than the schema's, an empty file.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec
import yaml

from shared.fhir.outcome import KnowledgeError
from shared.knowledge.refusals import STEP, mended, unreadable

T = TypeVar("T")


class _Core(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML 1.2's core schema: `on`, `no` and dates are text; only true, false, null and numbers are more than text."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


_Core.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Core.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""])
_Core.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Core.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)\.[0-9]+$"), list("-+0123456789"))


def load(path: Path, schema: type[T]) -> T:
    """The file as a value of `schema` (a frozen msgspec Struct with forbid_unknown_fields, shared by all who load the same bytes); raises
    KnowledgeError."""
    found: T = _read(path.parent.name, path.name, path.read_bytes(), schema)  # type: ignore[arg-type]  # mypy: type[T] is not Hashable
    return found


@lru_cache(maxsize=1024)
def _read(folder: str, name: str, data: bytes, schema: type[Any]) -> Any:
    """The bytes of a file under its name, read once a process: a check of the knowledge asks for the same files several times."""
    path = Path(folder, name)
    try:
        loader = _Core(data)
        try:
            node = loader.get_single_node()
            if node is None:
                raise _refusal(path, 1, "The file is empty.")
            _refuse_duplicates(path, node)
            plain = loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        written = data.decode(errors="replace").splitlines()[line - 1 : line]
        raise _refusal(path, line, unreadable(error.problem, "".join(written))) from error
    except yaml.YAMLError as error:
        raise _refusal(path, 1, "Not readable as YAML: the file is to be text in UTF-8, without control characters.") from error
    try:
        return msgspec.convert(plain, schema, strict=True)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `")
        where, spot = where.rstrip("`"), _spot(node, where.rstrip("`"))
        text = mended(message, where, schema, spot.value if isinstance(spot, yaml.ScalarNode) else "")
        raise _refusal(path, _line(spot, message), text) from error


def load_all(folder: Path, schema: type[T]) -> Iterator[tuple[Path, T]]:
    """Every `*.yaml` of a folder, in the order of names."""
    for path in sorted(folder.glob("*.yaml")):
        yield path, load(path, schema)


def digest(paths: Iterable[Path]) -> str:
    """The sha-256 over the names and bytes of the files, in the order of names (16 bytes of it, in hexadecimal)."""
    total = sha256()
    for path in sorted(paths, key=lambda p: (p.parent.name, p.name)):
        total.update(f"{path.parent.name}/{path.name}\0".encode())
        total.update(sha256(path.read_bytes()).digest())
    return total.hexdigest()[:32]


def _refusal(path: Path, line: int, text: str) -> KnowledgeError:
    return KnowledgeError(text, file=f"{path.parent.name}/{path.name}", line=line)


def _refuse_duplicates(path: Path, node: yaml.Node) -> None:
    stack, seen_nodes = [node], set()
    while stack:
        current = stack.pop()
        if id(current) in seen_nodes:
            raise _refusal(path, current.start_mark.line + 1, "Aliases are not allowed: write the value out.")
        seen_nodes.add(id(current))
        if isinstance(current, yaml.ScalarNode):
            continue
        if isinstance(current, yaml.MappingNode):
            keys: set[Hashable] = set()
            for key, value in current.value:
                if key.value in keys:
                    raise _refusal(path, key.start_mark.line + 1, f"The key `{key.value}` stands twice.")
                keys.add(key.value)
                stack.append(value)
        else:
            stack.extend(current.value)


def _spot(node: yaml.Node, where: str) -> yaml.Node:
    """What stands at a msgspec path such as `$.rows[2].when`, as near as the path tells."""
    for name, index in STEP.findall(where):
        if isinstance(node, yaml.MappingNode):
            found = [value for key, value in node.value if key.value == name]
            if not found:
                break  # msgspec does not name the key of a mapping of one kind of value
            node = found[0]
        else:
            node = node.value[int(index)]
    return node


def _line(node: yaml.Node, message: str) -> int:
    """The line of a node; of the key in it, where the message is about an unknown one."""
    keys = [key for key, _ in node.value if f"unknown field `{key.value}`" in message] if isinstance(node, yaml.MappingNode) else []
    return int((keys or [node])[0].start_mark.line) + 1
