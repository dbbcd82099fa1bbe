"""What can be wrong between knowledge files: an id that leads nowhere, a unit that does not fit, a regimen without place, an idle work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from services.recommend.completeness import lacks
from services.recommend.evidence import Work
from services.recommend.policy import Policy
from services.recommend.regimen import Cited, Contraindication, Place, Predicate, Regimen, Rule
from services.recommend.shelf import Library


def faults(found: Library) -> Iterator[tuple[str, str]]:
    """What is wrong between files: the file, and a sentence whose first word in backticks stands on the line at fault."""
    for regimen in found.regimens.values():
        for text in _regimen_faults(found, regimen):
            yield f"regimens/{regimen.id}.yaml", text
    names = {drug.id for drug in found.book.drugs} | {name for drug in found.book.drugs for name in drug.classes}
    for precautions in found.precautions.values():
        file = f"precautions/{precautions.of}.yaml"
        if precautions.of not in names:
            yield file, f"`{precautions.of}` is neither a drug nor a class of drugs in codes.yaml."
        rules: tuple[Rule, ...] = (*precautions.needs, *precautions.contraindications)
        for rule in rules:
            yield from ((file, text) for text in _rule_faults(found, rule))
        for remark in precautions.remarks:
            yield from ((file, _no_work(found, place.work)) for place in remark.because if place.work not in found.works)
            yield from ((file, text) for text in (_question_faults(found, remark.when) if remark.when else ()))
    said: set[str] = set()  # what an extending policy takes over is at fault in the other's file, which comes first
    for policy in found.policies.values():
        new = [text for text in _policy_faults(found, policy) if text not in said]
        said.update(new)
        yield from ((f"policy/{policy.id}.yaml", text) for text in new)
    for file, parts, questions in _beside(found):
        yield from ((file, _no_work(found, place.work)) for part in parts for place in part.because if place.work not in found.works)
        yield from ((file, text) for question in questions for text in _question_faults(found, question))
    cited = {place.work for place in _places(found)} | {shown.work for r in found.regimens.values() for shown in r.evidence}
    for work in found.works:
        if work not in cited:
            yield (
                f"evidence/{work}.yaml",
                f"The work `{work}` is cited nowhere: cite it in `because` or `evidence` of another file, or remove it.",
            )
        for text in _figure_faults(found.works[work]):
            yield f"evidence/{work}.yaml", text
    yield from lacks(found)
    if "default" not in found.policies:
        yield "policy/default.yaml", "There is no policy `default`."


def _beside(found: Library) -> Iterator[tuple[str, list[Cited], list[Predicate]]]:
    """Trials, pathways and prognostic tables: the file, what it cites, and what it asks."""
    for trial in found.trials.values():
        yield f"trials/{trial.id}.yaml", [trial, *trial.criteria], [q for c in trial.criteria for q in c.when]
    for path in found.pathways.values():
        asked = [q for state in path.states for way in state.ways for q in way.when]
        yield f"pathways/{path.id}.yaml", [path, *path.states, *path.visits], [*path.belongs.when, *asked]
    for table in found.prognoses.values():
        asked = [q for factor in table.factors for group in factor.groups for q in group.when]
        yield f"prognosis/{table.id}.yaml", [table, *table.factors], [*table.belongs.when, *asked]


def _regimen_faults(found: Library, regimen: Regimen) -> Iterator[str]:
    drugs = {drug.id for drug in found.book.drugs}
    unknown = [drug for drug in regimen.drugs if drug not in drugs]
    yield from (f"The drug `{drug}` is not in codes.yaml.{_near(drug, drugs)}" for drug in unknown)
    for shown in regimen.evidence:
        work = found.works.get(shown.work)
        figures = {figure.id for figure in work.figures} if work else set()
        yield from () if work else (_no_work(found, shown.work),)
        yield from (f"The work {shown.work} has no figure `{name}`.{_near(name, figures)}" for name in shown.show if name not in figures)
    for place in _cited(regimen):
        if place.work not in found.works:
            yield _no_work(found, place.work)
    for question in (*regimen.belongs.when, *(r.when for r in regimen.remarks if r.when)):
        yield from _question_faults(found, question)
    own: tuple[Rule, ...] = (*regimen.needs, *regimen.contraindications)
    for rule in own:
        yield from _rule_faults(found, rule)
    if unknown:
        return
    if regimen.gives and not regimen.generic and not regimen.regulatory:
        yield f"The regimen `{regimen.id}` says neither what an agency has said (`regulatory`) nor that it is generic (`generic: true`)."
    needs = found.needs(regimen)
    ids = [need.id for need in needs] + [rule.id for rule in found.contraindications(regimen)]
    yield from (f"The criterion `{name}` stands twice for this regimen." for name in sorted({n for n in ids if ids.count(n) > 1}))
    yield from _silent_on(found, regimen)


def _silent_on(found: Library, regimen: Regimen) -> Iterator[str]:
    """What a treatment of the cancer must ask about, and this one does not."""
    if regimen.intent == "supportive":
        return
    rules: tuple[Rule, ...] = (*found.needs(regimen), *found.contraindications(regimen))
    if not any(rule.fact == "pregnancy" for rule in rules):
        yield f"The regimen `{regimen.id}` asks nothing about pregnancy: add a contraindication with `fact: pregnancy`."
    relief = any(given.course == "palliative" for given in regimen.radiotherapy)
    strains = not regimen.gives or any("cytotoxic" in found.book.drug(drug).classes for drug in regimen.drugs)
    if strains and not relief and not any(rule.fact == "ecog" for rule in rules):
        yield f"The regimen `{regimen.id}` asks for no performance status: add a need with `fact: ecog`."


def _figure_faults(work: Work) -> Iterator[str]:
    ids = [figure.id for figure in work.figures]
    yield from (f"The figure `{name}` stands twice." for name in sorted({name for name in ids if ids.count(name) > 1}))
    for figure in work.figures:
        if any(value <= 0 for value in (figure.hazard_ratio, *(figure.ci or ())) if value is not None):
            yield f"`{figure.id}`: a hazard ratio and its interval are above 0."


def _policy_faults(found: Library, policy: Policy) -> Iterator[str]:
    for question in (*(r.when for r in policy.remarks if r.when), *(p.when for p in policy.preferences)):
        yield from _question_faults(found, question)
    for part in _stated(policy):
        yield from (_no_work(found, place.work) for place in part.because if place.work not in found.works)
    yield from (f"No fact is called `{age.fact}`." for age in policy.stale_after if age.fact not in found.book.units)
    drugs = {drug.id for drug in found.book.drugs}
    named = [rounding.drug for rounding in policy.rounding] + [p.drug for p in policy.preferences if p.drug]
    yield from (f"The drug `{drug}` is not in codes.yaml." for drug in named if drug not in drugs)
    lifted = [p.regimen for p in policy.preferences if p.regimen]
    yield from (f"There is no regimen `{regimen}`." for regimen in lifted if regimen not in found.regimens)
    for order in policy.order:
        listed = [name for tier in order.tiers for name in tier.regimens]
        belong = {r.id for r in found.regimens.values() if order.setting in r.belongs.settings}
        wrong = [name for name in listed if name not in belong or listed.count(name) > 1]
        yield from (f"`{name}` is no regimen of {order.setting}, or stands twice.{_near(name, belong)}" for name in wrong)
        yield from (
            f"The order of `{order.setting}` leaves out {name}: give it a place in a tier." for name in sorted(belong - set(listed))
        )


def _rule_faults(found: Library, rule: Rule) -> Iterator[str]:
    yield from (
        f"`{rule.id}` cites {place.work}, which is no work.{_near(place.work, found.works)}"
        for place in rule.because
        if place.work not in found.works
    )
    yield from _question_faults(found, rule)
    for question in (rule.unless, rule.ask_unless) if isinstance(rule, Contraindication) else ():
        yield from _question_faults(found, question) if question else ()


def _question_faults(found: Library, question: Predicate) -> Iterator[str]:
    units = found.book.units
    if question.fact not in units:
        yield f"No fact is called `{question.fact}`.{_near(question.fact, units)}"
        return
    unit, numeric = units[question.fact], any(question.thresholds)
    if numeric != (unit is not None) and question.recorded is None:
        ask = f"at_least, above, at_most or below, in {unit}" if unit else "one_of, or is: true"
        yield f"`{question.fact}` is {'a number' if unit else 'in words'}; the question is not: ask {ask}."
    answers = next((scale.answers for scale in found.book.scales if scale.fact == question.fact), ())
    known = {str(answer.value) for answer in answers}
    for word in question.one_of or () if known else ():
        if word not in known:
            yield f"`{word}` is no answer of {question.fact}; there are: {', '.join(sorted(known))}."
    for threshold in filter(None, question.thresholds):
        if threshold.policy is None and threshold.unit != unit:
            yield f"`{question.fact}` is in {unit}; the threshold is in {threshold.unit}: write it in {unit}, with the unit in quotes."
        for policy in found.policies.values() if threshold.policy else ():
            own = next((p.unit for p in policy.parameters if p.id == threshold.policy), None)
            if own != unit:
                yield f"`{threshold.policy}` is not a parameter in {unit} of the policy {policy.id}."


def _cited(regimen: Regimen) -> Iterator[Place]:
    parts: tuple[Cited, ...] = (*regimen.gives, *regimen.radiotherapy, *regimen.remarks, *regimen.regulatory)
    for part in parts:
        yield from part.because
    yield from regimen.grade.because if regimen.grade else ()


def _stated(policy: Policy) -> tuple[Cited, ...]:
    return (*policy.remarks, *policy.preferences, *policy.parameters)


def _places(found: Library) -> Iterator[Place]:
    rules: list[Rule] = []
    for regimen in found.regimens.values():
        yield from _cited(regimen)
        rules += [*regimen.needs, *regimen.contraindications]
    for precautions in found.precautions.values():
        rules += [*precautions.needs, *precautions.contraindications]
        yield from (place for remark in precautions.remarks for place in remark.because)
    for rule in rules:
        yield from rule.because
    for policy in found.policies.values():
        for part in _stated(policy):
            yield from part.because
    for _, parts, _ in _beside(found):
        yield from (place for part in parts for place in part.because)


def _no_work(found: Library, name: str) -> str:
    near = _near(name, found.works)
    return f"There is no work `{name}`.{near or f' Add evidence/{name}.yaml.'}"


def _near(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, list(names), n=1)
    return f" Is {near[0]} meant?" if near else ""
