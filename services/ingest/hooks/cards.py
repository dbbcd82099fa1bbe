"""From what staging and recommend say to the cards of CDS Hooks 2.0 (CH-30 to CH-35). Nothing here suggests an action or applies one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, NamedTuple
from uuid import uuid4

import msgspec

from services.ingest.hooks.orders import Drugs, Judged, judged
from services.ingest.hooks.wording import bullets, escaped, summary
from shared.oncology.recommendation import Candidate, Caution, Recommendation
from shared.oncology.record import Record
from shared.oncology.stage import EditionStage, Metastasis, Staging

Indicator = Literal["info", "warning"]
Kind = Literal["stage", "conflict", "missing", "candidates", "blocked", "dose", "caution", "unlisted", "late"]
NEWEST, OLD = "figo-2018", "figo-2009"
CONFLICTS: Final = ("stage-conflict", "extent-conflict", "contested", "second-primary")
REASONS_SYSTEM: Final = "https://figaro.example/fhir/CodeSystem/override-reason"
_SHOWN: Final = 8
_TOP: Final = 3


class Source(msgspec.Struct, frozen=True):
    label: str


class Link(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    label: str
    url: str
    type: str
    app_context: str


class Coding(msgspec.Struct, frozen=True):
    code: str
    system: str
    display: str


class Card(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One card on the wire; what it does not have is left out (CH-02)."""

    uuid: str
    summary: str
    indicator: Indicator
    source: Source
    detail: str = ""
    override_reasons: tuple[Coding, ...] = ()
    links: tuple[Link, ...] = ()


class Given(NamedTuple):
    """A card and what it is of, for the ledger."""

    kind: Kind
    card: Card


OVERRIDES: Final = (
    Coding("considered", REASONS_SYSTEM, "Known, and considered"),
    Coding("benefit-outweighs-risk", REASONS_SYSTEM, "The benefit outweighs the risk"),
    Coding("fact-outdated", REASONS_SYSTEM, "What this rests on is out of date"),
    Coding("does-not-apply", REASONS_SYSTEM, "Does not apply to this patient"),
)


class Dealer:
    """Makes the cards of one answer. `launch` is the registered launch address; `lacking` says what was not delivered."""

    def __init__(self, staging: Staging, record: Record, *, launch: str | None, lacking: str) -> None:
        self._staging = staging
        self._record = record
        self._launch = launch
        self._lacking = lacking
        self._recommendation: Recommendation | None = None

    def view(self, recommendation: Recommendation) -> Iterator[Given]:
        """For one who opens the patient: stage and sites, conflicts, candidates, what is missing."""
        self._recommendation = recommendation
        edition = self._staging.editions.get(NEWEST, EditionStage())
        if edition.stage is None:
            yield self._undetermined(edition)
        else:
            yield self._stage(edition)
        yield from self._conflicts()
        if edition.stage is not None:
            yield from self._candidates(recommendation.candidates)
            yield from self._missing(edition, recommendation.candidates)

    def ordered(self, recommendation: Recommendation, drugs: Drugs) -> Iterator[Given]:
        """For one who orders these drugs: what our rules have against them; nothing where they have nothing."""
        self._recommendation = recommendation
        edition = self._staging.editions.get(NEWEST, EditionStage())
        if edition.stage is None:
            yield self._undetermined(edition)
        for one in judged(drugs, recommendation.candidates):
            yield from self._judged(one)

    def _judged(self, one: Judged) -> Iterator[Given]:
        names = _list(one.names)
        if not one.giving:
            says = f"{names}: no candidate of this setting gives it, so nothing is said for or against it."
            yield self._card("unlisted", "info", f"Not compared: no candidate of this setting gives {names}", [says])
        if one.ruled_out:
            lines = [*self._regimens(one), "", "**Against it:**", bullets(self._because(one.against))]
            first = one.against[0].says.partition(" (")[0] if one.against else "see the candidates"
            yield self._card("blocked", "warning", f"Ordered {names}: ruled out by Figaro's rules: {first}", lines, override=True)
        elif one.cautions:
            lines = [*self._regimens(one), "", "**With caution:**", bullets(self._because(one.cautions))]
            yield self._card("caution", "info", f"Ordered {names}: {len(one.cautions)} cautions", lines)
        asks = dict.fromkeys(missing.ask for candidate in one.giving for missing in candidate.missing)
        if one.giving and not one.ruled_out and all(candidate.verdict == "cannot-tell" for candidate in one.giving):
            text = f"Ordered {names}: cannot be judged before {len(asks)} missing facts are known"
            yield self._card("missing", "info", text, [*self._regimens(one), "", bullets(map(escaped, list(asks)[:_SHOWN]))])
        for drug, milligrams, dose in one.over:
            amount = dose.amount or 0
            says = f"Ordered: {milligrams:g} mg. Reference: {amount:g} {dose.unit} ({escaped(dose.rule)}{_cap(dose.cap)}); {dose.mark}."
            rests = "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in dose.basis.items() if value is not None)
            lines = [says, f"Reckoned from: {escaped(rests)}.", *self._work(dose.reference, dose.at, dose.checked)]
            text = f"{drug}: {milligrams:g} mg ordered, {round(100 * (milligrams / amount - 1))} % over the reference of {amount:g} mg"
            yield self._card("dose", "warning", text, lines, override=True)

    def _regimens(self, one: Judged) -> list[str]:
        """Which candidates were asked."""
        how = "The candidate that gives just these drugs" if one.exact else "The candidates that give these drugs with others"
        titles = "; ".join(escaped(candidate.title) for candidate in one.giving[:_SHOWN])
        return [f"{how}: {titles}{' and others' if len(one.giving) > _SHOWN else ''}."]

    def _because(self, cautions: Iterable[Caution]) -> Iterator[str]:
        for one in list(cautions)[:_SHOWN]:
            works = "; ".join(self._cited(work, at) for work, at in zip(one.evidence, one.at, strict=False))
            found = f" ({escaped(', '.join(one.sources))})" if one.sources else ""
            yield f"{escaped(one.says)}{found}{f' — {works}' if works else ''}"

    def _stage(self, edition: EditionStage) -> Given:
        old = self._staging.editions.get(OLD, EditionStage())
        sites = [_site(one) for one in self._staging.metastases if one.site_class not in ("regional-node", "adjacent")]
        open_ = f" (could be {_could(edition.could_be)})" if edition.could_be else ""
        text = f"FIGO 2018 {edition.label}{open_}; metastatic sites: {', '.join(sites) or 'none recorded'}"
        text = summary(text, end="; record not fully delivered" if self._record.unread else "")
        lines = [
            f"**FIGO 2018: {edition.label}**{open_}. FIGO 2009: {old.label or 'not settled'}.",
            f"**State of the disease:** {self._staging.known_state or 'not known, since not everything was read'}.",
            bullets(
                self._rule(because.says, because.sources, because.reference, because.place, because.checked) for because in edition.because
            ),
            f"**Sites of spread, regional ones too:** {', '.join(map(_site, self._staging.metastases)) or 'none recorded'}.",
        ]
        return self._card("stage", "info", text, lines)

    def _undetermined(self, edition: EditionStage) -> Given:
        asks = [missing.ask for missing in edition.missing]
        text = f"FIGO stage cannot be told from this record: {len(asks)} facts are missing" if asks else "FIGO stage cannot be told"
        return self._card("missing", "info", text, ["What would settle it:", bullets(map(escaped, asks[:_SHOWN]))])

    def _conflicts(self) -> Iterator[Given]:
        found = [issue for issue in self._staging.issues if issue.code in CONFLICTS]
        if found:
            text = f"The record contradicts itself: {', '.join(dict.fromkeys(issue.code.replace('-', ' ') for issue in found))}"
            lines = [bullets(escaped(issue.text) for issue in found[:_SHOWN]), "A recorded stage is never replaced by a derived one."]
            yield self._card("conflict", "warning", text, lines, override=True)

    def _candidates(self, candidates: Sequence[Candidate]) -> Iterator[Given]:
        possible = [candidate for candidate in candidates if candidate.verdict != "ruled-out"]
        if not possible:
            return
        shown, more = possible[:_TOP], len(possible) - _TOP
        text = f"{len(possible)} candidates to discuss, first: {shown[0].title}"
        lines = [bullets(map(self._candidate, shown)), *([f"{more} more on the page."] if more > 0 else [])]
        yield self._card("candidates", "info", text, lines)

    def _candidate(self, one: Candidate) -> str:
        verdict = "eligible" if one.verdict == "eligible" else "cannot tell before: " + escaped("; ".join(m.ask for m in one.missing[:3]))
        grade = f" {escaped(one.grade.text)} ({escaped(one.grade.by)})." if one.grade else ""
        works = "; ".join(self._cited(work, None) for work in dict.fromkeys(figure.id for figure in one.evidence))
        return f"**{escaped(one.title)}**: {verdict}.{grade}{f' Evidence: {works}.' if works else ''}"

    def _missing(self, edition: EditionStage, candidates: Sequence[Candidate]) -> Iterator[Given]:
        asks = dict.fromkeys(missing.ask for missing in edition.missing)
        asks |= dict.fromkeys(m.ask for candidate in candidates if candidate.verdict == "cannot-tell" for m in candidate.missing)
        if asks:
            text = f"{len(asks)} missing facts would settle the stage or a candidate"
            yield self._card("missing", "info", text, [bullets(map(escaped, list(asks)[:_SHOWN])), *_rest(len(asks) - _SHOWN)])

    def _rule(self, says: str, sources: Sequence[str], work: str, place: str | None, checked: bool) -> str:
        return f"{escaped(says)} ({escaped(', '.join(sources)) or 'no source'}) — {self._cited(work, place)}{'' if checked else _UNCHECKED}"

    def _work(self, work: str | None, place: str | None, checked: bool) -> list[str]:
        return [f"Source: {self._cited(work, place)}{'' if checked else _UNCHECKED}."] if work else []

    def _cited(self, work: str, place: str | None) -> str:
        """A work by its id, its place and its DOI."""
        known = self._recommendation.works.get(work) if self._recommendation else None
        doi = ", " + escaped(f"doi {known.doi}") if known and known.doi else ""
        return f"{escaped(work)}{f', {escaped(place)}' if place else ''}{doi}"

    def _card(self, kind: Kind, indicator: Indicator, text: str, lines: Sequence[str], *, override: bool = False) -> Given:
        name = str(uuid4())
        knowledge = f"staging {self._staging.knowledge.edition}"
        if self._recommendation is not None:
            knowledge += f", regimens {self._recommendation.knowledge.edition}"
        data = f"Read of the record up to {self._record.today or 'an unknown date'}. Knowledge: {knowledge}."
        foot = [*([f"**{self._lacking}**"] if self._lacking else []), f"{data} Figaro proposes; a clinician decides."]
        card = Card(
            uuid=name,
            summary=summary(text),
            indicator=indicator,
            source=Source(f"Figaro, knowledge {self._staging.knowledge.edition}"),
            detail="\n\n".join(line for line in (*lines, *foot) if line),
            override_reasons=OVERRIDES if override else (),
            links=_links(self._launch, name),
        )
        return Given(kind, card)


_UNCHECKED: Final = " (not checked against the source)"


def late(hook: str, launch: str | None) -> Iterator[Given]:
    """The answer is not ready in time (CH-05): the page has it. Of an order it is always said that it was not checked."""
    name = str(uuid4())
    says = "Figaro's answer is not ready yet" if hook == "patient-view" else "Figaro has not checked this order in time"
    if launch is not None or hook != "patient-view":
        yield Given("late", Card(uuid=name, summary=says, indicator="info", source=Source("Figaro"), links=_links(launch, name)))


def _links(launch: str | None, name: str) -> tuple[Link, ...]:
    """One link, with a context that tells nothing (CH-32)."""
    return (Link(label="Open Figaro", url=launch, type="smart", app_context=name),) if launch else ()


def _list(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _site(one: Metastasis) -> str:
    return one.site.replace("-", " ") + ("" if one.certainty == "definite" else f" ({one.certainty})")


def _could(stages: Sequence[str]) -> str:
    return ", ".join(stages) if len(stages) <= _SHOWN else f"any of {len(stages)} stages from {stages[0]} to {stages[-1]}"


def _cap(cap: float | None) -> str:
    return f", at most {cap:g} mg" if cap is not None else ""


def _rest(more: int) -> list[str]:
    return [f"{more} more on the page."] if more > 0 else []
