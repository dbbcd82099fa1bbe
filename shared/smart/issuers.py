"""The FHIR servers we work with, by name: where each is, and who we are there. No other server is ever asked (SE-08).

They stand in a YAML file (FIGARO_ISSUERS), or, where there is one and at most a bearer token, in FIGARO_FHIR_BASE alone. The `id` of an
issuer is the tenant: it stands in logs and metrics; rows carry its base, which is unique (SE-11).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta
from pydantic import SecretStr
from yarl import URL

from shared.fhir.guard import fhir_base
from shared.fhir.outcome import KnowledgeError, Refused
from shared.knowledge.loader import load
from shared.smart.clients import OPEN, Auth, Bearer, ClientSecret, Open, PrivateKeyJwt, Role, Text
from shared.smart.hook_client import HookClient
from shared.smart.launch import Launch
from shared.smart.secrets import Given, Secret

DOCUMENT: Final = "docs/backend-services.md"


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the server may be asked at once, and in a second."""

    concurrency: Annotated[int, Meta(ge=1, le=100)] = 8
    per_second: Annotated[float, Meta(gt=0)] | None = None


class Notices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The secrets a notification from there may carry: one, or two while it is replaced."""

    secrets: Annotated[tuple[Secret, ...], Meta(min_length=1, max_length=2)]


class Issuer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One FHIR server. `hosts`: others that its endpoints may be on. `policy`: recommend's, where it is not the default.

    `launch`: how clinicians open Figaro from there; without it nobody can.

    Without `write` nothing is written there, and the answer stands on our own page: `write_mode` has to say so, that nobody forgets it.
    """

    id: str
    base: str
    read: Auth = msgspec.field(default_factory=Open)
    write: Auth | None = None
    write_mode: Literal["auto", "page"] = "auto"
    hosts: tuple[Text, ...] = ()
    limits: Rates = Rates()
    policy: Text | None = None
    subscription: Notices | None = None
    launch: Launch | None = None
    hooks: tuple[HookClient, ...] = ()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", self.id):
            raise ValueError("`id` is a name for logs and metrics: at most 40 of a-z, 0-9 and the hyphen")
        if (self.write is None) != (self.write_mode == "page"):
            raise ValueError("give `write`, the client that writes there, or `write_mode: page`, and not both")
        try:
            msgspec.structs.force_setattr(self, "base", str(self.url()))
        except Refused as error:
            raise ValueError(f"`base`: {error.text.rstrip('.')}") from None

    def url(self) -> URL:
        """The base; raises Refused where a secret would go over plain http."""
        return fhir_base(self.base, with_token=any(auth not in (None, OPEN) for auth in (self.read, self.write, self.launch)))

    def client(self, role: Role) -> Auth | None:
        """Who we are there, to read or to write."""
        return self.read if role == "read" else self.write


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    issuers: Annotated[tuple[Issuer, ...], Meta(min_length=1)]

    def __post_init__(self) -> None:
        for what, values in (("id", [one.id for one in self.issuers]), ("base", [one.base for one in self.issuers])):
            if twice := [value for number, value in enumerate(values) if value in values[:number]]:
                raise ValueError(f"two issuers have the {what} {twice[0]}")
        callers = [(client.iss, client.tenant) for one in self.issuers for client in one.hooks]
        if len(callers) != len(set(callers)):
            raise ValueError("two of `hooks` have the same `iss` and `tenant`: nothing tells whose patients they ask about")


_KINDS = (_File, Issuer, Rates, Notices, Launch, HookClient, Open, Bearer, ClientSecret, PrivateKeyJwt, Secret)
_OURS: Final = ("auth", "auth: none", "write_mode: page", "embedded: false")
_WORDS: Final = {*_OURS, *(name for kind in _KINDS for name in kind.__struct_fields__)}


class Issuers:
    """The list. `default` is the one a case is for when it names none: the only one, or the one FIGARO_FHIR_BASE names."""

    def __init__(self, issuers: Sequence[Issuer], default: str | None = None) -> None:
        self._by_base = {issuer.base: issuer for issuer in issuers}
        self.default = default or (issuers[0].base if len(issuers) == 1 else None)

    def __iter__(self) -> Iterator[Issuer]:
        return iter(self._by_base.values())

    def __call__(self, base: str | None = None) -> Issuer:
        """The issuer with this base, or the default. Raises Refused where it is not on the list, or none is named."""
        if base is None and self.default is None:
            raise Refused("No FHIR server is named: set FIGARO_FHIR_BASE, or give `base`.", code="required")
        found = self._by_base.get(str(fhir_base(base)) if base is not None else self.default or "")
        if found is None:
            raise Refused(
                "That FHIR server is not in the settings: name it in the issuers file, or in FIGARO_FHIR_BASE or FIGARO_FHIR_BASES.",
                status=403,
                code="forbidden",
            )
        return found

    def policy(self, base: str | None) -> str | None:
        """Recommend's policy for a base, where its issuer has one of its own."""
        found = self._by_base.get(base or self.default or "")
        return found.policy if found else None

    def name(self, base: str) -> str:
        """The tenant of a row; `unlisted` where its issuer has been taken off the list since."""
        return self._by_base[base].id if base in self._by_base else "unlisted"


def issuers_of(*, file: Path | None, base: str | None, bases: Iterable[str], token: SecretStr | None, role: Role) -> Issuers:
    """The issuers of the settings: of the file, or in the short form of a base and at most a token. Raises Refused."""
    if file is None:
        return _short(base, bases, token, role)
    if token is not None or tuple(bases):
        raise Refused("FIGARO_ISSUERS is set: tokens and further servers stand in that file, and not in FIGARO_FHIR_… variables.")
    found = read_issuers(file)
    issuers = Issuers(found, str(fhir_base(base)) if base else None)
    if base:
        issuers(base)
    for issuer in found:
        _check(issuer.client(role))
        if role == "read" and issuer.launch:
            _check(app_client(issuer.launch))
    return issuers


def read_issuers(file: Path) -> tuple[Issuer, ...]:
    """The issuers of a file; paths in it are relative to it. Raises Refused with file, line and what to do, and never a value."""
    try:
        found = load(file, _File).issuers
    except OSError as error:
        raise Refused(f"FIGARO_ISSUERS: {file} cannot be read ({(error.strerror or 'no reason given').lower()}).") from None
    except KnowledgeError as error:
        raise Refused(f"{file}, line {error.line}: {_without_values(error.text)} {DOCUMENT} shows a whole file.", code="invalid") from None
    folder = file.absolute().parent
    return tuple(_rooted(issuer, folder) for issuer in found)


def _without_values(text: str) -> str:
    """The loader's sentence without what stands in the file: that may be a secret in the wrong place. Our own words stay."""
    if text.startswith("Expected keys with values"):
        return "Here is a word where more is asked for. A client is {auth: …}; a secret is {env: NAME} or {file: PATH}, never itself."
    if text.startswith("Invalid value"):
        return "`auth` is none, bearer, client-secret or private-key-jwt."
    text = re.sub(r"^There is no key `.*` here", "There is no such key", text)
    foreign = [found for found in re.finditer(r"`([^`]*)`", text) if found[1] not in _WORDS]
    return f"{text[: foreign[0].start()]}…{text[text.rindex('`') + 1 :]}" if foreign else text


def _short(base: str | None, bases: Iterable[str], token: SecretStr | None, role: Role) -> Issuers:
    auth: Auth = Bearer(Given(env="the settings", value=token)) if token is not None else OPEN
    found = []
    if base:
        found.append(_issuer("default", base, auth if role == "read" else OPEN, auth if role == "write" else OPEN))
    found += [_issuer(_slug(other), other) for other in bases if not base or fhir_base(other) != fhir_base(base)]
    return Issuers(tuple(found), found[0].base if base else None)


def _issuer(name: str, base: str, read: Auth = OPEN, write: Auth = OPEN) -> Issuer:
    fhir_base(base, with_token=(read, write) != (OPEN, OPEN))  # refused in its own words
    return Issuer(id=name, base=base, read=read, write=write)


def _slug(base: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", base.lower().partition("://")[2]).strip("-")[:40] or "server"


def _rooted(issuer: Issuer, folder: Path) -> Issuer:
    """With every path of it absolute."""
    read, write = _placed(issuer.read, folder), _placed(issuer.write, folder) if issuer.write else None
    notices = issuer.subscription and Notices(tuple(_secret(one, folder) for one in issuer.subscription.secrets))
    launch = issuer.launch and msgspec.structs.replace(
        issuer.launch,
        keys=str(folder / issuer.launch.keys) if issuer.launch.keys else None,
        secret=_secret(issuer.launch.secret, folder) if issuer.launch.secret else None,
    )
    hooks = tuple(msgspec.structs.replace(one, keys=str(folder / one.keys)) if one.keys else one for one in issuer.hooks)
    return msgspec.structs.replace(issuer, read=read, write=write, subscription=notices, launch=launch, hooks=hooks)


def _placed(auth: Auth, folder: Path) -> Auth:
    if isinstance(auth, PrivateKeyJwt):
        return msgspec.structs.replace(auth, keys=str(folder / auth.keys))
    if isinstance(auth, Bearer):
        return Bearer(_secret(auth.token, folder))
    return msgspec.structs.replace(auth, secret=_secret(auth.secret, folder)) if isinstance(auth, ClientSecret) else auth


def _secret(secret: Secret, folder: Path) -> Secret:
    return Secret(file=str(folder / secret.file)) if secret.file else secret


def app_client(launch: Launch) -> ClientSecret | PrivateKeyJwt | None:
    """How the app says who it is to a token endpoint; None for a public one."""
    if launch.keys is not None:
        return PrivateKeyJwt(client_id=launch.client_id, scopes=(), keys=launch.keys)
    return ClientSecret(client_id=launch.client_id, scopes=(), secret=launch.secret) if launch.secret is not None else None


def _check(auth: Auth | None) -> None:
    """A secret or key that is missing is told at the start, and not to the first patient."""
    from shared.smart.keys import signing_key

    match auth:
        case Bearer(token):
            token.read()
        case ClientSecret():
            auth.secret.read()
        case PrivateKeyJwt():
            signing_key(Path(auth.keys))
        case _:
            pass
