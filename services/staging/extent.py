"""Record → extent-of-disease facts, each with its sources: what observations and conditions state, reconciled and completed."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from services.staging import tnm
from services.staging.consequences import MUCOSA, Denied, bounds, complete, denied
from services.staging.knowledge import Meaning, Rules
from services.staging.lengths import LONGEST, deposit, measured, millimetres, written
from services.staging.places import DISTANT, SITES, filed_elsewhere, local_place, meant, place, spoken
from services.staging.primary import USABLE
from services.staging.statements import Kind, Place, Statement, by_fact, settle
from services.staging.window import Course
from shared.fhir.codes import SNOMED, codes
from shared.knowledge.table import Fact, Measure
from shared.oncology.record import Finding, Issue, Quantity, Value
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN, Verdict

_ITC = Decimal("0.2")
_REGIONAL = ("pelvic_nodes", "para_aortic_nodes", "regional_nodes")
_KIDNEY = ("hydronephrosis", "non_functioning_kidney")


class Extent(NamedTuple):
    """The facts, the recorded category of each axis that counts, and what must be said of them.

    `lost` are the axes whose category lost to findings. `places` are the verdicts on the places of a fact, `deposits` the largest deposit
    in the nodes of a finding.
    """

    facts: dict[str, Fact]
    categories: dict[str, tnm.Recorded]
    lost: frozenset[str]
    deposits: dict[str, Measure]
    places: dict[tuple[str, Place], Fact]
    issues: tuple[Issue, ...]


def method(finding: Finding, rules: Rules) -> str | None:
    """ "p" for pathology, "r" for imaging, None for anything else."""
    for pair in codes(finding.method):
        if (found := rules.methods.get(pair)) is not None:
            return found
    return None


def examined(finding: Finding, rules: Rules) -> bool:
    """Whether a finding was made by physical examination."""
    return any(system == SNOMED and code in rules.observations.examination for system, code in codes(finding.method))


def answer(value: Value, rules: Rules) -> Verdict | None:
    """What a yes-or-no value says: a verdict, UNKNOWN for doubt or an absent value; None where it says nothing."""
    if value.boolean is not None:
        return Verdict.of(value.boolean)
    for pair in codes(value.concept):
        if pair in rules.answers:
            return Verdict.of(rules.answers[pair])
    return UNKNOWN if value.absent else None


def seen(finding: Finding, fact: str, rules: Rules) -> Verdict | None:
    """What a finding says of a fact, all told: HOLDS, FAILS, UNKNOWN where it is in doubt; None where it says nothing."""
    verdict = answer(finding.value, rules)
    if verdict is None or (finding.status not in USABLE and verdict is not HOLDS):
        return None
    if finding.status not in USABLE:
        return UNKNOWN  # what is preliminary is possible, and excludes nothing
    size = deposit(finding, rules)
    if verdict is HOLDS and size is not None and size.at_most(_ITC) is HOLDS:
        return FAILS  # isolated tumour cells do not make a node positive (R8)
    if fact in MUCOSA and verdict is HOLDS and (method(finding, rules) == "r" or examined(finding, rules)):
        return UNKNOWN  # IVA needs a biopsy (R11): mucosa that was imaged or looked at leaves it open
    return verdict


class Intake:
    """Reads observations into statements about facts."""

    def __init__(self, rules: Rules, course: Course) -> None:
        self.rules = rules
        self.course = course
        self.statements: list[Statement] = []
        self.categories: list[tnm.Recorded] = []
        self.deposits: dict[str, Measure] = {}
        self.issues: list[Issue] = []

    def observe(self, finding: Finding, meaning: Meaning) -> None:
        """Takes in one observation of extent or TNM that belongs to the staging window."""
        if meaning.kind in "tnm":
            if finding.status not in USABLE:
                return
            category = tnm.recorded(finding, meaning.kind, meaning.detail, self.rules)
            if category is not None and category.value.startswith("M1") and self.course.untreated(finding):
                ask = self.course.ask(finding) + "distant metastasis"
                self.statements.append(Statement("distant_organ", UNKNOWN, finding.source, finding.when or "", ask=ask))
            elif category is not None:
                self.categories.append(category)
            elif finding.value.absent is None:
                self.refuse("value-implausible", "A TNM category that is not one for the cervix is not used.", finding)
            return
        assert meaning.detail is not None
        if self.rules.facts[meaning.detail].measure:
            self._measured(finding, meaning.detail)
        else:
            self._answered(finding, meaning.detail)

    def _answered(self, finding: Finding, fact: str) -> None:
        verdict = seen(finding, fact, self.rules)
        if verdict is None:
            if finding.status in USABLE and answer(finding.value, self.rules) is None:
                self.refuse(
                    "value-implausible", f"What it says of {fact.replace('_', ' ')} is neither yes nor no; it is not used.", finding
                )
            return
        how, when, source = method(finding, self.rules), finding.when or "", finding.source
        self._components(finding)
        if filed_elsewhere(fact, finding, self.rules):
            used = "it excludes nothing" if verdict is FAILS else "the lower stage is taken"
            said = f"{fact.replace('_', ' ').capitalize()} at a body site of other nodes: the two contradict each other; {used}."
            self.refuse("extent-conflict", said, finding)
            if verdict is FAILS:
                return
        ask = self._ask(finding, fact) if verdict is UNKNOWN and not finding.value.absent else None
        where = local_place(finding)
        rule = meant(fact, finding, self.rules)
        if rule is not None:
            if rule.holds is None and verdict is not FAILS:
                return  # the site admits two readings: it opens facts, and states none
            fact = rule.holds or fact
            where = place(fact, rule, finding)
            if verdict is HOLDS and fact in DISTANT and self.course.undecided(finding):
                verdict, ask = UNKNOWN, self.course.ask(finding) + spoken(rule.site)
        if fact in _REGIONAL and (size := deposit(finding, self.rules)) is not None:
            self.deposits[source] = size

        def state(name: str, what: Verdict, kind: Kind = "finding") -> None:
            self.statements.append(Statement(name, what, source, when, how, kind, ask=ask, place=where if name == fact else ()))

        state(fact, verdict)
        if fact == "confined_to_cervix" and verdict is HOLDS:
            for group, names in (*self.rules.tnm.beyond.items(), ("walls", ("bladder_wall", "rectal_wall"))):
                for name in names:
                    state(name, FAILS, "finding" if how == "p" and group in tnm.ON_A_SPECIMEN else "summary")
        elif fact == "regional_nodes" and verdict is FAILS:
            state("pelvic_nodes", FAILS)
            state("para_aortic_nodes", FAILS)
        elif fact == "distant_organ" and verdict is FAILS and not where:
            state("peritoneal_spread", FAILS, "implied")

    def _components(self, finding: Finding) -> None:
        """Names a component that makes no sense, or whose unit is not understood: it is not used."""
        for component in finding.components:
            names = {code for system, code in codes(component.concept) if system == self.rules.observations.extent_system}
            if "largest-deposit" in names:
                self._measure(finding, component.value)
            if "lesion-count" in names and component.value.integer is not None and component.value.integer < 1:
                self.refuse("value-implausible", "A number of lesions below one is not used.", finding)

    def _ask(self, finding: Finding, fact: str) -> str:
        """What would settle a doubtful finding, in the words of its site."""
        if fact in MUCOSA:
            return self.rules.facts[fact].ask
        sites = (self.rules.structure(*pair) for site in finding.sites for pair in codes(site))
        name = next((rule.site for rule in sites if rule is not None), fact.replace("_", "-"))
        return f"Biopsy or follow-up imaging of the doubtful finding: {name.replace('-', ' ')}"

    def _measured(self, finding: Finding, fact: str) -> None:
        if finding.status not in USABLE:
            return
        parts = [
            c.value for c in finding.components if any(code in self.rules.observations.size_components for _, code in codes(c.concept))
        ]
        own = [] if finding.value == Value() and finding.components else [finding.value]
        for value in (*own, *parts):
            measure = self._measure(finding, value)
            if measure is not None:
                how = method(finding, self.rules)
                self.statements.append(Statement(fact, HOLDS, finding.source, finding.when or "", how, measure=measure))

    def _measure(self, finding: Finding, value: Value) -> Measure | None:
        if not (value.low or value.high or value.quantity or (value.text and written(value.text)) or value.absent):
            self.refuse("value-implausible", "What stands there is not a length in mm or cm; it is not used.", finding)
            return None
        found = measured(value, lambda quantity: self._length(finding, quantity))
        if found is not None and found.empty:
            self.refuse("value-implausible", "A range of lengths ends before it begins; it is not used.", finding)
            return None
        return found

    def _length(self, finding: Finding, quantity: Quantity) -> Decimal | None:
        length = millimetres(quantity, self.rules)
        if length is None:
            self.refuse("unit-not-understood", "A length is neither in mm nor in cm (UCUM); it is not used.", finding)
        elif not 0 < length <= LONGEST:
            self.refuse("value-implausible", "A length outside 0 to 300 mm is not used.", finding)
            return None
        return length

    def refuse(self, code: str, text: str, finding: Finding) -> None:
        """Names a value that is not used."""
        self.issues.append(Issue(severity="warning", code=code, text=text, sources=(finding.source,)))

    def extent(self) -> Extent:
        """All facts, once everything is taken in."""
        best, issues = tnm.choose(self.categories, self.rules)
        self.issues += issues
        self.statements += [s for category in best.values() for s in tnm.statements(category, self.rules)]
        self.statements += tnm.together(best)
        facts: dict[str, Fact] = {}
        places: dict[tuple[str, Place], Fact] = {}
        lost: set[str] = set()
        grouped = by_fact(self.statements)
        other_cause = any(s.verdict is HOLDS for s in grouped.get("obstruction_other_cause", ()))
        for name, statements in grouped.items():
            limits = bounds(self.rules.tables.values(), name) if self.rules.facts[name].measure else ()
            settled = settle(statements, local=name not in SITES, limits=limits)
            facts[name] = settled.fact
            for where, fact in settled.places.items():
                places[name, where] = fact
            if settled.issues and not (name in _KIDNEY and other_cause):
                self.issues += settled.issues
                lost.update(axis for axis, it in best.items() if tnm.label(it) in settled.lost)
        _of_any_level(facts, grouped)
        complete(facts)
        for each in denied(facts):
            if (category := best.get(each.axis)) is None or each.label in tnm.holds(category, self.rules):
                self._denied(each, category)
                lost.update(each.axis if each.lost else "")
        return Extent(facts, best, frozenset(lost), self.deposits, places, tuple(self.issues))

    def _denied(self, it: Denied, category: tnm.Recorded | None) -> None:
        """Names what is recorded as a whole, although all of its places were found free."""
        finding = self.rules.facts[it.label].finding
        told = f"{finding[0].upper()}{finding[1:]}" if category is None else tnm.label(category)
        places = ", ".join(self.rules.facts[name].place.removeprefix("the ") for name in it.free)
        taken = "the lower stage is taken" if it.lost else "it stands"
        text = f"{told} is recorded, although nothing was found in {places}; {taken}."
        self.issues.append(Issue(severity="warning", code="extent-conflict", text=text, sources=it.sources))


def _of_any_level(facts: dict[str, Fact], grouped: dict[str, list[Statement]]) -> None:
    """A node of no told level may be of any where only a bare N0 denies the levels, since it denies the node too."""
    regional = facts.get("regional_nodes", Fact())
    levels = [facts.get(name, Fact()) for name in _REGIONAL[:2]]
    if regional.verdict is HOLDS and all(level.verdict is FAILS for level in levels):
        for name in _REGIONAL[:2]:
            if all(s.kind == "summary" for s in grouped[name]):
                facts[name] = Fact(doubts=regional.sources)
