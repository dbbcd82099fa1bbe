"""One row a patient: what staging says of her, as plain columns, for people who count; and what a study adds."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from services.cohort.plan import Asked, Medicine
from services.cohort.reading import read
from services.cohort.set_aside import broken, unread_of
from services.cohort.unread import Unread, withheld
from shared.fhir.outcome import FigaroError
from shared.oncology.record import Issue, Record
from shared.oncology.stage import Certainty, DiseaseState, SiteClass, Staging


class StageCell(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The stage in one edition: settled, with its suffix, and what else it could be; `missing` are the facts that would tell."""

    stage: str | None = None
    label: str | None = None
    could_be: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


class SiteCell(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One site of spread. `lesions` is None where nobody counted."""

    site: str
    site_class: SiteClass = msgspec.field(name="class")
    lesions: int | None = None
    certainty: Certainty = "definite"
    in_window: bool = True


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A patient. `applies` is False, with the reason, where she has no FIGO stage; `error` says why she could not be read at all."""

    patient: str
    applies: bool = False
    why_not: str | None = None
    condition: str | None = None
    site: str | None = None
    histology: str | None = None
    diagnosed: str | None = None
    figo_2018: StageCell = StageCell()
    figo_2009: StageCell = StageCell()
    t: str | None = None
    n: str | None = None
    m: str | None = None
    metastases: tuple[SiteCell, ...] = ()
    oligometastatic: bool | None = None
    oligometastatic_definition: str | None = None
    disease_state: DiseaseState | None = None
    issues: tuple[Issue, ...] = ()
    error: str | None = None
    knowledge: str | None = None


def row_of(staging: Staging) -> Row:
    """The row of a Staging: nothing in it that is not there."""
    return Row(
        patient=staging.patient,
        applies=staging.primary.applies,
        why_not=staging.primary.why_not,
        condition=staging.primary.condition,
        site=staging.primary.site,
        histology=staging.primary.histology,
        diagnosed=staging.diagnosed,
        figo_2018=_cell(staging, "figo-2018"),
        figo_2009=_cell(staging, "figo-2009"),
        t=staging.tnm.t,
        n=staging.tnm.n,
        m=staging.tnm.m,
        metastases=tuple(
            SiteCell(site=m.site, site_class=m.site_class, lesions=m.lesions, certainty=m.certainty, in_window=m.in_window)
            for m in staging.metastases
        ),
        oligometastatic=staging.oligometastatic.value,
        oligometastatic_definition=staging.oligometastatic.definition,
        disease_state=staging.disease_state,
        issues=staging.issues,
        knowledge=staging.knowledge.digest,
    )


def _cell(staging: Staging, edition: str) -> StageCell:
    found = staging.editions.get(edition)
    if found is None:
        return StageCell()
    return StageCell(stage=found.stage, label=found.label, could_be=found.could_be, missing=tuple(each.fact for each in found.missing))


REPLACED: Final = "her Patient record is replaced by another one, which has a row of its own"


class Answer(NamedTuple):
    """A row, and the types of which not all that is hers could be read."""

    row: dict[str, Any]
    unread: frozenset[str] = frozenset()


def answer(patient: str, resources: list[bytes], medicine: Medicine, asked: Asked, unread: Unread) -> Answer:
    """The row of a patient from her resources, with the columns of the study; one that cannot be read takes nothing from the others."""
    record: Record | None = None
    try:
        record = read(patient, resources, asked)
        hers = unread_of(resources, record.issues, unread.foreign)
        record = replace(record, unread=tuple(sorted({*unread.of_everyone, *(broken(resources) & hers if hers else ())})))
        staging = medicine.stage(record)
        studied = medicine.study.assess(_in_shape(record, unread), staging) if medicine.study else None
    except FigaroError as error:
        return Answer(_without(Row(patient=patient, error=error.text), medicine))
    except Exception as error:
        # The error's own words may quote the record.
        text = f"This is a fault of Figaro and not of the input ({type(error).__name__}); please report it."
        return Answer(_without(Row(patient=patient, error=text), medicine))
    return Answer(_plain(row_of(staging)) | (withheld(_plain(studied), unread, hers) if studied is not None else {}), hers)


def _in_shape(record: Record, unread: Unread) -> Record:
    """Without Procedures, where all are in the shape of another version: they have no date, and tell the study less than none would."""
    if "Procedure" not in unread.absent or "Procedure" not in unread.foreign:
        return record
    return replace(record, findings=tuple(finding for finding in record.findings if finding.kind != "procedure"))


def replaced(patient: str, other: str, medicine: Medicine) -> Answer:
    """The row of a record that another one replaces, which alone is counted."""
    text = f"{patient} is replaced by {other} (link replaced-by), which has a row of its own; the resources of the two are not joined."
    issue = Issue(severity="warning", code="resource-unreadable", text=text, sources=(patient, other))
    return Answer(_without(Row(patient=patient, why_not=REPLACED, issues=(issue,)), medicine))


def _without(row: Row, medicine: Medicine) -> dict[str, Any]:
    """With the columns of the study empty, and left out of it."""
    columns = msgspec.structs.fields(medicine.study.shape) if medicine.study else ()
    empty = {column.encode_name: None if column.required else column.default for column in columns}
    left_out = {"left_out": "complete", "not_met": ("complete",)}
    return _plain(row) | empty | {name: value for name, value in left_out.items() if name in empty}


def _plain(value: msgspec.Struct) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(value, builtin_types=(Decimal,))
    return found
