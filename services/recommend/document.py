"""The answer as a DocumentReference, where a server takes no CarePlan: the narrative to read, and beside it the Bundle to compute with.

It is a preliminary document, never a signed one. Source: FHIR R4 4.0.1 DocumentReference; US Core clinical notes.
"""

from __future__ import annotations

from base64 import b64encode
from html.parser import HTMLParser
from typing import Any, Final

import msgspec

from services.recommend.careplan import transaction
from services.recommend.decision import CAREPLAN, DECISION, Answer, decision
from services.recommend.narrative import narrative
from services.recommend.options import Drug
from shared.fhir.assertion import AIAST

Json = dict[str, Any]
_BLOCKS: Final = {"p", "div", "ul", "ol", "li", "table", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "br", "caption", "thead", "tbody"}
_CELLS: Final = {"td", "th"}


def document(answer: Answer, drugs: dict[str, Drug], *, at: str, software: str, replaces: tuple[str, ...] = (), again: int = 0) -> Json:
    """The resource. `at` is an instant, `replaces` are references, `again` counts how often the decision was written before."""
    hashed = decision(answer)
    bundle = transaction(answer, drugs, at=at, software=software, again=again)
    collected = {**bundle, "type": "collection", "timestamp": at, "entry": [_collected(entry) for entry in bundle.get("entry", ())]}
    found: Json = {
        "resourceType": "DocumentReference",
        "meta": {"security": [AIAST], "tag": [{"system": DECISION, "code": hashed}]},
        "identifier": [{"system": CAREPLAN, "value": f"{hashed}-{again}" if again else hashed}, {"system": DECISION, "value": hashed}],
        "status": "current",
        "docStatus": "preliminary",
        "type": {"coding": [{"system": "http://loinc.org", "code": "18776-5", "display": "Plan of care note"}]},
        "category": [{"coding": [{"system": _CATEGORY, "code": "clinical-note", "display": "Clinical Note"}]}],
        "subject": {"reference": answer.staging.patient},
        "date": at,
        "author": [{"display": f"Figaro {software}, clinical decision support software"}],
        "description": "Cervical cancer: treatment options for the tumour board. Proposes, never orders.",
        "content": [
            _content("text/plain; charset=utf-8", words(narrative(answer.staging, answer.recommendation)).encode(), "To read"),
            _content("application/fhir+json", msgspec.json.encode(collected), "The same as a FHIR Bundle"),
        ],
    }
    if replaces:
        found["relatesTo"] = [{"code": "replaces", "target": {"reference": reference}} for reference in replaces]
    return found


_CATEGORY: Final = "http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category"


def _collected(entry: Json) -> Json:
    return {name: value for name, value in entry.items() if name != "request"}


def _content(kind: str, data: bytes, title: str) -> Json:
    return {"attachment": {"contentType": kind, "data": b64encode(data).decode(), "title": title}}


def words(xhtml: str) -> str:
    """A narrative as plain text: a line for each paragraph, list item and row of a table."""
    reader = _Words()
    reader.feed(xhtml)
    reader.close()
    lines = (" ".join(line.split()) for line in "".join(reader.found).splitlines())
    return "\n".join(line.rstrip(" |") for line in lines if line) + "\n"


class _Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self.found.append("\n- " if tag == "li" else "\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.found.append("\n")
        elif tag in _CELLS:
            self.found.append(" | ")

    def handle_data(self, data: str) -> None:
        self.found.append(data.replace("\n", " "))
