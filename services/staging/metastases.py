"""Findings of spread, merged into sites: one entry a site, lesions counted once, and whether the disease is oligometastatic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from services.staging.schema import OligometastaticRule
from shared.oncology.stage import Certainty, Metastasis, Missing, Oligometastatic, SiteClass

_ORDER: tuple[SiteClass, ...] = ("organ", "peritoneal", "distant-node", "contested", "regional-node", "adjacent")
_FACTS = {"distant-node": "distant_nodes", "regional-node": "para_aortic_nodes"}
_DISTANT = ("organ", "peritoneal", "distant-node")
_CERTAIN: tuple[Certainty, ...] = ("definite", "unknown", "equivocal")


class Spread(NamedTuple):
    """One finding of spread. `where` tells two places of one site apart (a structure, a side); `lesions` is None where not counted;
    `somewhere` says that there are distant metastases, and not where."""

    site: str
    site_class: SiteClass
    certainty: Certainty
    in_window: bool
    source: str
    when: str = ""
    where: str | None = None
    lesions: int | None = None
    somewhere: bool = False


def merge(findings: Iterable[Spread]) -> tuple[Metastasis, ...]:
    """One entry a site and window; a second coding, a second report or a condition beside its observation is the same spread."""
    grouped: dict[tuple[str, bool], list[Spread]] = {}
    found_all = tuple(findings)
    named = {f.in_window for f in found_all if f.certainty == "definite" and f.site_class in _DISTANT}
    for finding in found_all:
        if finding.somewhere and finding.in_window in named:
            continue  # "there are distant metastases" is told by the site that is named
        grouped.setdefault((finding.site, finding.in_window), []).append(finding)
    merged = []
    for (site, in_window), found in grouped.items():
        certainty = min((f.certainty for f in found), key=_CERTAIN.index)
        site_class = min((f.site_class for f in found if f.certainty == certainty), key=_ORDER.index)
        merged.append(
            Metastasis(
                site=site,
                site_class=site_class,
                lesions=_lesions(found),
                certainty=certainty,
                in_window=in_window,
                sources=tuple(sorted({f.source for f in found})),
            )
        )
    return tuple(sorted(merged, key=lambda m: (not m.in_window, _ORDER.index(m.site_class), m.site)))


def _lesions(found: Sequence[Spread]) -> int | None:
    """The newest count of each place, added up, or the count of all places if that is more; None where nobody counted.

    A count of all places replaces what was counted in one of them before.
    """
    newest: dict[str | None, tuple[str, int]] = {}
    for f in found:
        if f.lesions is not None:
            newest[f.where] = max(newest.get(f.where, ("", 0)), (f.when, f.lesions))
    if not newest:
        return None
    day, whole = newest.pop(None, ("", 0))
    return max(whole, sum(count for when, count in newest.values() if when >= day))


def oligometastatic(
    metastases: Sequence[Metastasis], rule: OligometastaticRule, free: Mapping[str, bool], asks: Mapping[str, str]
) -> Oligometastatic:
    """Whether the metastases at diagnosis are few by a definition: so many organs, sites or lesions; None where the record cannot tell.

    `free` says of distant organs, distant nodes and para-aortic nodes, by fact, whether they are known to be free; `asks` is what would
    settle each.
    """

    def told(value: bool | None, *missing: Missing) -> Oligometastatic:
        return Oligometastatic(value=value, definition=rule.definition, reference=rule.reference, missing=missing)

    now = [m for m in metastases if m.in_window]
    sure = [m for m in now if m.certainty == "definite"]
    if any(m.site_class == "peritoneal" for m in sure) or (rule.nodes == "exclude" and any(m.site_class == "distant-node" for m in sure)):
        return told(False)
    counted = [m for m in sure if _counts(m, rule)]
    organs = [m for m in counted if m.site_class == "organ"]
    counts = [m.lesions for m in counted if m.lesions is not None]
    least = sum(counts) + len(counted) - len(counts)
    if any(_over(n, limit) for n, limit in ((len(organs), rule.organs), (len(counted), rule.sites), (least, rule.lesions))):
        return told(False)
    doubtful = [m for m in now if m.certainty != "definite" and (m.site_class == "contested" or _counts(m, rule))]
    wanted = ["distant_organ"] + ["distant_nodes"] * (rule.nodes != "apart") + ["para_aortic_nodes"] * rule.para_aortic
    unseen = [name for name in wanted if not free.get(name) and name != "distant_organ"]
    if not counted and not doubtful and all(free.get(name) for name in wanted):
        return told(False)
    missing = (
        [Missing("distant_organ", asks["distant_organ"])] if doubtful or not (organs or (counted and free.get("distant_organ"))) else []
    )
    missing += [Missing(name, asks[name]) for name in unseen if not any(_FACTS.get(m.site_class) == name for m in counted)]
    if rule.lesions is not None and len(counts) < len(counted):
        site = next(m.site for m in counted if m.lesions is None)
        missing.append(Missing("lesion_count", f"The number of lesions in {site.replace('-', ' ')}"))
    if rule.controlled_primary:
        missing.append(Missing("primary_controlled", "Whether the primary tumour is controlled"))
    return told(None, *missing) if missing else told(True)


def _counts(m: Metastasis, rule: OligometastaticRule) -> bool:
    """Whether a site counts by the definition."""
    if m.site_class == "distant-node":
        return rule.nodes == "count"
    return m.site_class == "organ" or (rule.para_aortic and m.site == "node-para-aortic")


def _over(number: int, limit: int | None) -> bool:
    return limit is not None and number > limit
