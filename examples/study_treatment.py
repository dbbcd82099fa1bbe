"""What the 48 women of the study are given: cycles, radiotherapy and their days, so that Table 1 and the text come out as printed.

Days count from the diagnosis. All first treatment begins before any progression. Doses and numbers are those of Yin 2019
(doi:10.1186/s13014-019-1297-x): 213 cycles; 20, 18 and 17 women of group A with neoadjuvant, concurrent and adjuvant cycles; external
beam, brachytherapy and point A with the printed medians and ranges. Who got what is ours.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

Json = dict[str, Any]

FIRST_CYCLE: Final = 14
APART: Final = 21
CYCLES: Final = {
    "A": [2] * 4 + [3] * 6 + [4] * 9 + [5] * 6 + [6] * 8 + [7] * 3,
    "B": [3] * 4 + [4] * 4 + [5] * 2 + [6, 8],
}
# External beam (Gy, fractions) and brachytherapy (Gy, fractions), and for how many: medians 45.9, 28 and 80.4 Gy EQD2.
DOSES: Final = (
    (45.3, 26, 23.0, 5, 1),
    (45.0, 25, 28.0, 7, 4),
    (45.0, 25, 28.0, 6, 4),
    (45.9, 27, 28.0, 6, 8),
    (45.9, 27, 27.6, 5, 2),
    (45.9, 27, 28.0, 5, 3),
    (45.9, 27, 30.0, 6, 5),
    (46.8, 26, 30.0, 6, 4),
    (50.4, 28, 28.0, 6, 2),
    (50.4, 28, 28.0, 5, 2),
    (45.1, 26, 34.5, 7, 1),
)
PALLIATIVE: Final = ((10.8, 6), (30.6, 17), (37.8, 21), (45.0, 25), (46.8, 26))
# Regimens by cycle: cisplatin alone is weekly and goes with radiotherapy; 9 cycles are not itemised in the paper.
ETOPOSIDE, CARBOPLATIN, OTHER = 20, 10, 9
CISPLATIN_ALONE: Final = 3  # women, six weekly doses each: 18


class Beam(NamedTuple):
    """A course: from one day to another, in gray and fractions; `site` is the organ irradiated, None for the pelvis."""

    start: int
    end: int
    gy: float
    fractions: int
    inside: bool = False
    site: str | None = None


class Plan(NamedTuple):
    """The days of the cycles with their drugs, and the courses."""

    cycles: list[tuple[int, tuple[str, ...]]]
    beams: list[Beam]


def limit(row: Json) -> int:
    """The day before which first treatment begins."""
    return int(row["progression"] or row["end"])


def plans(rows: list[Json]) -> dict[int, Plan]:
    """The treatment of each woman by her number. The longer she stays free of progression, the more of it there is room for."""
    found: dict[int, Plan] = {}
    doses = [dose[:4] for dose in DOSES for _ in range(dose[4])]
    a = sorted((row for row in rows if row["group"] == "A"), key=limit)
    for place, (row, cycles) in enumerate(zip(a, CYCLES["A"], strict=True)):
        found[row["number"]] = _definitive(place, cycles, doses[(place * 7) % 36])
    b = sorted((row for row in rows if row["group"] == "B"), key=limit)
    for place, (row, cycles) in enumerate(zip(b, CYCLES["B"], strict=True)):
        beams = [_beam(FIRST_CYCLE + 7, *PALLIATIVE[place // 2])] if place % 2 == 0 and place < 10 else []
        found[row["number"]] = Plan([(FIRST_CYCLE + APART * i, ()) for i in range(cycles)], beams)
    for group, count in (("A", 17), ("B", 2)):
        late = [row for row in sorted(rows, key=limit) if row["group"] == group][-2 * count :: 2]
        for row in late[:count]:
            start = found[row["number"]].cycles[0][0] + 3
            found[row["number"]].beams.append(Beam(start, start + 13, 30.0, 10, site=row["organs"][0][0]))
    return {number: Plan(drugs, found[number].beams) for number, drugs in _drugs(rows, found).items()}


def _definitive(place: int, cycles: int, dose: tuple[float, int, float, int]) -> Plan:
    """Group A: 13 with concurrent cycles alone, three of them weekly cisplatin; 4 with neoadjuvant alone; 19 with both sides of it."""
    if place < 10:
        begins, days = FIRST_CYCLE, [FIRST_CYCLE + APART * i for i in range(cycles)]
    elif place in (25, 26, 27):
        begins, days = FIRST_CYCLE, [FIRST_CYCLE + 7 * i for i in range(6)]
    elif place < 14:
        begins, days = FIRST_CYCLE + APART * cycles, [FIRST_CYCLE + APART * i for i in range(cycles)]
    elif place < 19:
        before = 1 if place < 16 else 0
        begins = FIRST_CYCLE + APART * before
        inside = 3 if place < 16 else 2
        days = [FIRST_CYCLE + APART * i for i in range(before + inside)]
        days += [begins + 70 + APART * i for i in range(cycles - len(days))]
    else:
        before = cycles - 2
        begins = FIRST_CYCLE + APART * before
        days = [FIRST_CYCLE + APART * i for i in range(before)] + [begins + 70 + APART * i for i in range(2)]
    external = _beam(begins, dose[0], dose[1])
    inner = Beam(external.end + 2, external.end + 2 + 3 * (dose[3] - 1), dose[2], dose[3], inside=True)
    return Plan([(day, ()) for day in days], [external, inner])


def _beam(start: int, gy: float, fractions: int) -> Beam:
    return Beam(start, start + fractions + 2 * ((fractions - 1) // 5) - 1, gy, fractions)


def _drugs(rows: list[Json], found: dict[int, Plan]) -> dict[int, list[tuple[int, tuple[str, ...]]]]:
    """Which drugs each cycle has: small-cell carcinoma etoposide first; the rest cisplatin and paclitaxel."""
    told: dict[int, list[tuple[int, tuple[str, ...]]]] = {}
    weekly = {number for number, plan in found.items() if len(plan.cycles) == 6 and plan.cycles[1][0] - plan.cycles[0][0] == 7}
    left = {("cisplatin", "etoposide"): ETOPOSIDE, ("carboplatin", "paclitaxel"): CARBOPLATIN, ("cisplatin", "docetaxel"): OTHER}
    order = sorted(rows, key=lambda row: (row["histology"] != "small-cell", row["number"]))
    for row in order:
        told[row["number"]] = []
        for day, _ in found[row["number"]].cycles:
            if row["number"] in weekly:
                told[row["number"]].append((day, ("cisplatin",)))
                continue
            pair = next((drugs for drugs, count in left.items() if count), ("cisplatin", "paclitaxel"))
            if pair in left:
                left[pair] -= 1
            told[row["number"]].append((day, pair))
    return told
