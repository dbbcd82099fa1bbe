"""How a client says who it is to a token endpoint: with a signed assertion, or with its secret. The OAuth parts are Authlib's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote_plus

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc7523 import PrivateKeyJWT, private_key_jwt_sign

from shared.smart.clients import ClientSecret, PrivateKeyJwt
from shared.smart.exchange import Clock
from shared.smart.keys import ASSERTION_LIFE, SigningKey, signing_key

# Seconds by which our clock may be off, either way: `iat` lies so far back that no server finds it in the future, and `exp` so near that
# none finds it more than five minutes away.
TOLERANCE: Final = 120
_LIFE: Final = ASSERTION_LIFE - 10


class SmartAssertion(PrivateKeyJWT):  # type: ignore[misc]  # Authlib is not typed
    """Authlib's private_key_jwt as SMART App Launch 2.2 has it (SM-70): RS384 or ES384, `kid`, five minutes at most, a new `jti` each time.

    Left to itself Authlib signs RS256 for an hour, without `kid`, and takes the key for the client's secret (AU-01 to AU-05).
    """

    def __init__(self, key: SigningKey, clock: Clock = time.time) -> None:
        super().__init__()
        self._key = key
        self._clock = clock

    def sign(self, auth: Any, token_endpoint: str) -> str:
        """A JWT of its own for each request: the claims are made afresh, because Authlib writes the `jti` into what it is given (AU-02)."""
        jwt: str = private_key_jwt_sign(
            self._key.key,
            client_id=auth.client_id,
            token_endpoint=token_endpoint,
            alg=self._key.algorithm,
            header={"kid": self._key.kid, "typ": "JWT"},
            issued_at=int(self._clock()) - TOLERANCE,
            expires_in=_LIFE,
        )
        return jwt


def authenticated(
    client: ClientSecret | PrivateKeyJwt, endpoint: str, form: str, *, algorithms: tuple[str, ...] = (), clock: Clock = time.time
) -> tuple[dict[str, str], str]:
    """Headers and form of one token request of this client. `algorithms` are those the server takes; none means that it did not say."""
    if isinstance(client, ClientSecret):
        # RFC 6749, 2.3.1: both parts are form-encoded before they are joined by a colon; Authlib leaves that to us (SM-72).
        auth = ClientAuth(quote_plus(client.client_id), quote_plus(client.secret.read()), "client_secret_basic")
    else:
        auth = ClientAuth(client.client_id, None, SmartAssertion(signing_key(Path(client.keys), algorithms, at=clock()), clock))
    headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
    _, sent, body = auth.prepare("POST", endpoint, headers, form)
    return sent, body
