"""What is asked of a Bulk Data export, and what it says of its files. Opens no connection.

Source: HL7 FHIR Bulk Data Access 2.0.0 (STU2), "Kick-off Request" and "Complete Status"; `outcome` and `link` as in its later drafts.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

import msgspec

from shared.fhir.bundle import READ
from shared.fhir.outcome import NotFhir, Refused

KINDS: Final = tuple(sorted(kind.__name__ for kind in READ))
OF_NO_PATIENT: Final = frozenset({"Medication"})  # of R4's Patient compartment every other type in KINDS is
NDJSON: Final = "application/fhir+ndjson"
_KIND = re.compile(r"[A-Za-z]{1,40}")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})")


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One export: of a Group, of all patients, or of the whole `system`; `kinds` are resource types, `filters` of the form `Type?query`.

    `since` is a day (taken from its beginning in UTC) or an instant. Raises Refused where that is none.
    """

    group: str | None = None
    system: bool = False
    kinds: tuple[str, ...] = KINDS
    since: str | None = None
    filters: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.group is not None and (not _ID.fullmatch(self.group) or self.group in (".", "..")):
            raise Refused("That is no id of a Group: give what stands behind Group/.", code="value")
        if self.group is not None and self.system:
            raise Refused("Give the Group or the whole system, and not both.", code="value")
        if wrong := [kind for kind in self.kinds if not _KIND.fullmatch(kind)]:
            raise Refused(f"{wrong[0][:40]!r} is no resource type: it looks like Condition.", code="value")
        if self.since is not None and not (_DAY.fullmatch(self.since) or _INSTANT.fullmatch(self.since)):
            raise Refused("An export starts from a day (2026-03-01) or an instant (2026-03-01T08:00:00Z).", code="value")

    @property
    def place(self) -> tuple[str, ...]:
        """Where the operation is, below the base."""
        if self.group is not None:
            return ("Group", quote(self.group, safe=""), "$export")
        return ("$export",) if self.system else ("Patient", "$export")

    @property
    def of_patients(self) -> Ask:
        """Without the types that belong to no patient: HAPI refuses an export of patients that asks for them."""
        kept = tuple(kind for kind in self.kinds if kind not in OF_NO_PATIENT)
        return self if self.system or not kept else msgspec.structs.replace(self, kinds=kept)

    @property
    def about(self) -> str:
        """What is exported, for messages: no id of a Group, which may tell of what its members have."""
        return "one Group" if self.group is not None else "the whole server" if self.system else "all patients"

    @property
    def parameters(self) -> list[tuple[str, str, str]]:
        """Name, type and value; types as one list with commas, which is what servers of today understand."""
        since = f"{self.since}T00:00:00Z" if self.since and _DAY.fullmatch(self.since) else self.since
        named = [("_outputFormat", "valueString", NDJSON), *([("_type", "valueString", ",".join(self.kinds))] if self.kinds else [])]
        named += [("_since", "valueInstant", since)] if since else []
        return named + [("_typeFilter", "valueString", one) for one in self.filters]

    def body(self) -> bytes:
        """For a POST."""
        parameters = [{"name": name, kind: value} for name, kind, value in self.parameters]
        return msgspec.json.encode({"resourceType": "Parameters", "parameter": parameters})

    def query(self) -> str:
        """For a GET."""
        return urlencode([(name, value) for name, _, value in self.parameters], safe=",:/")


class File(msgspec.Struct, frozen=True):
    """One file of an export. `url` is the server's own: the guard decides whether it is asked. `count`: lines, where the server says."""

    url: str
    type: str = ""
    count: int | None = None


class _Link(msgspec.Struct, frozen=True):
    relation: str = ""
    url: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """`error` and `outcome` hold OperationOutcomes, `deleted` Bundles of what is gone. The next export is since `transaction_time`."""

    transaction_time: Annotated[str, msgspec.Meta(pattern=rf"^{_INSTANT.pattern}\Z")]  # it is printed, and sent as `_since`
    requires_access_token: bool
    output: tuple[File, ...]
    error: tuple[File, ...] = ()
    outcome: tuple[File, ...] = ()
    deleted: tuple[File, ...] = ()
    link: tuple[_Link, ...] = ()

    @property
    def next(self) -> str | None:
        """Where the rest of a manifest in parts is."""
        return next((link.url for link in self.link if link.relation == "next" and link.url), None)

    def with_part(self, part: Manifest) -> Manifest:
        """Both, as one manifest."""
        fields = {name: getattr(self, name) + getattr(part, name) for name in ("output", "error", "outcome", "deleted")}
        more: dict[str, Any] = {**fields, "link": part.link}
        return msgspec.structs.replace(self, **more)

    def placed(self) -> tuple[tuple[str, File], ...]:
        """Every file once, and the name it is kept under: `Condition.001.ndjson`, `error/001.ndjson`, `deleted/001.ndjson`."""
        seen: dict[str, int] = {}
        listed = set[tuple[str, str]]()
        named = []
        for folder, files in (("", self.output), ("error/", (*self.error, *self.outcome)), ("deleted/", self.deleted)):
            for file in files:
                kind = "" if folder else f"{file.type if _KIND.fullmatch(file.type) else 'other'}."
                seen[folder + kind] = number = seen.get(folder + kind, 0) + 1
                if (folder, file.url) not in listed:
                    named.append((f"{folder}{kind}{number:03}.ndjson", file))
                listed.add((folder, file.url))
        return tuple(named)


def manifest(body: bytes, base: str) -> Manifest:
    """Raises NotFhir where it is none."""
    try:
        return msgspec.json.decode(body, type=Manifest)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        why = ": transactionTime has to be a FHIR instant, from which the next export starts" if "transactionTime" in str(error) else ""
        raise NotFhir(f"The FHIR server at {base} ended its export with something that is no manifest of files{why}.") from error
