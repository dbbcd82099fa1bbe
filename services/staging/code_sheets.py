"""The files of codes as sheets: TNM categories, sites of spread, the primary, recorded stages, observations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from services.staging import wording
from services.staging.casebook import Casebook
from services.staging.knowledge import Rules
from services.staging.schema import Bounds, Category, ContestedReading, OligometastaticRule, Said, SiteRule
from services.staging.sheets import CHECKED, CONTESTED, UNCHECKED, Grid, Line, Sheet, cited, headed, source
from shared.knowledge.table import Reference, Review

_SYSTEMS = {
    "icd10": "ICD-10",
    "topography": "ICD-O",
    "snomed": "SNOMED",
    "structures": "structure",
    "obds": "oBDS",
    "obds_snomed": "SNOMED of oBDS",
    "words": "in words",
}
_HEAD = ("checked", "reference", "review")
_SAID: dict[Any, str] = {"apart": "left apart", "exclude": "exclude it", "count": "count as sites"}
_PLAIN = {
    "snomed": "SNOMED CT",
    "ncit": "NCIt",
    "icd10": "ICD-10",
    "rxnorm": "RxNorm",
    "atc": "ATC",
    "loinc": "LOINC",
    "tnm": "TNM",
    "obds": "oBDS",
    "uicc": "UICC",
    "millimetres": "millimetres in a unit",
}


def tnm(rules: Rules, book: Casebook | None) -> Sheet:
    """Which facts a category states in each version, and which codes carry it."""
    marks, about, review = _head("tnm", rules)
    categories = tuple(
        Line(
            category,
            (
                (*_lengths(it), *_states(it, rules)) or ("nothing",),
                (", ".join(_denied(it)) or "nothing",),
                tuple(_versions(it, rules)) or ("as in version 9",),
                cited(book and book.sending(category), "sent in"),
            ),
            marks,
        )
        for category, it in rules.tnm.categories.items()
    )
    extents = tuple(
        Line(group.replace("_", " "), (tuple(wording.fact(each, rules) for each in names),), marks)
        for group, names in rules.tnm.beyond.items()
    )
    axes = tuple(
        Line(axis.upper(), tuple(getattr(codes, field) for field in msgspec.structs.asdict(codes)), marks)
        for axis, codes in rules.tnm.axes.items()
    )
    values = tuple(Line(category, _codes(category, rules), marks) for category in _valued(rules))
    versions = tuple(Line(code, ((f"version {version}",),), marks) for code, version in rules.tnm.versions.items())
    columns = ("Axis", "SNOMED", "SNOMED, clinical", "SNOMED, pathological", "LOINC", "LOINC, clinical", "LOINC, pathological")
    grids = (
        Grid(
            "Categories, and what they state",
            ("Category", "Holds in version 9", "Denies all beyond", "In other versions", "Cases"),
            categories,
            kind="tnm",
        ),
        Grid(
            "What lies beyond each extent", ("Beyond", "Facts that are denied"), extents, "A category denies everything beyond its extent."
        ),
        Grid("Codes that ask for an axis", columns, axes, "Observation.code.", "codes"),
        Grid("SNOMED CT values of a category", ("Category", "clinical", "pathological"), values, kind="values"),
        Grid("Versions", ("SNOMED method", "Means"), versions, kind="values"),
    )
    return Sheet("tnm", "TNM categories and the facts they state", about, review, grids)


def sites(rules: Rules, book: Casebook | None) -> Sheet:
    """Which codes name a site of spread, and what they settle or leave open."""
    marks, about, review = _head("metastatic-sites", rules)
    columns = ("Site", "Class", "Settles", "Leaves open, and asks", "Codes", "Cases")

    def lines(found: Iterable[SiteRule]) -> tuple[Line, ...]:
        return tuple(_site(rule, rules, book, marks) for rule in found)

    known = rules.sites
    disputes = tuple(
        Line(key.replace("-", " "), (*(_reading(each, rules) for each in it.readings), (it.taken,)), (CONTESTED,))
        for key, it in known.contested.items()
    )
    told = tuple(_few(name, rule, rules) for name, rule in known.oligometastatic.items())
    grids = (
        Grid("Sites of spread", columns, lines(known.sites), kind="sites"),
        Grid("Direct growth from the cervix", columns, lines(known.direct), "Where SNOMED CT says that the growth is direct.", "sites"),
        Grid("Separate metastasis from the cervix", columns, lines(known.separate), "Where SNOMED CT says that it is separate.", "sites"),
        Grid("Regions, not nodes", columns, lines(known.regions), "A secondary of the region may be a node or the tissue.", "sites"),
        Grid("What the sources disagree on", ("Dispute", "One reading", "The other", "What is taken"), disputes, kind="disputes"),
        Grid("Oligometastatic disease", ("Definition", "In our words", "Limits", "Source and place in it"), told),
    )
    return Sheet("metastatic-sites", "Sites of spread, and their codes", about, review, grids)


def coded(name: str, title: str, file: Any, rules: Rules) -> Sheet:
    """A file that gives codes a meaning, entry by entry; whatever the file gains, stands here."""
    marks, about, review = _head(name, rules)
    simple, grids = [], []
    for field in msgspec.structs.fields(file):
        value = getattr(file, field.name)
        if field.name in _HEAD:
            continue
        if isinstance(value, Mapping):
            grids.append(
                Grid(
                    _words(field.name),
                    ("Code", "Means"),
                    tuple(Line(str(k), (tuple(_plain(v)) or ("–",),), marks) for k, v in value.items()),
                    kind="values",
                )
            )
        elif value and isinstance(value, tuple) and isinstance(value[0], msgspec.Struct):
            grids.append(_structs(_words(field.name), value, marks))
        else:
            simple.append(Line(_words(field.name), (tuple(_plain(value)) or ("none",),), marks))
    head = Grid("Codes and words", ("What", "Codes"), tuple(simple), kind="values")
    return Sheet(name, title, about, review, (head, *grids))


def _head(name: str, rules: Rules) -> tuple[tuple[str, ...], tuple[str, ...], Review]:
    checked, reference, review = headed(rules)[name]
    state = "The rows have been checked against the source." if checked else "The rows have not been checked against the source."
    return (CHECKED if checked else UNCHECKED,), (f"Source: {' '.join(source(reference, rules))}", state), review


def _lengths(it: Category | Said) -> Iterator[str]:
    for words, bounds in (("greatest diameter", getattr(it, "size", None)), ("depth of invasion", getattr(it, "depth", None))):
        if bounds is not None:
            yield f"{words} {_bounds(bounds)}"


def _bounds(it: Bounds) -> str:
    low = f"more than {wording.number(it.more_than)} mm" if it.more_than is not None else ""
    high = f"at most {wording.number(it.at_most)} mm" if it.at_most is not None else ""
    return " and ".join(filter(None, (low, high)))


def _states(it: Category | Said, rules: Rules) -> Iterator[str]:
    yield from (rules.facts[name].finding for name in it.holds)
    yield from (f"no {rules.facts[name].finding}" for name in it.fails)


def _denied(it: Category) -> Iterator[str]:
    yield from (group.replace("_", " ") for group in it.denies)


def _versions(it: Category, rules: Rules) -> Iterator[str]:
    if it.before_9 is not None:
        yield f"up to version 8: greatest diameter {_bounds(it.before_9)}"
    for words, said in (("version 8", it.in_8), ("version 7", it.in_7), ("version not told", it.undated)):
        if said is not None:
            yield f"{words}: {', '.join(_states(said, rules))}"


def _valued(rules: Rules) -> list[str]:
    """The categories that have a code of their own, T before N before M."""
    return sorted({category for codes in rules.tnm.values.values() for category in codes.values()}, key=lambda it: ("TNM".index(it[0]), it))


def _codes(category: str, rules: Rules) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The codes of a category on clinical and on pathological axes."""

    def of(prefix: str) -> tuple[str, ...]:
        axes = [codes for axis, codes in rules.tnm.values.items() if axis.startswith(prefix)]
        return tuple(code for codes in axes for code, each in codes.items() if each == category) or ("–",)

    return of("c"), of("p")


def _site(rule: SiteRule, rules: Rules, book: Casebook | None, marks: tuple[str, ...]) -> Line:
    codes = [f"{words}: {', '.join(getattr(rule, field))}" for field, words in _SYSTEMS.items() if getattr(rule, field)]
    codes += [f"SNOMED: {rule.code}"] if rule.code else []
    holds = (rules.facts[rule.holds].finding,) if rule.holds else ("nothing",)
    opens = [rules.facts[name].finding for name in rule.opens]
    told = [f"told by: {', '.join(rules.facts[name].finding for name in rule.told_by)}"] if rule.told_by else []
    asks = (*told, *([f"Ask: {rule.ask}"] if rule.ask else []))
    contested = (CONTESTED,) if rule.contested or rule.site_class == CONTESTED else ()
    asks += (f"Dispute: {rule.contested.replace('-', ' ')}",) if rule.contested else ()
    cells = ((rule.site_class,), holds, (*([", ".join(opens)] if opens else ["nothing"]), *asks), tuple(codes))
    return Line(rule.site, (*cells, cited(book and book.listing(rule.site), "site listed in")), contested + marks)


def _reading(it: ContestedReading, rules: Rules) -> tuple[str, ...]:
    """One reading of a dispute, its source, and whether somebody compared it."""
    return (it.says, *source(it.reference, rules), CHECKED if it.checked else UNCHECKED.upper())


def _few(name: str, it: OligometastaticRule, rules: Rules) -> Line:
    """One definition of few metastases, with its own source and its own check."""
    shown = {key: value for key, value in msgspec.structs.asdict(it).items() if key not in ("definition", "reference", "at", "checked")}
    limits = tuple(
        f"{_words(key)}: {'yes' if value is True else _SAID.get(value, value)}"
        for key, value in shown.items()
        if value not in (None, False)
    )
    cells = ((it.definition,), limits, source(Reference(it.reference, it.at), rules))
    return Line(name, cells, (CHECKED if it.checked else UNCHECKED,))


def _structs(heading: str, values: tuple[msgspec.Struct, ...], marks: tuple[str, ...]) -> Grid:
    fields = [field.name for field in msgspec.structs.fields(values[0])]
    names = [field.encode_name for field in msgspec.structs.fields(values[0])]
    lines = tuple(
        Line(str(getattr(it, fields[0])), tuple(tuple(_plain(getattr(it, f))) or ("–",) for f in fields[1:]), marks) for it in values
    )
    return Grid(heading, tuple(_words(name) for name in names), lines, kind="values")


def _plain(value: Any) -> Iterator[str]:
    """A value as people read it: a list in one line, a structure by its fields."""
    if isinstance(value, msgspec.Struct):
        yield from (f"{_words(name)}: {' '.join(_plain(each))}" for name, each in msgspec.structs.asdict(value).items())
    elif isinstance(value, tuple):
        yield from [", ".join(map(str, value))] if value else []
    elif value is not None:
        yield str(value)


def _words(field: str) -> str:
    words = " ".join(_PLAIN.get(word, word) for word in field.split("_"))
    return words[:1].upper() + words[1:] if words.split(" ", maxsplit=1)[0].islower() else words
