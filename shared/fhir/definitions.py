"""What every FHIR R4 definition of the knowledge has in common: its head, its citations, its code lists, and the Bundle they leave in.

Everything is a draft and experimental, has a fixed id and a canonical of ours, and carries the edition as its version. No clock is read.
Source: FHIR R4 4.0.1 CodeSystem, ValueSet, ConceptMap, Library, PlanDefinition, ActivityDefinition.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from shared.fhir.assertion import FIGARO
from shared.fhir.codes import SNOMED
from shared.knowledge.table import Reviewed

Json = dict[str, Any]
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
CERVIX = {"coding": [{"system": SNOMED, "code": "363354003", "display": "Malignant tumor of cervix"}]}
UNCHECKED = " (not checked against the source)"


def canonical(kind: str, name: str, edition: str | None = None) -> str:
    """The canonical URL of a definition of ours, with its version where one is given."""
    return f"{FIGARO}/{kind}/{name}" + (f"|{edition}" if edition else "")


def artifact(kind: str, name: str, title: str, edition: str, /, **more: Any) -> Json:
    """The head of a definition; elements that are None or empty are left out. `url` replaces the canonical made from the name."""
    shown = "".join(f"<p>{escape(line)}</p>" for line in (title, *str(more.get("description") or "").splitlines()) if line.strip())
    head: Json = {
        "resourceType": kind,
        "id": name,
        "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{shown}</div>'},
        "url": canonical(kind, name),
        "version": edition,
        "name": "".join(word[:1].upper() + word[1:] for word in re.split(r"[-_.]", f"figaro-{name}")),
        "title": title,
        "status": "draft",
        "experimental": True,
        "publisher": "Figaro",
    }
    return head | {element: value for element, value in more.items() if value not in (None, "", [], (), {})}


def reviewed(review: Reviewed) -> Json:
    """The review as elements: approved on and reviewed by where somebody has signed, and due again at the end of the effective period."""
    period = {"start": review.on, "end": review.next} if review.on else {"end": review.next}
    found: Json = {"effectivePeriod": period}
    if review.on:
        found["lastReviewDate"] = review.on
    if review.state == "reviewed" and review.on:
        found |= {"approvalDate": review.on, "reviewer": [{"name": name} for name in review.by]}
    return found


def use_context(workflow: str | None = None) -> list[Json]:
    """For carcinoma of the cervix, and for a workflow of ours where one is named."""
    found = [{"code": {"system": f"{TERMINOLOGY}/usage-context-type", "code": "focus"}, "valueCodeableConcept": CERVIX}]
    if workflow:
        coding = {"system": canonical("CodeSystem", "setting"), "code": workflow}
        code = {"system": f"{TERMINOLOGY}/usage-context-type", "code": "workflow"}
        found.append({"code": code, "valueCodeableConcept": {"coding": [coding]}})
    return found


def citation(label: str, text: str, doi: str | None = None) -> Json:
    """A cited work; its DOI as an address."""
    found: Json = {"type": "citation", "label": label, "citation": text}
    return found | ({"url": f"https://doi.org/{doi}"} if doi else {})


def library(name: str, title: str, edition: str, *, kind: str = "logic-library", content: bytes | None = None, **more: Any) -> Json:
    """A Library; `content` is the knowledge file itself, byte for byte, in YAML."""
    coded = {"coding": [{"system": f"{TERMINOLOGY}/library-type", "code": kind}]}
    attached = [{"contentType": "application/yaml", "data": b64encode(content).decode(), "title": f"{name}.yaml"}] if content else None
    return artifact("Library", name, title, edition, type=coded, content=attached, **more)


def concept(code: str, display: str, definition: str | None = None, below: Iterable[Json] = ()) -> Json:
    """One concept of a code system, with those below it."""
    found: Json = {"code": code, "display": display}
    if definition:
        found["definition"] = definition
    if narrower := list(below):
        found["concept"] = narrower
    return found


def code_system(name: str, title: str, edition: str, concepts: Sequence[Json], **more: Any) -> Json:
    """A code system of ours with all of its concepts; codes are compared with their case."""
    extra: Json = {"caseSensitive": True, "content": "complete", "count": _count(concepts), "concept": list(concepts)} | more
    return artifact("CodeSystem", name, title, edition, **extra)


def words(code: str) -> str:
    """A code as words: "node-para-aortic" is "node para aortic"."""
    return re.sub(r"[-_]", " ", code)


def listed(name: str, title: str, edition: str, values: Iterable[str]) -> Json:
    """A code system whose codes say what they mean."""
    return code_system(name, title, edition, [concept(value, words(value)) for value in values])


def value_set(name: str, title: str, edition: str, codes: Mapping[str, Iterable[str]], **more: Any) -> Json:
    """A value set of the codes listed, by code system."""
    include = [
        {"system": system, "concept": [{"code": code} for code in listed]} for system, found in codes.items() if (listed := [*found])
    ]
    return artifact("ValueSet", name, title, edition, compose={"include": include}, **more)


class Mapped(dict[tuple[str, str], dict[str, list[Json]]]):
    """The groups of a concept map while they are collected: by source and target system, targets by source code."""

    def add(self, source: tuple[str, str], target: tuple[str, str], equivalence: str, comment: str | None = None) -> None:
        """One code maps to another; `source` and `target` are system and code. The same pair stands once."""
        found = self.setdefault((source[0], target[0]), {}).setdefault(source[1], [])
        if all(entry["code"] != target[1] for entry in found):
            found.append({"code": target[1], "equivalence": equivalence} | ({"comment": comment} if comment else {}))


def concept_map(name: str, title: str, edition: str, mapped: Mapped, **more: Any) -> Json:
    """A concept map of the groups collected."""
    groups = [
        {"source": source, "target": target, "element": [{"code": code, "target": targets} for code, targets in found.items()]}
        for (source, target), found in mapped.items()
    ]
    return artifact("ConceptMap", name, title, edition, group=groups, **more)


_ORDER = ("CodeSystem", "ValueSet", "ConceptMap", "Library", "ActivityDefinition", "PlanDefinition")


def bundle(definitions: Iterable[Json]) -> Json:
    """The transaction that puts each definition under its id, what is referred to first. Repeating it changes nothing."""
    ordered = sorted(definitions, key=lambda it: (_ORDER.index(it["resourceType"]), it["id"]))
    entries = []
    for resource in ordered:
        address = f"{resource['resourceType']}/{resource['id']}"
        entries.append({"fullUrl": f"{FIGARO}/{address}", "resource": resource, "request": {"method": "PUT", "url": address}})
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def searchset(found: Sequence[Json], included: Sequence[Json] = ()) -> Json:
    """The definitions as the answer to a search; `included` are those that they refer to."""
    modes = [*((it, "match") for it in found), *((it, "include") for it in included)]
    entries = [{"fullUrl": it["url"], "resource": it, "search": {"mode": mode}} for it, mode in modes]
    return {"resourceType": "Bundle", "type": "searchset", "total": len(found), "entry": entries}


def _count(concepts: Sequence[Json]) -> int:
    return sum(1 + _count(each.get("concept", ())) for each in concepts)
