"""Every synthetic patient is staged as the one who wrote her record expects."""

from __future__ import annotations

import json

import pytest

from examples.cases import Case
from examples.resources import Json, collection
from examples.synthetic_patients import CASES, patients
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from shared.oncology.stage import Staging

BUNDLES = patients()
DISTANT = ("organ", "peritoneal", "distant-node")


def staged(bundle: Json) -> Staging:
    return stage(read_bundle(json.dumps(bundle).encode()), rules())


def named(staging: Staging, certainty: str, *classes: str) -> set[str]:
    return {m.site for m in staging.metastases if m.certainty == certainty and m.site_class in classes}


@pytest.mark.parametrize(("bundle", "case"), list(zip(BUNDLES, CASES, strict=True)), ids=[case.case for case in CASES])
def test_a_synthetic_patient_is_staged_as_expected(bundle: Json, case: Case) -> None:
    answer, wanted = staged(bundle), case.expected
    new = answer.editions.get("figo-2018")

    assert answer.patient == case.patient
    assert answer.primary.applies is wanted["applies"]
    assert (new.label if new else None) == wanted["figo_2018"]
    assert named(answer, "definite", *DISTANT) == wanted["sites"]
    assert named(answer, "equivocal", *DISTANT) == wanted.get("equivocal", set())
    if "regional" in wanted:
        assert named(answer, "definite", "regional-node") == wanted["regional"]
    if "oligometastatic" in wanted:
        assert answer.oligometastatic.value is wanted["oligometastatic"]
    if "could_be" in wanted:
        assert new is not None
        assert new.could_be == wanted["could_be"]
    assert answer.disease_state == wanted.get("disease_state", "initial")
    if "in_window" in wanted:
        assert {m.in_window for m in answer.metastases} <= {wanted["in_window"]}


def test_the_founding_cohort_is_staged_without_a_question() -> None:
    """Nothing in the 48 records is contradicted or set aside; the one sarcoma among them is outside the scope."""
    founding = [(bundle, case) for bundle, case in zip(BUNDLES, CASES, strict=True) if case.case.startswith("founding")]
    assert len(founding) == 48
    for bundle, case in founding:
        codes = [issue.code for issue in staged(bundle).issues]
        assert codes == ([] if case.expected["applies"] else ["outside-scope"]), case.patient


def test_a_collection_is_staged_as_its_transaction() -> None:
    for bundle in BUNDLES[::7]:
        assert staged(collection(bundle)) == staged(bundle)
