"""The body map: each site of spread on the silhouette, how certain it is told by its outline and in words, its label beside it.

Nothing is told by colour alone. What cannot be drawn is listed beside; the table of sites says all of it again in words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from services.ingest.pages.anatomy import CERVIX, PLACES
from services.ingest.pages.links import Link, Links
from shared.fhir.words import capital, site
from shared.oncology.stage import Metastasis

CLASSES = {
    "organ": "Distant organ",
    "peritoneal": "Peritoneal spread",
    "distant-node": "Distant node",
    "regional-node": "Regional node",
    "adjacent": "Direct growth",
    "contested": "May be regional or distant",
}
CERTAINTIES = {"definite": "Definite", "equivocal": "Equivocal", "unknown": "Certainty not told"}
_LINE, _NAME_WIDTH, _GAP, _TOP, _BOTTOM = 20.0, 16, 10.0, 26.0, 520.0


class SiteView(NamedTuple):
    """One site as the table says it."""

    name: str
    kind: str
    certainty: str
    certainty_words: str
    lesions: str
    late: bool
    drawn: bool
    sources: tuple[Link, ...]


class Label(NamedTuple):
    """A site on the map: where its shape is, and the lines of its label from `y` down. `side` is -1 or 1."""

    site: str
    certainty: str
    names: tuple[str, ...]
    more: str
    side: int
    x: float
    y: float
    label_y: float

    @property
    def nodal(self) -> bool:
        """Nodes are small, and are drawn over organs."""
        return self.site.startswith("node-")


class BodyMap(NamedTuple):
    """What is drawn, what is listed beside it, and the sentence that describes it."""

    labels: tuple[Label, ...]
    beside: tuple[str, ...]
    says: str
    certainties: tuple[str, ...]


def sites(metastases: Iterable[Metastasis], links: Links) -> tuple[SiteView, ...]:
    """The rows of the table."""
    return tuple(
        SiteView(
            name=capital(site(m.site)),
            kind=CLASSES[m.site_class],
            certainty=m.certainty,
            certainty_words=CERTAINTIES[m.certainty],
            lesions="" if m.lesions is None else str(m.lesions),
            late=not m.in_window,
            drawn=m.site in PLACES,
            sources=links.sources(m.sources),
        )
        for m in metastases
    )


def bodymap(metastases: Iterable[Metastasis], *, primary: bool = True) -> BodyMap:
    """The map of these sites, with the cervix where the primary is in scope."""
    listed = [*metastases]
    drawn = sorted((m for m in listed if m.site in PLACES), key=lambda m: PLACES[m.site].at[1])
    wanted: dict[int, list[Label]] = {-1: [], 1: []}
    if primary:
        wanted[1].append(Label("cervix", "primary", ("Cervix",), "primary", 1, *CERVIX, CERVIX[1]))
    for m in drawn:
        place = PLACES[m.site]
        side = -1 if place.at[0] < 0 or (place.paired and len(wanted[-1]) < len(wanted[1])) else 1
        x = -abs(place.at[0]) if side < 0 and (place.paired or place.at[0] < 0) else place.at[0]
        wanted[side].append(Label(m.site, m.certainty, _wrapped(capital(site(m.site))), _more(m), side, x, place.at[1], place.at[1]))
    labels = [label for side in (-1, 1) for label in _spread(sorted(wanted[side], key=lambda label: label.y))]
    beside = tuple(f"{capital(site(m.site))}{f', {more}' if (more := _more(m)) else ''}" for m in listed if m.site not in PLACES)
    return BodyMap(tuple(labels), beside, _sentence(listed), tuple(dict.fromkeys(label.certainty for label in labels)))


def _more(m: Metastasis) -> str:
    """The second line of a label: what the name and the shape do not say."""
    words = [f"{m.lesions} lesion{'' if m.lesions == 1 else 's'}"] if m.lesions else []
    words += [m.certainty] if m.certainty == "equivocal" else ["not sure"] if m.certainty == "unknown" else []
    words += ["regional"] if m.site_class == "regional-node" else ["direct growth"] if m.site_class == "adjacent" else []
    words += ["contested"] if m.site_class == "contested" else []
    return ", ".join([*words, *(["found later"] if not m.in_window else [])])


def _wrapped(name: str) -> tuple[str, ...]:
    first, _, rest = name.partition(" ")
    return (name,) if len(name) <= _NAME_WIDTH or not rest else (first, rest)


def _spread(labels: list[Label]) -> list[Label]:
    """The labels of one side, moved down where they would touch, and up again as far as the drawing needs."""
    placed, floor = list[Label](), _TOP
    for label in labels:
        y = max(label.y, floor)
        placed.append(label._replace(label_y=y))
        floor = y + _tall(label) + _GAP
    over = floor - _GAP - _BOTTOM
    ceiling = _BOTTOM
    for number in range(len(placed) - 1, -1, -1) if over > 0 else ():
        y = min(placed[number].label_y, ceiling - _tall(placed[number]))
        placed[number] = placed[number]._replace(label_y=y)
        ceiling = y - _GAP
    return placed


def _tall(label: Label) -> float:
    return _LINE * (len(label.names) + bool(label.more))


def _sentence(listed: list[Metastasis]) -> str:
    said = [", ".join(filter(None, (site(m.site), CLASSES[m.site_class].lower(), CERTAINTIES[m.certainty].lower()))) for m in listed]
    return (
        f"A woman seen from the front. Sites of spread: {'; '.join(said)}."
        if said
        else "A woman seen from the front. No site of spread is on record."
    )
