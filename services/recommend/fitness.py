"""Record → facts about the patient: performance, age, body, kidneys, blood, markers, disorders; each with its sources and date.

The newest usable value wins. A value that makes no sense, has an unknown unit or is older than the policy allows is named in a note.
"""

from __future__ import annotations

import msgspec

from services.recommend.codes import CodeBook
from services.recommend.dates import day, earliest, latest, years
from services.recommend.disorders import present
from services.recommend.dosing import adjusted_weight, bmi, cockcroft_gault, deindexed, du_bois, mosteller, rounded
from services.recommend.eligibility import Fact, Measured, Told
from services.recommend.policy import Policy
from services.recommend.readings import Refusal, numbers, told, usable
from services.recommend.unread import allergies
from shared.oncology.recommendation import Caution, Note
from shared.oncology.record import Finding, Record
from shared.oncology.stage import Missing

KARNOFSKY = ((90, 0), (70, 1), (50, 2), (30, 3), (10, 4))
POUNDS = (2.05, 2.36)  # a weight this many times another is that weight in pounds
LONGEST_PREGNANCY = 300  # days; an older answer says nothing of today
BODY_MASS = (11.0, 80.0)  # kg/m2; outside, height or weight is wrong


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
        findings = usable(record)
        self._measures(findings)
        for scale in book.scales:
            if answer := told(book, scale, findings):
                self.known[scale.fact] = answer
        for disorder in book.disorders:
            if shown := present(record, book, disorder):
                self.known[disorder.fact] = shown
        self._allergies()
        self._performance()
        self._age()
        self._pregnancy()
        self._surgery()
        self._body()
        self._kidneys()
        self._stale()

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
                    self._note(f"{reading.text} ({reading.code})", reading.source)
            if measure.fact == "weight" and self._in_pounds(found):
                continue
            if found:
                self.known[measure.fact] = found[0]

    def _in_pounds(self, found: list[Measured]) -> bool:
        if len(found) < 2 or found[0].exact is None or found[1].exact is None:
            return False
        small, large = sorted((found[0].exact, found[1].exact))
        if not POUNDS[0] <= large / small <= POUNDS[1]:
            return False
        sources = found[0].sources + found[1].sources
        self._note("Two body weights differ as kilograms and pounds do; neither was used. (value-implausible)", *sources)
        return True

    def _performance(self) -> None:
        ecog, karnofsky = self._number("ecog"), self._number("karnofsky")
        if karnofsky is None or karnofsky.exact is None or (ecog and (ecog.when or "") >= (karnofsky.when or "")):
            return
        score = next(float(score) for least, score in KARNOFSKY if karnofsky.exact >= least)
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

    def _surgery(self) -> None:
        surgery, today = self.known.get("major-surgery"), day(self.record.today)
        when = day(surgery.when) if surgery else None
        if surgery and when and today and when <= today:
            days = float((today - when).days)
            self.known["days-since-surgery"] = Measured(low=days, high=days, unit="d", sources=surgery.sources, when=surgery.when)

    def _body(self) -> None:
        height, weight, recorded = self._number("height"), self._number("weight"), self._number("recorded-body-surface")
        if height and weight and height.exact and weight.exact and not BODY_MASS[0] <= bmi(height.exact, weight.exact) <= BODY_MASS[1]:
            self._note("Height and weight do not fit each other; neither was used. (value-implausible)", *height.sources, *weight.sources)
            del self.known["height"], self.known["weight"]
            height = weight = None
        if height and weight and height.exact and weight.exact:
            formula = mosteller if self.policy.bsa == "mosteller" else du_bois
            surface = formula(height.exact, weight.exact)
            inputs: dict[str, str | float | None] = {"height_cm": rounded(height.exact, 1), "height_date": height.when}
            inputs |= {"weight_kg": rounded(weight.exact, 2), "weight_date": weight.when}
            both = height.sources + weight.sources
            newest = max(height.when or "", weight.when or "") or None
            self.known["body-surface"] = Measured(
                low=surface, high=surface, unit="m2", sources=both, when=newest, how=self.policy.bsa, inputs=inputs
            )
        elif recorded:
            self.known["body-surface"] = msgspec.structs.replace(recorded, how="as recorded", inputs={"recorded_date": recorded.when})
        else:
            self._ask("body-surface", "height", "weight")

    def _kidneys(self) -> None:
        """The newest of: a recorded clearance, Cockcroft-Gault, a de-indexed eGFR; on one day, in this order."""
        recorded = self._number("recorded-clearance")
        if recorded:
            recorded = msgspec.structs.replace(recorded, how="as recorded", inputs={"clearance_date": recorded.when})
        found = [reading for reading in (recorded, self._cockcroft_gault(), self._deindexed()) if reading]
        if found:
            self.known["creatinine-clearance"] = max(found, key=lambda reading: reading.when or "")
        else:
            self._ask("creatinine-clearance", "creatinine", "weight", "age")

    def _cockcroft_gault(self) -> Measured | None:
        creatinine, weight, height, age = map(self._number, ("creatinine", "weight", "height", "age"))
        if not (creatinine and weight and age and creatinine.exact and weight.exact and age.exact is not None):
            return None
        kilograms, chosen = weight.exact, "actual"
        if self.policy.weight == "adjusted-from-bmi-25" and height and height.exact and bmi(height.exact, weight.exact) >= 25:
            kilograms, chosen = adjusted_weight(height.exact, weight.exact), "adjusted, body mass index 25 or more"
        least = self.policy.number("creatinine-floor") if self.policy.creatinine_floor else 0.0
        clearance = cockcroft_gault(age.exact, kilograms, creatinine.exact, least)
        inputs: dict[str, str | float | None] = {"creatinine_mg_dl": rounded(creatinine.exact, 3), "creatinine_date": creatinine.when}
        inputs |= {"weight_kg": rounded(kilograms, 2), "weight_used": chosen, "weight_date": weight.when, "age_years": age.exact}
        inputs |= {"sex_factor": "female", "creatinine_floor_mg_dl": least or None}
        sources = creatinine.sources + weight.sources + age.sources
        how = "Cockcroft-Gault"
        return Measured(low=clearance, high=clearance, unit="mL/min", sources=sources, when=creatinine.when, how=how, inputs=inputs)

    def _deindexed(self) -> Measured | None:
        egfr, surface = self._number("egfr"), self._number("body-surface")
        if egfr is None:
            return None
        if surface is None or surface.exact is None:
            self._note("An eGFR per 1.73 m2 is no clearance: height and weight are needed to de-index it.", *egfr.sources)
            return None
        inputs: dict[str, str | float | None] = {"egfr_ml_min_173": egfr.exact, "egfr_date": egfr.when, "bsa_m2": rounded(surface.exact, 3)}
        low, high = deindexed(egfr.low, surface.exact), deindexed(egfr.high, surface.exact)
        sources = egfr.sources + surface.sources
        how = "eGFR de-indexed with the body surface"
        return msgspec.structs.replace(egfr, low=low, high=high, unit="mL/min", sources=sources, how=how, inputs=inputs)

    def _ask(self, fact: str, *inputs: str) -> None:
        says = {"height": "Body height in cm", "weight": "Body weight in kg", "creatinine": "Serum creatinine", "age": "Date of birth"}
        self.asks[fact] = tuple(Missing(name, says[name]) for name in inputs if name not in self.known)

    def _stale(self) -> None:
        today = day(self.record.today)
        for rule in self.policy.stale_after:
            known = self.known.get(rule.fact)
            when = day(known.when) if known else None
            if known and today and when and (days := (today - when).days) > rule.days:
                text = f"The {rule.fact} used is {days} days old; the policy asks for at most {rule.days}."
                self._note(text, *known.sources)
                self.stale.append(Caution(criterion=f"stale-{rule.fact}", says=text, sources=known.sources))
