"""What is being ordered: draft MedicationRequests as drugs and doses (CH-04), and the candidates that give the same drugs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from services.ingest.hooks.prefetch import few, verified
from shared.fhir.outcome import Refused
from shared.fhir.resources import Quantity
from shared.oncology.recommendation import Candidate, Caution, DoseAmount
from shared.oncology.record import Concept

OVER: Final = 1.10  # an ordered dose this many times the reference is told
_MG: Final = {"mg": 1.0, "g": 1000.0, "ug": 0.001}
_DONE: Final = ("cancelled", "completed", "entered-in-error", "stopped")
_FAULTS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


class Order(NamedTuple):
    """One medication as ordered. `milligrams`: the largest single dose, where it was given as a mass. `id`: "MedicationRequest/103"."""

    id: str
    medication: Concept
    milligrams: float | None


class Drugs(NamedTuple):
    """The anticancer drugs ordered together, each with its largest dose in mg; None where no mass was given."""

    doses: dict[str, float | None]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.doses)


class _Reference(msgspec.Struct):
    reference: str | None = None


class _Rate(msgspec.Struct, rename="camel"):
    dose_quantity: Quantity | None = None


class _Dosage(msgspec.Struct, rename="camel"):
    dose_and_rate: tuple[_Rate, ...] = ()


class _Medication(msgspec.Struct):
    id: str = ""
    code: Concept | None = None


class _Request(msgspec.Struct, rename="camel"):
    id: str = ""
    status: str | None = None
    do_not_perform: bool | None = None
    medication_codeable_concept: Concept | None = None
    medication_reference: _Reference | None = None
    contained: tuple[msgspec.Raw, ...] = ()
    dosage_instruction: tuple[_Dosage, ...] = ()


class _Entry(msgspec.Struct, rename="camel"):
    full_url: str = ""
    resource: msgspec.Raw = msgspec.Raw()


class _Bundle(msgspec.Struct, rename="camel"):
    resource_type: str
    entry: tuple[_Entry, ...] = ()


class _Kind(msgspec.Struct, rename="camel"):
    resource_type: str = ""


def orders(drafts: msgspec.Raw, patient: str, base: str) -> list[Order]:
    """The medications among the draft orders. Raises Refused (400) for no Bundle, or an order for another patient."""
    try:
        bundle = msgspec.json.decode(drafts, type=_Bundle)
    except _FAULTS:
        bundle = _Bundle("")
    if bundle.resource_type != "Bundle":
        raise Refused("`context.draftOrders` is not a FHIR Bundle.", status=400)
    few(len(bundle.entry))
    entries = [(entry.full_url, bytes(entry.resource)) for entry in bundle.entry if bytes(entry.resource)]
    medications = {name: read for url, raw in entries if _kind(raw) == "Medication" for name, read in _addressed(url, raw)}
    found = []
    for _, raw in entries:
        if _kind(raw) == "Medication":
            continue
        verified(raw, patient, base)
        if _kind(raw) == "MedicationRequest" and (order := _order(raw, medications)) is not None:
            found.append(order)
    return found


def _order(raw: bytes, medications: dict[str, Concept | None]) -> Order | None:
    try:
        it = msgspec.json.decode(raw, type=_Request)
    except _FAULTS:
        raise Refused("A MedicationRequest of `context.draftOrders` cannot be read.", status=400) from None
    if it.status in _DONE or it.do_not_perform:
        return None
    within = {f"#{name}": code for inner in it.contained if _kind(bytes(inner)) == "Medication" for name, code in _names(bytes(inner))}
    named = it.medication_reference.reference if it.medication_reference else None
    medication = it.medication_codeable_concept or (within | medications).get(named or "")
    return Order(f"MedicationRequest/{it.id}", medication, _milligrams(it)) if medication else None


def _milligrams(it: _Request) -> float | None:
    """The largest dose that stands as a mass; what is per body surface or in millilitres cannot be compared."""
    quantities = [rate.dose_quantity for dosage in it.dosage_instruction for rate in dosage.dose_and_rate if rate.dose_quantity]
    masses = [float(q.value) * _MG[unit] for q in quantities if q.value is not None and (unit := q.code or q.unit or "") in _MG]
    return max(masses, default=None)


def _addressed(url: str, raw: bytes) -> Iterator[tuple[str, Concept | None]]:
    for name, code in _names(raw):
        yield f"Medication/{name}", code
        if url:
            yield url, code


def _names(raw: bytes) -> Iterator[tuple[str, Concept | None]]:
    try:
        it = msgspec.json.decode(raw, type=_Medication)
    except _FAULTS:
        return
    yield it.id, it.code


def _kind(raw: bytes) -> str:
    try:
        return msgspec.json.decode(raw, type=_Kind).resource_type
    except _FAULTS:
        return ""


def together(found: Sequence[Order], named: Sequence[Sequence[str]]) -> Drugs:
    """The drugs of the orders; `named` are those of each, in the same order."""
    doses: dict[str, float | None] = {}
    for order, drugs in zip(found, named, strict=True):
        for drug in drugs:
            # The dose of a product of several drugs is none of one of them.
            dose = order.milligrams if len(drugs) == 1 else None
            doses[drug] = max((each for each in (doses.get(drug), dose) if each is not None), default=None)
    return Drugs(doses)


class Judged(NamedTuple):
    """What the candidates say of the drugs `names`. `giving`: those that give just these (`exact`), else these with others.

    `against` and `cautions`: the criteria that all of `giving` share. `over`: drug, ordered mg, and the reference that it is over.
    """

    names: tuple[str, ...]
    giving: tuple[Candidate, ...]
    exact: bool
    ruled_out: bool
    against: tuple[Caution, ...]
    cautions: tuple[Caution, ...]
    over: tuple[tuple[str, float, DoseAmount], ...]


def judged(drugs: Drugs, candidates: Sequence[Candidate]) -> Iterator[Judged]:
    """The ordered set as a whole where a candidate gives it, alone or with more; else each drug by itself."""
    gives = {candidate.regimen: frozenset(dose.drug for dose in candidate.doses) for candidate in candidates}
    sets = [drugs.names] if any(drugs.names <= given for given in gives.values()) else [frozenset({name}) for name in sorted(drugs.names)]
    for names in sets:
        same = [candidate for candidate in candidates if gives[candidate.regimen] == names]
        more = [candidate for candidate in candidates if names <= gives[candidate.regimen]]
        yield _judged(names, drugs, tuple(same or more), exact=bool(same))


def _judged(names: frozenset[str], drugs: Drugs, giving: tuple[Candidate, ...], *, exact: bool) -> Judged:
    against = [[*candidate.blocks, *_failed(candidate)] for candidate in giving]
    return Judged(
        names=tuple(sorted(names)),
        giving=giving,
        exact=exact,
        ruled_out=bool(giving) and all(candidate.verdict == "ruled-out" for candidate in giving),
        against=_shared(against) or tuple(_each(against)),
        cautions=_shared([candidate.cautions for candidate in giving]),
        over=tuple(_over(names, drugs, giving)),
    )


def _failed(candidate: Candidate) -> Iterator[Caution]:
    for reason in candidate.reasons:
        if reason.verdict == "fails":
            yield Caution(criterion=reason.criterion, says=reason.says, sources=reason.sources, evidence=reason.evidence, at=reason.at)


def _shared(of_each: Sequence[Sequence[Caution]]) -> tuple[Caution, ...]:
    """What holds for every one of them, by criterion."""
    if not of_each:
        return ()
    common = set.intersection(*({one.criterion for one in each} for each in of_each))
    return tuple({one.criterion: one for one in of_each[0] if one.criterion in common}.values())


def _each(of_each: Iterable[Iterable[Caution]]) -> Iterator[Caution]:
    seen: set[str] = set()
    for one in (one for each in of_each for one in each):
        if one.criterion not in seen:
            seen.add(one.criterion)
            yield one


def _over(names: frozenset[str], drugs: Drugs, giving: Sequence[Candidate]) -> Iterator[tuple[str, float, DoseAmount]]:
    """Ordered doses above the highest reference amount of those candidates."""
    for name in sorted(names):
        ordered = drugs.doses[name]
        known = [dose for candidate in giving for dose in candidate.doses if dose.drug == name and dose.amount is not None]
        if ordered is None or not known:
            continue
        highest = max(known, key=lambda dose: dose.amount or 0)
        if ordered > OVER * (highest.amount or 0):
            yield name, ordered, highest
