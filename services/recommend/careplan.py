"""Record + Staging + Recommendation → the transaction that writes a draft CarePlan. Pure: the instant and what it replaces are given.

Every identifier derives from the decision: the same decision is the same transaction, whose conditional creates write it once.
Only drafts, proposals and options leave here. Shape: CarePlan → RequestGroup → one action per regimen → option-intent requests.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from services.recommend import activities, attention
from services.recommend.decision import DECISION, Answer, decision, proposes, sources
from services.recommend.narrative import narrative, nothing_eligible
from services.recommend.options import Drug, Option, action, options, regimen_canonical
from services.recommend.withdrawn import WITHDRAWN, Replaced, withdrawn
from shared.fhir.assertion import AIAST, FIGARO, reference
from shared.fhir.codes import SNOMED
from shared.fhir.derived import Derived, derive
from shared.fhir.r4 import references
from shared.oncology.recommendation import Candidate, Trial

Json = dict[str, Any]
__all__ = ["WITHDRAWN", "Replaced", "transaction"]


def transaction(
    answer: Answer, drugs: dict[str, Drug], *, at: str, software: str, replaces: tuple[Replaced, ...] = (), again: int = 0
) -> Json:
    """The transaction Bundle; without entries where there is nothing to propose and nothing to withdraw.

    `at` is an instant, `software` our version, `again` counts how often this decision was written before and then replaced.
    """
    writer = _Writer(answer, drugs, at, software, again)
    if proposes(answer):
        writer.propose(replaces)
    for earlier in replaces:
        writer.withdraw(earlier)
    entries = {"entry": writer.entries} if writer.entries else {}  # JSON in FHIR has no empty array
    return {"resourceType": "Bundle", "type": "transaction", **entries}


class _Writer:
    """One transaction being written."""

    def __init__(self, answer: Answer, drugs: dict[str, Drug], at: str, software: str, again: int) -> None:
        self.record, self.staging, self.recommendation = answer
        self.decision = decision(answer)
        self.written_as = f"{self.decision}-{again}" if again else self.decision
        self.sources = sources(answer)
        self.drugs = drugs
        self.at = at
        self.software = software
        self.entries: list[Json] = []

    def propose(self, replaces: tuple[Replaced, ...]) -> None:
        device = self._device()
        candidates = self.recommendation.candidates
        derived = derive(self.record, self.staging, self._add, at=self.at, author=device)
        requests = {c.regimen: self._requests(c) for c in candidates}
        trials = [self._trial(trial) for trial in self.recommendation.trials if trial.verdict != "ruled-out"]
        blocks = self._blocks(requests, device)
        tasks = []
        if why := nothing_eligible(self.recommendation):
            task = attention.review(self.staging, self.recommendation, why)
            tasks.append(self._add("task", "", {**task, "authoredOn": self.at, "requester": {"reference": device}}))
        group = self._group(requests, derived.stages["figo-2018"], device) if requests else None
        plan = self._plan(derived, blocks, self._activities(group, trials), device, replaces)
        written = [plan, *([group] if group else []), *derived.all, *blocks, *tasks, *(url for url, _ in trials)]
        self._provenance([*written, *(url for found in requests.values() for _, url in found)], device)

    def withdraw(self, earlier: Replaced) -> None:
        """An untouched draft of ours is withdrawn in the same transaction, and only at the version that was looked at."""
        if earlier.resource is None or earlier.version is None:
            return
        resource = withdrawn(earlier.resource, self.decision)
        request = {"method": "PUT", "url": earlier.reference, "ifMatch": f'W/"{earlier.version}"'}
        url = f"urn:uuid:{uuid5(NAMESPACE_URL, f'{FIGARO}/withdrawn/{earlier.reference}/{self.decision}')}"
        self.entries.append({"fullUrl": url, "resource": resource, "request": request})

    def _add(self, kind: str, key: str, resource: Json, *, value: str | None = None) -> str:
        """Adds a conditional create under an identifier of ours; returns its reference within the transaction."""
        system = f"{FIGARO}/sid/{kind}"
        value = value or sha256(f"{self.written_as}|{kind}|{key}".encode()).hexdigest()[:32]
        url = f"urn:uuid:{uuid5(NAMESPACE_URL, f'{system}|{value}')}"
        if resource["resourceType"] != "Device":
            meta = resource.setdefault("meta", {})
            meta.setdefault("security", [AIAST])
            meta["tag"] = [{"system": DECISION, "code": self.decision}]
        resource["identifier"] = [{"system": system, "value": value}]
        request = {"method": "POST", "url": resource["resourceType"], "ifNoneExist": f"identifier={system}|{value}"}
        self.entries.append({"fullUrl": url, "resource": resource, "request": request})
        return url

    def _device(self) -> str:
        resource = {
            "resourceType": "Device",
            "status": "active",
            "deviceName": [{"name": "Figaro", "type": "user-friendly-name"}],
            "type": {"coding": [{"system": SNOMED, "code": "706689003"}], "text": "Clinical decision support software"},
            "version": [{"value": self.software}],
        }
        return self._add("device", "", resource, value=f"figaro-{self.software}")

    def _requests(self, candidate: Candidate) -> list[tuple[Option, str]]:
        found = []
        group = {"system": f"{FIGARO}/sid/regimen", "value": f"{self.written_as}-{candidate.regimen}"}
        for option in options(candidate, self.staging, self.drugs, self.recommendation.knowledge.edition):
            slot = "groupIdentifier" if option.resource["resourceType"] == "MedicationRequest" else "requisition"
            resource = {**option.resource, slot: group, "authoredOn": self.at}
            found.append((option, self._add("request", f"{candidate.regimen}|{option.key}", resource)))
        return found

    def _trial(self, trial: Trial) -> tuple[str, str]:
        resource = {**activities.trial(trial, self.staging), "authoredOn": self.at}
        return self._add("request", f"trial|{trial.id}", resource), trial.title

    def _activities(self, group: str | None, trials: list[tuple[str, str]]) -> list[Json]:
        """The options, the trials to ask about, and where she is on each pathway."""
        found = [_titled("Treatment options", {"reference": {"reference": group}})] if group else []
        found += [_titled(f"Trial to ask about: {title}", {"reference": {"reference": url}}) for url, title in trials]
        edition = self.recommendation.knowledge.edition
        hold = activities.held(self.recommendation)
        for pathway in self.recommendation.pathways:
            found += [{"detail": detail} for detail in activities.pathway(pathway, self.record.today, edition, hold=hold)]
        return found

    def _blocks(self, requests: dict[str, list[tuple[Option, str]]], device: str) -> list[str]:
        known = {"identifiedDateTime": self.at, "author": {"reference": device}}
        written = []
        for found in attention.blocked(self.recommendation.candidates):
            implicated = [url for candidate in found.candidates for _, url in requests[candidate.regimen]]
            issue = attention.contraindication(self.staging.patient, found, implicated, self.recommendation.works)
            written.append(self._add("issue", f"block|{found.key}", {**issue, **known}))
        return written

    def _group(self, requests: dict[str, list[tuple[Option, str]]], stage: str, device: str) -> str:
        none = nothing_eligible(self.recommendation)
        label = self.staging.editions["figo-2018"].label or "not settled"
        edition, works = self.recommendation.knowledge.edition, self.recommendation.works
        resource: Json = {
            "resourceType": "RequestGroup",
            "instantiatesCanonical": [self._definition(), *(regimen_canonical(c, edition) for c in self.recommendation.candidates)],
            "status": "draft",
            "intent": "proposal",
            "subject": {"reference": self.staging.patient},
            "authoredOn": self.at,
            "author": {"reference": device},
            "reasonReference": [*self._conditions()[:1], {"reference": stage}],
            "action": [
                {
                    "title": f"Treatment options, FIGO 2018 {label}: {none or 'choose one'}",
                    "groupingBehavior": "logical-group",
                    "selectionBehavior": "at-most-one" if none else "exactly-one",
                    "action": [action(c, requests[c.regimen], works, edition) for c in self.recommendation.candidates],
                }
            ],
        }
        return self._add("group", "", resource)

    def _definition(self) -> str:
        setting = self.recommendation.situation.setting or "unsettled"
        return f"{FIGARO}/PlanDefinition/cervix-{setting}|{self.recommendation.knowledge.edition}"

    def _conditions(self) -> list[Json]:
        secondary = [s for m in self.staging.metastases for s in m.sources if s.startswith("Condition/")]
        primary = [self.staging.primary.condition] if self.staging.primary.condition else []
        return [reference(source) for source in dict.fromkeys([*primary, *sorted(secondary)])]

    def _plan(self, derived: Derived, blocks: list[str], activity: list[Json], device: str, replaces: tuple[Replaced, ...]) -> str:
        measured = [s for s in self.sources if s.startswith("Observation/")]
        information = [derived.stages["figo-2018"], *derived.sites, *measured, *derived.issues, *blocks]
        knowledge = f"staging {self.staging.knowledge.edition} ({self.staging.knowledge.digest}), "
        knowledge += f"regimens {self.recommendation.knowledge.edition} ({self.recommendation.knowledge.digest})"
        resource: Json = {
            "resourceType": "CarePlan",
            "meta": {"profile": ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-careplan"]},
            "text": {"status": "additional", "div": narrative(self.staging, self.recommendation, self.record.today)},
            "instantiatesCanonical": [self._definition()],
            "status": "draft",
            "intent": "proposal",
            "category": [
                {"coding": [{"system": "http://hl7.org/fhir/us/core/CodeSystem/careplan-category", "code": "assess-plan"}]},
                {"coding": [{"system": SNOMED, "code": "734163000"}]},
            ],
            "title": "Cervical cancer: treatment options for the tumour board",
            "description": nothing_eligible(self.recommendation) or "Machine-generated candidates for review. Proposes, never orders.",
            "subject": {"reference": self.staging.patient},
            "created": self.at,
            "author": {"reference": device},
            "contributor": [{"reference": device}],
            "addresses": self._conditions(),
            "supportingInfo": [{"reference": reference} for reference in information],
            "note": [{"time": self.at, "text": f"Decision {self.decision}; {knowledge}."}],
        }
        if activity:
            resource["activity"] = activity
        if plans := [earlier for earlier in replaces if earlier.reference.startswith("CarePlan/")]:
            resource["replaces"] = [{"reference": earlier.reference} for earlier in plans]
        url = self._add("careplan", "", resource, value=self.written_as)
        resource["identifier"].append({"system": DECISION, "value": self.decision})
        return url

    def _provenance(self, targets: list[str], device: str) -> None:
        versions = {f.source: f.version for f in self.record.findings}
        # What is derived and what is to be looked at may rest on more than the answers cite; the rest refers to these sources only.
        more = [e["resource"] for e in self.entries if e["resource"]["resourceType"] in ("Observation", "DetectedIssue")]
        read = {*self.sources, *(r for resource in more for r in references(resource) if r in versions)}
        entities = [f"{s}/_history/{versions[s]}" if versions.get(s) else s for s in sorted(read)]
        name = f"figaro-{self.written_as}"
        participant = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
        resource: Json = {
            "resourceType": "Provenance",
            "id": name,
            "target": [{"reference": reference} for reference in targets],
            "recorded": self.at,
            "policy": [f"{FIGARO}/knowledge/{self.recommendation.knowledge.edition}"],
            "activity": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-DataOperation", "code": "CREATE"}]},
            "agent": [{"type": {"coding": [{"system": participant, "code": "assembler"}]}, "who": {"reference": device}}],
        }
        if entities:
            resource["entity"] = [{"role": "source", "what": reference(source)} for source in entities]
        url = f"urn:uuid:{uuid5(NAMESPACE_URL, f'{FIGARO}/Provenance/{name}')}"
        self.entries.append({"fullUrl": url, "resource": resource, "request": {"method": "PUT", "url": f"Provenance/{name}"}})


def _titled(title: str, activity: Json) -> Json:
    return {"extension": [{"url": "http://hl7.org/fhir/StructureDefinition/careplan-activity-title", "valueString": title}], **activity}
