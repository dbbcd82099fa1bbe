"""What recommend is told by its environment."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from services.recommend.regimen import Agency
from shared.service.settings import Settings


class RecommendSettings(Settings):
    """Each field is read from FIGARO_<NAME>."""

    issuers: Path | None = None
    """The file that names the FHIR servers and who we are there. For one server, `fhir_base` does without it."""
    fhir_base: str | None = None
    """The FHIR server that CarePlans are written to."""
    fhir_bases: tuple[str, ...] = ()
    """Other FHIR servers that may be named, as a JSON list. Nothing is written anywhere else."""
    fhir_write_token: SecretStr | None = None
    """A bearer token for `fhir_base` that may write CarePlans, where that asks for one."""
    audit_key: SecretStr | None = Field(default=None, min_length=16)
    """The key of the hashes by which the audit log names patients; ingest's own, that both logs name a patient alike."""
    fhir_networks: tuple[str, ...] = ()
    """Private networks (CIDR) that the names of FHIR and authorization servers may lead into, as a JSON list."""
    policy: str = "default"
    """The policy file that orders candidates and sets thresholds."""
    policies: Path | None = None
    """A folder of a hospital's own policy files."""
    region: Agency | None = None
    """FDA, EMA or NMPA, where approval is to be a criterion."""

    @model_validator(mode="after")
    def _known_by_a_secret(self) -> Self:
        if self.public and self.service_secret is None:
            raise ValueError(f"{self.lacks('service_secret')}: only ingest is to be answered, by the same secret")
        return self
