"""Parts of the knowledge in the words in which a person reads and signs them: conditions, doses, courses, figures."""

from __future__ import annotations

import re
from collections.abc import Callable

from services.recommend.evidence import Figure, Work
from services.recommend.policy import Policy
from services.recommend.regimen import Contraindication, Gives, Irradiation, Place, Predicate, Rule

CLASSES = {"pd-1": "PD-1 or PD-L1 antibodies"}
HELD_BACK = "held back until checked against the source"
OPEN = " [not checked against the source]"
_SIGNS = {"at_least": "≥", "above": ">", "at_most": "≤", "below": "<"}
_UNITS = {
    "10*9/L": "× 10⁹/L",
    "mm[Hg]": "mmHg",
    "mL/min/{1.73_m2}": "mL/min per 1.73 m²",
    "a": "years",
    "d": "days",
    "{mut}/Mb": "mutations/Mb",
}


def unit(code: str) -> str:
    """A UCUM code as it is printed; a mere annotation says nothing beside its fact."""
    return _UNITS.get(code, "" if code.startswith("{") else code.replace("m[IU]", "mIU"))


def condition(question: Predicate, policy: Policy) -> str:
    """The question to one fact, as it is asked of a record: `creatinine-clearance < 60 mL/min`."""
    if question.one_of is not None:
        return f"{question.fact}: {_or(question.one_of)}"
    if question.recorded is not None:
        return f"{question.fact} {'on record' if question.recorded else 'not on record'}"
    if question.is_ is not None:
        return question.fact if question.is_ else f"no {question.fact}"
    sign, limit = next((_SIGNS[name], limit) for name in _SIGNS if (limit := getattr(question, name)) is not None)
    if limit.policy is None:
        return f"{question.fact} {sign} {limit.value:g} {unit(limit.unit)}".rstrip()
    own = next(parameter for parameter in policy.parameters if parameter.id == limit.policy)
    return f"{question.fact} {sign} {own.value:g} {unit(own.unit)}, by policy".replace(" ,", ",")


def asked(rule: Rule, policy: Policy) -> str:
    """The whole condition of a criterion, with what takes it out of force."""
    words = condition(rule, policy)
    if isinstance(rule, Contraindication) and rule.unless:
        words += f"; unless {condition(rule.unless, policy)}"
    if isinstance(rule, Contraindication) and rule.ask_unless:
        words += f"; silence not asked about where {condition(rule.ask_unless, policy)}"
    if isinstance(rule, Contraindication) and rule.reduces_dose:
        words += "; no amount is reckoned where it holds"
    return words


def dose(given: Gives) -> str:
    """The dose with its cap."""
    return f"{given.dose}{f', at most {given.dose.cap.amount:g} mg' if given.dose.cap else ''}"


def rhythm(given: Gives, mark: Callable[[str], str] = lambda _: "") -> str:
    """On which days, for how many cycles or until when; `mark` puts a sign behind `cycles` and `until`."""
    ends = f", at most {given.cycles} cycles{mark('cycles')}" if given.cycles else ""
    ends += f", until {given.until}{mark('until')}" if given.until and not given.cycles else ""
    return f"{given.rhythm}{ends}"


def span(value: tuple[float, float] | float | None) -> str:
    """A number or a range."""
    if value is None:
        return "–"
    return f"{value[0]:g} to {value[1]:g}" if isinstance(value, tuple) else f"{value:g}"


def ratio(figure: Figure) -> str:
    """The hazard ratio with its interval and its level."""
    if figure.hazard_ratio is None:
        return ""
    interval = f" ({figure.level} % CI {figure.ci[0]:.2f} to {figure.ci[1]:.2f})" if figure.ci else ""
    return f"{figure.hazard_ratio:.2f}{interval}"


def medians(figure: Figure) -> str:
    """The medians in months, treatment of interest first."""
    return f"{figure.months[0]:g} against {figure.months[1]:g}" if figure.months else ""


def told(figure: Figure) -> str:
    """A checked figure in one line; an unchecked one without its numbers."""
    head = f"{figure.endpoint}, {figure.population or 'all'}"
    if not figure.checked:
        return f"{head}: {HELD_BACK}"
    parts = [head, f"hazard ratio {ratio(figure)}" if figure.hazard_ratio is not None else ""]
    parts += [f"median {medians(figure)} months" if figure.months else "", f"p {figure.p}" if figure.p else ""]
    parts += [f"n {figure.n}" if figure.n else "", figure.says or ""]
    return "; ".join(part for part in parts if part)


def course(given: Irradiation) -> str:
    """A course of radiotherapy in one line."""
    kind = given.course if given.course in ("brachytherapy", "nodal-boost") else f"{given.course} radiotherapy"
    parts = [f"{kind} to {given.target}"]
    parts += [f"{span(given.total_gy)} Gy"] if given.total_gy is not None else []
    parts += [f"{span(given.fractions)} fractions"] if given.fractions is not None else []
    parts += [f"{span(given.gy_per_fraction)} Gy each"] if given.gy_per_fraction is not None else []
    return ", ".join(parts) + (f" ({given.phase})" if given.phase else "")


def citation(work: Work) -> str:
    """The work as it is cited, with its mark."""
    return work.citation + (OPEN if "citation" in work.unchecked else "")


def places(because: tuple[Place, ...]) -> str:
    """The works and the places in them."""
    return "(" + "; ".join(f"{place.work}, {place.at}" for place in because) + ")"


def plain(identifier: str) -> str:
    """An id as words."""
    return CLASSES.get(identifier, re.sub("-", " ", identifier))


def _or(words: tuple[str, ...]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
