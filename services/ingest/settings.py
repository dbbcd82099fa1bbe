"""What ingest is told by its environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from limits import parse
from pydantic import AfterValidator, Field, SecretStr, model_validator

from shared.service.settings import Settings


def _rate(given: str) -> str:
    try:
        parse(given)
    except ValueError:
        raise ValueError("a rate is written 200/second, 60/minute or 1000/hour") from None
    return given


Rate = Annotated[str, AfterValidator(_rate)]


class IngestSettings(Settings):
    """Each field is read from FIGARO_<NAME>. Times are in the unit of their name."""

    issuers: Path | None = None
    """The file that names the FHIR servers and who we are there. For one server, `fhir_base` does without it."""
    fhir_base: str | None = None
    """The FHIR server that a case is for when it names none."""
    fhir_bases: tuple[str, ...] = ()
    """Other FHIR servers that a case may name, as a JSON list. No other server is ever asked."""
    fhir_token: SecretStr | None = None
    """A bearer token for `fhir_base`, where that asks for one and no SMART client is set up. Reading is all it needs to allow."""
    fhir_networks: tuple[str, ...] = ()
    """Private networks (CIDR) that the names of FHIR and authorization servers may lead into, as a JSON list."""
    audit_key: SecretStr | None = Field(default=None, min_length=16)
    """The key of the hashes by which the audit log names patients. Without it a line of that log names the case only."""
    staging_url: str = "http://127.0.0.1:8001"
    recommend_url: str = "http://127.0.0.1:8002"
    staging_secret: SecretStr | None = Field(default=None, min_length=16)
    """What staging, in a process of its own, has as its `service_secret`, where that is not ours: so it holds nothing that writes."""
    neighbour_seconds: float = 120
    data_directory: Path = Path("var")
    """Where the two SQLite files are, when there is no `database_url`."""
    database_url: str | None = Field(default=None, repr=False)
    """postgresql://…: needed as soon as two processes share the cases. It may hold a password, and is not printed."""
    executor: str = "ingest"
    """This process among those that share a database. Each has a name of its own, and keeps it: after a restart it resumes its cases."""
    concurrency: int = Field(default=4, ge=1)
    """Cases under way at once in this process."""
    cases_per_minute: int = Field(default=600, ge=1)
    """How many cases all processes together start, at most."""
    poll_seconds: float = Field(default=0.2, gt=0)
    drain_seconds: int = Field(default=15, ge=1, le=59)
    """How often due patients become cases."""
    debounce_seconds: float = Field(default=60, ge=0)
    """How long a patient is due before a case is opened: notifications within that time make one case."""
    notification_secret: SecretStr | None = Field(default=None, min_length=16)
    """What a notification from `fhir_base` must carry in a header. Without it none is accepted."""
    notification_secret_before: SecretStr | None = Field(default=None, min_length=16)
    """The secret of before, still accepted while it is being replaced."""
    sweep_seconds: float | None = Field(default=None, ge=0)
    """How often a server is asked what has changed; 0: never. Not set: every 300 s where notifications are accepted, else never."""
    sweep_overlap_seconds: float = Field(default=180, ge=0)
    """How far each sweep looks back behind the one before: longer than a write to the server may take to show."""
    sweep_deletions: bool = True
    """Whether a sweep asks for deletions too, where the server tells them by `_history`."""
    recheck_days: float | None = Field(default=7, gt=0)
    """After so long without a case a sweep opens one for each patient with a CarePlan of ours."""
    rate_notifications: Rate = "200/second"
    """How many notifications one client address, and one FHIR server, may send."""
    rate_cases: Rate = "200/second"
    """How many cases one client address may open over HTTP, and for one FHIR server."""
    rate_launch: Rate = "60/minute"
    """How many launches, and how many returns from a sign-in, one client address may begin."""
    rate_hooks: Rate = "50/second"
    """How many CDS Hooks one client address, and one FHIR server, may call."""
    rate_pages: Rate = "300/minute"
    """How many pages, sources, sheets and decisions one launch may ask for."""
    session_key: SecretStr | None = Field(default=None, min_length=32)
    """What the tokens of launches are encrypted by. Without it a random key of this process is: its sessions end with it."""
    session_hours: float = Field(default=8, gt=0, le=24)
    """How long a launch lasts at most."""
    session_idle_minutes: float = Field(default=60, gt=0)
    """How long a launch lasts that nobody looks at."""
    sign_ins: int = Field(default=10_000, ge=1)
    """How many sign-ins may be under way at once."""
    hook_seconds: float = Field(default=0.4, gt=0)
    """After so long one who opens a patient gets a link instead of cards, where all was prefetched."""
    hook_limit_seconds: float = Field(default=2, gt=0)
    """The same for orders, and where something had to be fetched first."""
    hook_comments: bool = False
    """Whether what clinicians type when they override a card is kept: it may name a patient."""
    step_attempts: int = Field(default=5, ge=1)
    step_wait_seconds: float = Field(default=1, gt=0)
    """The wait before a step is repeated because a neighbour is unavailable; doubled each time."""
    refused_wait_seconds: float = Field(default=300, gt=0)
    """The wait before a case that a FHIR server's own answer has made stuck is tried again; doubled each time, at most a day."""
    case_attempts: int = Field(default=24, ge=1)
    """How often a case that waits for a neighbour, or for a server that answered wrongly, is tried by itself."""
    recoveries: int = Field(default=20, ge=1)
    """After so many crashes in one case it is given up, and is stuck."""
    retention_days: int | None = Field(default=None, ge=1)
    """How long answers and the raw resources behind them are kept; without it, for ever."""

    @model_validator(mode="after")
    def _no_open_door(self) -> Self:
        if self.public and self.api_secret is None:
            raise ValueError(f"{self.lacks('api_secret')}: whoever reaches us could read every case")
        return self

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
