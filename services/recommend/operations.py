"""Major operations: days since the latest one, and one that is planned near enough to matter."""

from __future__ import annotations

from collections.abc import Mapping

from services.recommend.codes import CodeBook
from services.recommend.dates import day
from services.recommend.eligibility import Fact, Measured, Told
from shared.oncology.record import Record

PLANNED = "preparation"  # FHIR: a procedure that is prepared
NEAR = 28  # days before and after a major operation without bevacizumab, by its label


def operations(record: Record, known: Mapping[str, Fact], book: CodeBook) -> dict[str, Fact]:
    """The facts `days-since-surgery` and `planned-surgery`. A plan without a day counts; one that is long past does not."""
    found: dict[str, Fact] = {}
    surgery, today = known.get("major-surgery"), day(record.today)
    when = day(surgery.when) if surgery else None
    if surgery and when and today and when <= today:
        days = float((today - when).days)
        found["days-since-surgery"] = Measured(low=days, high=days, unit="d", sources=surgery.sources, when=surgery.when)
    major = next(d for d in book.disorders if d.fact == "major-surgery")
    planned = [f for f in record.findings if f.status == PLANNED and book.shows(f, major)]
    near = [f for f in planned if not today or not (on := day(f.when)) or abs((on - today).days) <= NEAR]
    if near:
        found["planned-surgery"] = Told(values=("planned",), sources=tuple(f.source for f in near), when=near[0].when)
    return found
