"""Forty-eight synthetic women with newly diagnosed organ-metastatic cervical cancer, distributed as in the founding study.

Yin Z, Lou H, Tang H, Ni J, Zhou Q, Chen M. Radiat Oncol 2019, doi:10.1186/s13014-019-1297-x: Table 1 (characteristics, by
treatment group) and Table 2 (patterns of spread). Table 2 holds 16 lung metastases where the text and Table 3 say 14; the text's
own total of 59 organ sites needs the 16, so Table 2 is followed. What the tables leave open (who combines which characteristics,
the exact values inside a band) is drawn at random. One of the 48 has a sarcoma, to which FIGO's cervical stages do not apply.
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import Any, NamedTuple

from examples import codes
from examples.cases import Case, Expected
from examples.findings import (
    ENCODINGS,
    Fitness,
    Writing,
    anyone,
    category,
    distant_node,
    fitness,
    metastasis,
    not_pregnant,
    pd_l1,
    primary,
    recorded_stage,
    size,
)
from examples.resources import Chart, Json, born, coding

# Table 2: organs, whether distant nodes too, women.
PATTERNS: tuple[tuple[tuple[str, ...], bool, int], ...] = (
    (("bone",), False, 17),
    (("lung",), False, 5),
    (("liver",), False, 1),
    (("brain",), False, 1),
    (("spleen",), False, 1),
    (("bone",), True, 5),
    (("lung",), True, 4),
    (("liver",), True, 3),
    (("lung", "spleen"), False, 2),
    (("bone", "liver"), False, 1),
    (("liver", "lung"), True, 2),
    (("bone", "lung"), True, 3),
    (("liver", "bone"), True, 2),
    (("liver", "adrenal"), True, 1),
)
OLIGOMETASTATIC = 21  # one organ, at most three lesions

# Table 1, by group. Ages are drawn so that medians, ranges and the 29 women of 50 or more (Table 3) come out.
GROUPS = {"A": 36, "B": 12}
AGES = {
    "A": [37, 39, *range(41, 64), 52, 53, 54, 55, 56, 57, 58, 60, 65, 66, 68],
    "B": [36, 39, 41, 43, 45, 46, 48, 49, 55, 62, 70, 77],
}
ECOG = {"A": [0] * 26 + [1] * 7 + [2] * 3, "B": [0] * 7 + [1] * 4 + [2]}
HISTOLOGY = {
    "A": ["squamous"] * 32 + ["small-cell"] + ["adenocarcinoma"] * 2 + ["sarcoma"],
    "B": ["squamous"] * 7 + ["small-cell"] * 3 + ["adenocarcinoma"] + ["adenosquamous"],
}
BULKY = {"A": [True] * 30 + [False] * 6, "B": [True] * 9 + [False] * 3}  # primary of 4 cm or more
ANAEMIC = {"A": [True] * 7 + [False] * 29, "B": [True] * 4 + [False] * 8}  # haemoglobin of 10 g/dL or less
LEUCOCYTOSIS = {"A": [True] * 6 + [False] * 30, "B": [True] * 2 + [False] * 10}  # leucocytes above 10 x 10^9/L
LOOKED = {
    "A": ["conventional"] * 18 + ["pet"] * 14 + ["biopsy"] * 4,
    "B": ["conventional"] * 5 + ["pet"] * 5 + ["biopsy"] * 2,
}

NODES = ("node-supraclavicular", "node-supraclavicular", "node-mediastinal", "node-inguinal", "node-axillary")
METHODS = {"conventional": codes.CT, "pet": codes.PET, "biopsy": codes.BIOPSY}
FIRST_DAY = date(2026, 1, 5)


class Woman(NamedTuple):
    """One row of the cohort, before it is written down: `diameter` of the primary in mm, `organs` with their lesion counts."""

    number: int
    group: str
    age: int
    histology: str
    diameter: int
    looked: str
    organs: tuple[tuple[str, int], ...]
    node: str | None
    fit: Fitness

    @property
    def oligometastatic(self) -> bool:
        return len(self.organs) == 1 and self.organs[0][1] <= 3

    def key(self) -> str:
        return f"syn-{self.number:03d}"

    def expected(self) -> Expected:
        """A sarcoma has no FIGO stage of the cervix; her sites are listed all the same."""
        applies = self.histology != "sarcoma"
        sites = frozenset(organ for organ, _ in self.organs) | ({self.node} if self.node else frozenset())
        expected: Expected = {"figo_2018": "IVB" if applies else None, "applies": applies, "sites": sites}
        return expected | {"oligometastatic": self.oligometastatic} if applies else expected


def plan(seed: int) -> tuple[Woman, ...]:
    """The 48 rows. Each characteristic is dealt out within its group, independently of the others."""
    rng = Random(f"founding/{seed}")
    groups = rng.sample([group for group, count in GROUPS.items() for _ in range(count)], 48)
    tables: tuple[dict[str, list[Any]], ...] = (AGES, ECOG, HISTOLOGY, BULKY, ANAEMIC, LEUCOCYTOSIS, LOOKED)
    dealt = [{group: iter(rng.sample(values, len(values))) for group, values in table.items()} for table in tables]
    rows = [[next(deck[group]) for deck in dealt] for group in groups]
    spread = _spread(rng, sarcoma=next(index for index, row in enumerate(rows) if row[2] == "sarcoma"))
    return tuple(
        _woman(rng, number, group, row, *pattern)
        for number, (group, row, pattern) in enumerate(zip(groups, rows, spread, strict=True), start=1)
    )


def _spread(rng: Random, *, sarcoma: int) -> list[tuple[tuple[tuple[str, int], ...], str | None]]:
    """Table 2 with lesion counts, in random order. The sarcoma is not among the oligometastatic: no stage, no such question."""
    flat = [(organs, with_node) for organs, with_node, count in PATTERNS for _ in range(count)]
    patterns = rng.sample(flat, len(flat))
    single = [index for index, (organs, _) in enumerate(patterns) if len(organs) == 1 and index != sarcoma]
    few = set(rng.sample(single, OLIGOMETASTATIC))
    spread = []
    for index, (organs, with_node) in enumerate(patterns):
        low, high = (1, 3) if index in few else (4, 9) if len(organs) == 1 else (1, 6)
        node = rng.choice(NODES) if with_node else None
        spread.append((tuple((organ, rng.randint(low, high)) for organ in organs), node))
    return spread


def _woman(rng: Random, number: int, group: str, row: list[Any], organs: tuple[tuple[str, int], ...], node: str | None) -> Woman:
    age, ecog, histology, bulky, anaemic, leucocytosis, looked = row
    leucocytes = round(rng.uniform(10.1, 16.2) if leucocytosis else rng.uniform(3.9, 10.0), 1)
    fit = anyone(rng)._replace(
        ecog=ecog,
        haemoglobin=round(rng.uniform(8.1, 10.0) if anaemic else rng.uniform(10.1, 14.2), 1),
        leucocytes=leucocytes,
        neutrophils=round(leucocytes * 0.66, 1),
    )
    diameter = rng.randint(40, 82) if bulky else rng.randint(22, 39)
    return Woman(number, group, age, histology, diameter, looked, organs, node, fit)


def local_extent(rng: Random, diameter: int) -> str:
    """A T category that the diameter (mm) allows; most are T2b or T3b."""
    smaller = ("cT1b2", "cT2a1") if diameter < 40 else ("cT1b3", "cT2a2") if diameter > 40 else ()
    labels: tuple[str, ...] = ("cT2b", "cT2b", "cT2b", "cT3b", "cT3b", "cT3a", *smaller)
    return rng.choice(labels)


def write(chart: Chart, woman: Woman) -> None:
    """Her findings before any treatment, in one of several hands; no stage-setting fact depends on the hand."""
    rng = chart.rng
    hand: Writing = rng.choice(("snomed", "loinc", "ajcc"))
    histology = woman.histology
    if histology == "squamous":
        histology = rng.choice(("squamous", "squamous", "squamous-keratinizing", "squamous-non-keratinizing"))
    primary(chart, histology, rng.choice(ENCODINGS))
    category(chart, local_extent(rng, woman.diameter), writing=hand)
    size(chart, woman.diameter, ours=rng.random() < 0.5)
    if rng.random() < 0.5:
        category(chart, rng.choice(("cN0", "cN1", "cN2")), writing=hand)
    else:
        chart.extent("pelvic-nodes", chart.on(6), by=codes.MRI, valueBoolean=rng.random() < 0.7)
    if rng.random() < 0.6:
        category(chart, "pM1" if woman.looked == "biopsy" else "cM1", 11, writing=hand)
    for organ, lesions in woman.organs:
        metastasis(chart, organ, lesions, by=_method(rng, woman.looked, organ), encoding=rng.choice(ENCODINGS))
    if woman.node:
        distant_node(chart, woman.node, encoding=rng.choice(ENCODINGS), seen=rng.random() < 0.6)
    if rng.random() < 0.3 and histology != "sarcoma":
        recorded_stage(chart, "IVB", edition=rng.choice((codes.FIGO_2018, None)))
    if rng.random() < 0.6:
        pd_l1(chart, rng.choice((0, 1, 3, 5, 10, 25, 60)), component=rng.random() < 0.3)


def _method(rng: Random, looked: str, organ: str) -> str:
    if looked == "conventional" and organ in {"bone", "brain"}:
        return codes.MRI if organ == "brain" else rng.choice((codes.IMAGING, codes.CT, codes.MRI))
    return METHODS[looked]


def chart_of(woman: Woman, seed: int) -> Chart:
    """Her whole chart; days of diagnosis run through 2026, long enough apart to tell the women apart."""
    rng = Random(f"founding/{seed}/{woman.number}")
    day = FIRST_DAY + timedelta(days=5 * woman.number + rng.randint(0, 4))
    name = f"Synthetic-Founding-{woman.number:02d}"
    mark = coding(codes.FOUNDING_GROUP, woman.group)
    birth = born(woman.age, day, rng.randint(1, 350))
    chart = Chart(woman.key(), family=name, birth=birth, day=day, rng=rng, marks=[mark])
    write(chart, woman)
    fitness(chart, woman.fit, si=rng.random() < 0.4)
    if woman.age < 55:
        not_pregnant(chart)
    return chart


def founding_cohort(seed: int) -> list[Json]:
    """The 48 transaction Bundles."""
    return [chart_of(woman, seed).transaction() for woman in plan(seed)]


def founding_cases(seed: int) -> list[Case]:
    """What is expected of each of the 48."""
    return [Case(f"Patient/{woman.key()}", f"founding-{woman.number:02d}", woman.expected()) for woman in plan(seed)]
