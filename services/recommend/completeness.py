"""What the knowledge must not lack: a work that somebody has seen behind each "checked", and a case for each answer of a regimen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from services.recommend.regimen import Because, Cited, Rule
from services.recommend.shelf import Library
from shared.knowledge.loader import load

KINDS = ("eligible", "ruled-out", "cannot-tell")


class _Expected(msgspec.Struct, frozen=True):
    verdict: str


class _Case(msgspec.Struct, frozen=True):
    """The part of a case that is asked here."""

    says: str
    expect: _Expected


def lacks(found: Library) -> Iterator[tuple[str, str]]:
    """What is claimed and not backed: the file, and a sentence whose first word in backticks stands on the line at fault."""
    for work in found.works.values():
        figures = [figure.id for figure in work.figures if figure.checked and work.unseen]
        yield from (
            (
                f"evidence/{work.id}.yaml",
                f"The figure `{name}` is called checked, and nobody has seen the work: say in `seen` what was read.",
            )
            for name in figures
        )
    for file, name, because in _checked(found):
        if all(place.work in found.works and found.works[place.work].unseen for place in because):
            yield (
                file,
                f"`{name}` is called checked, and nobody has seen what it cites: say in `seen` what was read.",
            )
    for regimen in found.regimens.values():
        for work in found.works.values():
            tried = work.negative
            if tried and set(regimen.drugs) == set(tried.drugs) and bool(regimen.radiotherapy) == tried.with_radiotherapy:
                yield (
                    f"regimens/{regimen.id}.yaml",
                    f"`{regimen.id}` is what {work.id} found no better, and is never proposed: take the regimen out.",
                )


def _checked(found: Library) -> Iterator[tuple[str, str, Because]]:
    """Everything that is called checked: the file, its name there, and what it cites."""
    for regimen in found.regimens.values():
        rules: tuple[Rule, ...] = (*regimen.needs, *regimen.contraindications)
        parts: list[tuple[str, Rule | Cited]] = [(rule.id, rule) for rule in rules]
        parts += [(given.drug, given) for given in regimen.gives] + [(given.course, given) for given in regimen.radiotherapy]
        parts += [(said.says, said) for said in regimen.remarks] + [(said.agency, said) for said in regimen.regulatory]
        yield from ((f"regimens/{regimen.id}.yaml", name, part.because) for name, part in parts if part.checked)
    for precautions in found.precautions.values():
        of: tuple[Rule, ...] = (*precautions.needs, *precautions.contraindications)
        parts = [(rule.id, rule) for rule in of] + [(said.says, said) for said in precautions.remarks]
        yield from ((f"precautions/{precautions.of}.yaml", name, part.because) for name, part in parts if part.checked)
    for policy in found.policies.values():
        named = [(parameter.id, parameter.because) for parameter in policy.parameters if parameter.checked]
        yield from ((f"policy/{policy.id}.yaml", name, because) for name, because in named)


def without_cases(found: Library, cases: Path) -> Iterator[tuple[str, str]]:
    """The regimens that lack a case for one of the answers that they can give; `cases` has a folder for each."""
    for regimen in found.regimens.values():
        told = {load(path, _Case).expect.verdict for path in sorted((cases / regimen.id).glob("*.yaml"))}
        wanted = KINDS if found.needs(regimen) else KINDS[:1]
        if missing := [kind for kind in wanted if kind not in told]:
            yield (
                f"regimens/{regimen.id}.yaml",
                f"The regimen `{regimen.id}` has no case that is {' and none that is '.join(missing)}: add it below tests/cases.",
            )
    idle = sorted(path.name for path in cases.iterdir() if path.is_dir() and path.name not in found.regimens)
    yield from (("regimens/", f"The cases `{name}` are of no regimen: rename the folder after one, or remove it.") for name in idle)


def counts(found: Library) -> dict[str, tuple[int, int]]:
    """How many figures, criteria, doses, courses, agencies' decisions and remarks stand here, and how many of them somebody checked."""
    regimens, precautions = list(found.regimens.values()), list(found.precautions.values())
    rules: list[Rule] = [rule for r in regimens for rule in (*r.needs, *r.contraindications)]
    rules += [rule for p in precautions for rule in (*p.needs, *p.contraindications)]
    remarks = [remark for r in regimens for remark in r.remarks] + [remark for p in precautions for remark in p.remarks]
    remarks += [remark for policy in found.policies.values() for remark in policy.remarks]
    parts: dict[str, list[bool]] = {
        "figures": [figure.checked for work in found.works.values() for figure in work.figures],
        "criteria": [rule.checked for rule in rules],
        "doses": [given.checked and given.dose.checked for r in regimens for given in r.gives],
        "courses of radiotherapy": [course.checked for r in regimens for course in r.radiotherapy],
        "decisions of agencies": [status.checked for r in regimens for status in r.regulatory],
        "remarks": [remark.checked for remark in remarks],
        "parameters": [parameter.checked for policy in found.policies.values() for parameter in policy.parameters],
    }
    return {name: (len(checked), sum(checked)) for name, checked in parts.items()}
