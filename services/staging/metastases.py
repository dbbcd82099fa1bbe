"""Findings of spread, merged into sites: one entry a site, lesions counted once, and whether the disease is oligometastatic."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from shared.oncology.stage import Certainty, Metastasis, Missing, Oligometastatic, SiteClass

_ORDER: tuple[SiteClass, ...] = ("organ", "peritoneal", "distant-node", "contested", "regional-node", "adjacent")
_CERTAIN: tuple[Certainty, ...] = ("definite", "unknown", "equivocal")


class Spread(NamedTuple):
    """One finding of spread. `where` tells two places of one site apart (a structure, a side); `lesions` is None where not counted."""

    site: str
    site_class: SiteClass
    certainty: Certainty
    in_window: bool
    source: str
    when: str = ""
    where: str | None = None
    lesions: int | None = None


def merge(findings: Iterable[Spread]) -> tuple[Metastasis, ...]:
    """One entry a site and window; a second coding, a second report or a condition beside its observation is the same spread."""
    grouped: dict[tuple[str, bool], list[Spread]] = {}
    for finding in findings:
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
    """The newest count of each place, added up; None where nobody counted."""
    newest: dict[str | None, tuple[str, int]] = {}
    for f in found:
        if f.lesions is not None:
            newest[f.where] = max(newest.get(f.where, ("", 0)), (f.when, f.lesions))
    counts = [count for _, count in newest.values()]
    if not counts:
        return None
    return max(newest[None][1], sum(counts) - newest[None][1]) if None in newest else sum(counts)


def oligometastatic(
    metastases: Sequence[Metastasis], excluded: bool, *, organs: int, lesions: int, definition: str, reference: str, ask: str
) -> Oligometastatic:
    """Whether the metastases at diagnosis are few by the definition: so many organs, so many lesions; nodes do not count.

    `excluded` says that distant organ disease is known to be absent; `ask` is what would settle an open organ finding.
    """

    def told(value: bool | None, *missing: Missing) -> Oligometastatic:
        return Oligometastatic(value=value, definition=definition, reference=reference, missing=missing)

    found = [m for m in metastases if m.in_window and m.site_class == "organ"]
    open_ = [m for m in metastases if m.in_window and m.certainty != "definite" and m.site_class in ("organ", "contested")]
    definite = [m for m in found if m.certainty == "definite"]
    counts = [m.lesions for m in definite if m.lesions is not None]
    if any(m.site_class == "peritoneal" and m.in_window and m.certainty == "definite" for m in metastases):
        return told(False)
    if len(definite) > organs or sum(counts) > lesions:
        return told(False)
    if not definite:
        return told(False) if excluded and not open_ else told(None, Missing("distant_organ", ask))
    if open_:
        return told(None, Missing("distant_organ", ask))
    if len(counts) < len(definite):
        return told(None, Missing("lesion_count", f"The number of lesions in {definite[0].site.replace('-', ' ')}"))
    return told(True)
