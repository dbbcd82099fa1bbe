"""What stands beside the candidates: trials to ask about, where she is on a published pathway, and what became of patients like her."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from services.recommend.dates import known
from services.recommend.eligibility import Facts, ask
from services.recommend.not_read import doubted
from services.recommend.pathway import pathway_facts, walk
from services.recommend.policy import Policy
from services.recommend.prognosis import context
from services.recommend.regimen import Because, Belongs
from services.recommend.shelf import Library
from services.recommend.situation import Disease
from services.recommend.treatments import History
from services.recommend.trial import judge
from shared.oncology.recommendation import Note, Pathway, Prognosis, Trial
from shared.oncology.record import Record
from shared.oncology.stage import Staging
from shared.oncology.verdict import HOLDS

_NOWHERE = "No published pathway is shown: where she would stand on it hangs on treatments that were not read."
_VERDICTS = ("eligible", "cannot-tell", "ruled-out")


class Beside(NamedTuple):
    """Trials, pathways and prognostic context, and what must be said of them."""

    trials: tuple[Trial, ...]
    pathways: tuple[Pathway, ...]
    prognosis: tuple[Prognosis, ...]
    notes: tuple[Note, ...]


def beside(record: Record, staging: Staging, given: History, library: Library, policy: Policy, about: Disease, facts: Facts) -> Beside:
    """Everything beside the candidates, as known on the day asked for."""
    number, more = policy.number, pathway_facts(record, staging, given, facts.known, policy)
    facts = msgspec.structs.replace(facts, known={**facts.known, **more})

    def cites(work: str) -> bool:
        return known(library.works[work].published, record.as_of)

    def there(because: Because) -> bool:
        return any(cites(place.work) for place in because)

    def belongs(to: Belongs) -> bool:
        in_setting = bool(set(to.settings) & set(about.settings)) and bool(set(about.states) & set(to.disease))
        return in_setting and all(ask(question, facts.known, number) is HOLDS for question in to.when)

    trials = [
        doubted(judge(trial, facts, number, cites, record.as_of), record.unread)
        for trial in library.trials.values()
        if there(trial.because) and belongs(Belongs(settings=trial.settings, disease=trial.disease))
    ]
    paths = [p for p in library.pathways.values() if there(p.because) and belongs(p.belongs)]
    walked = [walk(p, facts, given, policy) for p in paths if not given.unseen]
    pathways = [msgspec.structs.replace(path, evidence=tuple(filter(cites, path.evidence))) for path in walked]
    tables = [table for table in library.prognoses.values() if there(table.because) and belongs(table.belongs)]
    shown = [(table, [factor for factor in context(table, facts, number) if cites(factor.work)]) for table in tables]
    notes = [
        Note(text=limit, sources=tuple(place.work for place in table.because if cites(place.work)))
        for table, factors in shown
        if factors
        for limit in table.limits
    ]
    notes += [Note(text=_NOWHERE)] if len(walked) < len(paths) else []
    return Beside(
        tuple(sorted(trials, key=lambda trial: (_VERDICTS.index(trial.verdict), trial.id))),
        tuple(pathways),
        tuple(factor for _, factors in shown for factor in factors),
        tuple(notes),
    )
