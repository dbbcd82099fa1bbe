"""The patient before any treatment: age, fitness, blood, size of the primary, where the metastases are and how they were found."""

from __future__ import annotations

from datetime import date, timedelta

import msgspec

from services.cohort.definitions import Definitions
from services.cohort.facts import Facts, Reading
from shared.fhir.dates import days
from shared.oncology.record import Record
from shared.oncology.stage import Metastasis, Staging


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """None is what nobody recorded. `organs` are the organs with certain metastases at diagnosis, in the order of their names.

    `later`: there are certain metastases in an organ, and all were found later.
    """

    diagnosed: date | None
    age: int | None
    ecog: int | None
    cells: str | None
    size: Reading | None
    haemoglobin: Reading | None
    leucocytes: Reading | None
    organs: tuple[str, ...]
    later: bool
    nodes: bool
    few: bool | None
    found_by: str | None
    sources: tuple[str, ...]


def baseline(record: Record, staging: Staging, facts: Facts, study: Definitions) -> Baseline:
    """What the record tells of the time before treatment."""
    diagnosed = whole(staging.diagnosed)
    begun = [drug.when for drug in facts.drugs] + [course.start for course in facts.courses if course.start]
    first = min(begun, default=None)
    sure = [m for m in staging.metastases if m.certainty == "definite"]
    spread = [m for m in sure if m.in_window and not _late(m, record, staging, study)]
    organs = [m for m in spread if m.site_class == "organ"]
    # What was found so late, with no treatment on record before it, is of doubtful time to staging, and found later to the study.
    after = [m for m in staging.metastases if m.certainty == "definite" or (m.in_window and _late(m, record, staging, study))]

    def before(name: str) -> Reading | None:
        return _before(facts.readings.get(name, ()), diagnosed, first, study.number("before"))

    ecog = before("ecog")
    return Baseline(
        diagnosed=diagnosed,
        age=_years(record.birth_date, diagnosed),
        ecog=int(ecog.low) if ecog and ecog.low == ecog.high else None,
        cells=study.cells(staging.primary.histology),
        size=before("size"),
        haemoglobin=before("haemoglobin"),
        leucocytes=before("leucocytes"),
        organs=tuple(sorted({m.site for m in organs})),
        later=not organs and any(m.site_class == "organ" for m in after),
        nodes=any(m.site_class == "distant-node" for m in spread),
        few=_few(organs, study),
        found_by=_found_by(record, organs, study),
        sources=tuple(dict.fromkeys(source for m in organs for source in m.sources)),
    )


def _late(metastasis: Metastasis, record: Record, staging: Staging, study: Definitions) -> bool:
    """Whether it was surely found so long after the diagnosis that it is a recurrence, or progression."""
    found = [f.when or f.recorded for f in record.findings if f.source in metastasis.sources]
    dates = [when for when in found if when]
    return bool(staging.diagnosed and dates) and days(staging.diagnosed or "", min(dates)) > study.number("synchronous")


def _few(organs: list[Metastasis], study: Definitions) -> bool | None:
    """Oligometastatic: one organ, at most three lesions; where nobody counted in the one organ, it stays open."""
    if not organs or len({m.site for m in organs}) > study.number("organs"):
        return False
    lesions = [m.lesions for m in organs]
    return None if None in lesions else sum(count or 0 for count in lesions) <= study.number("lesions")


def _found_by(record: Record, organs: list[Metastasis], study: Definitions) -> str | None:
    """The surest way in which the organ metastases were seen."""
    sources = {source for m in organs for source in m.sources}
    seen = {c.code for f in record.findings if f.source in sources and f.method for c in f.method.codings}
    return next((method.id for method in study.found_by if seen & set(method.codes)), None)


def _before(readings: tuple[Reading, ...], diagnosed: date | None, first: date | None, most: float) -> Reading | None:
    """The newest reading before treatment, not too old."""
    if diagnosed is None:
        return None
    oldest = diagnosed - timedelta(days=most)
    latest = first or diagnosed + timedelta(days=most)
    return next((reading for reading in reversed(readings) if oldest <= reading.when <= latest), None)


def _years(birth: str | None, day: date | None) -> int | None:
    """Completed years; the least where the birth has no day."""
    if birth is None or day is None:
        return None
    born = (birth + "-12-31"[len(birth) - 4 :]) if len(birth) < 10 else birth
    return day.year - int(born[:4]) - (day.isoformat()[5:] < born[5:])


def whole(text: str | None) -> date | None:
    """A date with its day; None where it has none."""
    return date.fromisoformat(text) if text and len(text) == 10 else None
