"""A regimen, a precaution or a work as plain text, as a person would read it."""

from __future__ import annotations

from services.recommend.evidence import Figure, Work
from services.recommend.regimen import Because, Gives, Irradiation, Regimen, Rule
from services.recommend.shelf import Library
from shared.fhir.outcome import NotFound

OPEN = " [not checked against the source]"


def show(name: str, library: Library) -> str:
    """The regimen or the work of that id; raises NotFound, naming what there is."""
    if name in library.regimens:
        return "\n".join(_regimen(library.regimens[name], library)) + "\n"
    if name in library.works:
        return "\n".join(_work(library.works[name])) + "\n"
    near = ", ".join(sorted({*library.regimens}))
    raise NotFound(f"There is neither a regimen nor a work {name}. Regimens: {near}.")


def _regimen(regimen: Regimen, library: Library) -> list[str]:
    lines = [regimen.title, "=" * len(regimen.title), f"Intent: {regimen.intent}. Listed for: {', '.join(regimen.belongs.settings)}."]
    lines += ["", "Gives"] + [_gives(given) for given in regimen.gives] + [_irradiation(given) for given in regimen.radiotherapy]
    lines += ["", "Needs"] + [_rule(need, f"if silent, ask: {need.ask}") for need in library.needs(regimen)]
    lines += ["", "Contraindications and cautions"] + [
        _rule(rule, f"{rule.level}{f'; if silent, ask: {rule.ask}' if rule.ask else ''}") for rule in library.contraindications(regimen)
    ]
    lines += ["", "Evidence"]
    for shown in regimen.evidence:
        work = library.works[shown.work]
        lines.append(f"- {_citation(work)} [{work.id}]")
        lines += [f"    {_figure(figure)}" for figure in work.figures if figure.id in shown.show]
    lines += ["", "Agencies"] + [
        f"- {s.agency}: {s.status}{f' since {s.since}' if s.since else ''}{f', for {s.use}' if s.use else ''}{'' if s.checked else OPEN}"
        for s in regimen.regulatory
    ]
    lines += ["- generic: no agency's label names the combination"] if regimen.generic else []
    lines += [f"- {remark.says} {_because(remark.because)}" for remark in regimen.remarks]
    if regimen.grade:
        lines += ["", f"Grade: {regimen.grade.text} ({regimen.grade.by})"]
    review = regimen.review
    by = f"by {', '.join(review.by)} on {review.on}" if review.by else "by nobody yet"
    return [*lines, "", f"Review: {review.state}, {by}; next {review.next}."]


def _citation(work: Work) -> str:
    return work.citation + (OPEN if "citation" in work.unchecked else "")


def _work(work: Work) -> list[str]:
    lines = [_citation(work), f"{work.design}, published {work.published}."]
    identifiers = {"doi": work.doi, "pmid": work.pmid, "nct": work.nct}
    lines += [f"{name.upper()}: {value}{OPEN if name in work.unchecked else ''}" for name, value in identifiers.items() if value]
    lines += [f"Shows: {work.says}", f"Figures read in: {work.seen}."]
    lines += [f"Next review due: {work.next_review}."] if work.next_review else []
    return [*lines, *(f"Note: {note}" for note in work.notes), *(f"- {_figure(figure)} ({figure.at})" for figure in work.figures)]


def _figure(figure: Figure) -> str:
    if not figure.checked:
        return f"{figure.endpoint}, {figure.population or 'all'}: held back until checked against the source"
    parts = [f"{figure.endpoint}, {figure.population or 'all'}"]
    if figure.hazard_ratio is not None:
        interval = f" ({figure.level} % CI {figure.ci[0]:g} to {figure.ci[1]:g})" if figure.ci else ""
        parts.append(f"hazard ratio {figure.hazard_ratio:g}{interval}")
    parts += [f"median {figure.months[0]:g} against {figure.months[1]:g} months"] if figure.months else []
    parts += [f"p {figure.p}"] if figure.p else []
    parts += [f"n {figure.n}"] if figure.n else []
    parts += [figure.says] if figure.says else []
    return "; ".join(parts)


def _gives(given: Gives) -> str:
    open_part = {name: OPEN if name in given.unchecked else "" for name in ("over", "cycles", "until")}
    over = f" over {given.over}{open_part['over']}" if given.over else ""
    cap = f", at most {given.dose.cap.amount:g} mg" if given.dose.cap else ""
    cycles = f", at most {given.cycles} cycles{open_part['cycles']}" if given.cycles else ""
    cycles += f", until {given.until}{open_part['until']}" if given.until and not given.cycles else ""
    days = ", ".join(map(str, given.day))
    mark = "" if given.checked and (given.dose.cap is None or given.dose.cap.checked) else OPEN
    phase = f" ({given.phase})" if given.phase else ""
    how = f"{given.route}{over}, day {days} every {given.cycle_days} days{cycles}{phase}{mark}"
    return f"- {given.drug} {given.dose}{cap} {how} {_because(given.because)}"


def _irradiation(given: Irradiation) -> str:
    if given.total_gy is None:
        return f"- {given.course} radiotherapy to {given.target}{'' if given.checked else OPEN} {_because(given.because)}"
    total = given.total_gy if not isinstance(given.total_gy, tuple) else f"{given.total_gy[0]:g} to {given.total_gy[1]:g}"
    return f"- {given.course} radiotherapy to {given.target}, {total} Gy{'' if given.checked else OPEN} {_because(given.because)}"


def _rule(rule: Rule, how: str) -> str:
    return f"- {rule.says} [{how}]{'' if rule.checked else OPEN} {_because(rule.because)}"


def _because(because: Because) -> str:
    return "(" + "; ".join(f"{place.work}, {place.at}" for place in because) + ")"
