"""From what a hospital sends to the answer: staging and recommend together, where an edition or a unit could go astray between them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.recommend.candidates import recommend
from services.recommend.library import library
from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from shared.oncology.recommendation import Recommendation
from tests.staging.case import Case, bundle


def answer(record: dict[str, Any]) -> tuple[str | None, str | None, Recommendation]:
    """The labels by FIGO 2018 and 2009, and the recommendation, of a chart in the shorthand of staging's cases."""
    written = {"says": "", "source": "", "status": "firm", "record": record, "expect": {}}
    (chart,) = msgspec.convert(written, Case).charts()
    read = read_bundle(bundle(chart))
    staging = stage(read, rules())
    return staging.editions["figo-2018"].label, staging.editions["figo-2009"].label, recommend(read, staging, library())


NODE = {"pelvic-nodes": {"is": True, "by": "MRI"}, "para-aortic-nodes": False}


@pytest.mark.parametrize(
    ("record", "labels", "label", "trial"),
    [
        ({"tnm": ["cM0"], "extent": NODE | {"confined-to-cervix": True, "tumour-size": "3 cm"}}, ("IIIC1r", "IB1"), "fails", "fails"),
        ({"tnm": ["cT2b", "cM0"], "extent": NODE}, ("IIIC1r", "IIB"), "fails", "holds"),
        ({"tnm": ["cT3b", "cM0"], "extent": NODE}, ("IIIC1r", "IIIB"), "holds", "holds"),
        ({"tnm": ["cT4", "cN0", "cM0"], "extent": {"bladder-mucosa": {"is": True, "by": "biopsy"}}}, ("IVA", "IVA"), "holds", "holds"),
    ],
    ids=["3 cm confined to the cervix", "parametrium", "pelvic wall", "bladder mucosa"],
)
def test_each_edition_is_asked_by_whoever_speaks_it(record: dict[str, Any], labels: tuple[str, str], label: str, trial: str) -> None:
    """FIGO 2018 IIIC1r is, by FIGO 2014, IB1 N+ outside label and trial, IIB N+ in the trial alone, or IIIB in both."""
    *staged, given = answer(record)
    assert tuple(staged) == labels
    candidate = next(c for c in given.candidates if c.regimen == "pembrolizumab-chemoradiation")
    verdicts = {reason.criterion: reason.verdict for reason in candidate.reasons}
    assert (verdicts["figo-2014-iii-to-iva"], verdicts["trial-population-by-figo-2014"]) == (label, trial)
    assert (candidate.verdict == "ruled-out") == (label == "fails")
