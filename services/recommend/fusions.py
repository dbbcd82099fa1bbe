"""Observations of fusions (LOINC 69548-6 with the gene in 48018-6 and the change in 48019-4) → whether a gene is fused."""

from __future__ import annotations

from services.recommend.codes import CodeBook, Codes, said
from services.recommend.disorders import SEEN
from services.recommend.eligibility import Told
from shared.oncology.record import Concept, Finding, Value

VARIANT: Codes = {"loinc": ("69548-6",)}
GENE: Codes = {"loinc": ("48018-6",)}
CHANGE: Codes = {"loinc": ("48019-4",)}
PRESENT: Codes = {"loinc": ("LA9633-4",)}
ABSENT: Codes = {"loinc": ("LA9634-2",)}


def fusions(book: CodeBook, findings: list[Finding]) -> dict[str, Told]:
    """The newest word on each gene that a regimen asks for, as `<name>-fusion`; a variant that nobody calls a fusion tells nothing."""
    settled: dict[str, dict[int, tuple[bool, Finding]]] = {name: {} for name in book.fusions}
    for finding in reversed(findings):
        if not book.means(finding.concept, VARIANT):
            continue
        genes = [part.value for part in finding.components if book.means(part.concept, GENE)]
        changes = [part.value for part in finding.components if book.means(part.concept, CHANGE)]
        present = _present(book, finding.value)
        if present is None or not any(_said(value, ("fusion", "gene_fusion", "rearrangement")) for value in (*changes, finding.value)):
            continue
        for name, names in book.fusions.items():
            for gene in _which(genes, names):
                settled[name].setdefault(gene, (present, finding))
    return {f"{name}-fusion": told for name, names in book.fusions.items() if (told := _told(settled[name], len(names) // 2))}


def _which(genes: list[Value], names: tuple[str, ...]) -> set[int]:
    """Which of the genes are meant, by place; the identifiers stand first, their symbols after them in the same order."""
    return {place % (len(names) // 2) for place, gene in enumerate(names) if any(_names(value, (gene,)) for value in genes)}


def _told(settled: dict[int, tuple[bool, Finding]], genes: int) -> Told | None:
    """Fused where one gene is; not fused only where every gene was looked at; else silent."""
    fused = [finding for present, finding in settled.values() if present]
    if not fused and len(settled) < genes:
        return None
    of = fused or [finding for _, finding in settled.values()]
    return Told(values=("fusion" if fused else "no",), sources=tuple(dict.fromkeys(f.source for f in of)), when=of[0].when)


def _present(book: CodeBook, value: Value) -> bool | None:
    """Whether the variant was found; a variant reported without a value was."""
    if value == Value():
        return True
    if value.boolean is not None:
        return value.boolean
    if book.means(value.concept, PRESENT):
        return True
    if book.means(value.concept, ABSENT) or _said(value, ("absent",)):
        return False
    answer = book.answer(value.concept, value.text, SEEN)
    return (True if _said(value, ("present",)) else None) if answer is None else answer == "yes"


def _names(value: Value, names: tuple[str, ...]) -> bool:
    return any(coding.code in names for coding in (value.concept.codings if value.concept else ())) or _said(value, names)


def _said(value: Value, phrases: tuple[str, ...]) -> bool:
    return said(value.concept or Concept(), phrases) or (value.text is not None and said(Concept(text=value.text), phrases))
