"""Every kind of knowledge file as plain text, as a person would read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from services.recommend.evidence import Work
from services.recommend.pathway import PathwayFile
from services.recommend.policy import Policy
from services.recommend.prognosis import PrognosisFile
from services.recommend.regimen import Belongs, Cited, Contraindication, Gives, Need, Precautions, Predicate, Regimen, Remark, Rule
from services.recommend.shelf import Library
from services.recommend.trial import TrialFile
from services.recommend.wording import OPEN, asked, citation, condition, course, dose, places, rhythm, told
from shared.fhir.outcome import NotFound
from shared.knowledge.printing import signature


def kinds(library: Library) -> dict[str, Mapping[str, Any]]:
    """What there is to show, by kind; the kinds are named as their folders are."""
    return {
        "regimens": library.regimens,
        "precautions": library.precautions,
        "policy": library.policies,
        "trials": library.trials,
        "pathways": library.pathways,
        "prognosis": library.prognoses,
        "evidence": library.works,
    }


def show(name: str, library: Library) -> str:
    """Everything of that id (`trials/trofuse-020`: of that kind only); raises NotFound, naming what there is."""
    folder, _, identifier = name.rpartition("/")
    found = [(kind, of[identifier]) for kind, of in kinds(library).items() if identifier in of and folder in ("", kind)]
    if not found:
        near = get_close_matches(identifier, {each for of in kinds(library).values() for each in of}, n=4)
        hint = f" Near it: {', '.join(near)}." if near else ""
        raise NotFound(f"There is nothing to show called {name}.{hint} `figaro knowledge show` lists what there is.")
    parts = [[f"{kind}/{identifier}.yaml", "", *_SHOWN[kind](value, library)] for kind, value in found]
    return "\n\n".join("\n".join(lines[2:] if len(found) == 1 else lines) for lines in parts) + "\n"


def _regimen(regimen: Regimen, library: Library) -> Iterator[str]:
    policy = library.policies["default"]
    yield from (*_title(regimen.title), f"Intent: {regimen.intent}. {_belongs(regimen.belongs, policy)}")
    yield from ("", "Gives", *map(_gives, regimen.gives))
    yield from (f"- {course(given)}{_open(given)} {places(given.because)}" for given in regimen.radiotherapy)
    yield from ("", "Needs", *(_rule(need, f"if silent, ask: {need.ask}", policy) for need in library.needs(regimen)))
    yield from ("", "Contraindications and cautions")
    for rule in library.contraindications(regimen):
        yield _rule(rule, f"{rule.level}{f'; if silent, ask: {rule.ask}' if rule.ask else ''}", policy)
    yield from ("", "Evidence")
    for shown in regimen.evidence:
        work = library.works[shown.work]
        yield f"- {citation(work)} [{work.id}]"
        yield from (f"    {told(figure)} ({figure.at})" for figure in work.figures if figure.id in shown.show)
    yield from ("", "Agencies")
    for status in regimen.regulatory:
        since, use = f" since {status.since}" if status.since else "", f", for {status.use}" if status.use else ""
        yield f"- {status.agency}: {status.status}{since}{use}{_open(status)} {places(status.because)}"
    yield from ["- generic: no agency's label names the combination"] if regimen.generic else []
    yield from _remarks(library.remarks(regimen), policy)
    if regimen.grade:
        yield from ("", f"Grade: {regimen.grade.text} ({regimen.grade.by}) {places(regimen.grade.because)}")
    yield from ("", signature(regimen.review))


def _precautions(found: Precautions, library: Library) -> Iterator[str]:
    policy = library.policies["default"]
    yield from (*_title(f"Precautions: {found.of}"), "They hold wherever the drug, or a drug of the class, is given.")
    yield from ("", "Needs", *(_rule(need, f"if silent, ask: {need.ask}", policy) for need in found.needs)) if found.needs else ()
    yield from ("", "Contraindications and cautions")
    yield from (
        _rule(rule, f"{rule.level}{f'; if silent, ask: {rule.ask}' if rule.ask else ''}", policy) for rule in found.contraindications
    )
    yield from (*_remarks(list(found.remarks), policy), "", signature(found.review))


def _work(work: Work, library: Library) -> Iterator[str]:
    yield citation(work)
    yield (
        f"{work.design}, published {work.published}{OPEN if 'published' in work.unchecked else ''}."
        if work.published
        else f"{work.design}."
    )
    identifiers = {"doi": work.doi, "pmid": work.pmid, "nct": work.nct}
    yield from (f"{name.upper()}: {value}{OPEN if name in work.unchecked else ''}" for name, value in identifiers.items() if value)
    yield from (f"Shows: {work.says}", f"Figures read in: {work.seen}.")
    yield from [f"Next review due: {work.next_review}."] if work.next_review else []
    if work.negative:
        beside = " with radiotherapy" if work.negative.with_radiotherapy else ""
        yield f"Never proposed: {', '.join(work.negative.drugs)}{beside}. {work.negative.says} ({work.negative.at})"
    yield from (f"Note: {note}" for note in work.notes)
    yield from (f"- {told(figure)} ({figure.at})" for figure in work.figures)
    using = [r.id for r in library.regimens.values() if work.id in {shown.work for shown in r.evidence}]
    yield f"Evidence of: {', '.join(using) or 'no regimen; it is cited elsewhere'}."


def _policy(policy: Policy, library: Library) -> Iterator[str]:
    yield from (*_title(policy.title), f"Body surface: {policy.bsa}. Weight: {policy.weight}.")
    yield f"Approval asked of: {policy.region or 'no agency'}."
    if policy.oligometastasis:
        yield f"Oligometastatic: {policy.oligometastasis.definition} ({policy.oligometastasis.id})."
    yield f"Least creatinine in Cockcroft-Gault: {'as the parameter says' if policy.creatinine_floor else 'not used'}."
    yield from ("", "Parameters")
    for it in policy.parameters:
        yield f"- {it.id}: {it.value:g} {it.unit}. {it.says}{_open(it)} {places(it.because)}"
    yield from ("", "How old a value may be", *(f"- {age.fact}: {age.days} days" for age in policy.stale_after))
    yield from (f"- {step.drug} is rounded to {step.to:g} {step.unit}" for step in policy.rounding)
    for order in policy.order:
        yield from ("", f"Order: {order.setting}")
        yield from (f"{number}. {tier.says}: {', '.join(tier.regimens)}" for number, tier in enumerate(order.tiers, 1))
    yield from ("", "Within a tier")
    yield from (f"- {it.says} [{condition(it.when, policy)}]{_open(it)} {places(it.because)}" for it in policy.preferences)
    yield from (*_remarks(list(policy.remarks), policy), "", signature(policy.review))


def _trial(trial: TrialFile, library: Library) -> Iterator[str]:
    policy = library.policies["default"]
    status = f"{trial.status}{f' on {trial.status_on}' if trial.status_on else ''}"
    yield from (*_title(trial.title), f"Registry: {trial.registry or 'no number found'}. Status: {status}.{_open(trial)}")
    yield f"Listed for: {', '.join(trial.settings)}; {', '.join(trial.disease)} disease. {places(trial.because)}"
    yield from ("", "Criteria, all of which must hold")
    for it in trial.criteria:
        asks = f"{_every(it.when, policy) or 'the record cannot tell'}; if silent, ask: {it.ask}"
        yield f"- {it.text} [{asks}]{_open(it)} {places(it.because)}"
    yield from (*(f"- {remark}" for remark in trial.remarks), "", signature(trial.review))


def _pathway(pathway: PathwayFile, library: Library) -> Iterator[str]:
    policy = library.policies["default"]
    yield from (*_title(pathway.title), f"{_belongs(pathway.belongs, policy)}{_open(pathway)} {places(pathway.because)}")
    for state in pathway.states:
        yield from ("", f"{state.id}{f' ({state.track})' if state.track else ''}: {state.says}{_open(state)} {places(state.because)}")
        for way in state.ways:
            yield f"- to {way.to} where {_every(way.when, policy)}{f' [if silent, ask: {way.ask}]' if way.ask else ''}"
        yield from (f"- next: {text}" for text in state.next)
        yield from ["- the work defines nothing here"] if state.undefined else []
    if pathway.visits:
        yield from ("", "Schedule")
    for visit in pathway.visits:
        when = f"day {visit.day}{f' of cycle {visit.cycle}' if visit.cycle else ''}{f', {visit.repeats}' if visit.repeats else ''}"
        yield f"- {visit.activity}: {when}{f' ({visit.track})' if visit.track else ''}{_open(visit)} {places(visit.because)}"
    yield from (f"- left open by the work: {text}" for text in pathway.undefined)
    yield from (*(f"- {remark}" for remark in pathway.remarks), "", signature(pathway.review))


def _prognosis(table: PrognosisFile, library: Library) -> Iterator[str]:
    policy = library.policies["default"]
    yield from (*_title(f"Prognostic context: {table.id}"), f"Percent after {table.months} months. {_belongs(table.belongs, policy)}")
    for it in table.factors:
        yield from ("", f"{it.factor}{_open(it)} {places(it.because)}")
        p = "".join(f", p {value} ({what})" for what, value in (("alive", it.p_os), ("without progression", it.p_pfs)) if value)
        for group in it.groups if it.checked else ():
            rates = [f"{rate:g} % {what}" for what, rate in (("alive", group.os), ("without progression", group.pfs)) if rate is not None]
            yield f"- {group.group}, n {group.n}: {', '.join(rates)} [{_every(group.when, policy)}]"
        yield from [f"  p{p[3:]}"] if p and it.checked else []
    yield from ("", *(f"- {limit}" for limit in table.limits), "", signature(table.review))


_SHOWN: dict[str, Callable[[Any, Library], Iterator[str]]] = {
    "regimens": _regimen,
    "precautions": _precautions,
    "policy": _policy,
    "trials": _trial,
    "pathways": _pathway,
    "prognosis": _prognosis,
    "evidence": _work,
}


def _title(words: str) -> tuple[str, str]:
    return words, "=" * len(words)


def _belongs(belongs: Belongs, policy: Policy) -> str:
    only = f", where not known to fail: {_every(belongs.when, policy)}" if belongs.when else ""
    return f"Listed for: {', '.join(belongs.settings)}; {', '.join(belongs.disease)} disease{only}."


def _every(questions: tuple[Predicate, ...], policy: Policy) -> str:
    return " and ".join(condition(question, policy) for question in questions)


def _remarks(remarks: list[Remark], policy: Policy) -> Iterator[str]:
    yield from ("", "Remarks") if remarks else ()
    for remark in remarks:
        where = f" [where {condition(remark.when, policy)}]" if remark.when else ""
        yield f"- {remark.says}{where}{_open(remark)} {places(remark.because)}"


def _gives(given: Gives) -> str:
    def mark(name: str) -> str:
        return OPEN if name in given.unchecked else ""

    over = f" over {given.over}{mark('over')}" if given.over else ""
    phase = f" ({given.phase})" if given.phase else ""
    seen = "" if given.checked and given.dose.checked else OPEN
    return f"- {given.drug} {dose(given)} {given.route}{over}, {rhythm(given, mark)}{phase}{seen} {places(given.because)}"


def _rule(each: Need | Contraindication, how: str, policy: Policy) -> str:
    rule = policy.worded(each)
    return f"- {rule.says} [{asked(rule, policy)}; {how}]{_open(rule)} {places(rule.because)}"


def _open(part: Cited | Rule) -> str:
    return "" if part.checked else OPEN
