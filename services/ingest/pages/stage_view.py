"""The stage as a page shows it: the headline, both editions with the chain behind each, and where the interval lies among the stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from services.ingest.pages.links import Cited, Link, Links
from shared.fhir.words import capital, day, either, histology, joined, site
from shared.oncology.not_read import remark
from shared.oncology.stage import Because, EditionStage, Staging

EDITIONS = {"figo-2018": "FIGO 2018", "figo-2009": "FIGO 2009"}
_LEAVES = ("IA1", "IA2", "IB1", "IB2", "IB3", "IIA1", "IIA2", "IIB", "IIIA", "IIIB", "IIIC1", "IIIC2", "IVA", "IVB")
_GROUPS = {"I": 5, "II": 3, "III": 4, "IV": 2}
_DISTANT = frozenset({"distant_organ", "distant_nodes", "peritoneal_spread", "distant_metastasis"})
_STATES = {"initial": "At first diagnosis", "persistent": "Persistent", "recurrent": "Recurrent", "progressive": "Progressive"}
_AGREES = {True: "agrees with the derived stage", False: "differs from the derived stage: both stand", None: "cannot be compared yet"}
_FEW = {True: "yes", False: "no", None: "cannot be told yet"}
_MANY = 4


class Notch(NamedTuple):
    """One stage of the scale: `state` is "is", "could" or ""; `last` closes its group."""

    stage: str
    state: str
    last: bool


class Reasoning(NamedTuple):
    """One row of the table that holds: its words, what was found, and where both come from."""

    rule: str
    says: str
    found: str
    sources: tuple[Link, ...]
    work: Cited
    checked: bool


class Edition(NamedTuple):
    """One edition's answer."""

    name: str
    label: str
    could_be: str
    because: tuple[Reasoning, ...]
    asks: tuple[str, ...]


class RecordedView(NamedTuple):
    """A stage that somebody recorded."""

    stage: str
    edition: str
    agreement: str
    agrees: bool | None
    source: Link


class Headline(NamedTuple):
    """The answer in one line, and the sentence beneath it. `now` says where the disease has gone on since the stage was settled."""

    edition: str
    stage: str
    interval: str
    settled: bool
    now: str
    findings: str
    sources: tuple[Link, ...]
    scale: tuple[Notch, ...]
    groups: tuple[tuple[str, int], ...]
    facts: tuple[tuple[str, str], ...]


def headline(staging: Staging, links: Links) -> Headline:
    """The stage in FIGO 2018, what it could still be, and what it rests on."""
    derived = staging.editions.get("figo-2018", EditionStage())
    return Headline(
        edition=EDITIONS["figo-2018"],
        stage=derived.label or "not settled",
        interval=_interval(derived, staging.unread or ()),
        settled=bool(derived.label) and not derived.could_be and not staging.unread,
        now=""
        if staging.disease_state == "initial"
        else f"{_STATES[staging.disease_state]} disease now; a stage never changes after treatment.",
        findings=capital("; ".join(_found(staging, because) for because in derived.because)),
        sources=links.sources(source for because in derived.because for source in because.sources),
        scale=tuple(_scale(derived)),
        groups=tuple(_GROUPS.items()),
        facts=tuple(_facts(staging)),
    )


def editions(staging: Staging, links: Links) -> tuple[Edition, ...]:
    """Every edition, the newer first."""
    return tuple(_edition(EDITIONS.get(name, name), derived, staging, links) for name, derived in staging.editions.items())


def recorded(staging: Staging, links: Links) -> tuple[RecordedView, ...]:
    """The stages on record, beside the derived one and never replaced by it."""
    return tuple(
        RecordedView(
            r.stage, EDITIONS.get(r.edition or "", r.edition or "edition not told"), _AGREES[r.agrees], r.agrees, links.source(r.source)
        )
        for r in staging.recorded
    )


def _edition(name: str, derived: EditionStage, staging: Staging, links: Links) -> Edition:
    because = tuple(
        Reasoning(
            rule=b.rule,
            says=b.says,
            found=capital(_found(staging, b)),
            sources=links.sources(b.sources),
            work=links.work(b.reference, b.place),
            checked=b.checked,
        )
        for b in derived.because
    )
    return Edition(name, derived.label or "not settled", _could(derived), because, tuple(m.ask for m in derived.missing))


def _interval(derived: EditionStage, unread: Sequence[str]) -> str:
    if unread:
        still = "still " if derived.label else ""
        left = f"Could {still}be {_could(derived)}." if derived.could_be else "What was read leaves no other stage."
        return f"{left} {remark(unread)}"
    if not derived.could_be:
        return "The record settles it." if derived.label else "The record settles no stage."
    return f"Could {'still ' if derived.label else ''}be {_could(derived)}."


def _could(derived: EditionStage) -> str:
    could = derived.could_be
    return either(could) if len(could) <= _MANY else f"any of {len(could)} stages from {could[0]} to {could[-1]}"


def _found(staging: Staging, because: Because) -> str:
    """What a row rests on, in words; distant sites by their names."""
    if not because.facts:
        return "as recorded by a clinician"
    words = [said for fact, said in zip(because.facts, because.findings, strict=False) if fact not in _DISTANT]
    if _DISTANT.intersection(because.facts):
        words = [*_spread(staging, because), *words]
    return "; ".join(dict.fromkeys(words))


def _spread(staging: Staging, because: Because) -> Iterable[str]:
    sure = [m for m in staging.metastases if m.in_window and m.certainty == "definite" and {*m.sources} & {*because.sources}]
    organs = [site(m.site) for m in sure if m.site_class == "organ" and m.site not in ("unknown", "other")]
    yield from [f"metastasis in {joined(organs)}"] if organs else []
    yield from (f"{site(m.site).removesuffix('s')} metastasis" for m in sure if m.site_class == "distant-node")
    yield from ["peritoneal spread"] if any(m.site_class == "peritoneal" for m in sure) else []
    if not sure:
        yield from (said for fact, said in zip(because.facts, because.findings, strict=False) if fact in _DISTANT)


def _scale(derived: EditionStage) -> Iterator[Notch]:
    """The substages in their order; a parent marks what lies below it, unless one of that is named."""
    ends, place = set[int](), 0
    for count in _GROUPS.values():
        place += count
        ends.add(place - 1)
    for number, leaf in enumerate(_LEAVES):
        could = any(leaf.startswith(stage) and _below(stage, leaf) for stage in derived.could_be)
        settled = derived.stage is not None and _below(derived.stage, leaf)
        yield Notch(leaf, "could" if could else "is" if settled else "", number in ends)


def _below(stage: str, leaf: str) -> bool:
    """Whether a substage is that stage, or one of its parts (IB is IB1 to IB3; I is not II)."""
    rest = leaf.removeprefix(stage)
    return leaf == stage or (rest != leaf and rest[:1] not in ("I", "V"))


def _facts(staging: Staging) -> Iterator[tuple[str, str]]:
    tnm = " ".join(filter(None, (staging.tnm.t, staging.tnm.n, staging.tnm.m)))
    older = staging.editions.get("figo-2009")
    if older is not None:
        yield EDITIONS["figo-2009"], f"{older.label or 'not settled'}{f', could be {_could(older)}' if older.could_be else ''}"
    yield "TNM", tnm or "not known"
    yield "Histology", histology(staging.primary.histology) if staging.primary.histology else "not told"
    if staging.diagnosed:
        yield "Diagnosed", day(staging.diagnosed)
    if staging.disease_state == "initial":
        yield "Disease", _STATES[staging.disease_state] if staging.known_state else "Not known: not everything was read"
    if any(m.site_class in ("organ", "peritoneal", "distant-node", "contested") and m.in_window for m in staging.metastases):
        yield "Oligometastatic", f"{_FEW[staging.oligometastatic.value]} ({staging.oligometastatic.definition})"
