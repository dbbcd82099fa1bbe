"""Record → what the patient has had: drugs grouped into lines and cycles, radiotherapy to the pelvis, response and progression.

A line of systemic treatment for advanced disease begins with a new drug more than four weeks after the line began, or after a long pause;
a change between platinum compounds or between taxanes goes on with the line. A platinum compound alone, weekly or beside radiotherapy,
sensitises and is no line.
"""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise
from math import inf
from statistics import median

import msgspec

from services.recommend.codes import CodeBook, Drug
from services.recommend.dates import day, last_day
from services.recommend.eligibility import Fact, Measured, Told
from services.recommend.exposures import Exposure, exposed, unnamed
from services.recommend.irradiated import Course, courses
from services.recommend.policy import Policy
from shared.oncology.not_read import TREATMENTS
from shared.oncology.recommendation import Ongoing
from shared.oncology.record import Record
from shared.oncology.stage import Staging

SWAPS = ("platinum", "taxane")
ANOTHER_DISEASE = timedelta(days=365)


class Line(msgspec.Struct):
    """One line of systemic treatment."""

    drugs: dict[str, Drug]
    days: list[date]
    sources: list[str]
    last: dict[str, date] = {}
    given: list[date] = []

    @property
    def now(self) -> tuple[str, ...]:
        """Its drugs; of two that replace each other the one given last."""
        return tuple(name for name in self.drugs if not any(self._replaced(name, other) for other in self.drugs))

    def _replaced(self, name: str, by: str) -> bool:
        return self.last[by] > self.last[name] and swaps(self.drugs[name], self.drugs[by])

    def cycles(self, apart: float) -> int:
        """Days of treatment that begin a new cycle: so many days after the beginning of the last one. What was only ordered is none."""
        starts: list[date] = []
        for when in sorted(set(self.given)):
            if not starts or (when - starts[-1]).days >= apart:
                starts.append(when)
        return len(starts)


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What was given; `line` is the number of the next or current line, None where a relapsed patient's record holds no treatment.

    `paused`: since when nothing was given, where nobody recorded that the disease went on; whether a line is over is then open.
    `settled`: the ongoing line began too long ago for a further drug to be part of it. `unsure`: drugs that nobody can name or date, each
    of which may have made a further line. `unseen`: nobody could see all treatments, and there may have been more lines.
    """

    line: int | None
    cycles: int
    lines: tuple[Line, ...]
    exposures: tuple[Exposure, ...]
    courses: tuple[Course, ...]
    sources: tuple[str, ...]
    ongoing: Line | None = None
    paused: str | None = None
    settled: bool = False
    unsure: tuple[str, ...] = ()
    platinum_free: Measured | None = None
    unseen: bool = False

    def told(self) -> Ongoing | None:
        """The ongoing line as it goes out."""
        line = self.ongoing
        if line is None:
            return None
        since, last, sources = line.days[0].isoformat(), line.days[-1].isoformat(), tuple(dict.fromkeys(line.sources))
        return Ongoing(drugs=line.now, cycles=self.cycles, since=since, last=last, settled=self.settled, sources=sources)

    def facts(self) -> dict[str, Fact]:
        """What was given before the current line, as facts; what nobody recorded stays silent."""
        found: dict[str, Fact] = {}
        now = set(self.ongoing.sources) if self.ongoing else set()
        for name in ("platinum", "taxane", "pd-1", "anti-vegf"):
            of = [e for e in self.exposures if name in e.drug.classes and e.source not in now]
            if of:
                last = max((e.finding.until or e.finding.when or "" for e in of if e.when), default="")
                found[f"prior-{name}"] = Told(values=("given",), sources=tuple(sorted({e.source for e in of})), when=last or None)
        pelvic = [c for c in self.courses if c.pelvic] or [c for c in self.courses if c.pelvic is None]
        if pelvic:
            values = ("given",) if pelvic[0].pelvic else ("given", "no")
            last = max((c.finding.until or c.finding.when or "" for c in pelvic if c.start), default="")
            found["prior-pelvic-radiotherapy"] = Told(values=values, sources=tuple(c.source for c in pelvic), when=last or None)
        if self.platinum_free:
            found["platinum-free-days"] = self.platinum_free
        if self.line is not None:
            low, high = self.line - bool(self.paused), inf if self.unsure or self.unseen else self.line
            how = f"ongoing since {self.ongoing.days[0]} ({' and '.join(self.ongoing.now)})" if self.ongoing else None
            found["line"] = Measured(low=low, high=high, unit="{line}", sources=self.sources + self.unsure, how=how)
        if self.cycles:
            found["cycles"] = Measured(low=self.cycles, high=self.cycles, unit="{cycle}", sources=self.sources)
        return found


def history(record: Record, staging: Staging, book: CodeBook, policy: Policy) -> History:
    """The treatment history of the record, as staging dates the disease."""
    exposures, irradiations = exposed(record, book), courses(record, book)
    since = _advanced_since(record, staging, book)
    counted = [e for e in exposures if e.when is not None and (since is None or e.when >= since)]
    counted = _without_sensitisers(counted, irradiations, policy)
    lines = _lines(counted, policy)
    current = lines[-1] if lines else None
    number: int | None = max(len(lines), 1)
    worse = current is not None and any(d > current.days[0] for d in progressions(record, staging, book))
    silent = current is not None and _silent(current, record, policy)
    if worse or silent:
        number = len(lines) + 1
    if staging.disease_state != "initial" and not exposures and not irradiations and not _operated(record, book):
        number = None
    ongoing, today = current if current and number == len(lines) else None, day(record.today)
    return History(
        line=number,
        cycles=ongoing.cycles(policy.number("cycle-apart")) if ongoing else 0,
        lines=tuple(lines),
        exposures=tuple(exposures),
        courses=tuple(irradiations),
        sources=tuple(dict.fromkeys(source for line in lines for source in line.sources)),
        ongoing=ongoing,
        paused=current.days[-1].isoformat() if current and number and silent and not worse else None,
        settled=bool(ongoing and today and (today - ongoing.days[0]).days > policy.number("line-entry")),
        unsure=_unsure(record, staging, exposures, since, book),
        platinum_free=_platinum_free(exposures, record, staging, book),
        unseen=_unseen(record),
    )


def _unseen(record: Record) -> bool:
    return not TREATMENTS.isdisjoint(record.unread)


def _unsure(record: Record, staging: Staging, exposures: list[Exposure], since: date | None, book: CodeBook) -> tuple[str, ...]:
    """What may have been a line of its own: unnamed since the disease is advanced, or undated. A platinum compound alone sensitises."""
    undated = [e for e in exposures if e.when is None]
    alone = all("platinum" in e.drug.classes for e in undated)
    late = [f for f in unnamed(record, book) if not f.plausible or since is None or (last_day(f.until or f.when) or date.max) >= since]
    return tuple(dict.fromkeys([f.source for f in late] + ([] if alone else [e.source for e in undated])))


def _platinum_free(exposures: list[Exposure], record: Record, staging: Staging, book: CodeBook) -> Measured | None:
    """Days from the last dose of a platinum compound to the next progression on record, else to the day of the record."""
    given = [e for e in exposures if "platinum" in e.drug.classes]
    if not given or not record.today or any(e.when is None for e in given):
        return None
    ends = [e.finding.until or e.finding.when for e in given]
    first, last = (max(d for d in map(read, ends) if d) for read in (day, last_day))
    relapse = next((d for d in progressions(record, staging, book) if d > last), None)
    to = relapse or day(record.today)
    if to is None or to < first:
        return None
    how = f"from {first if first == last else f'{first} to {last}'} to {'the progression' if relapse else 'the day'} of {to}"
    sources = tuple(dict.fromkeys(e.source for e in given if last_day(e.finding.until or e.finding.when) == last))
    low, high = 0.0 if _unseen(record) else float(max((to - last).days, 0)), float((to - first).days)
    return Measured(low=low, high=high, unit="d", sources=sources, when=to.isoformat(), how=how)


def _operated(record: Record, book: CodeBook) -> bool:
    surgery = next(d for d in book.disorders if d.fact == "major-surgery")
    return any(book.shows(finding, surgery) for finding in record.findings)


def progressions(record: Record, staging: Staging, book: CodeBook) -> list[date]:
    """The days on which recurrence or progression is recorded: response, condition, or spread after the staging window."""
    scale = next(s for s in book.scales if s.fact == "response")
    disorder = next(d for d in book.disorders if d.fact == "recurrence")
    later = {source for m in staging.metastases if not m.in_window for source in m.sources}
    found = []
    for f in record.findings:
        if not f.plausible or f.verification in ("refuted", "entered-in-error"):
            continue
        worse = book.means(f.concept, scale.codes) and book.answer(f.value.concept, f.value.text, scale.answers) == "progression"
        if worse or f.source in later or book.shows(f, disorder) or f.clinical in ("recurrence", "relapse"):
            found.append(day(f.when if f.clinical not in ("recurrence", "relapse") else f.recorded or f.when))
    return sorted(d for d in found if d)


def _advanced_since(record: Record, staging: Staging, book: CodeBook) -> date | None:
    """From when treatment counts: from the diagnosis in primary advanced disease, else from the first recurrence after the window.

    Dates of diagnosis are often written down late; what lies more than a year before it was for another disease.
    """
    stage = staging.editions.get("figo-2018")
    if staging.disease_state == "initial" or (stage is not None and stage.stage == "IVB"):
        diagnosed = day(staging.diagnosed)
        return diagnosed - ANOTHER_DISEASE if diagnosed else None
    end = day(staging.window.end)
    return next((d for d in progressions(record, staging, book) if end is None or d > end), end)


def _without_sensitisers(exposures: list[Exposure], irradiations: list[Course], policy: Policy) -> list[Exposure]:
    """Without a platinum compound given alone, weekly or during radiotherapy."""
    margin = timedelta(days=policy.number("sensitiser-margin"))
    partners = {e.when for e in exposures if "platinum" not in e.drug.classes and "pd-1" not in e.drug.classes}
    alone = [e for e in exposures if "platinum" in e.drug.classes and e.when not in partners and e.when]
    days = sorted({e.when for e in alone if e.when})
    weekly = len(days) >= 3 and median((b - a).days for a, b in pairwise(days)) <= 9
    inside = [
        e
        for e in alone
        if weekly or any(c.start and c.end and c.start - margin <= (e.when or date.min) <= c.end + margin for c in irradiations)
    ]
    return [e for e in exposures if e not in inside]


def _lines(exposures: list[Exposure], policy: Policy) -> list[Line]:
    lines: list[Line] = []
    for e in exposures:
        if e.when is None:
            continue
        if not lines or _begins(lines[-1], e, e.when, policy):
            lines.append(Line({}, [], [], {}, []))
        lines[-1].drugs[e.drug.id] = e.drug
        lines[-1].last[e.drug.id] = e.when
        lines[-1].days.append(e.when)
        lines[-1].given += [e.when] if e.finding.kind != "medication-request" else []
        lines[-1].sources.append(e.source)
    return lines


def _begins(line: Line, e: Exposure, when: date, policy: Policy) -> bool:
    if (when - line.days[-1]).days > policy.number("line-pause"):
        return True
    swap = any(swaps(e.drug, drug) for drug in line.drugs.values())
    return e.drug.id not in line.drugs and not swap and (when - line.days[0]).days > policy.number("line-entry")


def swaps(one: Drug, other: Drug) -> bool:
    """Whether a change from one to the other goes on with the line."""
    return any(name in one.classes and name in other.classes for name in SWAPS)


def _silent(line: Line, record: Record, policy: Policy) -> bool:
    """Whether nothing was given for so long that the line may be over."""
    today = day(record.today)
    return today is not None and (today - line.days[-1]).days > policy.number("line-pause")
