"""What the figures, doses and courses of an answer are in words: the same in a CarePlan and on a page."""

from __future__ import annotations

from shared.oncology.recommendation import Activity, Citation, DoseAmount, EvidenceFigure, Radiotherapy

UNCHECKED = "not checked against the source"
_FORMULAS = {
    "mosteller": "by body surface (Mosteller)",
    "du-bois": "by body surface (DuBois)",
    "as recorded": "by body surface, as recorded",
    "by weight": "by weight",
    "flat, by weight": "flat, by band of weight",
}
_INPUTS = {
    "bsa_m2": "body surface {} m2",
    "height_cm": "height {} cm",
    "weight_kg": "weight {} kg",
    "weight_used": "weight used: {}",
    "age_years": "age {}",
    "creatinine_mg_dl": "creatinine {} mg/dL",
    "creatinine_floor_mg_dl": "creatinine at least {} mg/dL",
    "egfr_ml_min_173": "eGFR {} mL/min/1.73 m2",
    "bsa_formula": "body surface by {}",
    "recorded_date": "recorded on {}",
    "clearance_date": "clearance recorded on {}",
    "gfr_ml_min": "clearance {} mL/min",
    "uncapped_mg": "without the cap {} mg",
}
_DATED = ("height_cm", "weight_kg", "creatinine_mg_dl", "egfr_ml_min_173")
_NAMES = {
    "external-beam": "external beam radiotherapy",
    "nodal-boost": "boost",
    "palliative": "palliative radiotherapy",
    "stereotactic": "stereotactic radiotherapy",
}


def sentence(figure: EvidenceFigure) -> str | None:
    """A checked figure as one would say it: endpoint, hazard ratio with interval, medians, n, population, arms. None where unchecked."""
    if not figure.checked or figure.endpoint is None:
        return None
    parts = []
    if figure.hazard_ratio is not None:
        interval = f" ({figure.level or 95} % CI {figure.ci[0]:.2f} to {figure.ci[1]:.2f})" if figure.ci else ""
        parts.append(f"HR {figure.hazard_ratio:.2f}{interval}")
    if figure.months:
        parts.append(f"median {figure.months[0]:g} against {figure.months[1]:g} months")
    if figure.says:
        parts.append(figure.says)
    if figure.p:
        parts.append(f"p {figure.p}")
    if figure.n:
        parts.append(f"n {figure.n}")
    if figure.population:
        parts.append(figure.population)
    if figure.arms and parts:
        parts.append(" against ".join(figure.arms))
    return f"{figure.endpoint}: {', '.join(parts)}" if parts else None


def identifiers(work: Citation | EvidenceFigure) -> str:
    """DOI, PubMed and registry number in words, those that were checked."""
    named = {"doi": work.doi, "PMID": work.pmid, "": work.nct}
    return ", ".join(f"{name} {value}".strip() for name, value in named.items() if value)


def address_of(work: Citation | EvidenceFigure) -> str | None:
    """Where the work is found: by its DOI, else in PubMed, else in its registry."""
    if work.doi:
        return f"https://doi.org/{work.doi}"
    if work.pmid:
        return f"https://pubmed.ncbi.nlm.nih.gov/{work.pmid}/"
    return f"https://clinicaltrials.gov/study/{work.nct}" if work.nct else None


def rule_words(dose: DoseAmount, line: Activity | None = None) -> str:
    """Drug, rule, way and rhythm, as the knowledge says them; with the mark where nobody has checked them."""
    if line is not None:
        words = line.activity + (f", {line.repeats}" if line.repeats else "") + (f", from day {line.day}" if line.day > 1 else "")
    else:
        words = " ".join(filter(None, (dose.drug, dose.rule, dose.route))) + f", {days_words(dose)}"
    return words if dose.checked else f"{words} ({UNCHECKED})"


def basis_words(dose: DoseAmount) -> str:
    """Formula, inputs with their dates, what was capped, and the rounding; nothing for a flat dose."""
    basis = dose.basis
    formula = str(basis.get("formula") or "")
    if formula in ("", "flat"):
        return ""
    words = [_FORMULAS.get(formula, formula.replace("calvert", "Calvert"))]
    for name, says in _INPUTS.items():
        if (value := basis.get(name)) is not None:
            date = basis.get(f"{name.partition('_')[0]}_date") if name in _DATED else None
            words.append(says.format(f"{value:g}" if isinstance(value, float) else value) + (f" of {date}" if date else ""))
    if "creatinine_mg_dl" in basis and not basis.get("creatinine_floor_mg_dl"):
        words.append("creatinine without a floor")
    if basis.get("gfr_used_ml_min") != basis.get("gfr_ml_min"):
        words.append(f"clearance taken as {basis['gfr_used_ml_min']:g} mL/min, the cap")
    return ", ".join([*words, *([f"rounded {basis['rounding']}"] if "rounding" in basis else [])])


def days_words(dose: DoseAmount) -> str:
    """The days of a cycle, and its length."""
    if dose.cycle_days == 1:
        return "once a day" if dose.times_a_day == 1 else "twice a day"
    days = f"day {', '.join(map(str, dose.day))}" if dose.day else ""
    return f"{days} every {dose.cycle_days} days".strip() if dose.cycle_days else days


def course_words(course: Radiotherapy) -> str:
    """A course of radiotherapy as its total, fractions, EQD2 and BED in gray."""
    target, _, more = course.target.partition("; ")
    words = []
    if course.total_gy is not None:
        words.append(f"{_gray(course.total_gy)} Gy")
    if course.fractions is not None:
        words.append(f"in {_gray(course.fractions)} fraction{'' if course.fractions == 1 else 's'}")
    if course.gy_per_fraction is not None:
        words.append(f"of {_gray(course.gy_per_fraction)} Gy")
    effects = [f"{name} {_gray(value)} Gy" for name, value in (("EQD2", course.eqd2_gy), ("BED", course.bed_gy)) if value is not None]
    if effects:
        words.append(f"({', '.join(effects)}, alpha/beta {course.alpha_beta:g})")
    head = f"{_NAMES.get(course.course, course.course)} to the {target}{': ' if words else ''}{' '.join(words)}"
    return "; ".join(filter(None, (head, more))) + ("" if course.checked else f" ({UNCHECKED})")


def _gray(value: tuple[float, float] | float) -> str:
    return f"{value[0]:g} to {value[1]:g}" if isinstance(value, tuple) else f"{value:g}"
