"""What staging is told by its environment: where to listen. It knows no server, no database and no secret."""

from __future__ import annotations

from shared.service.settings import Settings


class StagingSettings(Settings):
    """Nothing beyond what every service is told."""
