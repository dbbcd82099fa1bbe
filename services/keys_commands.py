"""The commands `figaro keys …`: our signing keys, made, replaced and published. The JWK Set goes to standard output."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from shared.fhir.outcome import Refused

keys = typer.Typer(help="The keys that sign our requests for tokens (SMART Backend Services).", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where the keys are: one folder for each client that is registered.")]
FOLDER = Path("keys")
HOUR = 3600


@keys.command("new", epilog="Example: figaro keys new keys/ingest --alg RS384 > jwks.json")
def new(
    folder: Folder = FOLDER,
    alg: Annotated[str, typer.Option("--alg", metavar="ES384|RS384", help="The algorithm; a folder may hold one key for each.")] = "ES384",
) -> None:
    """Makes a private key (a file that only its owner can read), and prints the public JWK Set to register."""
    from shared.smart.keys import ALGORITHMS, new_key

    algorithm = next((name for name in ALGORITHMS if name == alg), None)
    if algorithm is None:
        raise Refused(f"--alg takes {' or '.join(ALGORITHMS)}, not {alg[:20]!r}.")
    made = new_key(folder, algorithm)
    _say(f"{made.file}: {algorithm}, kid {made.kid}, signs {_from(made.signs_from)}")
    _print(folder)


@keys.command("rotate", epilog="Example: figaro keys rotate keys/ingest")
def rotate(
    folder: Folder = FOLDER,
    wait: Annotated[float, typer.Option("--wait", min=0, metavar="HOURS", help="How long the new key is only published.")] = 24,
    grace: Annotated[float, typer.Option("--grace", min=0, metavar="HOURS", help="How long the old key stays published at its end.")] = 24,
) -> None:
    """Replaces each key without a gap: the new one is published now and signs later, the old one is published until nobody needs it."""
    from shared.smart.keys import keys_in
    from shared.smart.keys import rotate as replace

    for made in replace(folder, wait=wait * HOUR, grace=grace * HOUR):
        _say(f"{made.file}: {made.algorithm}, kid {made.kid}, signs {_from(made.signs_from)}")
    for key in keys_in(folder):
        if key.retires is not None:
            _say(f"{key.file}: kid {key.kid} is published until {_instant(key.retires)}")
    _print(folder)


@keys.command("jwks", epilog="Example: figaro keys jwks keys/ingest > jwks.json")
def jwks(folder: Folder = FOLDER) -> None:
    """Prints the public JWK Set: what to register, and what /.well-known/jwks.json answers."""
    _print(folder)


def _print(folder: Path) -> None:
    import msgspec

    from shared.smart.keys import jwks as public
    from shared.smart.keys import keys_in

    found = public(keys_in(folder))
    if not found["keys"]:
        raise Refused(f"There is no key in {folder}: make one with `figaro keys new {folder}`.")
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")


def _from(instant: int) -> str:
    return "at once" if instant <= time.time() else f"from {_instant(instant)}"


def _instant(instant: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(instant))


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
