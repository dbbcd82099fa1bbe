"""Record → facts about the patient: performance, age, body, kidneys, blood, markers, disorders; each with its sources and date.

The newest usable value wins. A value that makes no sense, has an unknown unit or is older than the policy allows is named in a note.
"""

from __future__ import annotations

import msgspec

from services.recommend.body import clearance, fits, surface
from services.recommend.codes import CodeBook, Measure, Scale
from services.recommend.contradictions import serial
from services.recommend.dates import day, earliest, latest, years
from services.recommend.disorders import present
from services.recommend.eligibility import Fact, Measured, Told
from services.recommend.fusions import fusions
from services.recommend.hypersensitivity import drug_allergies
from services.recommend.operations import operations
from services.recommend.policy import Policy
from services.recommend.pressure import uncontrolled
from services.recommend.readings import Refusal, about, impossible, misdated, numbers, settled, told, usable
from services.recommend.unread import allergies
from shared.oncology.recommendation import Caution, Note
from shared.oncology.record import Finding, Record
from shared.oncology.stage import Missing

KARNOFSKY = ((90, 0), (70, 1), (50, 2), (30, 3), (10, 4))
POUNDS = (2.05, 2.36)  # a weight this many times another is that weight in pounds
LONGEST_PREGNANCY = 300  # days; an older answer says nothing of today


class Fitness(msgspec.Struct, frozen=True):
    """The facts, what would settle the silent ones, what a reader must know of the values, and which of them are old."""

    known: dict[str, Fact]
    asks: dict[str, tuple[Missing, ...]]
    notes: tuple[Note, ...]
    stale: tuple[Caution, ...] = ()


def fitness(record: Record, book: CodeBook, policy: Policy) -> Fitness:
    """Everything about the patient herself that a criterion may ask."""
    reading = _Reading(record, book, policy)
    return Fitness(reading.known, reading.asks, tuple(reading.notes), tuple(reading.stale))


class _Reading:
    """One record being read for one policy."""

    def __init__(self, record: Record, book: CodeBook, policy: Policy) -> None:
        self.record, self.book, self.policy = record, book, policy
        self.known: dict[str, Fact] = {}
        self.asks: dict[str, tuple[Missing, ...]] = {}
        self.notes: list[Note] = []
        self.stale: list[Caution] = []
        self.refused: dict[str, tuple[Missing, ...]] = {}
        findings = usable(record)
        self._measures(findings)
        self._scales(findings)
        self.notes += serial(book, findings)
        self._misdated()
        self.known |= fusions(book, findings)
        for disorder in book.disorders:
            if shown := present(record, book, disorder):
                self.known[disorder.fact] = shown
        self.known |= drug_allergies(record, book)
        self._allergies()
        self._performance()
        self._too_old()
        self._age()
        self._pregnancy()
        self.known |= operations(record, self.known, book)
        if isinstance(called := self.known.get("advanced-heart-failure"), Told) and "no" not in called.values:
            self.known["nyha-class"] = msgspec.structs.replace(called, values=("III", "IV"))
        self._pressure(findings)
        self._body()
        self._kidneys()
        self._sex()
        self._no_score()
        self._stale()
        for fact, questions in self.refused.items():
            if fact not in self.known:
                self.asks[fact] = (*self.asks.get(fact, ()), *questions)

    def _note(self, text: str, *sources: str) -> None:
        self.notes.append(Note(text=text, sources=sources))

    def _number(self, fact: str) -> Measured | None:
        known = self.known.get(fact)
        return known if isinstance(known, Measured) else None

    def _measures(self, findings: list[Finding]) -> None:
        for measure in self.book.measures:
            found: list[Measured] = []
            for reading in numbers(self.book, measure, findings):
                if not isinstance(reading, Refusal):
                    found.append(reading)
                elif not found:
                    self._refuse(measure, f"{reading.text} ({reading.code})", reading.source)
            if impossible(measure, found):
                self._apart(measure, found)
            elif found:
                self.known[measure.fact], against = settled(measure, found)
                against = sorted(against, key=lambda reading: (reading.low, reading.sources))
                self._contradiction(measure, [str(reading) for reading in against], [s for r in against for s in r.sources])

    def _scales(self, findings: list[Finding]) -> None:
        for scale in self.book.scales:
            if answer := told(self.book, scale, findings):
                self.known[scale.fact] = answer
                self._contradiction(scale, sorted(answer.values) if len(answer.values) > 1 else [], sorted(answer.sources))

    def _misdated(self) -> None:
        for finding in misdated(self.record):
            for asked in self.book.asked:
                if about(self.book, asked, finding):
                    text = f"{_named(asked)} dated {finding.when or 'implausibly'} was not used: the date cannot be; ask when it was found."
                    self._refuse(asked, f"{text} (date-implausible)", finding.source)

    def _refuse(self, asked: Measure | Scale, text: str, source: str) -> None:
        """A value that is not used: a note for the reader, and a question wherever the fact is asked for."""
        self._note(text, source)
        self.refused[asked.fact] = (*self.refused.get(asked.fact, ()), Missing(asked.fact, f"{_named(asked)} again: {source} was not used"))

    def _apart(self, measure: Measure, found: list[Measured]) -> None:
        small, large = sorted((found[0].exact or 0.0, found[1].exact or 0.0))
        pounds = measure.fact == "weight" and POUNDS[0] <= large / small <= POUNDS[1]
        how = "differ as kilograms and pounds do" if pounds else f"cannot both be right ({found[0]} and {found[1]})"
        self._note(f"Two values of {measure.says} {how}; neither was used. (value-implausible)", *found[0].sources, *found[1].sources)
        which = ", ".join(found[0].sources + found[1].sources)
        self.refused[measure.fact] = (Missing(measure.fact, f"{_named(measure)} again: which of {which} holds"),)

    def _contradiction(self, asked: Measure | Scale, values: list[str], sources: list[str]) -> None:
        if not values:
            return
        both, where = " and ".join(dict.fromkeys(values)), ", ".join(dict.fromkeys(sources))
        self._note(f"{_named(asked)}: {both} on the same day; neither is taken for the other.", *dict.fromkeys(sources))
        self.asks[asked.fact] = (Missing(asked.fact, f"Which holds, of {asked.says} {both}: {where}"),)

    def _performance(self) -> None:
        ecog, karnofsky = self._number("ecog"), self._number("karnofsky")
        if karnofsky is None or karnofsky.exact is None:
            return
        score = next(float(score) for least, score in KARNOFSKY if karnofsky.exact >= least)
        if ecog and ecog.when and ecog.when == karnofsky.when and not ecog.low <= score <= ecog.high:
            text = f"ECOG {ecog} and Karnofsky {karnofsky.exact:g}, which maps to ECOG {score:g}, are of the same day; the ECOG is used."
            self._note(text, *ecog.sources, *karnofsky.sources)
        if ecog and (ecog.when or "") >= (karnofsky.when or ""):
            return
        self.known["ecog"] = msgspec.structs.replace(karnofsky, low=score, high=score, how=f"mapped from Karnofsky {karnofsky.exact:g}")

    def _age(self) -> None:
        birth, today = self.record.birth_date, self.record.today
        if not birth or not today:
            return
        on = earliest(today)
        youngest, oldest = years(latest(birth), on), years(earliest(birth), on)
        self.known["age"] = Measured(low=youngest, high=oldest, unit="a", sources=(self.record.patient,))

    def _allergies(self) -> None:
        """An allergy that nobody can read takes "none known" away, and is asked about."""
        opaque = tuple(Missing("allergy", f"What the allergy is to: {f.source}") for f in allergies(self.record, self.book))
        for disorder in self.book.disorders if opaque else ():
            if "allergy" in disorder.kinds:
                self.asks[disorder.fact] = opaque
                if (told := self.known.get(disorder.fact)) and isinstance(told, Told) and told.values == ("no",):
                    del self.known[disorder.fact]

    def _pregnancy(self) -> None:
        """The status, else a test; a condition beats both. A number of hCG, or a test before a status that denies, leaves it open."""
        status, test, hcg = (self._recent(fact) for fact in ("pregnancy", "pregnancy-test", "hcg"))
        if isinstance(test, Told) and (
            status is None or (test.values != ("no",) and isinstance(status, Told) and status.values == ("no",))
        ):
            doubted = status is not None and (status.when or "") >= (test.when or "")
            status = msgspec.structs.replace(test, values=(*test.values, "no")) if doubted else test
        if status is None and hcg:
            status = Told(values=("hCG measured", "no"), sources=hcg.sources, when=hcg.when)
            self.asks["pregnancy"] = (Missing("hcg", f"Whether the measured hCG means a pregnancy: {', '.join(hcg.sources)}"),)
        self.known.pop("pregnancy", None)
        if status:
            self.known["pregnancy"] = status
        condition = self.known.get("pregnancy-condition")
        if isinstance(condition, Told) and "no" not in condition.values:
            self.known["pregnancy"] = Told(values=("pregnant",), sources=condition.sources, when=condition.when)

    def _recent(self, fact: str) -> Fact | None:
        """What is known, unless it is older than any pregnancy lasts."""
        told, today = self.known.get(fact), day(self.record.today)
        when = day(told.when) if told else None
        return None if when and today and (today - when).days > LONGEST_PREGNANCY else told

    def _pressure(self, findings: list[Finding]) -> None:
        """Hypertension on record, and too high on two days, is uncontrolled; one reading is not."""
        told = uncontrolled(self.book, self.policy, findings) if "hypertension" in self.known else None
        if told and str(self.known.get("hypertensive-crisis", "no")) == "no":
            self.known["hypertensive-crisis"] = told

    def _too_old(self) -> None:
        """Values so old that they settle nothing are not used, and are asked for again."""
        today, limit = day(self.record.today), self.policy.number("value-limit")
        for fact in [rule.fact for rule in self.policy.stale_after]:
            known = self.known.get(fact)
            when = day(known.when) if known else None
            if isinstance(known, Measured) and today and when and (today - when).days > limit:
                asked = next(m for m in self.book.measures if m.fact == fact)
                text = f"{_named(asked)} of {known.when} was not used: it is older than the {limit:g} days that the policy allows at all."
                self._refuse(asked, text, ", ".join(known.sources))
                del self.known[fact]

    def _body(self) -> None:
        height, weight = self._number("height"), self._number("weight")
        if height and weight and not fits(height, weight):
            self._note("Height and weight do not fit each other; neither was used. (value-implausible)", *height.sources, *weight.sources)
            del self.known["height"], self.known["weight"]
        if area := surface(self.known, self.policy):
            self.known["body-surface"] = area
        else:
            self._ask("body-surface", "height", "weight")

    def _kidneys(self) -> None:
        if found := clearance(self.known, self.policy):
            self.known["creatinine-clearance"] = found
            return
        self._ask("creatinine-clearance", "creatinine", "weight", "age")
        if egfr := self._number("egfr"):
            self._note("An eGFR per 1.73 m2 is no clearance: height and weight are needed to de-index it.", *egfr.sources)

    def _sex(self) -> None:
        if self.record.sex not in (None, "female", "unknown"):
            text = f"The record tells the sex as {self.record.sex}; clearance and ideal weight are reckoned for a woman. Ask which hold."
            self._note(text, self.record.patient)

    def _ask(self, fact: str, *inputs: str) -> None:
        says = {"height": "Body height in cm", "weight": "Body weight in kg", "creatinine": "Serum creatinine", "age": "Date of birth"}
        silent = [name for name in inputs if not self._exact(name)]
        again = [question for name in silent for question in (*self.refused.get(name, ()), *self.asks.get(name, ()))]
        self.asks[fact] = (*(Missing(name, says[name]) for name in silent), *again)

    def _exact(self, name: str) -> bool:
        number = self._number(name)
        return number is not None and number.exact is not None

    def _no_score(self) -> None:
        """A tumour proportion score stands in for no combined one: where it is the only score, it is named in the question."""
        if (score := self._number("pd-l1-tps")) and "pd-l1-cps" not in self.known:
            text = f"The combined positive score: {', '.join(score.sources)} tells a tumour proportion score of {score}, which is none"
            self.asks["pd-l1-cps"] = (Missing("pd-l1-cps", text),)

    def _stale(self) -> None:
        today = day(self.record.today)
        for rule in self.policy.stale_after:
            known = self.known.get(rule.fact)
            when = day(known.when) if known else None
            if not known or not known.sources or not today or (when and (today - when).days <= rule.days):
                continue
            if rule.fact == "pregnancy" and isinstance(known, Told) and "no" not in known.values:
                continue
            says = next((asked.says for asked in self.book.asked if asked.fact == rule.fact), rule.fact)
            text = f"The {says} used is of {known.when}, older than the {rule.days} days that the policy allows." if when else ""
            text = text or f"Nobody dated the {says} used; the policy asks for one of the last {rule.days} days."
            self._note(text, *known.sources)
            self.stale.append(Caution(criterion=f"stale-{rule.fact}", says=text, sources=known.sources))


def _named(asked: Measure | Scale) -> str:
    return asked.says[0].upper() + asked.says[1:]
