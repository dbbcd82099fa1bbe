"""Pulls one patient's record from a FHIR server: runs the searches, makes sure that all of it is hers, and reads it."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec
import structlog

from services.ingest.searches import Search, searches_for
from shared.fhir.client import FhirClient
from shared.fhir.depth import DEEPEST
from shared.fhir.incomplete import coded, withheld
from shared.fhir.outcome import FigaroError, Gone, NotFound, Refused, Rejected, Stuck, Unauthorised
from shared.fhir.paging import Entry, Found
from shared.fhir.r4 import complaints
from shared.fhir.reader import read_resources
from shared.oncology.record import Issue, Record
from shared.smart.launch import NEEDED
from shared.smart.scopes import Granted

_PATIENT = re.compile(r"Patient/[A-Za-z0-9\-.]{1,64}")
_PAGE = ("_count", "200")
_SHOWN = 3
_NEEDED = frozenset(name for name, _ in NEEDED)
log = structlog.get_logger("figaro.ingest")


class Pulled(NamedTuple):
    """A record, and the resources it was read from as the server sent them: a JSON array, sorted by reference.

    `missed` are the types of which the user's grant, or the server's refusal, kept something from it.
    """

    record: Record
    raw: bytes
    missed: frozenset[str] = frozenset()


class _Reference(msgspec.Struct):
    reference: str | None = None


class _Subject(msgspec.Struct):
    subject: _Reference | None = None
    patient: _Reference | None = None


class _Link(msgspec.Struct):
    type: str = ""


class _Person(msgspec.Struct):
    link: list[_Link] = []


def patient_reference(text: str) -> str:
    """A reference such as Patient/17, from that or from the bare id. Raises Refused."""
    reference = text if text.startswith("Patient/") else f"Patient/{text}"
    # "." and ".." are ids by the letter, and a way out of the path for every proxy in between.
    if not _PATIENT.fullmatch(reference) or reference.endswith(("/.", "/..")):
        raise Refused("That is no reference to a patient; it looks like Patient/17.", code="value")
    return reference


async def pull(server: FhirClient, patient: str, *, as_of: str | None = None, scopes: Iterable[str] | None = None) -> Pulled:
    """The record of `patient` ("Patient/17"), read as of a date where one is given.

    With the `scopes` that a user was granted, what she may not see is left out and named; Stuck where nothing can be said without it
    (SM-34). Raises NotFound or Gone (no such patient, deleted), Stuck (merged into another, or resources of another patient came back:
    FC-05, FC-11) and what the client raises.
    """
    person = await _person(server, patient, lenient=scopes is not None)
    found, unread, missed = await _found(server, patient.removeprefix("Patient/"), Granted(scopes) if scopes is not None else None)
    resources = {patient: person}
    nameless = []
    for entry in found:
        if entry.resource is None:
            continue
        if entry.type != "Medication" and not _verified(server, entry, patient):
            nameless.append(entry.reference)
            continue
        resources[entry.reference] = bytes(entry.resource)
    ordered = [resources[reference] for reference in sorted(resources)]
    record = read_resources(patient, ordered, as_of=as_of)
    used = {patient, *(finding.source for finding in record.findings)}
    invalid = await asyncio.to_thread(_invalid, {reference: resources[reference] for reference in sorted(resources) if reference in used})
    deep = [_deep(entry.reference) for entry in found if entry.deep]
    issues = sorted(
        {*record.issues, *invalid, *unread, *deep, *map(_set_aside, nameless)}, key=lambda issue: (issue.code, issue.sources, issue.text)
    )
    whole = msgspec.structs.replace(record, issues=tuple(issues), unread=tuple(sorted(missed)))
    return Pulled(whole, b"[" + b",".join(ordered) + b"]", missed)


def queries(patient: str) -> tuple[str, ...]:
    """What `pull` asks for, as it asks: the queries of an audit trail."""
    name = patient.removeprefix("Patient/")
    return (patient, *(f"{search.type}?{urlencode(search.params, safe=':,/')}" for search in searches_for(name)))


async def _person(server: FhirClient, patient: str, *, lenient: bool) -> bytes:
    try:
        raw = bytes(await server.read("Patient", patient.removeprefix("Patient/")))
    except Gone as error:
        raise Gone("The patient was deleted from the FHIR server: nothing is proposed.") from error
    except Unauthorised as error:
        if lenient and error.status == 403:
            raise _not_shown("Patient") from None
        raise
    except NotFound as error:
        raise NotFound("The FHIR server has no such patient, or does not show it to us: check the id, and what we may read.") from error
    try:
        links = msgspec.json.decode(raw, type=_Person).link
    except (msgspec.DecodeError, RecursionError) as error:
        raise Stuck("The Patient resource cannot be read: Patient.link is not as FHIR R4 has it.") from error
    if any(link.type == "replaced-by" for link in links):
        raise Stuck("The patient was merged into another one: open a case for the patient that replaces this one.")
    return raw


async def _found(server: FhirClient, patient_id: str, granted: Granted | None) -> tuple[list[Entry], list[Issue], frozenset[str]]:
    searches = list(searches_for(patient_id))
    reach = ["all" if granted is None else granted.reach(one.type, "s", one.params) for one in searches]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_search(server, search, granted)) for search, far in zip(searches, reach, strict=True) if far != "none"
            ]
    except BaseExceptionGroup as errors:
        raise next((error for error in errors.exceptions if isinstance(error, FigaroError)), errors.exceptions[0]) from errors
    answers = iter([task.result() for task in tasks])
    found: list[Entry] = []
    unread: dict[str, str] = {}
    for search, far in zip(searches, reach, strict=True):
        answer = None if far == "none" else next(answers)
        found += answer or ()
        if answer is None or far == "some" or withheld(answer.warnings):
            unread.setdefault(search.type, "none" if answer is None and not search.optional else "some")
    return found, [_unread(name, how) for name, how in unread.items()], frozenset(unread)


async def _search(server: FhirClient, search: Search, granted: Granted | None) -> Found | None:
    """What is found; None where the user may not see it."""
    try:
        found = await server.search(search.type, (*search.params, _PAGE))
    except Rejected:
        if search.optional:
            return Found()
        raise
    except Unauthorised as error:
        if granted is None or error.status != 403:
            raise
        return None
    for code, count in Counter(map(coded, found.warnings)).items():
        log.info("search_warned", type=search.type, code=code, count=count)
    return found


def _unread(resource_type: str, how: str) -> Issue:
    """What a user's grant, or the server, keeps from the record: silence there is not absence. Raises Stuck where nothing can be said
    without it."""
    if how == "none" and resource_type in _NEEDED:
        raise _not_shown(resource_type)
    part = "was not read: the EHR does not show it to this user here" if how == "none" else "was read in part: the EHR shows not all of it"
    text = f"{resource_type} {part}. What is missing there is unknown, not absent."
    return Issue(severity="warning", code="resource-unreadable", text=text)


def _not_shown(resource_type: str) -> Stuck:
    return Stuck(
        f"The EHR does not let this user read {resource_type} in Figaro, and without it nothing can be said: have the scope "
        f"patient/{resource_type}.rs allowed to this app, and launch again."
    )


def _verified(server: FhirClient, entry: Entry, patient: str) -> bool:
    """Whether the resource says that it is the patient's; False where it names nobody. Raises Stuck where it names somebody else."""
    try:
        told = msgspec.json.decode(entry.resource or b"{}", type=_Subject)
    except (msgspec.DecodeError, RecursionError):
        return False
    subject = told.subject or told.patient
    reference = subject.reference if subject else None
    if reference is None:
        return False
    if reference.removeprefix(f"{server.base_url}/").split("/_history/")[0] == patient:
        return True
    raise Stuck(
        f"The FHIR server at {server.base_url} answered a search for one patient with a {entry.type} of another: it ignores the "
        "parameter `patient`, or the patient was merged. Nothing of that answer is used."
    )


def _invalid(resources: dict[str, bytes]) -> list[Issue]:
    return [
        Issue(
            severity="warning",
            code="resource-invalid",
            text=f"{reference} is used, but is not valid FHIR R4: {'; '.join(said[:_SHOWN])}{' …' if len(said) > _SHOWN else ''}",
            sources=(reference,),
        )
        for reference, raw in resources.items()
        if (said := complaints(raw))
    ]


def _set_aside(reference: str) -> Issue:
    text = f"{reference} does not say whose it is, or cannot be read; it is not used."
    return Issue(severity="warning", code="resource-unreadable", text=text, sources=(reference,))


def _deep(reference: str) -> Issue:
    text = f"{reference} is nested more than {DEEPEST} levels deep, and no resource of FHIR R4 is: what lies deeper was left out."
    return Issue(severity="warning", code="resource-invalid", text=f"{text} Have it mended on the FHIR server.", sources=(reference,))
