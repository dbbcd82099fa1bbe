"""Record → findings of spread: which site a condition or observation names, how sure it is, and what its code leaves open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from services.staging.extent import answer, method
from services.staging.knowledge import Meaning, Rules
from services.staging.metastases import Spread
from services.staging.primary import USABLE, Tumour, certainty
from services.staging.schema import SiteRule
from services.staging.statements import Statement
from services.staging.window import Course
from shared.fhir.codes import ICD_10, ICD_O_3, SNOMED, codes
from shared.oncology.record import Concept, Finding
from shared.oncology.stage import Certainty
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN

# What an extent-of-disease fact says of a site when the observation names none.
_FACT_SITES: dict[str, tuple[str, str]] = {
    "distant_organ": ("unknown", "organ"),
    "distant_nodes": ("node-unspecified", "distant-node"),
    "inguinal_nodes": ("node-inguinal", "distant-node"),
    "pelvic_nodes": ("node-pelvic", "regional-node"),
    "para_aortic_nodes": ("node-para-aortic", "regional-node"),
    "regional_nodes": ("node-unspecified", "regional-node"),
    "peritoneal_spread": ("peritoneum", "peritoneal"),
    "bladder_mucosa": ("bladder", "adjacent"),
    "rectal_mucosa": ("rectum", "adjacent"),
    "bowel_contiguous": ("large-intestine", "adjacent"),
}
SPREADING = frozenset(_FACT_SITES)
_VAGUE = frozenset({"unknown", "other", "node-unspecified", "node-abdominal", "node-multiple"})
DOUBT = "Biopsy or follow-up imaging of the doubtful finding: "


class SiteFinding(NamedTuple):
    """A finding of spread, with what it states about the stage."""

    spread: Spread
    statements: tuple[Statement, ...]
    opens: tuple[tuple[str, str], ...] = ()
    contested: bool = False


def of_condition(finding: Finding, tumour: Tumour, course: Course, rules: Rules) -> Iterator[SiteFinding]:
    """The spread that a secondary-cancer condition names; nothing where it belongs to another primary."""
    rule = _rule(finding, rules)
    sure = certainty(finding)
    if rule is None or sure is None or finding in tumour.conditions:
        return
    own = {f.source for f in tumour.conditions} | {tumour.primary.condition}
    others = {f.source for f in tumour.others}
    if finding.related and others.intersection(finding.related) and not own.intersection(finding.related):
        return
    if others and not own.intersection(finding.related):
        sure = "equivocal"
    yield _found(finding, rule, sure, course, rules, None)


def of_observation(finding: Finding, meaning: Meaning, course: Course, rules: Rules) -> Iterator[SiteFinding]:
    """The spread that an observation of extent names: its body site, or the site that the fact itself means."""
    fact = meaning.detail or ""
    verdict = answer(finding.value, rules)
    if verdict is None or verdict is FAILS or fact not in SPREADING or finding.status in ("entered-in-error", "cancelled"):
        return
    sure: Certainty = "definite" if verdict is HOLDS and finding.status in USABLE else "equivocal"
    if verdict is UNKNOWN and finding.value.absent:
        return
    rule = next((r for site in finding.sites for pair in codes(site) if (r := rules.structure(*pair) or rules.site(*pair))), None)
    if rule is None or (fact == "distant_nodes" and rule.site_class != "distant-node") or fact in ("pelvic_nodes", "para_aortic_nodes"):
        site, site_class = _FACT_SITES[fact]
        rule = SiteRule(site=site, site_class=site_class, holds=fact)
    elif fact == "distant_organ":
        rule = SiteRule(site=rule.site, site_class="organ", holds="distant_organ", contested=rule.contested)
    count = next(
        (c.value.integer for c in finding.components if (rules.observations.extent_system, "lesion-count") in set(codes(c.concept))), None
    )
    yield _found(finding, rule, sure, course, rules, count)


def of_region(finding: Finding, course: Course, rules: Rules) -> Iterator[SiteFinding]:
    """The spread that a German oBDS site observation names: one observation a site, the site as its value."""
    for coding in finding.value.concept.codings if finding.value.concept else ():
        rule = rules.site_codes.get((SNOMED, f"obds:{coding.code}")) or rules.site_codes.get(("obds", coding.code or ""))
        if rule is not None and finding.status in USABLE:
            yield _found(finding, rule, "definite", course, rules, None)
            return


def _found(finding: Finding, rule: SiteRule, sure: Certainty, course: Course, rules: Rules, count: int | None) -> SiteFinding:
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
    if rule.holds and finding.kind == "condition":
        verdict = HOLDS if sure == "definite" else UNKNOWN
        statements = (Statement(rule.holds, verdict, finding.source, when, how, ask=ask),)
    return SiteFinding(spread, statements, tuple((fact, ask) for fact in rule.opens), rule.contested)


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
    placed = next((r for site in finding.sites for pair in codes(site) if (r := rules.structure(*pair))), None)
    coarse = rule.site in _VAGUE or not any(system == SNOMED and rules.site(system, code) for system, code in pairs)
    if placed is not None and placed.site not in _VAGUE and coarse and (rule.site in _VAGUE or placed.site_class == rule.site_class):
        return placed
    return rule


def is_secondary(concept: Concept, rules: Rules) -> bool:
    """Whether a concept names a secondary cancer."""
    return any(system != ICD_O_3 and rules.site(system, code) is not None for system, code in codes(concept) if system in (SNOMED, ICD_10))
