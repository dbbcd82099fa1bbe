"""Record → findings of spread: which site a condition or observation names, how sure it is, and what its code leaves open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from services.staging.extent import method, seen
from services.staging.knowledge import Meaning, Rules
from services.staging.metastases import Spread
from services.staging.places import meant, place, structure
from services.staging.primary import USABLE, Tumour, certainty
from services.staging.schema import SiteRule
from services.staging.statements import Place, Statement
from services.staging.window import Course
from shared.fhir.codes import SNOMED, codes
from shared.oncology.record import Finding, Record
from shared.oncology.stage import Certainty
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN

_NOWHERE = frozenset({"unknown", "other"})
_VAGUE = _NOWHERE | {"node-unspecified", "node-abdominal", "node-multiple"}
SOMEWHERE = SiteRule(site="unknown", site_class="contested", holds="distant_metastasis")
DOUBT = "Biopsy or follow-up imaging of the doubtful finding: "


class SiteFinding(NamedTuple):
    """A finding of spread, with what it states about the stage, and the fact and place whose freedom would disprove it.

    `opens` are facts left open, each with its question; `told_by` those that tell what it leaves open.
    """

    spread: Spread
    statements: tuple[Statement, ...]
    opens: tuple[tuple[str, str], ...] = ()
    contested: str | None = None
    told: tuple[str, Place] | None = None
    told_by: tuple[str, ...] = ()


def of_conditions(record: Record, tumour: Tumour, course: Course, rules: Rules) -> Iterator[SiteFinding]:
    """The spread that secondary-cancer conditions name; nothing where one belongs to another primary."""
    primary = {f.source for f in tumour.conditions}
    own = primary | {tumour.primary.condition}
    others = {f.source for f in tumour.others}
    for finding in record.findings:
        if finding.kind != "condition" or finding.source in primary or (rule := _rule(finding, rules)) is None:
            continue
        sure = certainty(finding)
        if sure is None or (others.intersection(finding.related) and not own.intersection(finding.related)):
            continue
        if others and not own.intersection(finding.related):
            sure = "equivocal"
        yield _found(finding, rule, sure, course, rules, states=True)


def of_observation(finding: Finding, meaning: Meaning, course: Course, rules: Rules) -> Iterator[SiteFinding]:
    """The spread that an observation of extent names: its body site, or the site that the fact itself means."""
    fact = meaning.detail or ""
    verdict = seen(finding, fact, rules)
    rule = meant(fact, finding, rules)
    if verdict is None or verdict is FAILS or rule is None or finding.value.absent:
        return
    counts = [c.value.integer for c in finding.components if (rules.observations.extent_system, "lesion-count") in codes(c.concept)]
    count = next((number for number in counts if number is not None and number > 0), None)
    yield _found(finding, rule, "definite" if verdict is HOLDS else "equivocal", course, rules, count)


def of_status(finding: Finding, course: Course, rules: Rules) -> Iterator[SiteFinding]:
    """The spread that a disease status tells: "distant metastasis present" is M1 without a site."""
    present = {code for _, code in codes(finding.value.concept)} & set(rules.observations.distant_present)
    if present and finding.status in USABLE:
        found = _found(finding, SOMEWHERE, "definite", course, rules, states=True)
        yield found._replace(spread=found.spread._replace(somewhere=True))


def of_region(finding: Finding, course: Course, rules: Rules) -> Iterator[SiteFinding]:
    """The spread that a German oBDS site observation names: one observation a site, the site as its value."""
    for coding in finding.value.concept.codings if finding.value.concept else ():
        rule = rules.site_codes.get((SNOMED, f"obds:{coding.code}")) or rules.site_codes.get(("obds", coding.code or ""))
        if rule is not None and finding.status in USABLE:
            yield _found(finding, rule, "definite", course, rules, states=True)
            return


def _found(
    finding: Finding, rule: SiteRule, sure: Certainty, course: Course, rules: Rules, count: int | None = None, *, states: bool = False
) -> SiteFinding:
    when, how = finding.when or finding.recorded or "", method(finding, rules)
    in_window = course.includes(finding)
    where = next((c.code for c in finding.laterality if c.code), None)
    where = where or next((f"{s}|{c}" for site in finding.sites for s, c in codes(site) if s == SNOMED and not _general(c, rule)), None)
    unclear = sure == "definite" and rule.holds is None
    certain: Certainty = "unknown" if unclear else sure
    site_class = rule.site_class
    spread = Spread(rule.site, site_class, certain, in_window, finding.source, when, where, count)  # type: ignore[arg-type]
    if not in_window:
        return SiteFinding(spread, ())
    ask = rule.ask or DOUBT + rule.site.replace("-", " ")
    statements: tuple[Statement, ...] = ()
    told = (rule.holds, place(rule.holds, rule, finding)) if rule.holds else None
    if told is not None and states:
        verdict = HOLDS if sure == "definite" else UNKNOWN
        statements = (Statement(told[0], verdict, finding.source, when, how, ask=ask, place=told[1]),)
    return SiteFinding(spread, statements, tuple((fact, ask) for fact in rule.opens), rule.contested, told, rule.told_by)


def _general(code: str, rule: SiteRule) -> bool:
    """Whether a structure is the whole organ rather than a place in it (the first structure of a site's rule)."""
    return bool(rule.structures) and code == rule.structures[0]


def _rule(finding: Finding, rules: Rules) -> SiteRule | None:
    """The site of a condition: by its code, refined by its body site where the code is vague."""
    pairs = list(codes(finding.concept))
    found = [rule for pair in pairs if (rule := rules.site(*pair)) is not None]
    clear = [rule for rule in found if rule.site not in _VAGUE]
    rule = clear[0] if clear else found[0] if found else None
    if rule is None:
        return None
    placed = structure(finding, rules)
    if rule in rules.sites.direct:
        return _grown_into(rule, placed)
    coarse = rule.site in _VAGUE or not any(system == SNOMED and rules.site(system, code) for system, code in pairs)
    if placed is None or placed.site in _no_finer(rule):
        return rule
    if placed.site == rule.site or (coarse and (rule.site in _VAGUE or placed.site_class == rule.site_class)):
        return placed
    return rule


def _no_finer(rule: SiteRule) -> frozenset[str]:
    """The places that tell no more than the site of a rule."""
    if rule.site in _NOWHERE:
        return _NOWHERE
    return _VAGUE - {"node-abdominal"} if rule.site in _VAGUE else _VAGUE


def _grown_into(rule: SiteRule, placed: SiteRule | None) -> SiteRule:
    """Direct growth stays direct growth wherever it reaches: the body site only names the organ. Pelvic bone is pelvic wall (R13)."""
    if placed is None or rule.site not in _NOWHERE:
        return rule
    return replace(rule, site=placed.site, opens=("pelvic_wall",) if placed.site == "bone" else rule.opens)
