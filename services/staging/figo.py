"""Facts in, stage out: one table read under three-valued facts. The stage is an interval."""

from __future__ import annotations

from collections.abc import Mapping

from shared.knowledge.table import Fact, Reader, Row, asked, holding
from shared.oncology.stage import Because, EditionStage, Missing

_NODES = {"IIIC": "regional_nodes", "IIIC1": "pelvic_nodes", "IIIC2": "para_aortic_nodes"}
_CLINICAL = " (FIGO 2009 is a clinical edition; findings of any method are used.)"
METHOD_ASK = "Whether the nodes were found by imaging (r) or by pathology (p)"


def stage(reader: Reader, facts: Mapping[str, Fact], asks: Mapping[str, str], supplied: Mapping[str, tuple[str, ...]]) -> EditionStage:
    """The stage of one edition, what it could be, why, and what is missing.

    `asks` words a fact; `supplied` names the facts that can be observed in the place of one that cannot.
    """
    reading = reader.read(facts)
    row = reading.row
    opened = [r for r in reading.open if not r.parent or not any(_under(child.stage, r.stage) for child in reading.open)]
    could_be = tuple(r.stage for r in reversed(opened))
    missing = _missing(opened, facts, asks, supplied)
    if row is None:
        return EditionStage(could_be=could_be, missing=missing)
    suffix = None
    if row.stage in _NODES:
        suffix = facts[_NODES[row.stage]].method
        if suffix is None:
            missing += (Missing(_NODES[row.stage], METHOD_ASK),)
    return EditionStage(
        stage=row.stage,
        suffix=suffix,
        label=row.stage + (suffix or ""),
        could_be=could_be,
        because=(because(reader, row, facts),),
        missing=missing,
    )


def because(reader: Reader, row: Row, facts: Mapping[str, Fact]) -> Because:
    """Why a row holds, with the facts by which it holds and their sources."""
    names = tuple(dict.fromkeys(holding(row.when, facts)))
    clinical = reader.table.edition == "figo-2009" and any(facts[name].method for name in names)
    return Because(
        rule=f"{reader.table.edition}/{row.stage}",
        says=row.says + (_CLINICAL if clinical else ""),
        facts=names,
        sources=tuple(sorted({source for name in names for source in facts[name].sources})),
        reference=row.reference.work,
        place=row.reference.at,
        checked=row.checked,
    )


def _under(stage: str, parent: str) -> bool:
    """Whether a stage is a substage of another: IIIC1 of IIIC and of III, and not of II."""
    return stage != parent and stage.startswith(parent) and stage[len(parent)] not in "IV"


def _missing(
    rows: list[Row], facts: Mapping[str, Fact], asks: Mapping[str, str], supplied: Mapping[str, tuple[str, ...]]
) -> tuple[Missing, ...]:
    """What the open rows ask for, most advanced row first; a doubtful finding asks in its own words."""
    found: dict[str, str] = {}
    for row in rows:
        names = asked(row.when, facts)
        for name in [n for n in names if n not in supplied] or names:
            for real in supplied.get(name, (name,)):
                fact = facts.get(real)
                found.setdefault(real, (fact.ask if fact else None) or asks[real])
    return tuple(Missing(name, ask) for name, ask in found.items())
