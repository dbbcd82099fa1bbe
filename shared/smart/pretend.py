"""A pretend sign-in for the demo: who signs in is pretended, and its tokens open nothing. The other half of `authorization` and `code`.

Nobody is asked for anything here: it is for synthetic patients on this machine.
"""

from __future__ import annotations

import secrets
import time
from typing import Any, Final

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core.util import create_half_hash
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

LIFE: Final = 8 * 3600  # seconds; no token is renewed
_CAPABILITIES: Final = (
    *("launch-ehr", "client-public", "sso-openid-connect", "context-ehr-patient", "context-banner", "permission-patient"),
    *("permission-v1", "permission-v2"),
)


def configuration(root: str) -> dict[str, Any]:
    """The smart-configuration of a pretend sign-in at `root` (SMART App Launch 2.2)."""
    return {
        "issuer": root,
        "jwks_uri": f"{root}/jwks",
        "authorization_endpoint": f"{root}/authorize",
        "token_endpoint": f"{root}/token",
        "grant_types_supported": ["authorization_code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "capabilities": list(_CAPABILITIES),
    }


class PretendSignIn:
    """An authorization server at `root`, without its pages. `user` is the absolute address of a FHIR Practitioner."""

    def __init__(self, root: str, user: str) -> None:
        self._root, self._user = root, user
        self._key = RSAKey.generate_key(2048)
        self._key.ensure_kid()

    def key_set(self) -> dict[str, Any]:
        """The public key, as a JWK Set."""
        return dict(KeySet([self._key]).as_dict(private=False))

    def tokens(self, *, client: str, scope: str, nonce: str, patient: str) -> dict[str, Any]:
        """The answer of a token endpoint, for a patient's id."""
        access, now = secrets.token_urlsafe(24), int(time.time())
        claims = {"iss": self._root, "sub": "pretend-clinician", "aud": client, "iat": now, "exp": now + 300, "nonce": nonce}
        claims |= {"fhirUser": self._user, "at_hash": create_half_hash(access, "RS256").decode()}
        answer = {"access_token": access, "token_type": "Bearer", "expires_in": LIFE, "scope": scope, "patient": patient}
        id_token = jwt.encode({"alg": "RS256", "kid": self._key.kid}, claims, self._key)
        return answer | {"need_patient_banner": True, "id_token": id_token}


def proves(verifier: str, challenge: str) -> bool:
    """Whether a code verifier is the one of a challenge (RFC 7636, S256)."""
    return secrets.compare_digest(create_s256_code_challenge(verifier).encode(), challenge.encode())
