"""What is not told, of how many patients."""

from __future__ import annotations

from typing import Any, Final

from services.cohort.statistics import missing

_ASKED: Final = {
    "age_years": "age",
    "ecog_score": "ECOG performance status",
    "cells": "histology",
    "size": "size of the primary",
    "haemoglobin": "haemoglobin",
    "leucocytes": "leucocytes",
    "found_by": "how metastases were found",
    "few": "number of lesions",
    "pfs_days": "day of the progression (left out of progression-free survival)",
    "best_locoregional": "a response in the pelvis",
}


def untold(data: Any, threshold: int) -> list[str]:
    """What is not told, in how many; where small cells are not shown, without numbers, which would add up with those of the tables."""
    found = [(_ASKED[name], number, len(data)) for name, number in missing(data, _ASKED).items()]
    a = data[data["group"] == True]  # noqa: E712 - a column
    beams = data[data["pelvic_radiotherapy"].isin(["definitive", "palliative"])]
    for words, column_, of in (
        ("dose of external beam to the pelvis", "external_gy", beams),
        ("dose of brachytherapy", "brachytherapy_gy", a),
        ("dose to point A", "point_a_eqd2_gy", a),
    ):
        if number := int(of[column_].isna().sum()):
            found.append((words, number, len(of)))
    told = [(f"{name[0].upper()}{name[1:]}", number, of) for name, number, of in found]
    return [f"{name}: not told in some" if threshold else f"{name}: {number} of {of} patients without it" for name, number, of in told]
