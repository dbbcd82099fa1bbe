"""What is encrypted in the ledger: tokens and code verifiers. The key is outside the database (SM-66)."""

from __future__ import annotations

import base64
import hmac
import secrets
from hashlib import sha256
from typing import TypeVar

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

T = TypeVar("T")


class Seal:
    """Seals values by one key, and makes cookies that nobody without it can make. Without a key it makes one, good for this process."""

    def __init__(self, key: str | None) -> None:
        given = key.encode() if key else secrets.token_bytes(32)
        derived = HKDF(algorithm=SHA256(), length=64, salt=None, info=b"figaro sessions").derive(given)
        self._fernet = Fernet(base64.urlsafe_b64encode(derived[:32]))
        self._cookies = derived[32:]

    def close(self, value: object) -> bytes:
        """The value as JSON, encrypted and authenticated."""
        return self._fernet.encrypt(msgspec.json.encode(value))

    def open(self, sealed: bytes, kind: type[T]) -> T | None:
        """The value; None where it was sealed by another key."""
        try:
            return msgspec.json.decode(self._fernet.decrypt(sealed), type=kind)
        except (InvalidToken, msgspec.DecodeError):
            return None

    def mark(self, text: str) -> str:
        """What is kept of something that could be guessed, and has to be known again."""
        return hmac.new(self._cookies, b"mark " + text.encode(), sha256).hexdigest()

    def cookie(self, browser: str, *who: str) -> str:
        """The session cookie of a known user in a browser: new after the sign-in, for no earlier cookie is like it (SE-01), and the same

        for each of her launches there, so that two tabs that sign in at once do not end one another. Without a user it would be
        everybody's at that browser: then a random number is the cookie.
        """
        said = msgspec.json.encode([browser, *who])
        return base64.urlsafe_b64encode(hmac.new(self._cookies, said, sha256).digest()).rstrip(b"=").decode()


def fingerprint(secret: str) -> str:
    """What is kept of a random secret that has to be known again."""
    return sha256(secret.encode()).hexdigest()
