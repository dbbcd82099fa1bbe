"""The calls to staging and recommend: values over HTTP, an error over HTTP as the error it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import aiohttp
import msgspec
import structlog
from pydantic import SecretStr

from services.ingest.settings import IngestSettings
from shared.fhir.answer import from_outcome
from shared.fhir.outcome import Unavailable
from shared.oncology.act import Act, Acted
from shared.oncology.recommendation import Recommendation
from shared.oncology.record import Concept
from shared.oncology.stage import Staging
from shared.service.access import SERVICE

T = TypeVar("T")


class Publication(msgspec.Struct, frozen=True):
    """Where the answer stands on the FHIR server, and how it was written there: transaction, ordered, document, page (not at all).

    `careplan` is None with nothing to propose and in the mode `page`; `written` is False where it stood already.
    `status` is the CarePlan's, `left` are earlier plans of ours that stay open because a person has touched them or their options.
    """

    careplan: str | None = None
    version: str | None = None
    decision: str | None = None
    written: bool = False
    mode: str | None = None
    status: str | None = None
    left: tuple[str, ...] = ()


class Neighbours:
    """Staging and recommend, each at its URL. Values go as JSON bytes, so that what is answered is what is kept.

    `secret` is the one by which our services know one another; `staging_secret` staging's, where it has one of its own.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        staging_url: str,
        recommend_url: str,
        timeout: float,
        secret: SecretStr | None = None,
        staging_secret: SecretStr | None = None,
    ) -> None:
        self._session = session
        self._urls = {"staging": staging_url.rstrip("/"), "recommend": recommend_url.rstrip("/")}
        secrets = {"staging": staging_secret or secret, "recommend": secret}
        self._known = {name: {SERVICE: known.get_secret_value()} if known else {} for name, known in secrets.items()}
        self._timeout = aiohttp.ClientTimeout(total=timeout, sock_connect=5)

    @classmethod
    def of(cls, settings: IngestSettings, session: aiohttp.ClientSession) -> Neighbours:
        """As the settings have them."""
        return cls(
            session,
            staging_url=settings.staging_url,
            recommend_url=settings.recommend_url,
            timeout=settings.neighbour_seconds,
            secret=settings.service_secret,
            staging_secret=settings.staging_secret,
        )

    async def stage(self, record: bytes) -> tuple[Staging, bytes]:
        """The Staging of a Record, typed and as sent. Raises what staging raised, or Unavailable."""
        return await self._post("staging", "/stage", record, Staging)

    async def recommend(self, record: bytes, staging: bytes, fhir_base: str) -> tuple[Recommendation, bytes]:
        """The Recommendation for a Record and its Staging, by the policy for that FHIR server; typed and as sent."""
        body = _together(record=record, staging=staging, fhir_base=msgspec.json.encode(fhir_base))
        return await self._post("recommend", "/recommend", body, Recommendation)

    async def drugs(self, medications: Sequence[Concept]) -> list[tuple[str, ...]]:
        """Of each medication the anticancer drugs that it names, by recommend's ids. Raises what recommend raised, or Unavailable."""
        return list((await self._post("recommend", "/drugs", msgspec.json.encode(medications), tuple[tuple[str, ...], ...]))[0])

    async def publish(self, record: bytes, staging: bytes, recommendation: bytes, fhir_base: str, *, write: bool = True) -> Publication:
        """Has the CarePlan written, once; the same decision again answers with the CarePlan that is there. Not at all without `write`."""
        base = msgspec.json.encode(fhir_base)
        body = _together(record=record, staging=staging, recommendation=recommendation, fhir_base=base, write=msgspec.json.encode(write))
        return (await self._post("recommend", "/careplans", body, Publication))[0]

    async def decide(self, act: Act, authorization: str) -> Acted:
        """Has a clinician's act written into the CarePlan. `authorization` is her own header: for this call, and kept nowhere."""
        return (await self._post("recommend", "/decisions", msgspec.json.encode(act), Acted, authorization=authorization))[0]

    async def ready(self) -> Mapping[str, bool]:
        """Which of them says that it is ready."""
        return {name: await self._is_ready(url) for name, url in self._urls.items()}

    async def _is_ready(self, url: str) -> bool:
        try:
            async with self._session.get(f"{url}/health/ready", timeout=aiohttp.ClientTimeout(total=2)) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def _post(self, name: str, route: str, body: bytes, kind: type[T], *, authorization: str | None = None) -> tuple[T, bytes]:
        headers = {"Content-Type": "application/json", **self._known[name], **({"Authorization": authorization} if authorization else {})}
        if request_id := structlog.contextvars.get_contextvars().get("request_id"):
            headers["X-Request-Id"] = str(request_id)
        try:
            # No redirect is followed: the secret, and a clinician's token, are for this address.
            async with self._session.post(
                f"{self._urls[name]}{route}", data=body, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as answer:
                said = await answer.read()
                status = answer.status
        except TimeoutError as error:
            raise Unavailable(f"The service {name} gave no answer to {route} within {self._timeout.total:g} s.", code="timeout") from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"The service {name} cannot be reached: is it running, and is its address in the settings right?") from error
        if status >= 400:
            raise from_outcome(said, status, text=f"The service {name} answered {route} with status {status}.")
        try:
            return msgspec.json.decode(said, type=kind), said
        except msgspec.DecodeError as error:
            text = f"The service {name} answered {route} with something that is no {kind.__name__}: is it of this release?"
            raise Unavailable(text) from error


def _together(**parts: bytes) -> bytes:
    return msgspec.json.encode({name: msgspec.Raw(part) for name, part in parts.items()})
