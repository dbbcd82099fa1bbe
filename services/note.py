"""A staging as a colleague's short note for the tumour board: what the stage is and why, what it could still be, what to ask for.

Sentences first, then short blocks; a block that has nothing to say is left out. Every finding stands with its method, its day, its
reference and version; every rule with the work it comes from.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from shared.fhir.words import answer, capital, day, either, histology, is_category, joined, origin, site
from shared.oncology.not_read import remark
from shared.oncology.record import Finding, Issue, Record
from shared.oncology.stage import Because, EditionStage, Metastasis, Staging

WIDTH = 100
_EDITIONS = {"figo-2018": "FIGO 2018", "figo-2009": "FIGO 2009"}
_IN_FORCE = "2018-10"
_FEW = 6
_FEW_SAID = {True: "yes", False: "no", None: "cannot be told"}
_DISTANT = ("distant_organ", "distant_nodes", "peritoneal_spread", "distant_metastasis")
_SPREAD = {"organ": "distant", "peritoneal": "peritoneal", "distant-node": "distant", "regional-node": "regional"}
_SPREAD |= {"adjacent": "by direct growth", "contested": "of more than one reading"}
_AGREES = {True: "which agrees", None: "which the record can neither confirm nor exclude"}
_TOLD = frozenset({"stage-conflict", "outside-scope"})  # said in the sentences


class Known(Protocol):
    """What the note needs of the staging rules: facts with their words, works with their citations."""

    @property
    def facts(self) -> Mapping[str, Any]: ...

    @property
    def works(self) -> Mapping[str, Any]: ...


def note(record: Record, staging: Staging, known: Known, width: int = WIDTH) -> str:
    """The note as text, wrapped."""
    return "\n".join(_Note(record, staging, known, width).lines()) + "\n"


class _Note:
    def __init__(self, record: Record, staging: Staging, known: Known, width: int) -> None:
        self.record, self.staging, self.known, self.width = record, staging, known, width
        self.findings: dict[str, Finding] = {finding.source: finding for finding in record.findings}

    def lines(self) -> Iterator[str]:
        s = self.staging
        yield from self._wrapped(s.patient)
        for paragraph in (self._tumour(), *self._stages(), self._course(), self._recorded()):
            yield from self._wrapped(paragraph)
        new = s.editions.get("figo-2018", EditionStage())
        old = s.editions.get("figo-2009", EditionStage())
        asked = [m.ask for m in new.missing]
        yield from self._block("Sites", [*map(self._site, s.metastases), *self._few()])
        yield from self._block("To ask for, in the order that narrows the stage most", asked, numbered=True)
        yield from self._block("For FIGO 2009 also", [m.ask for m in old.missing if m.ask not in asked])
        yield from self._block("Conflicts", [self._conflict(i) for i in s.issues if i.code == "extent-conflict"])
        yield from self._block("Contested", [self._contested(i) for i in s.issues if i.code == "contested"])
        rest = [i for i in s.issues if i.code not in {"extent-conflict", "contested", *_TOLD}]
        yield from self._block(
            "To look at", [f"{i.text} See {joined(map(self._reference, i.sources))}." if i.sources else i.text for i in rest]
        )
        yield from self._block("Sources", self._works())
        yield ""
        yield from self._wrapped(f"Staging knowledge {s.knowledge.edition} ({s.knowledge.digest[:8]}).")

    def _tumour(self) -> str:
        p = self.staging.primary
        if not p.applies:
            return f"FIGO staging of carcinoma of the cervix does not apply here: {(p.why_not or '').replace(': ', ', ')}."
        type_told = "" if p.histology else ", type not told"
        when = f", diagnosed {day(self.staging.diagnosed)}" if self.staging.diagnosed else ""
        return f"{histology(p.histology)} of the cervix ({p.site or 'C53.9'}){type_told}{when}."

    def _stages(self) -> Iterator[str]:
        editions = list(self.staging.editions.items())
        if not editions:
            return
        (_, new), (_, old) = editions
        same = (new.label, new.could_be) == (old.label, old.could_be)
        sentences = [self._stage("FIGO 2018 and 2009" if same else _EDITIONS[editions[0][0]], new)]
        if not same:
            sentences.append(self._stage(_EDITIONS[editions[1][0]], old, told=new))
        t = self.staging.tnm
        categories = [c for c in (t.t, t.n, t.m) if c]
        silent = [axis for axis, c in zip("TNM", (t.t, t.n, t.m), strict=True) if not c]
        if categories:
            open_ = f", {joined(silent)} not assessed" if silent else ""
            sentences.append(f"TNM {' '.join(categories)}{open_}.")
        yield " ".join(sentences)

    def _stage(self, edition: str, e: EditionStage, told: EditionStage | None = None) -> str:
        """The stage and why; what it could still be, and for want of what; `told` is an edition whose reasons were given already."""
        why = self._why(e)
        settled = f"{edition} {e.label}: {why}." if e.label else f"{edition}: no stage can be settled."
        if told is not None and e.label and why == self._why(told):
            settled = f"{edition} {e.label}, on the same findings."
        if not e.could_be:
            return settled
        could = (
            either(e.could_be) if len(e.could_be) <= _FEW else f"any of {len(e.could_be)} stages from {e.could_be[0]} to {e.could_be[-1]}"
        )
        if told is not None and {m.fact for m in e.missing} <= {m.fact for m in told.missing}:
            want = ", for want of the same"
        else:
            open_ = self._open(e)
            want = f": the record leaves open {joined(open_)}" if open_ else ""
        return f"{settled} Could {'still ' if e.label else ''}be {could}{want}."

    def _open(self, e: EditionStage) -> list[str]:
        """The places that the record leaves open; where something doubtful was seen, that."""
        held = {name for b in e.because for name in b.facts}
        asked = [m for m in e.missing if m.fact not in held and m.fact in self.known.facts]
        doubtful = [
            site(m.site) for m in self.staging.metastases if m.in_window and (m.certainty != "definite" or m.site_class == "contested")
        ]
        seen = [m.fact for m in asked if m.ask != self.known.facts[m.fact].ask]
        places = list(dict.fromkeys(self.known.facts[m.fact].place for m in asked if not doubtful or m.fact not in seen))
        if seen and doubtful:
            places.append(f"what the finding in the {either(dict.fromkeys(doubtful))} is")
        return [*places[:_FEW], f"{len(places) - _FEW} more"] if len(places) > _FEW + 1 else places

    def _why(self, e: EditionStage) -> str:
        return "; ".join(self._reason(b) for b in e.because)

    def _reason(self, b: Because) -> str:
        if not b.facts:
            return f"as recorded in {joined(map(self._reference, b.sources))}, no finding telling the extent"
        names = [name for name in b.facts if self.known.facts[name].code] or list(b.facts)
        words = [finding for name, finding in zip(b.facts, b.findings, strict=False) if name in names and name not in _DISTANT]
        if any(name in _DISTANT for name in names):
            words = [*self._distant(b), *words]
        return f"{joined(dict.fromkeys(words))}{', ' if len(b.sources) > 1 else ' '}{self._origins(b.sources)}"

    def _distant(self, b: Because) -> list[str]:
        """The distant sites by which a row holds, by name where they have one."""
        found = [m for m in self.staging.metastases if m.in_window and m.certainty == "definite" and {*m.sources} & {*b.sources}]
        organs = [site(m.site) for m in found if m.site_class == "organ" and m.site not in ("unknown", "other")]
        nodes = [f"{site(m.site).removesuffix('s')} metastasis" for m in found if m.site_class == "distant-node"]
        words = ([f"metastasis in {joined(organs)}"] if organs else []) + nodes
        words += ["peritoneal spread"] if any(m.site_class == "peritoneal" for m in found) else []
        return words or [finding for name, finding in zip(b.facts, b.findings, strict=False) if name in _DISTANT]

    def _course(self) -> str:
        s = self.staging
        said = []
        if not any(f.when or f.recorded for f in self.record.findings):
            said.append("No finding carries a date; the staging window could not be checked.")
        if s.primary.applies and s.window.end:
            began = f"Treatment began on {day(s.window.end)} ({s.window.ends_with}); what was found later does not change the stage."
            said.append(began)
        if s.disease_state != "initial":
            said.append(f"The disease is {s.disease_state}.")
        said += [remark(s.unread)] if s.unread else []
        return " ".join(said)

    def _recorded(self) -> str:
        said = []
        for r in self.staging.recorded:
            finding = self.findings.get(r.source)
            on = f" on {day(finding.when)}" if finding is not None and finding.when else ""
            edition = f" ({_EDITIONS[r.edition]})" if r.edition in _EDITIONS else ""
            start = f"Recorded as {r.stage}{edition}{on} in {self._reference(r.source)}"
            if r.agrees is not False:
                said.append(f"{start}, {_AGREES[r.agrees]}.")
                continue
            e = self.staging.editions[r.edition or ("figo-2009" if finding and finding.when and finding.when < _IN_FORCE else "figo-2018")]
            said.append(f"{start}; the record supports {e.label}, because of {self._findings(e)}. Neither is changed.")
        return " ".join(said)

    def _findings(self, e: EditionStage) -> str:
        return joined([words for b in e.because for words in (self._distant(b) if {*b.facts} & {*_DISTANT} else b.findings)])

    def _site(self, m: Metastasis) -> str:
        lesions = [f"{m.lesions} lesion{'s' if m.lesions != 1 else ''}"] if m.lesions else []
        sure = ["equivocal"] if m.certainty == "equivocal" else []
        late = [] if m.in_window else ["after the staging window"]
        told = ", ".join([_SPREAD[m.site_class], *lesions, *sure, *late])
        return f"{capital(site(m.site))}: {told}; {self._origins(m.sources)}."

    def _few(self) -> Iterator[str]:
        """Whether the metastases are few, where there are any that could count."""
        o = self.staging.oligometastatic
        counting = (m for m in self.staging.metastases if m.in_window and not m.site.startswith("node-"))
        if self.staging.primary.applies and any(m.site_class in ("organ", "contested", "peritoneal") for m in counting):
            asked = {m.ask for e in self.staging.editions.values() for m in e.missing}
            ask = "".join(f"; to ask for: {m.ask[0].lower()}{m.ask[1:]}" for m in o.missing if m.ask not in asked)
            yield f"Oligometastatic ({o.definition}; {self.known.works[o.reference].short}): {_FEW_SAID[o.value]}{ask}."

    def _conflict(self, issue: Issue) -> str:
        sides = [f"{answer(self.findings[source])} {self._origin(source)}" for source in issue.sources if source in self.findings]
        return f"{issue.text} {capital('; '.join(sides))}." if sides else issue.text

    def _contested(self, issue: Issue) -> str:
        return f"{issue.text} Found {self._origins(issue.sources)}." if issue.sources else issue.text

    def _works(self) -> list[str]:
        """The works cited, each once, with the places in it."""
        cited: dict[str, dict[str, None]] = {}
        for e in self.staging.editions.values():
            for b in e.because:
                mark = "" if b.checked else " (not checked against the source)"
                cited.setdefault(b.reference, {})[f"{b.place or 'no place told'}{mark}"] = None
        texts = [i.text for i in self.staging.issues if i.code == "contested"]
        if any(self._few()):
            cited.setdefault(self.staging.oligometastatic.reference, {})
        for name, work in self.known.works.items():
            if any(f"({work.short}," in text for text in texts):
                cited.setdefault(name, {})
        return [" ".join((self.known.works[name].citation, *(f"{capital(place)}." for place in places))) for name, places in cited.items()]

    def _origins(self, sources: Iterable[str]) -> str:
        """Where something comes from: findings, then categories, then coded diagnoses."""
        found = [self.findings.get(source) for source in sources]
        first = sorted(zip(sources, found, strict=True), key=lambda pair: _weight(pair[1]))
        return joined(self._origin(source) for source, _ in first)

    def _origin(self, source: str) -> str:
        finding = self.findings.get(source)
        return f"{origin(finding)} ({self._reference(source)})" if finding is not None else source

    def _reference(self, source: str) -> str:
        finding = self.findings.get(source)
        return f"{source}, version {finding.version}" if finding is not None and finding.version else source

    def _wrapped(self, text: str, first: str = "", rest: str = "") -> Iterator[str]:
        """Lines of the width; what cannot be printed is left out."""
        clean = "".join(c for c in text if c.isprintable())
        yield from textwrap.wrap(
            clean, self.width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
        )

    def _block(self, title: str, items: Iterable[str] | Sequence[str], *, numbered: bool = False) -> Iterator[str]:
        for number, item in enumerate(items, 1):
            if number == 1:
                yield f"\n{title}"
            first = f"  {number}. " if numbered else "  - "
            yield from self._wrapped(item, first, " " * len(first))


def _weight(finding: Finding | None) -> int:
    """Findings first, then categories, then coded diagnoses."""
    return 2 if finding is None or finding.kind == "condition" else int(is_category(finding))
