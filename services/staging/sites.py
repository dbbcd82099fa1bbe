"""Record → findings of spread: which site a condition or observation names, how sure it is, and what its code leaves open."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from msgspec.structs import replace

from services.staging.extent import method, seen
from services.staging.knowledge import Meaning, Rules
from services.staging.metastases import Spread
from services.staging.places import DISTANT, meant, place, spoken, structure
from services.staging.primary import USABLE, Tumour, certainty
from services.staging.schema import SiteRule
from services.staging.statements import Place, Statement
from services.staging.window import Course
from shared.fhir.codes import SNOMED, codes
from shared.oncology.record import Finding, Issue, Record
from shared.oncology.stage import Certainty
from shared.oncology.verdict import FAILS, HOLDS, UNKNOWN

_NOWHERE = frozenset({"unknown", "other"})
# Sites for which ICD-10 has one code, so that another code only refines it.
_ONE_CODE = (
    {"brain", "meninges"},
    {"bone", "bone-marrow"},
    {"peritoneum", "omentum", "retroperitoneum"},
    {"large-intestine", "rectum"},
    {"bladder", "ureter", "urethra"},
    {"node-neck", "node-supraclavicular"},
    {"node-pelvic", "node-mesorectal"},
)
_VAGUE = _NOWHERE | {"node-unspecified", "node-abdominal", "node-multiple"}
SOMEWHERE = SiteRule(site="unknown", site_class="contested", holds="distant_metastasis")
DOUBT = "Biopsy or follow-up imaging of the doubtful finding: "


class SiteFinding(NamedTuple):
    """A finding of spread, with what it states about the stage, and the fact and place whose freedom would disprove it.

    `opens` are facts left open, each with its question; `told_by` those that tell what it leaves open. `undecided` says that nobody
    can tell whether it was there before the treatment, `issues` what must be said of the finding itself.
    """

    spread: Spread
    statements: tuple[Statement, ...]
    opens: tuple[tuple[str, str], ...] = ()
    contested: str | None = None
    told: tuple[str, Place] | None = None
    told_by: tuple[str, ...] = ()
    undecided: bool = False
    issues: tuple[Issue, ...] = ()


def of_conditions(record: Record, tumour: Tumour, course: Course, rules: Rules) -> Iterator[SiteFinding]:
    """The spread that secondary-cancer conditions name; nothing where one belongs to another primary."""
    primary = {f.source for f in tumour.conditions}
    own = primary | {tumour.primary.condition}
    others = {f.source for f in tumour.others}
    for finding in record.findings:
        if finding.kind != "condition" or finding.source in primary or (named := _named(finding, rules)) is None:
            continue
        sure = certainty(finding)
        if sure is None or (others.intersection(finding.related) and not own.intersection(finding.related)):
            continue
        if not own.intersection(finding.related) and any(not course.after(other, finding) for other in tumour.others):
            sure = "equivocal"
        rule, other = named
        found = _found(finding, rule, sure, course, rules, states=True)
        yield found if other is None else found._replace(issues=(*found.issues, _disagree(finding, rule, other)))


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
    undecided = rule.holds in DISTANT and sure == "definite" and course.undecided(finding)
    if undecided:
        sure, spread = "equivocal", spread._replace(certainty="equivocal")
    issues: tuple[Issue, ...] = ()
    if undecided and course.early(finding):
        text = f"{finding.source}: its date is long before the diagnosis; it is not used as a date of spread."
        issues = (Issue(severity="warning", code="date-implausible", text=text, sources=(finding.source,)),)
    ask = course.ask(finding) + spoken(rule.site) if undecided else rule.ask or DOUBT + rule.site.replace("-", " ")
    statements: tuple[Statement, ...] = ()
    told = (rule.holds, place(rule.holds, rule, finding)) if rule.holds else None
    if told is not None and states:
        verdict = HOLDS if sure == "definite" else UNKNOWN
        # "Distant metastasis" itself has no code to answer with; its doubt is asked as that of an organ.
        fact = "distant_organ" if undecided and told[0] == "distant_metastasis" else told[0]
        statements = (Statement(fact, verdict, finding.source, when, how, ask=ask, place=told[1]),)
    return SiteFinding(spread, statements, tuple((fact, ask) for fact in rule.opens), rule.contested, told, rule.told_by, undecided, issues)


def _general(code: str, rule: SiteRule) -> bool:
    """Whether a structure is the whole organ rather than a place in it (the first structure of a site's rule)."""
    return bool(rule.structures) and code == rule.structures[0]


def _named(finding: Finding, rules: Rules) -> tuple[SiteRule, SiteRule | None] | None:
    """The site of a condition: by its code, refined by its body site where the code is vague; and another that it names as well.

    Of two sites the one of the lower stage is read, and the stage of the other stays open.
    """
    pairs = list(codes(finding.concept))
    found = [rule for pair in pairs if (rule := rules.site(*pair)) is not None]
    clear = [rule for rule in found if rule.site not in _VAGUE]
    rule = clear[0] if clear else found[0] if found else None
    if rule is None:
        return None
    if rule in rules.sites.direct:
        return _grown_into(rule, structure(finding, rules)), None
    placed = structure(finding, rules)
    other = next((each for each in (*clear, *([placed] if placed else ())) if _apart(rule, each)), None)
    if other is not None:
        lower, higher = sorted((rule, other), key=lambda each: -rules.ranks.get(each.holds or "", len(rules.ranks)))
        if higher.holds is None or rules.ranks.get(lower.holds or "") == rules.ranks[higher.holds]:
            return lower, higher
        ask = f"Whether the metastasis is in {spoken(rule.site)} or {spoken(other.site)}"
        return replace(lower, site_class="contested", opens=tuple(dict.fromkeys((*lower.opens, higher.holds))), ask=ask), higher
    coarse = rule.site in _VAGUE or not any(system == SNOMED and rules.site(system, code) for system, code in pairs)
    if placed is None or placed.site in _no_finer(rule):
        return rule, None
    if placed.site == rule.site or (coarse and (rule.site in _VAGUE or placed.site_class == rule.site_class)):
        return placed, None
    return rule, None


def _apart(one: SiteRule, other: SiteRule) -> bool:
    """Whether two sites cannot be one: both are told, and no code stands for the two."""
    sites = {one.site, other.site}
    return len(sites) > 1 and not sites & _VAGUE and not any(sites <= together for together in _ONE_CODE)


def _disagree(finding: Finding, rule: SiteRule, other: SiteRule) -> Issue:
    text = (
        f"The codes of one diagnosis name {spoken(rule.site)} and {spoken(other.site)}; the lower stage is taken, here {spoken(rule.site)}."
    )
    return Issue(severity="warning", code="extent-conflict", text=text, sources=(finding.source,))


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
