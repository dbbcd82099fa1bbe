"""A published pathway as a FHIR R4 PlanDefinition: its states as actions, each before those it leads to, and its schedule.

R4 has no way out that is taken where something holds: the ways stand in words, and no engine can walk them.
"""

from __future__ import annotations

from collections.abc import Iterator

from services.recommend import wording
from services.recommend.citations import document
from services.recommend.marks import evidence_figure
from services.recommend.pathway import PathwayFile, State
from services.recommend.policy import Policy
from services.recommend.shelf import Library
from shared.fhir import definitions as fhir
from shared.fhir.assertion import concept
from shared.fhir.definitions import TERMINOLOGY, Json, canonical


def pathways(library: Library) -> Iterator[Json]:
    """Each pathway, and the code system of its states."""
    edition = library.knowledge.edition
    for pathway in library.pathways.values():
        states = [fhir.concept(state.id, fhir.words(state.id), _says(state)) for state in pathway.states]
        yield fhir.code_system(f"pathway-{pathway.id}", f"States of the pathway: {pathway.title}", edition, states)
        yield _plan(pathway, library)


def _plan(pathway: PathwayFile, library: Library) -> Json:
    edition, policy = library.knowledge.edition, library.policies["default"]
    works = dict.fromkeys(place.work for part in (pathway, *pathway.states, *pathway.visits) for place in part.because)
    left_open = [f"- Not defined by it: {text}" for text in pathway.undefined]
    schedule = [
        {
            "title": visit.activity + ("" if visit.checked else fhir.UNCHECKED),
            "description": f"Day {visit.day} from day 1 of cycle 1{f', {visit.repeats}' if visit.repeats else ''}"
            f"{f'; on the track {visit.track} only' if visit.track else ''}.",
        }
        for visit in pathway.visits
    ]
    return fhir.artifact(
        "PlanDefinition",
        pathway.id,
        pathway.title,
        edition,
        type=concept(f"{TERMINOLOGY}/plan-definition-type", "workflow-definition"),
        subjectCodeableConcept=concept("http://hl7.org/fhir/resource-types", "Patient"),
        description="\n".join(
            ["A published pathway, to be read beside a record; not an order to follow it.", *pathway.remarks, *left_open]
        ),
        useContext=[*fhir.use_context(), *(fhir.use_context(setting)[1] for setting in pathway.belongs.settings)],
        relatedArtifact=[document(evidence_figure(library.works[work], None)) for work in works],
        library=[canonical("Library", f"pathways-{pathway.id}", edition)],
        action=[
            *(_state(state, pathway, policy) for state in pathway.states),
            *([{"id": "schedule", "title": "Schedule", "action": schedule}] if schedule else []),
        ],
        **fhir.reviewed(pathway.review),
    )


def _state(state: State, pathway: PathwayFile, policy: Policy) -> Json:
    ways = [f"To {fhir.words(way.to)} where {', and '.join(wording.condition(q, policy) for q in way.when)}." for way in state.ways]
    ways += [f"Then: {text}." for text in map(_counted, state.next)]
    found: Json = {
        "id": state.id,
        "title": _says(state),
        "code": [concept(canonical("CodeSystem", f"pathway-{pathway.id}"), state.id)],
    }
    if ways:
        found["description"] = " ".join(ways)
    if state.ways:
        led = dict.fromkeys(way.to for way in state.ways)
        found["relatedAction"] = [{"actionId": to, "relationship": "before-start"} for to in led]
    return found


def _says(state: State) -> str:
    said = _counted(state.says).rstrip(".")
    return f"{said}{' (the work leaves this undefined)' if state.undefined else ''}{'' if state.checked else fhir.UNCHECKED}."


def _counted(text: str) -> str:
    return text.format(given="so many", left="so many")
