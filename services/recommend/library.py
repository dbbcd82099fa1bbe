"""The knowledge of recommend, loaded strictly: regimens, precautions, evidence, codes and policies, each id resolved.

A refusal names file and line. The digest is of the bytes of every file; the edition is named here and raised with a release.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from services.recommend.codes import CodeBook
from services.recommend.completeness import without_cases
from services.recommend.evidence import Work
from services.recommend.faults import faults
from services.recommend.pathway import PathwayFile
from services.recommend.policies import policies
from services.recommend.prognosis import PrognosisFile
from services.recommend.regimen import Precautions, Regimen
from services.recommend.shelf import Library
from services.recommend.text import show as as_text
from services.recommend.trial import TrialFile
from shared.fhir.outcome import KnowledgeError
from shared.knowledge.loader import digest, load
from shared.oncology.stage import Knowledge

__all__ = ["EDITION", "FOLDER", "Library", "check", "library", "load_library", "show"]

T = TypeVar("T")

EDITION = "2026.1"
FOLDER = Path(__file__).parent
CASES = FOLDER.parents[1] / "tests" / "cases" / "regimens"  # in a checkout; an installed package has none


@cache
def library(own: Path | None = None) -> Library:
    """The library of this package, with a hospital's own policies where their folder is named; loaded once. Raises KnowledgeError."""
    return load_library(own=own)


def show(name: str, found: Library | None = None) -> str:
    """A regimen or a work as plain text, as a person would read it; raises NotFound."""
    return as_text(name, found or library())


def load_library(folder: Path = FOLDER, own: Path | None = None) -> Library:
    """The library in a folder, with the policies in `own`; raises the first KnowledgeError."""
    return _load(folder, own, _raise)


def check(folder: Path = FOLDER, cases: Path = CASES, own: Path | None = None) -> list[KnowledgeError]:
    """Every refusal, in the order found; empty when the folder is sound, and its regimens have their cases where cases are at hand."""
    refusals: list[KnowledgeError] = []
    try:
        found = _load(folder, own, refusals.append)
        if cases.is_dir() and not refusals:
            refusals += [_refusal(folder, name, text) for name, text in without_cases(found, cases)]
    except KnowledgeError as error:
        refusals.append(error)
    return refusals


def _raise(error: KnowledgeError) -> None:
    raise error


def _load(folder: Path, own: Path | None, refuse: Callable[[KnowledgeError], None]) -> Library:
    if own is not None and not own.is_dir():
        raise KnowledgeError(f"There is no folder of policies {own.name}.", file=own.name)
    homes = (folder / "policy", *([own] if own else []))
    paths = sorted(folder.glob("*.yaml")) + sorted(folder.glob("*/*.yaml")) + sorted(own.glob("*.yaml") if own else [])
    found = Library(
        regimens=_shelf(folder / "regimens", Regimen, lambda it: it.id, refuse),
        precautions=_shelf(folder / "precautions", Precautions, lambda it: it.of, refuse),
        works=_shelf(folder / "evidence", Work, lambda it: it.id, refuse),
        policies=policies(homes, refuse),
        trials=_shelf(folder / "trials", TrialFile, lambda it: it.id, refuse),
        pathways=_shelf(folder / "pathways", PathwayFile, lambda it: it.id, refuse),
        prognoses=_shelf(folder / "prognosis", PrognosisFile, lambda it: it.id, refuse),
        book=load(folder / "codes.yaml", CodeBook),
        knowledge=Knowledge(EDITION, digest(paths)),
    )
    shelves = (found.regimens, found.precautions, found.works, found.policies, found.trials, found.pathways, found.prognoses)
    whole = len(paths) == sum(map(len, shelves)) + 1
    for name, text in faults(found) if whole else ():
        if own is not None and not (folder / name).is_file():
            refuse(_refusal(own, Path(name).name, text))
        else:
            refuse(_refusal(folder, name, text))
    return found


def _refusal(folder: Path, name: str, text: str) -> KnowledgeError:
    path, words = folder / name, text.split("`")
    return KnowledgeError(text, file=f"{path.parent.name}/{path.name}", line=_line(path, words[1] if len(words) > 1 else ""))


def _shelf(folder: Path, schema: type[T], name: Callable[[T], str], refuse: Callable[[KnowledgeError], None]) -> dict[str, T]:
    shelf: dict[str, T] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            value = load(path, schema)
        except KnowledgeError as error:
            refuse(error)
            continue
        if name(value) != path.stem:
            text = f"The id `{name(value)}` is not the file's name: call the file {name(value)}.yaml, or correct the id."
            refuse(KnowledgeError(text, file=f"{folder.name}/{path.name}", line=1))
        shelf[name(value)] = value
    return shelf


def _line(path: Path, word: str) -> int:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    whole = re.compile(rf"(?<![\w-]){re.escape(word)}(?![\w-])") if word else None
    return next((number for number, line in enumerate(lines, 1) if whole and whole.search(line)), 1)
