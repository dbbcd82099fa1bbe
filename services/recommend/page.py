"""The page of a regimen, to print on one sheet of A4, read and sign: what it asks, gives and rests on; several with contents before."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import NamedTuple

from services.recommend import wording
from services.recommend.evidence import Figure, Work
from services.recommend.forest import WIDTH, scale
from services.recommend.radiotherapy import course
from services.recommend.regimen import Cited, Contraindication, Gives, Need, Place, Precautions, Regimen, Remark, Review, Rule
from services.recommend.shelf import Library
from shared.knowledge.printing import environment, signature

BOOKLETS = ("regimens", "precautions")
_SIZES = ((74, "roomy"), (89, "close"), (106, "dense"), (10_000, "tight"))
FULL = 126  # so many lines fill the page in the smallest print
_COLUMN = 58  # characters of a line in one of two columns, in the largest print


class Leaf(NamedTuple):
    """One page: a regimen, or the precautions of one drug or class, where `regimen` is None. `of`: what it is for."""

    id: str
    title: str
    what: str
    of: tuple[str, ...]
    review: Review
    rules: tuple[Rule, ...]
    remarks: tuple[Remark, ...]
    works: tuple[Work, ...]
    regimen: Regimen | None = None
    precautions: tuple[Precautions, ...] = ()
    shown: tuple[tuple[Work, tuple[Figure, ...]], ...] = ()

    @property
    def parts(self) -> list[Rule | Cited | Figure]:
        """Every line to be ticked."""
        r = self.regimen
        own: list[Rule | Cited | Figure] = [*r.gives, *r.radiotherapy, *r.regulatory] if r else []
        return [*own, *self.rules, *self.remarks, *(figure for _, figures in self.shown for figure in figures)]

    @property
    def unchecked(self) -> int:
        """How many of them nobody has compared with a source."""
        return sum(not _seen(part) for part in self.parts)

    @property
    def lines(self) -> int:
        """About how many lines the page has in the largest print; smaller print takes more. A test measures what comes of it."""
        r = self.regimen
        halves = [_long(rule) for rule in self.rules] + [len(it.says) + sum(map(_cite, it.because)) for it in self.remarks]
        for p in self.precautions:
            short: tuple[Rule | Remark, ...] = (*p.needs, *p.contraindications, *p.remarks)
            halves += [len(it.says) + 14 for it in short]
        halves += [len(work.citation) + len(work.id) for work in self.works] + [90 for _ in (r.regulatory if r else ())]
        wide = [len(work.says) + 40 for work, _ in self.shown]
        figures = [len(f"{it.endpoint}{it.population}{it.says}{it.at}") + 20 for _, figures in self.shown for it in figures]
        rows = sum(-(-each // _COLUMN) + 0.3 for each in figures) + sum(-(-each // (2 * _COLUMN)) + 0.4 for each in wide)
        given = 1.5 * (len(r.gives) + len(r.radiotherapy)) if r else 0
        return round(sum(-(-each // _COLUMN) for each in halves) / 2 + rows + given + len(self.precautions) + (26 if r else 20))

    @property
    def size(self) -> str:
        """How close the page is set."""
        return next(name for most, name in _SIZES if self.lines <= most)


def leaves(name: str, library: Library) -> tuple[Leaf, ...]:
    """The pages of that name, of all regimens, or of all precautions; none where there is no page to print."""
    folder, _, identifier = name.rpartition("/")
    regimens = [r for r in library.regimens.values() if name == "regimens" or (identifier == r.id and folder in ("", "regimens"))]
    precautions = [
        p for p in library.precautions.values() if name == "precautions" or (identifier == p.of and folder in ("", "precautions"))
    ]
    return (*(_regimen(r, library) for r in regimens), *(_precautions(p, library) for p in precautions))


def _regimen(regimen: Regimen, library: Library) -> Leaf:
    rules = _worded(regimen.needs, regimen.contraindications, library)
    shown = []
    for it in regimen.evidence:
        work = library.works[it.work]
        shown.append((work, tuple(figure for figure in work.figures if figure.id in it.show)))
    grade = [regimen.grade.because] if regimen.grade else []
    given: tuple[Cited, ...] = (*regimen.gives, *regimen.radiotherapy)
    said: tuple[Cited, ...] = (*regimen.regulatory, *regimen.remarks)
    cited = [*grade, *(part.because for part in given), *(rule.because for rule in rules)]
    cited += [tuple(Place(work.id, "") for work, _ in shown), *(part.because for part in said)]
    return Leaf(
        id=regimen.id,
        title=regimen.title,
        what=regimen.title,
        of=regimen.belongs.settings,
        review=regimen.review,
        rules=rules,
        remarks=regimen.remarks,
        works=_works(cited, library),
        regimen=regimen,
        precautions=tuple(library.precautions_for(regimen)),
        shown=tuple(shown),
    )


def _precautions(found: Precautions, library: Library) -> Leaf:
    rules = _worded(found.needs, found.contraindications, library)
    what = wording.plain(found.of)
    return Leaf(
        id=f"precautions-{found.of}",
        title=f"Precautions: {what}",
        what=what,
        of=tuple(regimen.id for regimen in library.regimens.values() if found in library.precautions_for(regimen)),
        review=found.review,
        rules=rules,
        remarks=found.remarks,
        works=_works([*(rule.because for rule in rules), *(it.because for it in found.remarks)], library),
    )


def _worded(needs: Iterable[Need], rules: Iterable[Contraindication], library: Library) -> tuple[Rule, ...]:
    """The criteria with the limits of the default policy in their words."""
    policy = library.policies["default"]
    return (*map(policy.worded, needs), *map(policy.worded, rules))


def _works(cited: Iterable[Iterable[Place]], library: Library) -> tuple[Work, ...]:
    """The works, in the order in which they are cited."""
    return tuple(library.works[name] for name in dict.fromkeys(place.work for because in cited for place in because))


def page(printed: tuple[Leaf, ...], library: Library) -> str:
    """One self-contained HTML page: each leaf on one side of A4, several with contents before them."""
    policy = library.policies["default"]
    figures = (figure for work in library.works.values() for figure in work.figures)
    shown = environment("services.recommend").get_template("regimens.html")
    return shown.render(
        title=printed[0].title if len(printed) == 1 else "Regimens" if printed[0].regimen else "Precautions",
        leaves=printed,
        knowledge=library.knowledge,
        scale=scale(figures),  # one for all pages, so that they can be laid side by side
        width=WIDTH,
        wording=wording,
        signature=signature,
        asked=partial(wording.asked, policy=policy),
        condition=partial(wording.condition, policy=policy),
        worded=policy.worded,
        course=course,
        level=_level,
    )


def _level(rule: Rule) -> str:
    return rule.level if isinstance(rule, Contraindication) else "must"


def _seen(part: Rule | Cited | Figure) -> bool:
    return part.checked and (not isinstance(part, Gives) or (part.dose.checked and not part.unchecked))


def _long(rule: Rule) -> int:
    ask = rule.ask if isinstance(rule, Need | Contraindication) and rule.ask else ""
    return 20 + len(rule.says) + len(ask) + len(rule.fact) + sum(map(_cite, rule.because))


def _cite(place: Place) -> int:
    return len(place.at) + 5
