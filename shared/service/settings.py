"""Settings by environment, FIGARO_…; the same base for every service. Outside the demo no secret has a default."""

from __future__ import annotations

from typing import Any, Literal, Self, TypeVar

from pydantic import Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from yarl import URL

from shared.fhir.guard import is_loopback
from shared.fhir.outcome import Refused

PREFIX = "FIGARO_"


class Settings(BaseSettings):
    """What every service is told. Secrets are SecretStr, so that they never print."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="ignore", frozen=True, hide_input_in_errors=True)

    demo: bool = False
    host: str = "127.0.0.1"
    port: int = 8000
    connections: int = Field(default=800, ge=10)
    """How many connections may be open at once; beyond it the answer is 503."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses and networks (CIDR) of the proxies in front, as a JSON list: what they say of a client's address is believed."""
    public_url: str | None = None
    """The address at which FHIR servers, engines and browsers reach ingest; Subscriptions point there."""
    api_secret: SecretStr | None = Field(default=None, min_length=16)
    """The bearer token of people and programs: it opens, lists and shows cases. Asked for wherever it is set; needed where `public`."""
    service_secret: SecretStr | None = Field(default=None, min_length=16)
    """What our services tell one another to be known; the same for each of them. Nothing is written to a FHIR server without it."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @model_validator(mode="after")
    def _no_default_secret(self) -> Self:
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if not self.demo and isinstance(value, SecretStr) and value == field.default:
                raise ValueError(f"{PREFIX}{name.upper()} still has the secret of the demo: set your own")
        return self

    @property
    def public(self) -> bool:
        """Whether others than this machine's own may reach us, by ourselves or through a proxy."""
        return bool(self.trusted_proxies or not _here(self.host) or (self.public_url and not _here_at(self.public_url)))

    def lacks(self, name: str) -> str:
        """What to say where a secret is needed and not set: its variable, and what lets others in."""
        return f"{PREFIX}{name.upper()} is not set, and FIGARO_HOST, FIGARO_PUBLIC_URL or FIGARO_TRUSTED_PROXIES lets others in"


SettingsT = TypeVar("SettingsT", bound=Settings)


def load(kind: type[SettingsT], **given: Any) -> SettingsT:
    """Reads the environment, after what is `given`. Raises Refused, naming every variable that is missing or wrong, and no value."""
    try:
        return kind(**given)
    except ValidationError as error:
        wrong = "; ".join(_sentence(tuple(one["loc"]), one["msg"]) for one in error.errors(include_input=False, include_url=False))
        raise Refused(f"The settings cannot be used: {wrong}.", code="invalid") from None


def _sentence(place: tuple[int | str, ...], message: str) -> str:
    said = message.removeprefix("Value error, ")
    return f"{PREFIX}{'__'.join(map(str, place)).upper()}: {said}" if place else said


def _here(host: str) -> bool:
    return bool(host) and is_loopback(URL.build(scheme="http", host=host))


def _here_at(address: str) -> bool:
    try:
        return is_loopback(URL(address))
    except ValueError:
        return False
