"""The report as files: HTML that needs nothing beside it and runs nothing, a PDF of it, and the curves as SVG."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import jinja2

from services.cohort.report import Report
from services.cohort.statistics import Endpoint
from shared.fhir.outcome import Refused

HTML, PDF = "report.html", "report.pdf"
PICTURE: Final[dict[Endpoint, str]] = {"os": "overall-survival.svg", "pfs": "progression-free-survival.svg"}
_PAGES: Final = files(__package__) / "pages"


def html(report: Report) -> str:
    """The page: one file, no script; a content security policy that lets nothing in but its own style and pictures."""
    style = (_PAGES / "report.css").read_text(encoding="utf-8")
    pictures = {name: b64encode(part.picture.encode()).decode() for name, part in report.parts.items()}
    found = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = found.from_string((_PAGES / "report.html").read_text(encoding="utf-8"))
    digest = b64encode(sha256(style.encode()).digest()).decode()
    return template.render(it=report, style=style, digest=digest, pictures=pictures)


def written(report: Report, folder: Path) -> list[Path]:
    """Writes report.html, report.pdf and the curves into a folder, all or none; their paths. Raises Refused where it cannot be written."""
    from weasyprint import HTML as PAGE  # type: ignore[import-untyped]
    from weasyprint.urls import URLFetcher  # type: ignore[import-untyped]

    page = html(report)
    # All that the page shows stands in it: the print fetches nothing.
    pdf = PAGE(string=page, url_fetcher=URLFetcher(allowed_protocols=["data"])).write_pdf()
    files_ = {HTML: page.encode(), PDF: pdf} | {PICTURE[name]: report.parts[name].picture.encode() for name in PICTURE}
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with TemporaryDirectory(dir=folder, prefix=".", suffix=".part") as beside:
            for name, content in files_.items():
                (Path(beside) / name).write_bytes(content)
            for name in files_:
                (Path(beside) / name).replace(folder / name)
    except OSError as error:
        reason = (error.strerror or "no reason given").lower()
        again = "The result is kept: give the same command again, with room there or another --report."
        raise Refused(f"The report cannot be written to {folder}: {reason}. {again}", code="no-store") from None
    return [folder / name for name in files_]
