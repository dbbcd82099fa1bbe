"""What ingest is told by its environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr

from shared.service.settings import Settings


class IngestSettings(Settings):
    """Each field is read from FIGARO_<NAME>. Times are in the unit of their name."""

    fhir_base: str | None = None
    """The FHIR server that a case is for when it names none."""
    fhir_bases: tuple[str, ...] = ()
    """Other FHIR servers that a case may name, as a JSON list. No other server is ever asked."""
    fhir_token: SecretStr | None = None
    """A bearer token for `fhir_base`, where that asks for one and no SMART client is set up. Reading is all it needs to allow."""
    staging_url: str = "http://127.0.0.1:8001"
    recommend_url: str = "http://127.0.0.1:8002"
    neighbour_seconds: float = 120
    data_directory: Path = Path("var")
    """Where the two SQLite files are, when there is no `database_url`."""
    database_url: str | None = None
    """postgresql://…: needed as soon as two processes share the cases."""
    executor: str = "ingest"
    """This process among those that share a database. Each has a name of its own, and keeps it: after a restart it resumes its cases."""
    concurrency: int = Field(default=4, ge=1)
    """Cases under way at once in this process."""
    cases_per_minute: int = Field(default=600, ge=1)
    """How many cases all processes together start, at most."""
    poll_seconds: float = Field(default=0.2, gt=0)
    sweep_seconds: int = Field(default=15, ge=1, le=59)
    """How often due patients become cases."""
    debounce_seconds: float = Field(default=60, ge=0)
    """How long a patient is due before a case is opened: notifications within that time make one case."""
    step_attempts: int = Field(default=5, ge=1)
    step_wait_seconds: float = Field(default=1, gt=0)
    """The wait before a step is repeated because a neighbour is unavailable; doubled each time."""
    case_attempts: int = Field(default=24, ge=1)
    """How often a case that waits for a neighbour is tried by itself."""
    recoveries: int = Field(default=20, ge=1)
    """After so many crashes in one case it is given up, and is stuck."""
    retention_days: int | None = Field(default=None, ge=1)
    """How long answers and the raw resources behind them are kept; without it, for ever."""

    @property
    def ledger_url(self) -> str:
        """The database of the ledger."""
        return self.database_url or f"sqlite:///{self.data_directory.absolute() / 'ledger.db'}"

    @property
    def workflow_url(self) -> str:
        """The database of DBOS: the ledger's own where that is PostgreSQL (in its schema `dbos`), else a file beside the ledger."""
        if self.database_url and self.database_url.startswith("postgres"):
            return "postgresql+psycopg://" + self.database_url.partition("://")[2]
        ledger = Path(self.ledger_url.removeprefix("sqlite:///"))
        return f"sqlite:///{ledger.with_name('workflows.db')}"
