"""Templates to HTML, and the files beside them. Everything is escaped; what could hide or turn round text is taken out first."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from services.ingest.pages.forest import runs
from shared.fhir.words import capital
from shared.oncology.wording import UNCHECKED

FOLDER: Final = Path(__file__).parent
_STATIC: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_LONG: Final = 1200
# Bidirectional overrides and isolates, and zero-width characters: they could make one text look like another.
_HIDING: Final = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")


def plain(text: str, long: int = _LONG) -> str:
    """A text without control characters and without what turns its direction round; cut where it is too long to read."""
    clean = "".join(" " if unicodedata.category(char) in ("Cc", "Cs", "Co") else char for char in _HIDING.sub("", text[: 4 * long]))
    return clean if len(clean) <= long else f"{clean[:long].rstrip()}…"


class Shown(str):
    """A text that was made plain already."""

    __slots__ = ()


def cut(text: str, long: int = _LONG) -> Shown:
    """`plain` as a filter, for a text that may be longer or shorter than others."""
    return Shown(plain(text, long))


def dagger(text: str) -> Markup:
    """A text whose "(not checked against the source)" is a sign for the eye, and the words for whoever hears the page."""
    sign = Markup('<sup aria-hidden="true">†</sup><span class="hidden"> (not checked against the source)</span>')
    return sign.join(escape(part) for part in plain(text).split(f" ({UNCHECKED})"))


def unit(text: str) -> str:
    """Square metres as one prints them."""
    return text.replace("m2", "m²")


def _finalize(value: Any) -> Any:
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup | Shown) else value


@dataclass(frozen=True)
class Place:
    """Where a page stands: `base` is its launch ("/app/…"), `root` the path that the service is mounted below."""

    base: str
    root: str = ""

    @property
    def static(self) -> str:
        """Where the static files are."""
        return f"{self.root}/app/static"

    @property
    def css(self) -> str:
        return static_name("figaro.css")

    @property
    def js(self) -> str:
        return static_name("figaro.js")


@cache
def environment() -> Environment:
    """The templates of the pages."""
    loader = FileSystemLoader(FOLDER / "templates")
    found = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
        auto_reload=False,
    )
    found.filters |= {"cut": cut, "runs": runs, "capitalize_first": capital, "dagger": dagger, "unit": unit}
    return found


def render(template: str, **context: Any) -> str:
    """A page or a picture as text."""
    return environment().get_template(template).render(**context)


@cache
def static() -> dict[str, tuple[bytes, str]]:
    """The static files by the names that they are served under (with a hash of their bytes), and their media types."""
    return {
        _hashed(path): (path.read_bytes(), _STATIC[path.suffix]) for path in sorted((FOLDER / "static").iterdir()) if path.suffix in _STATIC
    }


def static_name(file: str) -> str:
    """The name that a static file is served under: "figaro.css" is "figaro.3f2a91c0.css"."""
    return _hashed(FOLDER / "static" / file)


@cache
def _hashed(path: Path) -> str:
    return f"{path.stem}.{sha256(path.read_bytes()).hexdigest()[:12]}{path.suffix}"
