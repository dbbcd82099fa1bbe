"""Secrets by name: an environment variable or a file, read when they are needed, never written in a settings file and never printed."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from pydantic import SecretStr

from shared.fhir.outcome import Refused


class Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a secret is: `env`, the name of a variable, or `file`, a path whose first line it is. A file may change while we run."""

    env: str | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        if (self.env is None) == (self.file is None):
            raise ValueError("a secret is {env: NAME} or {file: PATH}, one of the two")

    def read(self) -> str:
        """The secret. Raises Refused, naming where it should be."""
        if self.env is not None:
            value, place = os.environ.get(self.env, ""), f"the variable {self.env} is not set"
        else:
            value, place = _first_line(Path(self.file or "")), f"the file {self.file} is empty or cannot be read"
        if not value:
            raise Refused(f"A secret is missing: {place}.", code="required")
        if not value.isprintable():
            raise Refused(f"A secret cannot be used, it has control characters: look at {self.env or self.file}.")
        return value


class Given(Secret, frozen=True):
    """A secret that the settings already hold."""

    value: SecretStr = SecretStr("")

    def read(self) -> str:
        return self.value.get_secret_value()


def _first_line(path: Path) -> str:
    try:
        return (path.read_text().splitlines() or [""])[0].strip()
    except (OSError, UnicodeDecodeError):
        return ""
