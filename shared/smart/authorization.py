"""The question to an authorization server: who is the user, and what may we do for her patient (SMART App Launch 2.2, SM-12 to SM-14).

Each is asked with a state, a nonce and a code verifier of its own, and always with PKCE by S256 (SM-20, SM-21).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from authlib.common.security import generate_token
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from yarl import URL

from shared.fhir.outcome import NotFhir, Unauthorised
from shared.smart.discovery import SmartConfiguration
from shared.smart.exchange import endpoint
from shared.smart.issuers import Issuer
from shared.smart.launch import Launch

LONG: Final = 1_800  # characters; some proxies take no longer address
_LENGTH: Final = 64  # characters of 62: 380 bits


class Question(NamedTuple):
    """An authorization request under way: where the browser goes, and what its answer is held against.

    `form` is posted to `url` where the server takes that and an address would be long; else it is empty. `issuer` is whom an `iss` in the
    answer has to name (RFC 9207), where the server says who it is.
    """

    url: str
    form: tuple[tuple[str, str], ...]
    state: str
    nonce: str
    verifier: str
    token_endpoint: str
    issuer: str | None
    scopes: tuple[str, ...]


def question(issuer: Issuer, app: Launch, said: SmartConfiguration, *, aud: str, redirect_uri: str, launch: str | None) -> Question:
    """What to ask. `aud` is the FHIR base as it was received, `launch` the EHR's launch parameter, None where we begin ourselves.

    Raises Unauthorised where the server cannot be asked safely, NotFhir where its endpoints are not its own.
    """
    if "S256" not in said.code_challenge_methods_supported:
        raise Unauthorised(f"{issuer.id} does not say that it supports PKCE with S256, so nobody can sign in there safely.")
    if not said.authorization_endpoint or not said.token_endpoint:
        raise Unauthorised(f"{issuer.id} names no authorization_endpoint or no token_endpoint: it does not launch apps.")
    base = issuer.url()
    where, tokens = (endpoint(base, link, issuer.hosts) for link in (said.authorization_endpoint, said.token_endpoint))
    state, nonce, verifier = (generate_token(_LENGTH) for _ in range(3))
    scopes = app.asked(said.capabilities, standalone=launch is None)
    asked = {
        "response_type": "code",
        "client_id": app.client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(scopes),
        "state": state,
        "aud": aud,
        "code_challenge": create_s256_code_challenge(verifier),
        "code_challenge_method": "S256",
    }
    if launch is not None:
        asked["launch"] = launch
    if app.asks_who:
        asked["nonce"] = nonce
    url = str(prepare_grant_uri(where, **asked))
    posted = "authorize-post" in said.capabilities and len(url) > LONG
    form = tuple(asked.items()) if posted else ()
    return Question(where if posted else url, form, state, nonce, verifier, tokens, app.issuer or said.issuer, scopes)


def origin_of(url: str) -> str:
    """Scheme, host and port: where a form may go, for the page's content security policy."""
    try:
        return str(URL(url, encoded=True).origin())
    except ValueError:
        raise NotFhir("An endpoint has no origin.") from None
