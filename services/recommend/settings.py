"""What recommend is told by its environment."""

from __future__ import annotations

from pydantic import SecretStr

from shared.service.settings import Settings


class RecommendSettings(Settings):
    """Each field is read from FIGARO_<NAME>."""

    fhir_base: str | None = None
    """The FHIR server that CarePlans are written to."""
    fhir_bases: tuple[str, ...] = ()
    """Other FHIR servers that may be named, as a JSON list. Nothing is written anywhere else."""
    fhir_write_token: SecretStr | None = None
    """A bearer token for `fhir_base` that may write CarePlans, where that asks for one."""
    policy: str = "default"
    """The policy file that orders candidates and sets thresholds."""
    region: str | None = None
    """FDA, EMA or NMPA, where approval is to be a criterion."""
