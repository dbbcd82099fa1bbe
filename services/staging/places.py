"""Which site a finding of extent means, and which place in it: what its fact says, corrected by the body site that it names."""

from __future__ import annotations

from services.staging.knowledge import Rules
from services.staging.schema import SiteRule
from services.staging.statements import SIDES, Place
from shared.fhir.codes import SNOMED, codes
from shared.oncology.record import Finding

# What an extent-of-disease fact says of a site when the observation names none.
SITES: dict[str, tuple[str, str]] = {
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
# Spread beyond pelvis and para-aortic nodes: what makes IVB.
DISTANT = frozenset({"distant_organ", "distant_nodes", "peritoneal_spread", "distant_metastasis"})
# The levels of nodes, from the lower stage to the higher.
_NODES = ("pelvic_nodes", "para_aortic_nodes", "distant_nodes")
_LEVELS = {"pelvic_nodes": "pelvic_nodes", "para_aortic_nodes": "para_aortic_nodes", "inguinal_nodes": "distant_nodes"}
# Never a distant organ, whoever files them as one: the vagina is staged by its level (R16), the corpus is ignored.
_LOCAL = frozenset({"vagina", "uterus", "parametrium"})


def spoken(site: str) -> str:
    """A site in words: "pelvic nodes", "bone marrow"."""
    return f"{site.removeprefix('node-')} nodes" if site.startswith("node-") else site.replace("-", " ")


def structure(finding: Finding, rules: Rules) -> SiteRule | None:
    """The site that the body site of a finding names: by its code, and only where it has none by its words."""
    if not finding.sites:
        return None
    coded = (rule for site in finding.sites for pair in codes(site) if (rule := rules.structure(*pair) or rules.site(*pair)))
    texts = [site.text.lower() for site in finding.sites if site.text and not site.codings]
    return next(coded, None) or next((rule for rule in rules.sites.sites for word in rule.words for text in texts if word in text), None)


def meant(fact: str, finding: Finding, rules: Rules) -> SiteRule | None:
    """The site that a finding of extent means; None for a fact that is no spread. A node is what its place is, whatever it was filed as."""
    if fact not in SITES:
        return None
    rule = structure(finding, rules)
    own, site_class = SITES[fact]
    if filed_elsewhere(fact, finding, rules):
        return _either(fact, rule)
    if fact == "inguinal_nodes":
        return SiteRule(site=own, site_class=site_class, holds="distant_nodes")
    if rule is not None and fact in ("distant_organ", "distant_nodes", "regional_nodes") and rule.holds in _NODES:
        return rule
    if rule is not None and rule.contested and rule.holds == _LEVELS.get(fact, ""):
        return rule
    if rule is not None and fact == "distant_organ" and rule.site != "bone":
        if rule.holds not in (None, "bowel_contiguous") or rule.contested or rule.site in _LOCAL:
            return rule
        return SiteRule(site=rule.site, site_class="organ", holds=fact, structures=rule.structures)
    if rule is not None and fact == "distant_organ":  # who files a bone as distant says that the tumour did not grow into it
        return SiteRule(site="bone", site_class="organ", holds=fact, structures=("", *rule.structures) if rule.opens else rule.structures)
    if rule is not None and (rule.site_class == site_class == "peritoneal" or (fact == "bowel_contiguous" and "intestine" in rule.site)):
        return SiteRule(site=rule.site, site_class=site_class, holds=fact, structures=rule.structures)
    if rule is not None and rule.site == own:
        return SiteRule(site=own, site_class=site_class, holds=fact, structures=rule.structures)
    return SiteRule(site=own, site_class=site_class, holds=fact)


def filed_elsewhere(fact: str, finding: Finding, rules: Rules) -> bool:
    """Whether nodes of a named level are said to be at a body site of another level: fact and place contradict each other."""
    rule = structure(finding, rules) if fact in _LEVELS else None
    return rule is not None and rule.holds in _NODES and rule.holds != _LEVELS[fact]


def _either(fact: str, rule: SiteRule | None) -> SiteRule:
    """Two levels for one node: the lower reading holds, the other stays open."""
    assert rule is not None
    assert rule.holds is not None
    lower, higher = sorted((_LEVELS[fact], rule.holds), key=_NODES.index)
    site = SITES[fact][0] if lower == _LEVELS[fact] else rule.site
    ask = f"Whether the node is {SITES[fact][0].removeprefix('node-')} or {rule.site.removeprefix('node-')}"
    return SiteRule(site=site, site_class="contested", holds=lower, opens=(higher,), ask=ask)


def place(fact: str, rule: SiteRule, finding: Finding) -> Place:
    """Where a finding speaks of: a site, a structure of it, a side; everywhere where the fact has that one site only."""
    own = SITES[fact][0] if fact in SITES else rule.site
    inside = [code for site in finding.sites for system, code in codes(site) if system == SNOMED and code in rule.structures[1:]]
    return (() if rule.site == own else (rule.site,)) + tuple(inside[:1]) + _side(finding)


def local_place(finding: Finding) -> Place:
    """Where a finding of the pelvis itself speaks of: the structure and the side that it names, so that a free right takes nothing from
    an obstructed left."""
    named = [code for site in finding.sites for system, code in codes(site) if system == SNOMED]
    return tuple(named[:1]) + _side(finding)


def _side(finding: Finding) -> Place:
    return tuple(coding.code for coding in finding.laterality if coding.code in SIDES)[:1]
