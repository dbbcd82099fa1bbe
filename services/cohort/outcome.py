"""What became of her: response, progression, death, last contact, and the times that survival is counted in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final

import msgspec

from services.cohort.baseline import whole
from services.cohort.facts import Answer, Facts, Response, Where
from shared.oncology.record import Record

ORDER: Final[tuple[Response, ...]] = ("complete", "partial", "stable", "progression")

# Where `when` is the day on which she was there: neither an order, nor the onset of a disease.
_SEEN: Final = ("observation", "procedure", "medication-administration", "medication-statement")
_NOT_DONE: Final = (
    "registered",
    "preparation",
    "not-done",
    "not-taken",
    "intended",
    "cancelled",
    "entered-in-error",
    "unknown",
)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Days are None where the record does not tell them. `distant` and `locoregional` are the best response there.

    `undated`: the disease progressed on a day that nobody recorded.
    """

    locoregional: Response | None
    distant: Response | None
    progression: date | None
    progressed: dict[Where | None, date]
    died: bool
    death: date | None
    last_contact: date | None
    undated: bool
    sources: tuple[str, ...]

    @property
    def ended(self) -> date | None:
        """The day of death, else of the last contact; None where she died on a day nobody recorded."""
        return self.death if self.died else self.last_contact


def outcome(record: Record, facts: Facts, diagnosed: date | None) -> Outcome:
    """The outcome of a patient; responses count from the diagnosis until the disease progresses."""
    death = whole(record.deceased) if record.dead else None
    last = _last(record, death)
    answers = [
        msgspec.structs.replace(answer, when=min(answer.when, death) if death else answer.when)  # of a month, a later day may be meant
        for answer in facts.answers
        if diagnosed is None or answer.when >= diagnosed
    ]
    worse = [answer for answer in answers if answer.response == "progression"]
    first: dict[Where | None, date] = {}
    for answer in worse:
        first.setdefault(answer.where, answer.when)
    until = min((answer.when for answer in worse), default=None)
    counted = [answer for answer in answers if until is None or answer.when <= until]
    return Outcome(
        locoregional=_best(counted, ("locoregional", None)),
        distant=_best(counted, ("distant",)),
        progression=until,
        progressed=first,
        died=record.dead,
        death=death,
        last_contact=max((day for day in (last, until) if day), default=None),
        undated=facts.worse_undated and until is None,
        sources=tuple(answer.source for answer in (counted if until is None else worse)),
    )


def _best(answers: Iterable[Answer], where: tuple[Where | None, ...]) -> Response | None:
    found = [answer.response for answer in answers if answer.where in where]
    return min(found, key=ORDER.index, default=None)


def _last(record: Record, death: date | None) -> date | None:
    """The newest day on which something was done, given or observed, not after death; a year or a month alone is no day.

    The reader has set aside what is dated later than the resource was written.
    """
    days = [whole(f.when) for f in record.findings if f.plausible and f.kind in _SEEN and f.status not in _NOT_DONE]
    known = [day for day in days if day is not None and (record.as_of is None or day.isoformat() <= record.as_of)]
    return max((day for day in known if death is None or day <= death), default=None)
