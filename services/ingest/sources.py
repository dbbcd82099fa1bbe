"""Which resources a patient's answer rests on, and whose answers rest on a resource: known even when the FHIR server has it elsewhere.

A finding that was on the wrong patient is put right by a PUT with another subject. That tells of her who gets it, and of her who loses it
nothing: her record, read again, lacks it in silence, and without that her draft goes on resting on another woman's finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
from sqlmodel import Session, col, delete, select

from services.ingest.store import Store
from services.ingest.tables import Case, Source, expanded

_PART = 1000  # so many at once as a statement of either database may hold


class _Named(msgspec.Struct):
    source: str


class _Findings(msgspec.Struct):
    findings: tuple[_Named, ...] = ()


_DECODER = msgspec.json.Decoder(_Findings)


def sources(record: bytes) -> set[str]:
    """The references of the findings of a record, as the ledger keeps it."""
    return {finding.source for finding in _DECODER.decode(expanded(record)).findings} if record else set()


def read(store: Store, session: Session, case: Case, record: bytes) -> set[str]:
    """A record was read for a case: its resources count beside those of the answer before. Returns who else's answers rest on them."""
    told = sources(record)
    others = owners(session, case.base, told) - {case.patient}
    _keep(store, session, case.base, case.patient, told)
    return others


def rests_on(store: Store, session: Session, case: Case, record: bytes) -> None:
    """An answer stands. One that was read by our own right stands in the place of the one before."""
    told = sources(record)
    if case.launch is None and case.as_of is None:
        session.exec(delete(Source).where(col(Source.base) == case.base, col(Source.patient) == case.patient))
    _keep(store, session, case.base, case.patient, told)


def owners(session: Session, base: str, references: Iterable[str]) -> set[str]:
    """Whose answers rest on any of these."""
    found: set[str] = set()
    for some in _parts(sorted(set(references))):
        asked = select(Source.patient).where(Source.base == base, col(Source.reference).in_(some)).distinct()
        found.update(session.exec(asked))
    return found


def _keep(store: Store, session: Session, base: str, patient: str, references: set[str]) -> None:
    for some in _parts(sorted(references)):
        rows = [{"base": base, "reference": one, "patient": patient} for one in some]
        session.exec(store.insert(Source, rows).on_conflict_do_nothing())


def _parts(values: list[str]) -> Iterator[list[str]]:
    return (values[start : start + _PART] for start in range(0, len(values), _PART))
