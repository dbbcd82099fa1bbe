"""Pictures without scripts: a declarative chart becomes an SVG on the server, in the colours of the page that shows it.

Altair describes, vl-convert draws; no font is asked for and no style element or attribute is left, so a strict content security policy
holds. Who asks for a picture keeps it, by what is in it: the first of a process takes 0.4 s, each after it about 0.05 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple
from xml.etree import ElementTree

import altair as alt
import msgspec
import vl_convert
from markupsafe import Markup

INK: Final = "currentColor"
_SVG: Final = "http://www.w3.org/2000/svg"
_KEPT: Final = frozenset(
    {"d", "transform", "x", "y", "x1", "x2", "y1", "y2", "width", "height", "rx", "ry", "fill", "stroke", "stroke-width", "opacity"}
    | {"stroke-dasharray", "stroke-linecap", "stroke-opacity", "fill-opacity", "text-anchor", "font-size", "font-weight"}
)


class Column(NamedTuple):
    """A column of the table beside a picture; `number` is set in figures of one width."""

    name: str
    number: bool = False


class Picture(NamedTuple):
    """A picture in its two widths, what it shows in words, and the same as a table."""

    id: str
    title: str
    says: str
    wide: Markup
    narrow: Markup
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]


def layers(marks: Sequence[alt.Chart], *, width: float, height: float, left: float = 0, right: float = 0) -> dict[str, Any]:
    """Marks over one another in a field of `width` by `height` px, with room for words on both sides. Every x and y is in data units."""
    chart = alt.layer(*marks).properties(width=width, height=height, padding={"left": left, "right": right, "top": 6, "bottom": 40})
    chart = chart.configure_view(stroke=None).configure(autosize=alt.AutoSizeParams(type="none"), background="transparent")
    found: dict[str, Any] = chart.to_dict(validate=False)
    return found


def svg(spec: dict[str, Any], *, id: str, title: str, says: str, shape: str) -> Markup:
    """The chart as inline SVG with its title and description; `shape` is its class."""
    return Markup(_drawn(msgspec.json.encode(spec), id, title, says, shape))  # noqa: S704 -- an XML serialiser wrote it


def _drawn(spec: bytes, id: str, title: str, says: str, shape: str) -> str:
    root = ElementTree.fromstring(vl_convert.vegalite_to_svg(spec.decode()))  # noqa: S314 -- drawn here, one line above
    for parent in [*root.iter()]:
        for child in [*parent]:
            if child.get("class") == "background" or (parent is root and child.tag == f"{{{_SVG}}}rect"):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")  # prefixes are of the whole process, and WeasyPrint sets them too
        for name in [name for name in element.attrib if name not in _KEPT]:
            del element.attrib[name]
    width, height = (float(root.get(side, "0")) for side in ("width", "height"))
    names = f"{id}-{shape}-title", f"{id}-{shape}-says"
    root.attrib.clear()
    root.attrib |= {
        "xmlns": _SVG,
        "class": f"plot {shape}",
        "viewBox": f"0 0 {width:g} {height:g}",
        "role": "img",
        "aria-labelledby": " ".join(names),
    }
    for place, (kind, name, words) in enumerate((("title", names[0], title), ("desc", names[1], says))):
        told = ElementTree.Element(kind, {"id": name})
        told.text = words
        root.insert(place, told)
    return ElementTree.tostring(root, encoding="unicode")


def data(values: Iterable[dict[str, Any]]) -> Any:
    """Rows of a chart."""
    return alt.Data(values=[*values])  # type: ignore[no-untyped-call]


def axis(values: Sequence[float], title: str, format: str) -> alt.Axis:
    """A quiet axis in the page's own ink."""
    ink: dict[str, Any] = {f"{part}Color": INK for part in ("label", "title", "grid", "domain", "tick")}
    quiet: dict[str, Any] = {"labelOpacity": 0.8, "titleOpacity": 0.8, "gridOpacity": 0.12, "domainOpacity": 0.4, "tickOpacity": 0.4}
    size: dict[str, Any] = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "titleLimit": 600}
    return alt.Axis(values=[*values], title=title, format=format, grid=True, **ink, **quiet, **size)


def words(
    values: Iterable[dict[str, Any]],
    field: str,
    x: float,
    y: alt.Y,
    *,
    align: str = "left",
    size: float = 13,
    weight: int = 400,
    quiet: bool = False,
) -> alt.Chart:
    """A column of words at `x` px from the left of the field."""
    mark: dict[str, Any] = {"align": align, "baseline": "middle", "fontSize": size, "fontWeight": weight, "limit": 2000, "color": INK}
    chart = alt.Chart(data(values)).mark_text(**mark, opacity=0.72 if quiet else 1.0)
    found: alt.Chart = chart.encode(x=alt.value(x), y=y, text=alt.Text(f"{field}:N"))
    return found
