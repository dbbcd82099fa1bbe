"""Blood pressure on several days → whether hypertension is uncontrolled; one reading is no diagnosis."""

from __future__ import annotations

from services.recommend.codes import CodeBook
from services.recommend.eligibility import Measured, Told
from services.recommend.policy import Policy
from services.recommend.readings import Refusal, numbers
from shared.oncology.record import Finding

LIMITS = {"systolic": "high-systolic-pressure", "diastolic": "high-diastolic-pressure"}
DAYS = 2


def uncontrolled(book: CodeBook, policy: Policy, findings: list[Finding]) -> Told | None:
    """Uncontrolled, where the pressure lay at or above the policy's limit on each of the last two days on which it was taken."""
    days: dict[str, list[tuple[bool, Measured]]] = {}
    for measure in book.measures:
        for reading in numbers(book, measure, findings) if measure.fact in LIMITS else ():
            if not isinstance(reading, Refusal) and reading.when:
                high = reading.low >= policy.number(LIMITS[measure.fact])
                days.setdefault(reading.when[:10], []).append((high, reading))
    last = sorted(days, reverse=True)[:DAYS]
    if len(last) < DAYS or not all(any(high for high, _ in days[when]) for when in last):
        return None
    sources = tuple(dict.fromkeys(s for when in last for high, r in days[when] if high for s in r.sources))
    return Told(values=("uncontrolled",), sources=sources, when=last[0], how=f"at or above the policy's limit on {' and '.join(last)}")
