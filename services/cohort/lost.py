"""Lines of nobody who can be told: how many of each type, where the first of them stands, and whether they are too few to matter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from services.cohort.heads import READ
from services.cohort.patients import database
from services.cohort.plan import Piece, Plan, placed
from services.cohort.result import Fault
from services.cohort.scan import Seen
from services.cohort.unread import held

# Ours: so few lines in a thousand may be missing of those patients of whom something names the cervix, if all were theirs.
SPARED: Final = 1_000
_HERS: Final = """
    SELECT kind, count(*) FROM read_parquet($index)
    WHERE owner::VARCHAR IN (SELECT owner::VARCHAR FROM read_parquet($index) WHERE named) GROUP BY kind
"""


class Lost(msgspec.Struct, frozen=True):
    """How many lines of a type are of nobody who can be told, and the first of them. `spared`: too few for anything to be withheld."""

    count: int
    first: Fault
    spared: bool = False


def lost(plan: Plan, pieces: list[Piece], seen: list[Seen], kinds: Mapping[str, set[str]]) -> dict[str, Lost]:
    """By type. `kinds` are the types of the lines of each file: what has no type may be of any of them."""
    found: dict[str, Lost] = {}
    before: dict[str, int] = {}
    for piece, each in zip(pieces, seen, strict=True):
        base = before.get(piece.file, 0)
        before[piece.file] = base + each.lines
        for kind, (count, line, why) in each.lost.items():
            for of in [kind] if kind else sorted(held(piece.file, kinds[piece.file])):
                known = found.get(of) or Lost(0, Fault(piece.file, base + line, why))
                found[of] = msgspec.structs.replace(known, count=known.count + count)
    hers = _hers(plan, len(pieces)) if found else {}
    return {kind: msgspec.structs.replace(each, spared=each.count * SPARED <= hers.get(kind, 0)) for kind, each in sorted(found.items())}


def _hers(plan: Plan, pieces: int) -> dict[str, int]:
    """How many lines of each type are of patients of whom something names the cervix; the same whether others have rows or not."""
    with database(plan.work) as db:
        return {READ[kind]: count for kind, count in db.execute(_HERS, {"index": placed(plan.work, "scan", range(pieces))}).fetchall()}
