"""The security headers of a page (SE-04, SE-05): what it may load, where its forms may go, and which EHR may show it in a frame."""

from __future__ import annotations

from collections.abc import Sequence


def page_headers(*, frames: Sequence[str] = (), forms: Sequence[str] = (), styles: Sequence[str] = ()) -> dict[str, str]:
    """Headers of an HTML answer. `frames`: origins that may frame it, none by default; `forms`: where a form may go beside here;

    `styles`: hashes ('sha256-…') of the style elements in the page. There is no X-Frame-Options: it would contradict a list.
    """
    policy = {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'", *styles],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'", *forms],
        "frame-ancestors": list(frames) or ["'none'"],
    }
    return {
        "Content-Security-Policy": "; ".join(" ".join([name, *values]) for name, values in policy.items()),
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
