"""What staging is told by its environment: where to listen, who asks, and what it calls few. It knows no server and no database."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from shared.service.settings import Settings


class StagingSettings(Settings):
    """What every service is told, and the name of the definition of oligometastasis (rules/metastatic-sites.yaml)."""

    oligometastasis: str = "yin-2019"

    @model_validator(mode="after")
    def _known_by_a_secret(self) -> Self:
        if self.public and self.service_secret is None:
            raise ValueError(f"{self.lacks('service_secret')}: only ingest is to be answered, by the same secret")
        return self
