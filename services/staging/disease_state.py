"""The state of the disease: initial until something new is found after the staging window. The stage itself never changes again."""

from __future__ import annotations

from services.staging.knowledge import Rules
from services.staging.primary import USABLE, Tumour, certainty
from services.staging.window import Course
from shared.fhir.codes import codes
from shared.fhir.dates import days, later
from shared.oncology.record import Record
from shared.oncology.stage import DiseaseState, Metastasis


def disease_state(record: Record, tumour: Tumour, when: Course, metastases: tuple[Metastasis, ...], rules: Rules) -> DiseaseState:
    """New disease on treatment is progression, after it recurrence; what was never gone is persistent."""
    conditions = [(f, code) for f in record.findings if f.kind == "condition" for _, code in codes(f.concept)]
    if any(rules.primary.state_snomed.get(code) == "local-recurrence" and certainty(f) == "definite" for f, code in conditions):
        return "recurrent"
    if any(f.clinical in ("recurrence", "relapse") for f in tumour.conditions):
        return "recurrent"
    if when.window.end is None:
        return "initial"
    last = max(t.end for t in when.treatments)
    removed = {f.source for f in record.findings if when.of_specimen(f)}
    spread = {f.source for f, code in conditions if rules.primary.state_snomed.get(code) == "metastasis" and certainty(f) == "definite"}
    sure = [m for m in metastases if m.certainty == "definite" or spread.intersection(m.sources)]
    late = [m for m in sure if not m.in_window and not removed.issuperset(m.sources)]
    distant = [m for m in metastases if m.in_window and m.certainty == "definite" and m.site_class not in ("regional-node", "adjacent")]
    known = {m.site for m in metastases if m.in_window and m.certainty == "definite"} | ({"unknown"} if distant else set())
    fresh = [m for m in late if m.site not in known]
    new = {source for m in fresh for source in m.sources} - removed
    dates = [f.when or f.recorded or "" for f in record.findings if f.source in new]
    if dates:
        return "recurrent" if _tumour_free(min(dates), bool(distant), record, when, rules) else "progressive"
    if late and _remission(record, when.window.end, None, rules):
        return "recurrent"
    return _told(record, when.window.end, last, rules) or ("persistent" if late else "initial")


def _tumour_free(found: str, distant: bool, record: Record, when: Course, rules: Rules) -> bool:
    """Whether a tumour-free interval lay before the day on which new disease was found.

    It is on record as a remission; an operation that removed the tumour begins one; and so long after other treatment, with no disease
    on record meanwhile, it is taken to have been. Who had distant disease from the start, and no remission, was never tumour-free.
    """
    given = [t for t in when.treatments if not later(t.start, found)]
    if not given or any(not later(found, t.end) for t in given):
        return False
    if _remission(record, when.window.end or "", found, rules):
        return True
    if distant:
        return False
    return any(t.kind == "surgery" for t in given) or days(max(t.end for t in given), found) >= rules.observations.tumour_free_days


def _remission(record: Record, end: str, before: str | None, rules: Rules) -> bool:
    """Whether the disease was found to be gone after the window, and before a day where one is given."""
    wanted = set(rules.observations.remission)
    return any(
        finding.status in USABLE
        and (finding.when or "") > end
        and (before is None or (finding.when or "") < before)
        and wanted & {code for _, code in codes(finding.value.concept)}
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
    when, _, said = max(told, default=("", "", None))
    return "recurrent" if said == "progressive" and _remission(record, end, when, rules) else said
