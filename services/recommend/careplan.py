"""Record + Staging + Recommendation → the transaction that writes a draft CarePlan. Pure: the instant and what it replaces are given.

Every identifier derives from the decision: patient, primary, knowledge, both answers, and the version of every finding they cite. The same
decision is the same transaction, whose conditional creates write it once. Only drafts, proposals and options leave here.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from services.recommend.narrative import narrative
from services.recommend.options import Drug, action, options
from shared.fhir.codes import SNOMED
from shared.fhir.stage_observation import AIAST, FIGARO, stage_observation
from shared.oncology.recommendation import Candidate, Recommendation
from shared.oncology.record import Record, encode
from shared.oncology.stage import Staging

Json = dict[str, Any]
DECISION = f"{FIGARO}/sid/decision"
CAREPLAN = f"{FIGARO}/sid/careplan"
_ISSUES = f"{FIGARO}/CodeSystem/issue"
_CONFLICTS = ("stage-conflict", "extent-conflict")


class Answer(NamedTuple):
    """What is to be written: the three values of one case."""

    record: Record
    staging: Staging
    recommendation: Recommendation


class Replaced(NamedTuple):
    """An earlier plan of ours or its RequestGroup; with `resource` and `version` only where nobody touched it and it may be revoked."""

    reference: str
    resource: Json | None = None
    version: str | None = None


def decision(answer: Answer) -> str:
    """The hash of everything this decision rests on (32 hexadecimal digits)."""
    cited = set(sources(answer))
    versions = sorted(f"{f.source}|{f.version}" for f in answer.record.findings if f.source in cited)
    parts = [answer.record.patient.encode(), encode(answer.staging), encode(answer.recommendation), "\n".join(versions).encode()]
    return sha256(b"\0".join(parts)).hexdigest()[:32]


def sources(answer: Answer) -> list[str]:
    """Every finding that either answer cites, each once, in order."""
    staging, recommendation = answer.staging, answer.recommendation
    found = [s for e in staging.editions.values() for b in e.because for s in b.sources]
    found += [s for m in staging.metastases for s in m.sources] + [r.source for r in staging.recorded]
    for candidate in recommendation.candidates:
        found += [s for reason in candidate.reasons for s in reason.sources]
        found += [s for caution in (*candidate.blocks, *candidate.cautions) for s in caution.sources]
    if staging.primary.condition:
        found.append(staging.primary.condition)
    known = {f.source for f in answer.record.findings}
    return sorted({source for source in found if source in known})


def transaction(answer: Answer, drugs: dict[str, Drug], *, at: str, software: str, replaces: tuple[Replaced, ...] = ()) -> Json:
    """The transaction Bundle; without entries where FIGO does not apply. `at` is an instant, `software` our version."""
    if not answer.staging.primary.applies:
        return {"resourceType": "Bundle", "type": "transaction", "entry": []}
    return _Writer(answer, drugs, at, software).bundle(replaces)


class _Writer:
    """One transaction being written."""

    def __init__(self, answer: Answer, drugs: dict[str, Drug], at: str, software: str) -> None:
        self.record, self.staging, self.recommendation = answer
        self.decision = decision(answer)
        self.sources = sources(answer)
        self.drugs = drugs
        self.at = at
        self.software = software
        self.entries: list[Json] = []

    def bundle(self, replaces: tuple[Replaced, ...]) -> Json:
        device = self._device()
        stages = [self._stage(edition) for edition in self.staging.editions]
        requests = {c.regimen: self._requests(c) for c in self.recommendation.candidates}
        issues = self._conflicts(stages[0], device)
        issues += [self._block(c, requests[c.regimen], device) for c in self.recommendation.candidates if c.blocks]
        group = self._group(requests, stages[0], device) if requests else self._review(device)
        plan = self._plan(stages[0], issues, group if requests else None, device, replaces)
        self._provenance([plan, group, *stages, *issues, *(r for found in requests.values() for _, r in found)], device)
        for earlier in replaces:
            self._revoke(earlier)
        return {"resourceType": "Bundle", "type": "transaction", "entry": self.entries}

    def _add(self, kind: str, key: str, resource: Json, *, value: str | None = None) -> str:
        """Adds a conditional create under an identifier of ours; returns its reference within the transaction."""
        system = f"{FIGARO}/sid/{kind}"
        value = value or sha256(f"{self.decision}|{kind}|{key}".encode()).hexdigest()[:32]
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

    def _stage(self, edition: str) -> str:
        return self._add("stage", edition, stage_observation(self.record, self.staging, edition, issued=self.at))

    def _requests(self, candidate: Candidate) -> list[tuple[str, str]]:
        found = []
        group = {"system": f"{FIGARO}/sid/regimen", "value": f"{self.decision}-{candidate.regimen}"}
        for option in options(candidate, self.staging, self.drugs, self.recommendation.knowledge.edition):
            slot = "groupIdentifier" if option.resource["resourceType"] == "MedicationRequest" else "requisition"
            resource = {**option.resource, slot: group, "authoredOn": self.at}
            found.append((option.title, self._add("request", f"{candidate.regimen}|{option.key}", resource)))
        return found

    def _group(self, requests: dict[str, list[tuple[str, str]]], stage: str, device: str) -> str:
        title = f"Treatment options, FIGO 2018 {self.staging.editions['figo-2018'].label or 'not settled'}: choose one"
        resource: Json = {
            "resourceType": "RequestGroup",
            "status": "draft",
            "intent": "proposal",
            "subject": {"reference": self.staging.patient},
            "authoredOn": self.at,
            "author": {"reference": device},
            "reasonReference": [*self._conditions()[:1], {"reference": stage}],
            "action": [
                {
                    "title": title,
                    "groupingBehavior": "logical-group",
                    "selectionBehavior": "exactly-one",
                    "action": [action(c, requests[c.regimen]) for c in self.recommendation.candidates],
                }
            ],
        }
        return self._add("group", "", resource)

    def _review(self, device: str) -> str:
        """A Task instead of options, where there is nothing to choose from."""
        asks = "; ".join(m.ask for m in self.staging.editions["figo-2018"].missing) or "nothing in the record decides"
        resource = {
            "resourceType": "Task",
            "status": "draft",
            "intent": "proposal",
            "code": {"text": "Review the record for the tumour board"},
            "description": f"No treatment option can be listed. Missing: {asks}.",
            "for": {"reference": self.staging.patient},
            "authoredOn": self.at,
            "requester": {"reference": device},
        }
        return self._add("task", "", resource)

    def _conditions(self) -> list[Json]:
        secondary = [s for m in self.staging.metastases for s in m.sources if s.startswith("Condition/")]
        primary = [self.staging.primary.condition] if self.staging.primary.condition else []
        return [{"reference": reference} for reference in dict.fromkeys([*primary, *sorted(secondary)])]

    def _conflicts(self, stage: str, device: str) -> list[str]:
        found = []
        for number, issue in enumerate(i for i in self.staging.issues if i.code in _CONFLICTS):
            implicated = [*({"reference": s} for s in issue.sources), {"reference": stage}]
            resource = self._issue(issue.code, issue.text, "moderate", implicated, list(issue.sources), device)
            found.append(self._add("issue", f"conflict|{number}", resource))
        return found

    def _block(self, candidate: Candidate, requests: list[tuple[str, str]], device: str) -> str:
        text = f"{candidate.title}: " + "; ".join(b.says for b in candidate.blocks)
        evidence = sorted({s for b in candidate.blocks for s in b.sources})
        resource = self._issue("contraindication", text, "high", [{"reference": r} for _, r in requests], evidence, device)
        return self._add("issue", f"block|{candidate.regimen}", resource)

    def _issue(self, code: str, text: str, severity: str, implicated: list[Json], evidence: list[str], device: str) -> Json:
        resource: Json = {
            "resourceType": "DetectedIssue",
            "status": "preliminary",
            "code": {"coding": [{"system": _ISSUES, "code": code}], "text": code.replace("-", " ")},
            "severity": severity,
            "patient": {"reference": self.staging.patient},
            "identifiedDateTime": self.at,
            "author": {"reference": device},
            "implicated": implicated,
            "detail": text,
        }
        if evidence:
            resource["evidence"] = [{"detail": [{"reference": s} for s in evidence]}]
        return resource

    def _plan(self, stage: str, issues: list[str], group: str | None, device: str, replaces: tuple[Replaced, ...]) -> str:
        information = [stage, *(s for s in self.sources if s.startswith("Observation/")), *issues]
        knowledge = f"staging {self.staging.knowledge.edition} ({self.staging.knowledge.digest}), "
        knowledge += f"regimens {self.recommendation.knowledge.edition} ({self.recommendation.knowledge.digest})"
        resource: Json = {
            "resourceType": "CarePlan",
            "meta": {"profile": ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-careplan"]},
            "text": {"status": "additional", "div": narrative(self.staging, self.recommendation)},
            "status": "draft",
            "intent": "proposal",
            "category": [
                {"coding": [{"system": "http://hl7.org/fhir/us/core/CodeSystem/careplan-category", "code": "assess-plan"}]},
                {"coding": [{"system": SNOMED, "code": "734163000"}]},
            ],
            "title": "Cervical cancer: treatment options for the tumour board",
            "description": "Machine-generated candidates for review. Proposes, never orders.",
            "subject": {"reference": self.staging.patient},
            "created": self.at,
            "author": {"reference": device},
            "contributor": [{"reference": device}],
            "addresses": self._conditions(),
            "supportingInfo": [{"reference": reference} for reference in information],
            "note": [{"authorReference": {"reference": device}, "time": self.at, "text": f"Decision {self.decision}; {knowledge}."}],
        }
        if group:
            title = {"url": "http://hl7.org/fhir/StructureDefinition/careplan-activity-title", "valueString": "Treatment options"}
            resource["activity"] = [{"extension": [title], "reference": {"reference": group}}]
        if plans := [earlier for earlier in replaces if earlier.reference.startswith("CarePlan/")]:
            resource["replaces"] = [{"reference": earlier.reference} for earlier in plans]
        return self._add("careplan", "", resource, value=self.decision)

    def _provenance(self, targets: list[str], device: str) -> None:
        versions = {f.source: f.version for f in self.record.findings}
        entities = [f"{s}/_history/{versions[s]}" if versions.get(s) else s for s in self.sources]
        name = f"figaro-{self.decision}"
        resource = {
            "resourceType": "Provenance",
            "id": name,
            "target": [{"reference": reference} for reference in targets],
            "recorded": self.at,
            "policy": [f"{FIGARO}/knowledge/{self.recommendation.knowledge.edition}"],
            "activity": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-DataOperation", "code": "CREATE"}]},
            "agent": [
                {
                    "type": {
                        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "code": "assembler"}]
                    },
                    "who": {"reference": device},
                }
            ],
            "entity": [{"role": "source", "what": {"reference": reference}} for reference in entities],
        }
        if not entities:
            del resource["entity"]
        url = f"urn:uuid:{uuid5(NAMESPACE_URL, f'{FIGARO}/Provenance/{name}')}"
        self.entries.append({"fullUrl": url, "resource": resource, "request": {"method": "PUT", "url": f"Provenance/{name}"}})

    def _revoke(self, earlier: Replaced) -> None:
        """An untouched draft of ours is revoked in the same transaction, and only at the version that was looked at."""
        if earlier.resource is None or earlier.version is None:
            return
        kind, _, name = earlier.reference.partition("/")
        resource = {**earlier.resource, "status": "revoked"}
        request = {"method": "PUT", "url": f"{kind}/{name}", "ifMatch": f'W/"{earlier.version}"'}
        url = f"urn:uuid:{uuid5(NAMESPACE_URL, f'{FIGARO}/revoked/{earlier.reference}/{self.decision}')}"
        self.entries.append({"fullUrl": url, "resource": resource, "request": request})
