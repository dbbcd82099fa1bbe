"""What became of her: response, progression, death, last contact, and the times that survival is counted in."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable
from datetime import date
from typing import Final

import msgspec

from services.cohort.baseline import whole
from services.cohort.facts import Answer, Facts, Response, Where
from shared.oncology.record import Record

ORDER: Final[tuple[Response, ...]] = ("complete", "partial", "stable", "progression")

_MONTH: Final = 31
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
    """The outcome of a patient. Progressions count from the diagnosis, responses from the start of treatment until the first of them."""
    limit = whole(record.as_of)
    death = _death(record, limit)
    last = _last(record, death)
    answers = [msgspec.structs.replace(answer, when=_placed(answer, last, death or limit)) for answer in facts.answers]
    answers = sorted((a for a in answers if diagnosed is None or a.when >= diagnosed), key=lambda answer: answer.when)
    worse = [answer for answer in answers if answer.response == "progression"]
    first: dict[Where | None, date] = {}
    for answer in worse:
        first.setdefault(answer.where, answer.when)
    until = min((answer.when for answer in worse), default=None)
    begun = min((drug.when for drug in facts.drugs), default=None), min((c.start for c in facts.courses if c.start), default=None)
    treated = min((day for day in begun if day), default=None)
    counted = [a for a in answers if (until is None or a.when <= until) and (treated is None or a.when >= treated)]
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


def _death(record: Record, limit: date | None) -> date | None:
    """The day of death; of a month its last day, as of a progression, and none after the day asked for. A year alone has no day."""
    told = record.deceased
    if not record.dead or told is None or len(told) < 7:
        return None
    day = whole(told) or date(int(told[:4]), int(told[5:7]), monthrange(int(told[:4]), int(told[5:7]))[1])
    return min(day, limit) if limit else day


def _placed(answer: Answer, last: date | None, limit: date | None) -> date:
    """The day that an answer counts on: the last that its date can mean, but none after the last contact, a death or the day asked for.

    Nobody saw her after the last contact: a month after it counts to its end, of a year its first day.
    """
    first = answer.first or answer.when
    when = answer.when if (answer.when - first).days < _MONTH else first
    if last is not None and first <= last:
        when = min(answer.when, last) if answer.when > first else answer.when
    return min(when, limit) if limit else when


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
