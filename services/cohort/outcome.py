"""What became of her: response, progression, death, last contact, and the times that survival is counted in."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final

import msgspec

from services.cohort.facts import Answer, Facts, Response, Where
from shared.oncology.record import Record

ORDER: Final[tuple[Response, ...]] = ("complete", "partial", "stable", "progression")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Days are None where the record does not tell them. `distant` and `locoregional` are the best response there."""

    locoregional: Response | None
    distant: Response | None
    progression: date | None
    progressed: dict[Where | None, date]
    died: bool
    death: date | None
    last_contact: date | None
    sources: tuple[str, ...]

    @property
    def ended(self) -> date | None:
        """The day of death, else of the last contact; None where she died on a day nobody recorded."""
        return self.death if self.died else self.last_contact


def outcome(record: Record, facts: Facts) -> Outcome:
    """The outcome of a patient; responses count until the disease progresses."""
    worse = [answer for answer in facts.answers if answer.response == "progression"]
    first: dict[Where | None, date] = {}
    for answer in worse:
        first.setdefault(answer.where, answer.when)
    until = min((answer.when for answer in worse), default=None)
    counted = [answer for answer in facts.answers if until is None or answer.when <= until]
    death = _whole(record.deceased) if record.dead else None
    return Outcome(
        locoregional=_best(counted, ("locoregional", None)),
        distant=_best(counted, ("distant",)),
        progression=until,
        progressed=first,
        died=record.dead,
        death=death,
        last_contact=_last(record),
        sources=tuple(answer.source for answer in (counted if until is None else worse)),
    )


def _best(answers: Iterable[Answer], where: tuple[Where | None, ...]) -> Response | None:
    found = [answer.response for answer in answers if answer.where in where]
    return min(found, key=ORDER.index, default=None)


def _last(record: Record) -> date | None:
    """The newest day of what was done, given or observed; a year or a month alone is no day."""
    days = [_whole(each) for f in record.findings if f.plausible for each in (f.when, f.until, f.recorded)]
    known = [day for day in days if day is not None and (record.as_of is None or day.isoformat() <= record.as_of)]
    return max(known, default=None)


def _whole(text: str | None) -> date | None:
    return date.fromisoformat(text) if text and len(text) == 10 else None
