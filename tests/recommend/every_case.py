"""What recommend answers and writes of each synthetic patient, made once for all tests that only read it."""

from __future__ import annotations

from functools import cache
from typing import Any

from examples.synthetic_patients import CASES
from services.recommend.app import drugs
from services.recommend.candidates import recommend
from services.recommend.careplan import transaction
from services.recommend.decision import Answer
from services.recommend.library import library
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from tests import synthetic

Json = dict[str, Any]
AT = "2026-11-22T12:00:00Z"
EVERY = [case.case for case in CASES]


def answered(data: bytes) -> Answer:
    """What is known and proposed of the patient of a Bundle."""
    record = read_bundle(data)
    staging = stage(record, rules())
    return Answer(record, staging, recommend(record, staging, library()))


def written(answer: Answer, **more: Any) -> Json:
    """The transaction that writes it."""
    return transaction(answer, drugs(library()), at=AT, software="0.1.0", **more)


@cache
def answer_of(case: str) -> Answer:
    return answered(synthetic.raw(case))


@cache
def written_of(case: str) -> Json:
    """For reading alone."""
    return written(answer_of(case))
