"""Conditions and facts in the words of `facts.yaml`, for people who read tables and not code."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from services.staging.knowledge import Rules
from shared.knowledge.table import Fact, When
from shared.oncology.verdict import HOLDS


def clauses(when: When, rules: Rules) -> tuple[str, ...]:
    """A condition, one clause for each of its parts: "hydronephrosis, unless …", "or a non-functioning kidney"."""
    parts = when.every or when.some
    if not parts:
        return (clause(when, rules),)
    joint = "and " if when.every else "or "
    first, *rest = (clause(part, rules) for part in parts)
    return (first, *(joint + each for each in rest))


def clause(when: When, rules: Rules) -> str:
    """A condition in one line."""
    if when.negated is not None:
        return f"not ({clause(when.negated, rules)})"
    if when.fact is None:
        return "(" + " ".join(clauses(when, rules)) + ")"
    words = fact(when.fact, rules)
    if when.at_most is not None:
        return f"{words} of at most {number(when.at_most)} {when.unit}"
    if when.more_than is not None:
        return f"{words} of more than {number(when.more_than)} {when.unit}"
    return f"{words}, unless {fact(when.unless, rules)} is known" if when.unless else words


def fact(name: str, rules: Rules) -> str:
    """A fact in words. One that nobody can observe says who states it."""
    rule = rules.facts[name]
    stated = [category for category, it in rules.tnm.categories.items() if name in it.holds] if not rule.code and not rule.measure else []
    if not stated:
        return rule.finding
    return f"{rule.finding} (as {stated[0]} states)" if len(stated) == 1 else f"{rule.finding} (as {stated[0]} to {stated[-1]} state)"


def name(fact_name: str) -> str:
    """A fact's own name as a person writes it: "para-aortic nodes" is sent as `para-aortic-nodes`."""
    return fact_name.replace("_", "-")


def said(facts: Mapping[str, Fact], rules: Rules) -> str:
    """The facts that hold, in words: "a visible lesion or one deeper than 5 mm, greatest diameter of 20.5 mm"."""
    held = []
    for each, known in facts.items():
        if known.measure is not None and known.measure.low is not None:
            held.append(f"{rules.facts[each].finding} of {number(known.measure.low)} {rules.facts[each].measure}")
        elif known.verdict is HOLDS:
            held.append(rules.facts[each].finding)
    return ", ".join(held) or "none of the facts that the rows read"


def number(length: Decimal) -> str:
    """A length as it is said: 20, 20.5."""
    return f"{length.normalize():f}"
