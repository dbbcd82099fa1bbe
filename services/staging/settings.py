"""What staging is told by its environment: where to listen, and what it calls few. It knows no server, no database and no secret."""

from __future__ import annotations

from shared.service.settings import Settings


class StagingSettings(Settings):
    """What every service is told, and the name of the definition of oligometastasis (rules/metastatic-sites.yaml)."""

    oligometastasis: str = "yin-2019"
