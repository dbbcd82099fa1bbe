"""What every page to print and sign has in common: the style, the foot of the page, who has signed. Nothing in a page is fetched."""

from __future__ import annotations

import re
from functools import cache

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from shared.knowledge.table import Reviewed


@cache
def environment(package: str) -> Environment:
    """The templates in `pages/` of a package, with `print.css` beside them; everything is escaped, and `|css` is for CSS strings.

    One for the process: it keeps each template once it is compiled, and compiling takes longer than a page.
    """
    loader = ChoiceLoader([PackageLoader(package, "pages"), PackageLoader("shared.knowledge", "pages")])
    found = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    found.filters["css"] = _css
    return found


def signature(review: Reviewed) -> str:
    """Who has signed, when, and when it is due again."""
    by = f"signed by {', '.join(review.by)} on {review.on}" if review.by else "signed by nobody yet"
    return f"Review: {review.state}, {by}, next due {review.next}."


def _css(words: str) -> str:
    """Text inside a CSS string: whatever is not plain is written as its number."""
    return re.sub(r"[^\w .-]", lambda found: f"\\{ord(found[0]):x} ", words)
