"""The stand-in for the founding study as rows of a cohort, and one patient's record for the tests of single definitions."""

from __future__ import annotations

import json
from datetime import date
from functools import cache
from random import Random
from typing import Any

import msgspec

from examples import codes
from examples.codes import SITES
from examples.findings import Fitness, category, fitness, metastasis, primary, size
from examples.resources import Chart, born, coding, concept, snomed
from examples.study_cohort import _answer, _irradiate, bundles
from examples.study_treatment import Beam
from services.cohort.rows import row_of
from services.cohort.study import Studied
from services.cohort_study import assess
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle

Json = dict[str, Any]


def studied(bundle: Json, *, as_of: str | None = None) -> tuple[Json, Studied]:
    """The row of a patient, and her columns of the study."""
    record = read_bundle(json.dumps(bundle).encode(), as_of=as_of)
    staging = stage(record, rules())
    columns = assess(record, staging)
    return msgspec.to_builtins(row_of(staging)) | msgspec.to_builtins(columns), columns


@cache
def rows() -> list[Json]:
    """The 48 rows."""
    return [studied(bundle)[0] for bundle in bundles()]


FIT = Fitness()


class Patient:
    """One synthetic patient with a lung metastasis, to be treated day by day after the diagnosis."""

    def __init__(self, kind: str = "squamous", *, fit: Fitness | None = FIT, organs: tuple[str, ...] = ("lung",)) -> None:
        day = date(2015, 3, 2)
        self.chart = Chart("one", family="Synthetic-One", birth=born(51, day, 100), day=day, rng=Random(1))
        primary(self.chart, kind)
        category(self.chart, "cT2b")
        size(self.chart, 45)
        for organ in organs:
            metastasis(self.chart, organ, 2)
        if fit is not None:
            fitness(self.chart, fit)

    def drug(self, day: int, *names: str, kind: str = "MedicationAdministration") -> Patient:
        for name in names:
            when = (
                {"authoredOn": self.chart.on(day), "intent": "order"}
                if kind == "MedicationRequest"
                else {"effectiveDateTime": self.chart.on(day)}
            )
            content = {"status": "completed", "medicationCodeableConcept": concept(text=name), "subject": self.chart.subject}
            self.chart.put(kind, f"{name}-{day}", content | when)
        return self

    def cycles(self, count: int = 4, first: int = 14) -> Patient:
        for number in range(count):
            self.drug(first + 21 * number, "cisplatin", "paclitaxel")
        return self

    def beam(
        self, start: int, end: int, gy: float, fractions: int, *, inside: bool = False, site: str | None = None, palliative: bool = False
    ) -> Patient:
        _irradiate(self.chart, start, Beam(start, end, gy, fractions, inside, site), curative=not palliative)
        return self

    def unknown_field(self, day: int) -> Patient:
        content = {
            "status": "completed",
            "code": snomed("108290001"),
            "subject": self.chart.subject,
            "performedDateTime": self.chart.on(day),
        }
        self.chart.put("Procedure", f"somewhere-{day}", content)
        return self

    def answer(self, day: int, answer: str, organ: str | None = None) -> Patient:
        _answer(self.chart, f"answer-{day}", answer, day, SITES[organ].structure if organ else codes.CERVIX)
        return self

    def died(self, day: int) -> Patient:
        self.chart.resources[0]["deceasedDateTime"] = self.chart.on(day)
        return self

    def dead(self) -> Patient:
        self.chart.resources[0]["deceasedBoolean"] = True
        return self

    def other_cancer(self, when: str = "2009-05-01") -> Patient:
        breast = concept(coding(codes.ICD_10_CM, "C50.9", "Malignant neoplasm of breast"))
        self.chart.condition("breast", breast, when)
        return self

    def columns(self, *, as_of: str | None = None) -> Studied:
        return studied(self.chart.transaction(), as_of=as_of)[1]
