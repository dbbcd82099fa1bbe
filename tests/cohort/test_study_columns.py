"""A study's columns stand beside the stage in every row, in NDJSON and in Parquet."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.cohort.columns import columns
from services.cohort.plan import Study
from services.cohort.result import TABLE, staged_patients
from shared.fhir.outcome import Refused
from shared.oncology.record import Record
from shared.oncology.stage import Staging
from tests import synthetic
from tests.cohort.export import done, planned, resources, write

CASES = ("ivb-cps-10", "equivocal-lung-nodules", "carcinoma-in-situ")


class Dose(msgspec.Struct, frozen=True):
    gy: Decimal
    fractions: int | None = None


class Shape(msgspec.Struct, frozen=True):
    findings: int
    arm: Literal["A", "B"] | None = None
    doses: tuple[Dose, ...] = ()


def assess(record: Record, staging: Staging) -> Shape:
    return Shape(findings=len(record.findings), arm="A" if staging.primary.applies else None, doses=(Dose(Decimal("45.5"), 25),))


def refusing(record: Record, staging: Staging) -> Shape:
    if staging.primary.applies:
        raise Refused("This is not for the study.")
    raise KeyError("Mrs Example")


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write(tmp_path / "export", resources(map(synthetic.bundle, CASES)))


def test_the_columns_of_a_study_stand_in_every_row(export: Path) -> None:
    plan = planned(export, study=Study(Shape, assess))
    _, rows = done(plan)
    assert sorted(str(row["arm"]) for row in rows.values()) == ["A", "A", "None"]
    assert all(row["findings"] > 5 and row["doses"] == [{"gy": 45.5, "fractions": 25}] for row in rows.values())
    assert pq.read_table(plan.folder / TABLE).to_pylist() == list(rows.values())
    assert sorted(staged_patients(plan.folder)) == sorted(who for who, row in rows.items() if row["applies"])


def test_a_patient_who_cannot_be_assessed_takes_nothing_from_the_others_and_nothing_of_hers_is_told(export: Path) -> None:
    manifest, rows = done(planned(export, study=Study(Shape, refusing)))
    fault = "This is a fault of Figaro and not of the input (KeyError); please report it."
    assert sorted(row["error"] for row in rows.values()) == [fault, "This is not for the study.", "This is not for the study."]
    assert manifest.counts.errors == 3


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="findings"):
        columns(Shape, Shape)


def test_a_column_has_the_type_of_its_field() -> None:
    assert columns(Shape).field("doses").type == pa.list_(pa.struct([("gy", pa.float64()), ("fractions", pa.int64())]))
    with pytest.raises(TypeError, match="DictType"):
        columns(msgspec.defstruct("Other", [("counts", dict[str, int])]))
