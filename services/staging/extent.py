"""Record → extent-of-disease facts, each with its sources: what observations and conditions state, reconciled and completed."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from services.staging import tnm
from services.staging.knowledge import Meaning, Rules
from services.staging.primary import USABLE
from services.staging.statements import Statement, by_fact, settle
from services.staging.window import Course
from shared.fhir.codes import codes
from shared.knowledge.table import Fact, Measure
from shared.oncology.record import Finding, Issue, Quantity, Value
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN, Verdict, negated, some

SILENT = Fact()
# Labels that only a category states: nobody observes them, so silence about them says nothing and they do not hold.
LABELS = ("stage_ii_extent", "stage_iii_extent", "stage_iiib_extent", "stage_iv_extent", "adjacent_organ", "distant_metastasis")
_MUCOSA = ("bladder_mucosa", "rectal_mucosa")
_LONGEST = Decimal(300)
_ITC, _MICRO = Decimal("0.2"), Decimal(2)


class Extent(NamedTuple):
    """The facts, the recorded categories, and what must be said of them."""

    facts: dict[str, Fact]
    categories: tuple[tnm.Recorded, ...]
    isolated_cells: bool
    issues: tuple[Issue, ...]


def method(finding: Finding, rules: Rules) -> str | None:
    """ "p" for pathology, "r" for imaging, None for anything else."""
    return next((found for pair in codes(finding.method) if (found := rules.methods.get(pair))), None)


def answer(value: Value, rules: Rules) -> Verdict | None:
    """What a yes-or-no value says: a verdict, UNKNOWN for doubt or an absent value; None where it says nothing."""
    if value.boolean is not None:
        return Verdict.of(value.boolean)
    for pair in codes(value.concept):
        if pair in rules.answers:
            return Verdict.of(rules.answers[pair])
    return UNKNOWN if value.absent else None


def millimetres(quantity: Quantity, rules: Rules) -> Decimal | None:
    """A length in millimetres; None where the unit is not one we know."""
    unit = quantity.ucum or (quantity.unit if quantity.system is None else None)
    factor = rules.observations.millimetres.get(unit or "")
    return None if factor is None else quantity.value * factor


class Intake:
    """Reads observations into statements about facts."""

    def __init__(self, rules: Rules, course: Course) -> None:
        self.rules = rules
        self.course = course
        self.statements: list[Statement] = []
        self.categories: list[tnm.Recorded] = []
        self.issues: list[Issue] = []
        self.isolated_cells = False

    def observe(self, finding: Finding, meaning: Meaning) -> None:
        """Takes in one observation of extent or TNM that belongs to the staging window."""
        if meaning.kind in "tnm":
            category = tnm.recorded(finding, meaning.kind, meaning.detail, self.rules)
            if category is None:
                if finding.value.absent is None:
                    self._issue("value-implausible", "A TNM category that is not one for the cervix is not used.", finding)
                return
            self.categories.append(category)
            if finding.status in USABLE:
                self.statements += tnm.statements(category, self.rules)
            return
        assert meaning.detail is not None
        if self.rules.facts[meaning.detail].measure:
            self._measured(finding, meaning.detail)
        else:
            self._answered(finding, meaning.detail)

    def _answered(self, finding: Finding, fact: str) -> None:
        verdict = answer(finding.value, self.rules)
        if verdict is None:
            return
        if finding.status not in USABLE and verdict is HOLDS:
            verdict = UNKNOWN
        deposit = _component(finding, "largest-deposit", self.rules)
        if deposit is not None and verdict is HOLDS and (size := millimetres(deposit, self.rules)) is not None and size <= _ITC:
            self.isolated_cells, verdict = True, FAILS
        how, when, source = method(finding, self.rules), finding.when or "", finding.source
        if fact in _MUCOSA and verdict is HOLDS and how == "r":
            verdict = UNKNOWN  # IVA needs a biopsy (R11): mucosa on imaging alone leaves it open
        ask = self._ask(finding, fact) if verdict is UNKNOWN and not finding.value.absent else None

        def state(name: str, what: Verdict, direct: bool = True) -> None:
            self.statements.append(Statement(name, what, source, when, how, direct, ask=ask))

        state(fact, verdict)
        if fact == "confined_to_cervix" and verdict is HOLDS:
            for group in self.rules.tnm.beyond.values():
                for name in group:
                    state(name, FAILS, direct=False)
        elif fact == "regional_nodes" and verdict is FAILS:
            state("pelvic_nodes", FAILS)
            state("para_aortic_nodes", FAILS)
        elif fact == "inguinal_nodes" and verdict is not FAILS:
            state("distant_nodes", verdict)
        elif fact == "distant_nodes" and verdict is FAILS:
            state("inguinal_nodes", FAILS)
        elif fact == "distant_organ" and verdict is FAILS and not finding.sites:
            state("peritoneal_spread", FAILS, direct=False)

    def _ask(self, finding: Finding, fact: str) -> str:
        """What would settle a doubtful finding, in the words of its site."""
        if fact in _MUCOSA:
            return self.rules.facts[fact].ask
        sites = (self.rules.structure(*pair) for site in finding.sites for pair in codes(site))
        name = next((rule.site for rule in sites if rule is not None), fact.replace("_", "-"))
        return f"Biopsy or follow-up imaging of the doubtful finding: {name.replace('-', ' ')}"

    def _measured(self, finding: Finding, fact: str) -> None:
        if finding.status not in USABLE:
            return
        values = [finding.value]
        values += [
            c.value for c in finding.components if any(code in self.rules.observations.size_components for _, code in codes(c.concept))
        ]
        for value in values:
            measure = self._measure(finding, value)
            if measure is not None:
                how = method(finding, self.rules)
                self.statements.append(Statement(fact, HOLDS, finding.source, finding.when or "", how, measure=measure))

    def _measure(self, finding: Finding, value: Value) -> Measure | None:
        if value.low is not None or value.high is not None:
            ends = [self._length(finding, q) if q else None for q in (value.low, value.high)]
            return Measure(ends[0], ends[1]) if any(e is not None for e in ends) else None
        if value.quantity is None:
            return None
        length = self._length(finding, value.quantity)
        if length is None:
            return None
        match value.quantity.comparator:
            case "<" | "<=":
                return Measure(None, length, high_open=value.quantity.comparator == "<")
            case ">" | ">=":
                return Measure(length, None, low_open=value.quantity.comparator == ">")
        return Measure(length, length)

    def _length(self, finding: Finding, quantity: Quantity) -> Decimal | None:
        length = millimetres(quantity, self.rules)
        if length is None:
            self._issue("unit-not-understood", "A length is neither in mm nor in cm (UCUM); it is not used.", finding)
        elif not 0 < length <= _LONGEST:
            self._issue("value-implausible", "A length outside 0 to 300 mm is not used.", finding)
            return None
        return length

    def _issue(self, code: str, text: str, finding: Finding) -> None:
        self.issues.append(Issue(severity="warning", code=code, text=text, sources=(finding.source,)))

    def extent(self) -> Extent:
        """All facts, once everything is taken in."""
        facts: dict[str, Fact] = {}
        for name, statements in by_fact(self.statements).items():
            facts[name], issue = settle(statements)
            if issue is not None:
                self.issues.append(issue)
        complete(facts)
        return Extent(facts, tuple(self.categories), self.isolated_cells, tuple(self.issues))


def _component(finding: Finding, code: str, rules: Rules) -> Quantity | None:
    for component in finding.components:
        if (rules.observations.extent_system, code) in set(codes(component.concept)):
            return component.value.quantity
    return None


def complete(facts: dict[str, Fact]) -> None:
    """What follows from the facts: nodes of a level from nodes of no level, a clinical lesion from its size, labels from silence."""

    def known(name: str) -> Fact:
        return facts.get(name, SILENT)

    regional, pelvic, para_aortic = known("regional_nodes"), known("pelvic_nodes"), known("para_aortic_nodes")
    if regional.verdict is HOLDS:
        if pelvic.verdict is FAILS and para_aortic.verdict is UNKNOWN:
            facts["para_aortic_nodes"] = regional
        elif para_aortic.verdict is FAILS and pelvic.verdict is UNKNOWN:
            facts["pelvic_nodes"] = regional
    elif "regional_nodes" not in facts or not regional.doubts:
        either = some([pelvic.verdict, para_aortic.verdict])
        level = para_aortic if para_aortic.verdict is HOLDS else pelvic
        facts["regional_nodes"] = Fact(either, sources=level.sources, method=level.method) if either is HOLDS else Fact(either)
    for label in LABELS:
        facts.setdefault(label, Fact(FAILS))
    _lesion(facts, known("stromal_invasion_depth"), known("tumour_size"), known("microscopic_only"), known("horizontal_width"))
    walls = [f for f in (known("bladder_wall"), known("rectal_wall"), known("bullous_oedema")) if f.verdict is HOLDS]
    sources = tuple(sorted({source for wall in walls for source in wall.sources}))
    proven = HOLDS in [known(name).verdict for name in _MUCOSA]
    facts["wall_without_mucosa"] = Fact(UNKNOWN, doubts=sources) if walls and not proven else Fact(FAILS)


def _lesion(facts: dict[str, Fact], depth: Fact, size: Fact, microscopic: Fact, width: Fact) -> None:
    """Whether the lesion is more than microscopic: stated, deeper than 5 mm, or of a size that was measured (R28: visible is never IA)."""
    shallow = depth.measure.at_most(Decimal(5)) if depth.measure else UNKNOWN
    stated = facts.get("clinical_lesion", SILENT)
    if stated.verdict is UNKNOWN:
        if shallow is FAILS:
            stated = Fact(HOLDS, sources=depth.sources)
        elif microscopic.verdict is HOLDS:
            stated = Fact(FAILS, sources=microscopic.sources)
        elif microscopic.verdict is FAILS:
            stated = Fact(HOLDS, sources=microscopic.sources)
        elif size.measure is not None and shallow is UNKNOWN:
            stated = Fact(HOLDS, sources=size.sources)
        facts["clinical_lesion"] = stated
    narrow = width.measure.at_most(Decimal(7)) if width.measure else UNKNOWN
    beyond = some([stated.verdict, negated(narrow), negated(shallow) if depth.measure else stated.verdict])
    facts["lesion_beyond_ia_2009"] = Fact(beyond, sources=tuple(sorted({*stated.sources, *width.sources})) if beyond is HOLDS else ())
    if microscopic.verdict is HOLDS and size.measure is None:
        facts["tumour_size"] = Fact(HOLDS, Measure(None, Decimal(40)), microscopic.sources)  # nobody sees 4 cm only under the microscope
