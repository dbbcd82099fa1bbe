"""The public half of our signing keys, where an authorization server fetches it (SM-71)."""

from __future__ import annotations

from pathlib import Path

import msgspec
from fastapi import APIRouter, Request, Response

from services.ingest.running import ingest_of
from shared.smart.clients import PrivateKeyJwt
from shared.smart.keys import JWKS_LIFE, jwks, keys_in

router = APIRouter(tags=["keys"])


@router.get("/.well-known/jwks.json")
def published(request: Request) -> Response:
    """Every key of the folders in the issuers file: those of ingest and of the app, and of recommend where its folder is here too."""
    clients = [client for issuer in ingest_of(request).servers.issuers for client in (issuer.read, issuer.write)]
    apps = [issuer.launch.keys for issuer in ingest_of(request).servers.issuers if issuer.launch and issuer.launch.keys]
    folders = sorted({*apps, *(client.keys for client in clients if isinstance(client, PrivateKeyJwt))})
    found = jwks([key for folder in folders for key in keys_in(Path(folder))])
    headers = {"Cache-Control": f"public, max-age={JWKS_LIFE}"}
    return Response(msgspec.json.encode(found), media_type="application/json", headers=headers)
