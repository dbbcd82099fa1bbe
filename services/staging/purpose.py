"""What a treatment was given for, where the record says it: the other cancer's is not hers for this one."""

from __future__ import annotations

from services.staging.diagnosis import named, vague
from services.staging.knowledge import Rules
from services.staging.primary import Tumour
from shared.oncology.record import Finding, Record

KINDS = ("procedure", "medication-request", "medication-administration", "medication-statement")


def of_another(record: Record, tumour: Tumour, rules: Rules) -> frozenset[str]:
    """The sources of treatments whose recorded reasons are another cancer, and nothing of this one. Without one it is of this."""
    given = [f for f in record.findings if f.kind in KINDS and (f.focus or f.reasons)]
    if not given:
        return frozenset()
    strange = {f.source for f in tumour.others}
    conditions = {f.source: f for f in record.findings if f.kind == "condition" and f.source not in strange}
    return frozenset(f.source for f in given if _of_another(f, strange, conditions, rules))


def _of_another(treatment: Finding, strange: set[str], conditions: dict[str, Finding], rules: Rules) -> bool:
    reasons = [Finding(source="", kind="condition", concept=reason) for reason in treatment.reasons]
    reasons += [conditions[source] for source in treatment.focus if source in conditions]
    told = {found.kind for each in reasons if (found := named(each, rules)) is not None and not vague(each, rules)}
    return not told - {"other"} and bool(told or strange.intersection(treatment.focus))
