"""Regimens as FHIR R4 definitions: a PlanDefinition each, an ActivityDefinition for each dose and course, an order set for each setting.

The criteria stand as conditions in words, and their FHIRPath is `{}`: empty, so neither true nor false. An engine that would apply a
definition by itself cannot judge them, and offers nobody a regimen whose criteria it has not judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import get_args

from services.recommend import wording
from services.recommend.citations import document
from services.recommend.evidence import Figure
from services.recommend.marks import activity, evidence_figure, marked
from services.recommend.options import Drug
from services.recommend.policy import Policy
from services.recommend.radiotherapy import course
from services.recommend.regimen import Gives, Irradiation, Regimen, Rule, Setting
from services.recommend.shelf import Library
from shared.fhir import definitions as fhir
from shared.fhir.assertion import concept
from shared.fhir.codes import ATC, RXNORM, SNOMED
from shared.fhir.definitions import CERVIX, TERMINOLOGY, Json, canonical
from shared.oncology.wording import course_words

UCUM = "http://unitsofmeasure.org"
UNKNOWN = "{}"  # FHIRPath for the empty collection
INTENTS = {"curative": "373808002", "palliative": "363676003", "supportive": "399707004"}
# What a plan may be for without a list of its own: `figaro careplan` names these settings too.
_UNLISTED = {
    "early": "Stages IA to IB2 and IIA1 are outside what this knowledge covers.",
    "stage-iv": "IVA or IVB is not settled: the options of both are listed.",
    "unsettled": "The record does not tell the stage, and so no setting.",
}
SETTINGS = (*get_args(Setting), *_UNLISTED)


def plans(library: Library, drugs: dict[str, Drug]) -> Iterator[Json]:
    """Every PlanDefinition and ActivityDefinition."""
    for regimen in library.regimens.values():
        yield plan(regimen, library)
        yield from activities(regimen, library, drugs)
    yield from (order_set(setting, library) for setting in SETTINGS)


def plan(regimen: Regimen, library: Library) -> Json:
    """One regimen as a PlanDefinition."""
    edition, policy = library.knowledge.edition, library.policies["default"]
    rules = library.contraindications(regimen)
    blocks = [rule for rule in rules if rule.level == "block"]
    warned = [f"- {_said(rule, policy)} {wording.places(rule.because)}" for rule in rules if rule.level != "block"]
    asked = [f"- {ask}" for ask in dict.fromkeys(rule.ask for rule in rules if rule.ask)]
    goal = {"id": "intent", "description": concept(SNOMED, INTENTS[regimen.intent], regimen.intent), "addresses": [CERVIX]}
    action: Json = {
        "id": "regimen",
        "title": regimen.title,
        "goalId": ["intent"],
        "condition": [
            *(_condition(need, policy) for need in library.needs(regimen)),
            *(_condition(rule, policy, denied=True) for rule in blocks),
        ],
        "groupingBehavior": "logical-group",
        "selectionBehavior": "all",
        "requiredBehavior": "could",
        "action": [
            {"title": title, "definitionCanonical": canonical("ActivityDefinition", name, edition)} for name, title in parts(regimen)
        ],
    }
    kind = concept(f"{TERMINOLOGY}/plan-definition-type", "clinical-protocol")
    return fhir.artifact(
        "PlanDefinition",
        regimen.id,
        regimen.title,
        edition,
        type=kind,
        subjectCodeableConcept=concept("http://hl7.org/fhir/resource-types", "Patient"),
        description="\n".join(_about(regimen, library)),
        useContext=[*fhir.use_context(), *(fhir.use_context(setting)[1] for setting in regimen.belongs.settings)],
        usage="\n".join([*(["Cautions:", ""] if warned else []), *warned, *(["", "To be asked:", ""] if asked else []), *asked]),
        relatedArtifact=_cited(regimen, library),
        goal=[goal],
        action=[{name: value for name, value in action.items() if value}],
        **fhir.reviewed(regimen.review),
    )


def parts(regimen: Regimen) -> list[tuple[str, str]]:
    """The ActivityDefinitions of a regimen, as id and title: its doses, its courses; the service itself where it has neither."""
    doses = [(f"{regimen.id}-dose-{n}", f"{given.drug} {given.dose}") for n, given in enumerate(regimen.gives, 1)]
    courses = [
        (f"{regimen.id}-course-{n}", f"{fhir.words(given.course)} to {given.target}") for n, given in enumerate(regimen.radiotherapy, 1)
    ]
    return doses + courses or [(f"{regimen.id}-service", regimen.title)]


def activities(regimen: Regimen, library: Library, drugs: dict[str, Drug]) -> Iterator[Json]:
    """The ActivityDefinitions of a regimen."""
    given: tuple[Gives | Irradiation | None, ...] = (*regimen.gives, *regimen.radiotherapy)
    for (name, title), one in zip(parts(regimen), given or (None,), strict=True):
        if isinstance(one, Gives):
            what = _dose(one, drugs)
        elif one is not None:
            what = _course(one)
        else:
            what = {"kind": "ServiceRequest", "code": {"text": regimen.title}}
        yield fhir.artifact(
            "ActivityDefinition",
            name,
            title,
            library.knowledge.edition,
            intent="option",
            useContext=fhir.use_context(),
            relatedArtifact=[_work(library, place.work) for place in one.because] if one else None,
            **what,
            **fhir.reviewed(regimen.review),
        )


def order_set(setting: str, library: Library) -> Json:
    """What is listed in a setting, tier by tier, as the default policy orders it. The order is the policy's, and no recommendation."""
    edition, policy = library.knowledge.edition, library.policies["default"]
    tiers = [tier for order in policy.order if order.setting == setting for tier in order.tiers]
    listed = [
        {
            "title": tier.says,
            "groupingBehavior": "logical-group",
            "action": [
                {"title": library.regimens[name].title, "definitionCanonical": canonical("PlanDefinition", name, edition)}
                for name in tier.regimens
            ],
        }
        for tier in tiers
    ]
    choose = {"title": "Choose one", "groupingBehavior": "logical-group", "selectionBehavior": "exactly-one", "action": listed}
    return fhir.artifact(
        "PlanDefinition",
        f"cervix-{setting}",
        f"Carcinoma of the cervix, {fhir.words(setting)}: what a board is shown",
        edition,
        type=concept(f"{TERMINOLOGY}/plan-definition-type", "order-set"),
        subjectCodeableConcept=concept("http://hl7.org/fhir/resource-types", "Patient"),
        description=_UNLISTED.get(
            setting, f"Candidates for a tumour board, in the order of the policy `{policy.id}`; never an order to treat."
        ),
        useContext=fhir.use_context(setting),
        library=[canonical("Library", f"policy-{policy.id}", edition)],
        action=[choose] if listed else None,
        **fhir.reviewed(policy.review),
    )


def _condition(rule: Rule, policy: Policy, *, denied: bool = False) -> Json:
    words, ask = wording.asked(rule, policy), getattr(rule, "ask", None)
    silent = f" If silent, ask: {ask.rstrip('.')}." if ask else ""
    said = (
        f"{'Not where: ' if denied else ''}{_said(rule, policy)}{silent} [{'not ' if denied else ''}{words}] {wording.places(rule.because)}"
    )
    told = {"description": said, "name": rule.id, "language": "text/fhirpath", "expression": UNKNOWN}
    return {"kind": "applicability", "expression": told}


def _said(rule: Rule, policy: Policy) -> str:
    told = policy.worded(rule)
    return f"{told.says.rstrip('.')}{'' if told.checked else fhir.UNCHECKED}."


def _about(regimen: Regimen, library: Library) -> Iterator[str]:
    yield f"Intent: {regimen.intent}. A candidate for a tumour board; proposes, never orders."
    if regimen.grade:
        yield f"\n{regimen.grade.text} ({regimen.grade.by})."
    for status in regimen.regulatory:
        since, use = f" since {status.since}" if status.since else "", f", for {status.use}" if status.use else ""
        yield f"- {status.agency}: {status.status}{since}{use}{'' if status.checked else fhir.UNCHECKED}"
    if regimen.generic:
        yield "- No agency's label names the combination."
    yield from (f"- {marked(remark)}" for remark in library.remarks(regimen))


def _cited(regimen: Regimen, library: Library) -> list[Json]:
    """Each work with its checked figures; then whatever else the regimen rests on."""
    found = []
    for shown in regimen.evidence:
        work = library.works[shown.work]
        figures: list[Figure | None] = [figure for figure in work.figures if figure.id in shown.show and figure.checked]
        found += [document(evidence_figure(work, figure)) | _kept(library, work.id) for figure in figures or [None]]
    places: list[Iterable[str]] = [[place.work for place in rule.because] for rule in library.needs(regimen)]
    places += [[place.work for place in rule.because] for rule in library.contraindications(regimen)]
    places += [[place.work for place in part.because] for part in (*regimen.regulatory, *library.remarks(regimen))]
    places += [[place.work for place in regimen.grade.because]] if regimen.grade else []
    shown_already = {shown.work for shown in regimen.evidence}
    rest = dict.fromkeys(work for works in places for work in works if work not in shown_already)
    return found + [_work(library, work) for work in rest]


def _work(library: Library, name: str) -> Json:
    return document(evidence_figure(library.works[name], None)) | _kept(library, name)


def _kept(library: Library, work: str) -> Json:
    return {"resource": canonical("Library", f"evidence-{work}", library.knowledge.edition)}


def _dose(given: Gives, drugs: dict[str, Drug]) -> Json:
    """A dose rule: structured per m2, per kg or flat, and in words. The area under a curve is no dose, and stands in words only."""
    drug, rule = drugs[given.drug], given.dose
    coding = [{"system": RXNORM, "code": drug.rxnorm, "display": drug.name}] if drug.rxnorm else []
    coding += [{"system": ATC, "code": drug.atc}] if drug.atc else []
    line = activity(given)
    cap = f", at most {rule.cap.amount:g} mg a dose" if rule.cap else ""
    mark = "" if given.checked and rule.checked else fhir.UNCHECKED
    dosage: Json = {"text": f"{line.activity}{cap}: {line.repeats}{mark}", "timing": _rhythm(given), "route": {"text": given.route}}
    if rule.per != "auc" and rule.lighter is None:
        dosage["doseAndRate"] = [{"doseQuantity": {"value": rule.amount, "unit": rule.unit, "system": UCUM, "code": rule.unit}}]
    if rule.cap:
        dosage["maxDosePerAdministration"] = {"value": rule.cap.amount, "unit": "mg", "system": UCUM, "code": "mg"}
    product = {**({"coding": coding} if coding else {}), "text": drug.name}
    return {"kind": "MedicationRequest", "productCodeableConcept": product, "dosage": [dosage]}


def _rhythm(given: Gives) -> Json:
    often = given.times_a_day if given.cycle_days == 1 else len(given.day)
    return {"repeat": {"frequency": often, "period": given.cycle_days, "periodUnit": "d"}, "code": {"text": given.rhythm}}


def _course(given: Irradiation) -> Json:
    found: Json = {
        "kind": "ServiceRequest",
        "code": concept(SNOMED, "1217123003", f"Radiotherapy course: {fhir.words(given.course)}"),
        "bodySite": [{"text": given.target}],
        "description": f"Reference, never an order: {course_words(course(given))}.",
    }
    if given.fractions is not None:
        low, high = given.fractions if isinstance(given.fractions, tuple) else (given.fractions, None)
        found["timingTiming"] = {"repeat": {"count": low} | ({"countMax": high} if high else {})}
    return found
