"""What a reader can work out of a report with small cells hidden: the lowest and highest value of each count, by its sums."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations

from scipy.optimize import linprog  # type: ignore[import-untyped]

from services.cohort.comparison import Row
from services.cohort.counting import Line
from services.cohort.flow import Out

Terms = Mapping[str, int]
Sums = list[tuple[Terms, str]]


def told(text: str) -> tuple[int, int | None] | None:
    """The range that a cell states; None where it states nothing."""
    if text.startswith("< "):
        return 1, int(text[2:]) - 1
    number = text.split(" ", maxsplit=1)[0]
    return (int(number), int(number)) if number.isdecimal() else None


def given_away(sums: Iterable[tuple[Terms, str]], threshold: int, asked: Sequence[Terms] = ()) -> list[str]:
    """The small counts that the sums give exactly, of all that are in them or asked for; a sum is its terms and the cell that shows it."""
    stated = [(terms, at) for terms, text in sums if (at := told(text))]
    names = sorted({name for terms in (*(t for t, _ in stated), *asked) for name in terms})
    place = {name: number for number, name in enumerate(names)}

    def row(terms: Terms, sign: int = 1) -> list[int]:
        line = [0] * len(names)
        for name, times in terms.items():
            line[place[name]] += sign * times
        return line

    even = [(row(terms), low) for terms, (low, high) in stated if low == high]
    between = [(row(t), high) for t, (low, high) in stated if low != high and high is not None]
    between += [(row(t, -1), -low) for t, (low, high) in stated if low != high]
    shown = {frozenset(terms.items()): low for terms, (low, high) in stated if low == high}
    found = []
    for n, terms in enumerate([*({name: 1} for name in names), *asked]):
        # What is shown and not small is not asked for; the first is, since sums that contradict each other have no answer.
        if n and shown.get(frozenset(terms.items()), 0) >= threshold:
            continue
        ends = []
        for sign in (1, -1):
            least = linprog(
                row(terms, sign),
                A_eq=[line for line, _ in even] or None,
                b_eq=[value for _, value in even] or None,
                A_ub=[line for line, _ in between] or None,
                b_ub=[value for _, value in between] or None,
            )
            assert least.status in (0, 3), least.message
            ends.append(sign * least.fun if least.status == 0 else math.inf)
        low, high = math.ceil(ends[0] - 1e-6), ends[1] + 1e-6
        if math.isfinite(high) and low == math.floor(high) and 0 < low < threshold:
            found.append(f"{' + '.join(terms)} = {low}" if len(terms) < 4 else f"{len(terms)} together = {low}")
    return found


def of_parts(lines: Sequence[Line], sizes: Sequence[str]) -> Sums:
    """The lines of a block that make up whole, A and B."""
    sums: Sums = [({f"{line.label} {c}": 1 for line in lines}, sizes[c]) for c in (1, 2)]
    sums.append(({f"{line.label} {c}": 1 for line in lines for c in (1, 2)}, sizes[0]))
    for line in lines:
        sums.append(({f"{line.label} 1": 1, f"{line.label} 2": 1}, line.ours[0]))
        sums += [({f"{line.label} {c}": 1}, line.ours[c]) for c in (1, 2)]
    return sums


def of_line(line: Line, sizes: Sequence[str]) -> Sums:
    """A line counted by itself, and those it does not count; of some the name says who of a group they are."""
    other = Line(label=f"not {line.label}", ours=("–", "–", "–"))
    sums = of_parts([line, other], sizes)
    if line.label == "Radiotherapy to the pelvis":
        sums.append(({f"{line.label} 1": 1}, sizes[1]))
    if line.label.startswith("Cycles "):
        sums.append(({f"{line.label} 2": 1}, "0"))
    return sums


def of_flow(rows: str, steps: Sequence[Out], counted: str) -> Sums:
    """The flow diagram."""
    sums: Sums = [({step.says: 1 for step in steps} | {"counted": 1}, rows), ({"counted": 1}, counted)]
    for n, step in enumerate(steps):
        sums += [({step.says: 1}, step.out), ({each.says: 1 for each in steps[n + 1 :]} | {"counted": 1}, step.left)]
    return sums


def of_spread(two: Sequence[Line], three: Sequence[Row], organs: Collection[str], size: str) -> tuple[Sums, list[Terms]]:
    """Table 2, and what Table 3 says of organs and nodes, as sums over all patterns of up to three organs; and what else to ask for."""
    patterns = [(each, nodes) for number in (1, 2, 3) for each in combinations(sorted(organs), number) for nodes in (False, True)]
    name = {pattern: ", ".join(pattern[0]) + (" + nodes" if pattern[1] else "") for pattern in patterns}
    having: dict[str, dict[str, int]] = defaultdict(dict)
    for (each, nodes), key in name.items():
        for organ in each:
            having[organ][key] = 1
        having["sites"][key] = len(each)
        having["nodes" if nodes else "no nodes"][key] = 1
        having["Single" if len(each) == 1 else "Multiple"][key] = 1
    for organ in organs:
        having[f"no {organ}"] = {key: 1 for key in name.values() if key not in having[organ]}
    everybody = dict.fromkeys(name.values(), 1)
    sums: Sums = [(everybody, size)]
    head, shown = "", set()
    for line in two:
        head = line.label if line.head else head
        if line.head:
            continue
        if head.startswith("Organs with"):
            sums.append((having.get(line.label.lower(), {}) if line.label != "All" else having["sites"], line.ours[0]))
        elif head != "Other patterns":
            key = line.label.lower().replace(" and ", ", ") + (" + nodes" if head.endswith("nodes") else "")
            shown.add(key)
            sums.append(({key: 1}, line.ours[0]))
    pool = {key: 1 for key in everybody if key not in shown}
    if not any(line.label == "Other patterns" for line in two):
        sums.append((pool, "0"))
    if not any(line.label == "Other organs" for line in two):
        named = {line.label.lower() for line in two}
        sums += [(having[organ], "0") for organ in organs if organ not in named]
    for row in three:
        head = row.label if row.head else head
        which = head.split(" ", maxsplit=1)[0].lower()
        if head.endswith(" metastasis") and row.label in ("Yes", "No"):
            which = "nodes" if head.startswith("Distant node") else which
            sums.append((having[which if row.label == "Yes" else f"no {which}"], row.patients.ours))
        elif row.label in ("Single", "Multiple"):
            sums.append((having[row.label], row.patients.ours))
    asked: list[Terms] = [terms for key, terms in having.items() if key != "sites"]
    asked += [inside for terms in asked if (inside := {key: 1 for key in terms if key in pool})]
    return [(terms, text) for terms, text in sums if terms], asked
