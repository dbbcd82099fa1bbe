"""Our signing keys: a folder with one JWK a file, readable by its owner only. What is published of them is public.

A rotation needs no restart: the new key is published at once and signs once every server that keeps our JWKS has had time to see it; the
old one stays published until its last assertion has expired, and some time longer. Both instants stand in the key's own file, as `nbf`
and `exp`; they are never published.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

import msgspec
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

from shared.fhir.outcome import Refused

Algorithm = Literal["ES384", "RS384"]  # SMART App Launch 2.2, client-confidential-asymmetric: a client is able to do both
ALGORITHMS: Final[tuple[Algorithm, ...]] = get_args(Algorithm)

# In seconds. A server that keeps our JWKS longer than we allow it to is not rare: a new key waits a day before it signs.
ASSERTION_LIFE: Final = 300
JWKS_LIFE: Final = 3600
WAIT: Final = 24 * 3600
GRACE: Final = 24 * 3600

_log = structlog.get_logger("figaro.smart")


class SigningKey(NamedTuple):
    """A key of the folder; `signs_from` and `retires` are seconds since 1970. Without its private half it is only published."""

    key: RSAKey | ECKey
    algorithm: Algorithm
    signs_from: int
    retires: int | None
    file: Path

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint, so that no two keys share one (SM-75)."""
        return str(self.key.kid)


class _Times(msgspec.Struct, omit_defaults=True):
    nbf: int = 0
    exp: int | None = None


def keys_in(folder: Path) -> tuple[SigningKey, ...]:
    """The keys of a folder, the newest last; a JWK Set in a file counts as its keys. Raises Refused, naming the file and no content."""
    try:
        files = sorted(folder.glob("*.json"))
        found = [key for file in files for key in _read(file)]
    except OSError as error:
        raise Refused(
            f"The keys in {folder} cannot be read ({(error.strerror or 'no reason given').lower()}): is it ours to read?"
        ) from None
    return tuple(sorted(found, key=lambda key: (key.signs_from, key.kid)))


def signing_key(folder: Path, algorithms: Iterable[str] = (), *, at: float | None = None) -> SigningKey:
    """The newest key that may sign now, of an algorithm the server takes (all, where it names none). Raises Refused, saying what to do."""
    now, taken = time.time() if at is None else at, tuple(algorithms)
    ours = [key for key in _live(keys_in(folder), now) if key.key.is_private]
    if not ours:
        raise Refused(f"There is no signing key in {folder}: make one with `figaro keys new {folder}`, and register it.")
    fit = [key for key in ours if not taken or key.algorithm in taken]
    if not fit:
        wanted = next((name for name in ALGORITHMS if name in taken), None)
        if wanted is None:
            raise Refused("The server takes neither RS384 nor ES384, as SMART asks of it: Figaro signs with nothing weaker.")
        raise Refused(f"The server takes no {ours[-1].algorithm}: `figaro keys new {folder} --alg {wanted}`, and register that key too.")
    # A folder whose only keys still wait has never signed: there is nothing to wait for.
    ready = [key for key in fit if key.signs_from <= now] or fit[:1]
    return ready[-1]


def jwks(keys: Sequence[SigningKey], *, at: float | None = None) -> dict[str, Any]:
    """The public JWK Set of all that are not retired, each kid once (SM-71, SM-75)."""
    now = time.time() if at is None else at
    live = {key.kid: key for key in _live(keys, now)}
    return {"keys": [{**KeySet([key.key]).as_dict(private=False)["keys"][0], "use": "sig", "alg": key.algorithm} for key in live.values()]}


def new_key(folder: Path, algorithm: Algorithm, *, wait: float = WAIT) -> SigningKey:
    """Makes a key, in a file of mode 0600. The first of a folder signs at once, one of another algorithm after `wait` seconds.

    Raises Refused where the folder has a key of the algorithm: that one is rotated.
    """
    now = time.time()
    live = [key for key in _live(keys_in(folder), now) if key.key.is_private]
    if any(key.algorithm == algorithm for key in live):
        raise Refused(f"{folder} has a key for {algorithm} already: `figaro keys rotate {folder}` replaces it without a gap.")
    return _make(folder, algorithm, now + wait if live else now)


def _make(folder: Path, algorithm: Algorithm, signs_from: float) -> SigningKey:
    key: RSAKey | ECKey = ECKey.generate_key("P-384") if algorithm == "ES384" else RSAKey.generate_key(3072)
    key.ensure_kid()
    made = SigningKey(key, algorithm, int(signs_from), None, folder / f"key-{key.kid}.json")  # a kid may begin with a hyphen
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(made)
    except OSError as error:
        raise Refused(f"No key can be written to {folder} ({(error.strerror or 'no reason given').lower()}).") from None
    return made


def rotate(folder: Path, *, wait: float = WAIT, grace: float = GRACE) -> tuple[SigningKey, ...]:
    """A new key beside each that signs now: it signs after `wait`, and the old one is published until `grace` after its last assertion.

    Removes what is retired. Gives the new keys. Raises Refused where there is none to rotate, or a rotation is under way.
    """
    now, keys = time.time(), keys_in(folder)
    live = [key for key in _live(keys, now) if key.key.is_private]
    if not live:
        raise Refused(f"There is no signing key in {folder} to rotate: make one with `figaro keys new {folder}`.")
    if waiting := [key for key in live if key.signs_from > now]:
        since = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(waiting[-1].signs_from))
        raise Refused(f"A rotation is under way in {folder}: the new key signs from {since} on.", status=409, code="conflict")
    for key in keys:
        if key not in _live(keys, now) and key.key.is_private:
            key.file.unlink()
    made = [_make(folder, algorithm, now + wait) for algorithm in dict.fromkeys(key.algorithm for key in live if key.retires is None)]
    for key in live:
        if key.retires is None:
            _write(key._replace(retires=int(now + wait + ASSERTION_LIFE + grace)))
    return tuple(made)


def _live(keys: Iterable[SigningKey], now: float) -> list[SigningKey]:
    return [key for key in keys if key.retires is None or key.retires > now]


def _read(file: Path) -> list[SigningKey]:
    if file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH) and b'"d"' in file.read_bytes():
        _log.warning("private_key_readable_by_others", file=file.name)
    try:
        plain = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        return [_key(one, file) for one in plain.get("keys", [plain])]
    except (msgspec.DecodeError, msgspec.ValidationError, JoseError, ValueError, TypeError, KeyError, AttributeError):
        raise Refused(f"{file} is no JWK that Figaro can use: it takes EC P-384 and RSA keys of 2048 bits or more.") from None


def _key(plain: dict[str, Any], file: Path) -> SigningKey:
    times = msgspec.convert(plain, _Times)
    jwk = {name: value for name, value in plain.items() if name not in ("nbf", "exp", "alg", "use", "key_ops", "kid")}
    key: RSAKey | ECKey = ECKey.import_key(jwk) if jwk["kty"] == "EC" else RSAKey.import_key(jwk)
    if (isinstance(key, ECKey) and key.curve_name != "P-384") or (isinstance(key, RSAKey) and key.raw_value.key_size < 2048):
        raise ValueError
    key.ensure_kid()
    return SigningKey(key, "ES384" if isinstance(key, ECKey) else "RS384", times.nbf, times.exp, file)


def _write(key: SigningKey) -> None:
    times = msgspec.to_builtins(_Times(nbf=key.signs_from, exp=key.retires))
    text = msgspec.json.encode(key.key.as_dict(private=True) | {"use": "sig", "alg": key.algorithm} | times)
    beside = key.file.with_suffix(".new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(text + b"\n")
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(key.file)
