"""What a person is to look at, as a FHIR DetectedIssue: preliminary, with both chains of evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from shared.fhir.assertion import AIAST, FIGARO, Json, reference
from shared.oncology.record import Issue
from shared.oncology.stage import Staging

# The issues that are of the disease itself, and how much they matter; the others are of the data, and stay in the answer.
SEVERITY = {"stage-conflict": "moderate", "extent-conflict": "moderate", "second-primary": "moderate", "outside-scope": "moderate"}
SEVERITY |= {"contested": "low"}


def issues(staging: Staging) -> list[Issue]:
    """What staging raises of the disease; outside the scope always with the reason."""
    found = [issue for issue in staging.issues if issue.code in SEVERITY]
    if not staging.primary.applies and all(issue.code != "outside-scope" for issue in found):
        why = staging.primary.why_not or "FIGO does not apply"
        sources = (staging.primary.condition,) if staging.primary.condition else ()
        found.append(Issue(severity="warning", code="outside-scope", text=f"No stage is derived: {why}.", sources=sources))
    return found


def conflict(issue: Issue, staging: Staging, stages: Mapping[str, str]) -> Json:
    """One issue of staging; `stages` are the references of the derived stages by edition.

    Of a stage conflict the recorded and the derived stage are implicated, and what decided is the evidence; of any other the findings
    themselves are both. The stage that a contested or contradicted finding bears on is implicated too.
    """
    implicated, evidence = list(issue.sources), list(issue.sources)
    if issue.code == "stage-conflict":
        told = [r for r in staging.recorded if r.agrees is False and r.source in issue.sources]
        wrong = {e for r in told for e, s in staging.editions.items() if r.edition in (None, e) and s.stage != r.stage and e in stages}
        deciding = {s for e in wrong for b in staging.editions[e].because for s in b.sources}
        implicated = [*sorted({r.source for r in told}), *(stages[e] for e in staging.editions if e in wrong)]
        evidence = sorted(deciding) or evidence
    elif issue.code == "second-primary":
        implicated += [staging.primary.condition] if staging.primary.condition else []
    elif "figo-2018" in stages:
        cited = {s for b in staging.editions["figo-2018"].because for s in b.sources}
        implicated += [stages["figo-2018"]] if issue.code == "contested" or cited.intersection(issue.sources) else []
    return detected_issue(issue.code, issue.text, SEVERITY[issue.code], staging.patient, implicated, evidence)


def detected_issue(code: str, text: str, severity: str, patient: str, implicated: Iterable[str], evidence: Iterable[str]) -> Json:
    """A DetectedIssue under a code of ours, without identifier, instant and author."""
    resource: Json = {
        "resourceType": "DetectedIssue",
        "meta": {"security": [AIAST]},
        "status": "preliminary",
        "code": {"coding": [{"system": f"{FIGARO}/CodeSystem/issue", "code": code}], "text": code.replace("-", " ")},
        "severity": severity,
        "patient": reference(patient),
    }
    if named := [reference(source) for source in dict.fromkeys(implicated)]:
        resource["implicated"] = named
    if shown := [reference(source) for source in dict.fromkeys(evidence)]:
        resource["evidence"] = [{"detail": shown}]
    return resource | {"detail": text}
