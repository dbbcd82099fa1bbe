"""A staging, and a stage table, as a person would read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shared.knowledge.table import Table, When
from shared.oncology.stage import Staging


def staging(found: Staging) -> str:
    """A staging in lines: stage and why, what it could be, sites, what is missing, what to look at."""
    return "\n".join(_staging(found)) + "\n"


def _staging(s: Staging) -> Iterator[str]:
    yield s.patient
    if not s.primary.applies:
        yield f"  FIGO does not apply: {s.primary.why_not}"
    for edition, e in s.editions.items():
        could_be = f", could be {', '.join(e.could_be)}" if e.could_be else ""
        yield f"  {edition}  {e.label or 'not settled'}{could_be}"
        for b in e.because:
            mark = "" if b.checked else "; not checked against the source"
            yield f"    because  {b.says} [{b.reference}, {b.place}{mark}]"
            yield f"             {', '.join(b.sources) or 'no source'}"
    if s.editions and s.editions["figo-2018"].missing:
        yield "  missing"
        yield from (f"    {m.ask}" for m in s.editions["figo-2018"].missing)
    if s.metastases:
        yield "  sites"
        for m in s.metastases:
            lesions = f", {m.lesions} lesion{'s' if m.lesions != 1 else ''}" if m.lesions else ""
            yield f"    {m.site} ({m.site_class}, {m.certainty}{lesions}{'' if m.in_window else ', after the staging window'})"
    o = s.oligometastatic
    yield f"  oligometastatic ({o.definition}): {'open' if o.value is None else 'yes' if o.value else 'no'}"
    yield f"  disease: {s.disease_state}"
    yield from (f"  recorded {r.stage} ({r.edition or 'edition not given'}): {_AGREES[r.agrees]}" for r in s.recorded)
    yield from (f"  {i.severity}: {i.text}" for i in s.issues)


_AGREES = {True: "agrees", False: "does not agree", None: "the record cannot tell"}


def table(found: Table, works: Mapping[str, Any]) -> str:
    """A stage table row by row, from the most to the least advanced, with the place each row comes from, ready to be printed and signed."""
    lines = [found.title, f"In force from {found.in_force.since}{f' to {found.in_force.to}' if found.in_force.to else ''}."]
    signed = ", ".join(found.review.by) or "nobody yet"
    lines += [f"Review: {found.review.state}, signed by {signed}, next due {found.review.next}.", ""]
    for row in found.rows:
        mark = "" if row.checked else "  NOT CHECKED AGAINST THE SOURCE"
        lines += [f"{row.stage:6}{row.says}{mark}", f"      when   {_when(row.when)}"]
        lines += [f"      from   {works[row.reference.work].citation} {row.reference.at}.", ""]
    return "\n".join(lines)


def _when(when: When) -> str:
    if when.fact is not None:
        name = when.fact.replace("_", " ")
        if when.at_most is not None:
            return f"{name} at most {when.at_most} {when.unit}"
        if when.more_than is not None:
            return f"{name} more than {when.more_than} {when.unit}"
        return f"{name}, unless {when.unless.replace('_', ' ')}" if when.unless else name
    if when.negated is not None:
        return f"not ({_when(when.negated)})"
    joint = " and " if when.every else " or "
    return joint.join(_when(part) for part in (*when.every, *when.some))
