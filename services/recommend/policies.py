"""Policy files, read strictly: whole ones, and those that extend another and name only what differs from it.

Beside ours a hospital may have a folder of its own. A list of things with ids is merged by id; an order replaces the other's for its
setting; preferences stand before the other's, remarks behind them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from services.recommend.policy import Age, Few, Order, Parameter, Policy, Preference, Rounding
from services.recommend.regimen import Agency, Id, Remark, Review, Text
from shared.fhir.outcome import KnowledgeError
from shared.knowledge.loader import load

T = TypeVar("T")
Refuse = Callable[[KnowledgeError], None]
_WHOLE = ("bsa", "weight", "creatinine_floor", "parameters", "order")


class PolicyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy as its file says it. With `extends`, whatever is left out is as in the policy of that id."""

    id: Id
    title: Text
    extends: Id | None = None
    bsa: Literal["mosteller", "du-bois"] | None = None
    weight: Literal["actual", "adjusted-from-bmi-25"] | None = None
    creatinine_floor: bool | None = None
    region: Agency | None = None
    oligometastasis: Few | None = None
    parameters: tuple[Parameter, ...] = ()
    stale_after: tuple[Age, ...] = ()
    rounding: tuple[Rounding, ...] = ()
    order: tuple[Order, ...] = ()
    preferences: tuple[Preference, ...] = ()
    remarks: tuple[Remark, ...] = ()
    review: Review

    def __post_init__(self) -> None:
        lacking = [name for name in _WHOLE if getattr(self, name) in (None, ())]
        if lacking and self.extends is None:
            raise ValueError(f"a policy that extends none says {', '.join(f'`{name}`' for name in lacking)} too")


def policies(folders: Sequence[Path], refuse: Refuse) -> dict[str, Policy]:
    """The policies of the folders by id, those that extend none first; what is refused goes to `refuse` and is left out."""
    files: dict[str, PolicyFile] = {}
    homes: dict[str, str] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.yaml"))):
        try:
            file = load(path, PolicyFile)
        except KnowledgeError as error:
            refuse(error)
            continue
        home = f"{path.parent.name}/{path.name}"
        if file.id != path.stem:
            text = f"The id `{file.id}` is not the file's name: call the file {file.id}.yaml, or correct the id."
            refuse(KnowledgeError(text, file=home, line=1))
        elif file.id in files:
            refuse(KnowledgeError(f"There is a policy `{file.id}` already; give this one a name of its own.", file=home, line=1))
        else:
            files[file.id], homes[file.id] = file, home
    found: dict[str, Policy] = {}
    for name in sorted(files, key=lambda name: files[name].extends is not None):
        try:
            found[name] = _whole(name, files, ())
        except ValueError as error:
            refuse(KnowledgeError(str(error), file=homes[name]))
    return found


def _whole(name: str, files: Mapping[str, PolicyFile], below: tuple[str, ...]) -> Policy:
    file = files[name]
    said = {field: getattr(file, field) for field in PolicyFile.__struct_fields__ if field != "extends"}
    if file.extends is None:
        return Policy(**said)
    if file.extends not in files:
        raise ValueError(f"There is no policy `{file.extends}` to extend; there are: {', '.join(sorted(files))}.")
    if file.extends in (*below, name):
        raise ValueError(f"`{file.extends}` extends this policy, and this policy extends it.")
    base = _whole(file.extends, files, (*below, name))
    _known(file.parameters, base)
    said |= {name: getattr(base, name) for name, value in said.items() if value is None}
    said["parameters"] = _merged(base.parameters, file.parameters, "id")
    said["stale_after"] = _merged(base.stale_after, file.stale_after, "fact")
    said["rounding"] = _merged(base.rounding, file.rounding, "drug")
    said["order"] = _merged(base.order, file.order, "setting")
    said["preferences"] = (*file.preferences, *base.preferences)
    said["remarks"] = (*base.remarks, *file.remarks)
    return Policy(**said)


def _known(parameters: tuple[Parameter, ...], base: Policy) -> None:
    """A parameter that nothing asks for is a slip of the pen, and one in another unit is worse."""
    units = {parameter.id: parameter.unit for parameter in base.parameters}
    for parameter in parameters:
        if parameter.id not in units:
            raise ValueError(f"`{parameter.id}` is no parameter of {base.id}; those are: {', '.join(units)}.")
        if parameter.unit != units[parameter.id]:
            raise ValueError(f"`{parameter.id}` is in {units[parameter.id]}; this says {parameter.unit}.")


def _merged(base: tuple[T, ...], own: tuple[T, ...], key: str) -> tuple[T, ...]:
    """The base's entries with one's own in the places of those they replace, and the rest behind."""
    said = {getattr(it, key): it for it in own}
    kept = {getattr(it, key): said.get(getattr(it, key), it) for it in base}
    return tuple((kept | said).values())
