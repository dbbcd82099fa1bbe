"""The state of the disease: initial until something new is found after the staging window. The stage itself never changes again."""

from __future__ import annotations

from services.staging.knowledge import Rules
from services.staging.primary import USABLE, Tumour, certainty
from services.staging.window import Course
from shared.fhir.codes import codes
from shared.oncology.record import Record
from shared.oncology.stage import DiseaseState, Metastasis


def disease_state(record: Record, tumour: Tumour, when: Course, metastases: tuple[Metastasis, ...], rules: Rules) -> DiseaseState:
    """New disease on treatment is progression, after it recurrence; what was never gone is persistent."""
    certain = [f for f in record.findings if f.kind == "condition" and certainty(f) == "definite"]
    if any(rules.primary.state_snomed.get(code) == "local-recurrence" for f in certain for _, code in codes(f.concept)):
        return "recurrent"
    if any(f.clinical in ("recurrence", "relapse") for f in tumour.conditions):
        return "recurrent"
    if when.window.end is None:
        return "initial"
    last = max(t.end for t in when.treatments)
    late = [m for m in metastases if not m.in_window and m.certainty == "definite"]
    known = {m.site for m in metastases if m.in_window and m.certainty == "definite"}
    fresh = [m for m in late if m.site not in known]
    dates = [f.when or f.recorded or "" for f in record.findings if any(f.source in m.sources for m in fresh)]
    if dates:
        return "recurrent" if min(dates) > last else "progressive"
    if late and _remission(record, when.window.end, rules):
        return "recurrent"
    return _told(record, when.window.end, last, rules) or ("persistent" if late else "initial")


def _remission(record: Record, end: str, rules: Rules) -> bool:
    """Whether the disease was found to be gone after the window."""
    wanted = set(rules.observations.remission)
    return any(
        finding.status in USABLE and (finding.when or "") > end and wanted & {code for _, code in codes(finding.value.concept)}
        for finding in record.findings
    )


def _told(record: Record, end: str, last: str, rules: Rules) -> DiseaseState | None:
    """What the newest disease status says that was observed after the window."""
    o, told = rules.observations, []
    for finding in record.findings:
        if finding.status in USABLE and any((m := rules.meanings.get(pair)) and m.kind == "status" for pair in codes(finding.concept)):
            seen = {code for _, code in codes(finding.value.concept)}
            state: DiseaseState | None = None
            if (finding.when or "") > end and seen & set(o.worsened):
                state = "progressive"
            elif (finding.when or "") > last and seen & set(o.stable):
                state = "persistent"
            told.append((finding.when or "", finding.source, state))
    return max(told)[2] if told else None
