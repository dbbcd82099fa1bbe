"""A clinician's act as FHIR: the CarePlan with her word in it, and the Provenance that names her as its author. Pure.

What changes is the CarePlan alone: its status, one note, one paragraph of its narrative. Its intent stays `proposal`, and the options stay
drafts of intent `option`: an order is made by her own system. Sources: FHIR R4 4.0.1 CarePlan, Annotation, Provenance.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from services.recommend.xhtml import paragraph, strong, text
from shared.fhir.assertion import FIGARO
from shared.oncology.act import Act

Json = dict[str, Any]
ACT: Final = f"{FIGARO}/StructureDefinition/clinician-decision"
OPEN: Final = ("draft", "active", "on-hold")
_REGIMEN: Final = f"{FIGARO}/CodeSystem/regimen"
_SAYS: Final = {"accept": "Accepted", "decline": "Declined"}
_TERMS: Final = "http://terminology.hl7.org/CodeSystem"
_CONTROL: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DIV: Final = re.compile(r"<div\b[^>]*[^>/]>")
# Whom R4 lets be the author of an annotation, and the agent of a Provenance.
_AUTHORS: Final = ("Practitioner",)
_AGENTS: Final = ("Practitioner", "PractitionerRole")


def decided(plan: Json, act: Act, base: str, title: str | None = None) -> Json:
    """The CarePlan with the act in it; `title` is that of the regimen."""
    note = {**_author(act, base), "time": act.at, "text": sentence(act, title), "extension": [_marked(act, title)]}
    changed = {**plan, "status": status(plan, act), "note": [*plan.get("note", ()), note]}
    if div := plan.get("text", {}).get("div"):
        changed["text"] = {**plan["text"], "div": _told(div, act, title)}
    return changed


def status(plan: Json, act: Act) -> str:
    """The status after the act: an accepted proposal is active, the plan declined as a whole is revoked, and one whose accepted regimen is
    declined waits. A comment, or a decline of one of several, changes nothing."""
    if act.act == "accept":
        return "active"
    if act.act == "decline" and act.regimen is None:
        return "revoked"
    if act.act == "decline" and plan["status"] == "active" and accepted(plan) == act.regimen:
        return "on-hold"
    return str(plan["status"])


def accepted(plan: Json) -> str | None:
    """The regimen that stands accepted in the notes of the plan."""
    chosen = None
    for said in _said(plan):
        if said["act"] == "accept":
            chosen = said.get("regimen")
        elif said["act"] == "decline" and said.get("regimen") in (chosen, None):
            chosen = None
    return chosen


def stands(resource: Json, act: Act) -> bool:
    """Whether this CarePlan or Provenance has the act already."""
    return any(said.get("id") == act.id for said in _said(resource))


def sentence(act: Act, title: str | None) -> str:
    """The act in words."""
    about, words = title or act.regimen, _CONTROL.sub("", act.text or "").strip()
    if act.act == "comment":
        return f"Comment{f' on {about}' if about else ''}: {words}"
    head = f"{_SAYS[act.act]}: {about or 'the plan as a whole'}."
    return f"{head} {'Reason: ' if act.act == 'decline' else ''}{words}" if words else head


def provenance(plan: Json, act: Act, base: str, *, version: str | None = None) -> Json:
    """Who has done it: the clinician as author; ours is the hand that wrote it down. `version` is that of the CarePlan with the act."""
    target = f"{act.careplan}/_history/{version}" if version else act.careplan
    agents = [_agent("author", _agent_who(act, base))]
    if device := plan.get("author", {}).get("reference", ""):
        agents.append(_agent("assembler", {"reference": device}))
    return {
        "resourceType": "Provenance",
        "extension": [_marked(act, None)],
        "target": [{"reference": target}],
        "recorded": act.at,
        "activity": {"coding": [{"system": f"{_TERMS}/v3-DataOperation", "code": "UPDATE"}]},
        "agent": agents,
        "entity": [{"role": "revision", "what": {"reference": f"{act.careplan}/_history/{act.version}"}}],
    }


def titles(group: Json) -> dict[str, str]:
    """The regimens that a RequestGroup of ours offers, by id."""
    found: dict[str, str] = {}
    for choice in group.get("action", ()):
        for option in choice.get("action", ()):
            codes = [c["code"] for one in option.get("code", ()) for c in one.get("coding", ()) if c.get("system") == _REGIMEN]
            found |= {code: str(option.get("title", code)) for code in codes}
    return found


def called(person: Json) -> str | None:
    """The name of a Practitioner as she writes it, else put together."""
    names = sorted(person.get("name", ()), key=lambda name: name.get("use") not in ("official", "usual"))
    parts = [[one.get("text") or "", *one.get("prefix", ()), *one.get("given", ()), one.get("family") or ""] for one in names[:1]]
    return next((text or " ".join(filter(None, rest)) or None for text, *rest in parts), None)


def local(reference: str, base: str) -> str | None:
    """`Type/id` of a reference to the server at `base`; None for one that leads elsewhere (SM-53)."""
    reference = reference.removeprefix(f"{base.rstrip('/')}/")
    return reference if re.fullmatch(r"[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}", reference) else None


def _author(act: Act, base: str) -> Json:
    found = local(act.author.reference, base)
    if found and found.partition("/")[0] in _AUTHORS:
        return {"authorReference": _named(found, act)}
    return {"authorString": act.author.display or act.author.reference}


def _agent_who(act: Act, base: str) -> Json:
    found = local(act.author.reference, base)
    if found and found.partition("/")[0] in _AGENTS:
        return _named(found, act)
    return {"identifier": {"system": "urn:ietf:rfc:3986", "value": f"{base}/{found}" if found else act.author.reference}} | _shown(act)


def _named(reference: str, act: Act) -> Json:
    return {"reference": reference} | _shown(act)


def _shown(act: Act) -> Json:
    return {"display": act.author.display} if act.author.display else {}


def _agent(kind: str, who: Json) -> Json:
    return {"type": {"coding": [{"system": f"{_TERMS}/provenance-participant-type", "code": kind}]}, "who": who}


def _marked(act: Act, title: str | None) -> Json:
    parts: list[Json] = [{"url": "id", "valueString": act.id}, {"url": "act", "valueCode": act.act}]
    if act.regimen:
        coding = {"system": _REGIMEN, "code": act.regimen} | ({"display": title} if title else {})
        parts.append({"url": "regimen", "valueCoding": coding})
    return {"url": ACT, "extension": parts}


def _said(resource: Json) -> Iterator[dict[str, str]]:
    """What the marks of a CarePlan's notes, or of a Provenance, say, in their order."""
    for place in (resource, *resource.get("note", ())):
        for mark in (one for one in place.get("extension", ()) if one.get("url") == ACT):
            parts = {part["url"]: part for part in mark.get("extension", ())}
            regimen = parts.get("regimen", {}).get("valueCoding", {}).get("code")
            said = {"id": parts.get("id", {}).get("valueString", ""), "act": parts.get("act", {}).get("valueCode", "")}
            yield said | ({"regimen": regimen} if regimen else {})


def _told(div: str, act: Act, title: str | None) -> str:
    """The narrative with the act above all the rest: what a person has said is not to be overlooked below what a machine did."""
    who = act.author.display or act.author.reference
    words = paragraph(f"{strong('A clinician has decided.')} {text(f'{sentence(act, title)} ({who}, {act.at})')}")
    return _DIV.sub(lambda opening: opening[0] + words, div, count=1)
