"""FHIR R4 in small pieces, and the chart that gathers one synthetic patient's resources into a Bundle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from random import Random
from typing import Any

from examples.codes import EXTENT, LOINC, MCODE, METHOD_WORDS, SCT, SYNTHETIC, SYNTHETIC_ID, THO, UCUM

Json = dict[str, Any]

BASE = "https://figaro.example/fhir/"
TEST_DATA: list[Json] = [
    {"system": THO + "v3-ActReason", "code": "HTEST", "display": "test health data"},
    {"system": SYNTHETIC, "code": "synthetic", "display": "Synthetic patient: no such person"},
]


def coding(system: str, code: str, display: str | None = None) -> Json:
    return {"system": system, "code": code} | ({"display": display} if display else {})


def concept(*codings: Json, text: str | None = None) -> Json:
    return ({"coding": list(codings)} if codings else {}) | ({"text": text} if text else {})


def snomed(code: str, display: str | None = None) -> Json:
    return concept(coding(SCT, code, display))


def loinc(code: str, display: str | None = None) -> Json:
    return concept(coding(LOINC, code, display))


def quantity(value: float, unit: str) -> Json:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def extension(url: str, **value: Any) -> Json:
    return {"url": url, **value}


def method(code: str) -> Json:
    return concept(coding(SCT, code), text=METHOD_WORDS[code])


def born(age: int, on: date, days_since_birthday: int) -> date:
    """The birth date of someone who is `age` years old `on` a day, so many days (below 360) after a birthday."""
    birthday = on - timedelta(days=days_since_birthday)
    return birthday.replace(year=birthday.year - age, day=min(birthday.day, 28))


class Chart:
    """One synthetic patient's record. Day 0 is the day of the first biopsy; `assessed` is the day her fitness was last looked at."""

    def __init__(
        self, key: str, *, family: str, birth: date, day: date, rng: Random, gender: str = "female", marks: Iterable[Json] = ()
    ) -> None:
        self.key = key
        self.rng = rng
        self.day = day
        self.assessed = 12
        self.resources: list[Json] = []
        self.subject = {"reference": f"Patient/{key}"}
        patient = {
            "identifier": [{"system": SYNTHETIC_ID, "value": key}],
            "name": [{"use": "official", "family": family, "given": ["Synthetic"]}],
            "gender": gender,
            "birthDate": birth.isoformat(),
        }
        self.put("Patient", "", patient)
        self.resources[0]["meta"]["tag"] += marks

    def on(self, offset: int = 0) -> str:
        """The date so many days after day 0."""
        return (self.day + timedelta(days=offset)).isoformat()

    def put(self, kind: str, name: str, content: Json, profile: str | None = None) -> str:
        """Files a resource under a name that is hers alone; its reference. Ids carry letters, so that servers accept them."""
        key = f"{self.key}-{name}" if name else self.key
        meta: Json = {"profile": [MCODE + profile]} if profile else {}
        self.resources.append({"resourceType": kind, "id": key, "meta": meta | {"tag": list(TEST_DATA)}} | content)
        return f"{kind}/{key}"

    def condition(
        self,
        name: str,
        code: Json,
        when: str,
        *,
        sites: Sequence[Json] = (),
        extensions: Sequence[Json] = (),
        verification: str = "confirmed",
        clinical: str = "active",
        profile: str | None = None,
    ) -> str:
        """Files a Condition with its onset; its reference."""
        content: Json = {"extension": list(extensions)} if extensions else {}
        content |= {
            "clinicalStatus": concept(coding(THO + "condition-clinical", clinical)),
            "verificationStatus": concept(coding(THO + "condition-ver-status", verification)),
            "category": [concept(coding(THO + "condition-category", "problem-list-item"))],
            "code": code,
        }
        if sites:
            content["bodySite"] = list(sites)
        return self.put("Condition", name, content | {"subject": self.subject, "onsetDateTime": when, "recordedDate": when}, profile)

    def observation(
        self,
        name: str,
        code: Json,
        when: str,
        *,
        category: str = "exam",
        by: Json | None = None,
        site: Json | None = None,
        focus: str | None = None,
        components: Sequence[Json] = (),
        profile: str | None = None,
        **value: Any,
    ) -> str:
        """Files a final Observation (`valueBoolean=True` and so on); its reference."""
        content: Json = {
            "status": "final",
            "category": [concept(coding(THO + "observation-category", category))],
            "code": code,
            "subject": self.subject,
            "effectiveDateTime": when,
        } | value
        optional: Json = {"focus": focus and [{"reference": focus}], "bodySite": site, "method": by, "component": list(components)}
        return self.put("Observation", name, content | {key: part for key, part in optional.items() if part}, profile)

    def extent(self, what: str, when: str, *, by: str | None = None, site: str | None = None, name: str | None = None, **more: Any) -> str:
        """Files an extent-of-disease Observation; true unless another value is given."""
        if not any(key.startswith("value") for key in more):
            more["valueBoolean"] = True
        looked = method(by) if by else None
        where = snomed(site) if site else None
        return self.observation(name or what, concept(coding(EXTENT, what)), when, by=looked, site=where, **more)

    def transaction(self) -> Json:
        """A transaction that puts every resource under its own id: loading it twice changes nothing."""
        return {"resourceType": "Bundle", "type": "transaction", "entry": [_put(resource) for resource in self.resources]}


def _put(resource: Json) -> Json:
    reference = f"{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": BASE + reference, "resource": resource, "request": {"method": "PUT", "url": reference}}


def collection(transaction: Json) -> Json:
    """The same entries as a collection: a Bundle to be read, not to be done."""
    entries = [{key: part for key, part in entry.items() if key != "request"} for entry in transaction["entry"]]
    return transaction | {"type": "collection", "entry": entries}


def key_of(bundle: Json) -> str:
    """The logical id of the patient whose Bundle this is."""
    return str(bundle["entry"][0]["resource"]["id"])
