"""A case: a record in the shorthand of a tumour-board note, and what a reader should conclude from it.

The shorthand becomes real FHIR R4 JSON and goes through the one reader; nothing here knows the rules of staging. Where a case does
not say otherwise, the patient has a confirmed cancer of the cervix (ICD-10-CM C53.9, 11 February 2026) and every finding is final and
dated 12 February 2026. A case with `each` is one conclusion that must come out of every variant of the record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

Json = dict[str, Any]


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class Diagnosis(_Strict, frozen=True, kw_only=True):
    """A Condition: the primary, a secondary, or another disease. Give its code in one system or in several.

    `certainty` is the German letter (G, V, A, Z) in its extension on the ICD-10-GM code.
    """

    id: str | None = None
    icd10: str | None = None
    icd10cm: str | None = None
    icd10gm: str | None = None
    certainty: Literal["G", "V", "A", "Z"] | None = None
    icdo: str | None = None
    snomed: str | None = None
    text: str | None = None
    site: str | None = None
    topography: str | None = None
    histology: str | None = None
    histology_snomed: str | None = None
    verification: str | None = "confirmed"
    clinical: str = "active"
    on: str | None = "2026-02-11"
    recorded: str | None = None
    related: str | None = None
    stage: str | None = None


class Category(_Strict, frozen=True, kw_only=True):
    """A TNM category: as text under SNOMED CT or LOINC, as the AJCC's own code, or (`value`) as a SNOMED CT value."""

    is_: str = msgspec.field(name="is")
    by: Literal["SNOMED", "LOINC"] = "SNOMED"
    code: Literal["text", "display", "ajcc", "uicc"] = "text"
    value: str | None = None
    version: str | None = None
    on: str | None = "2026-02-12"
    status: str = "final"


class Seen(_Strict, frozen=True, kw_only=True):
    """One finding about one fact of extent: yes or no, one of the four answers, or a length such as "> 4 cm"."""

    is_: bool | str = msgspec.field(name="is")
    by: str | None = None
    site: str | None = None
    side: Literal["left", "right"] | None = None
    on: str | None = "2026-02-12"
    status: str = "final"
    deposit: str | None = None
    lesions: int | None = None
    focus: str | None = None


class Stated(_Strict, frozen=True, kw_only=True):
    """A FIGO stage as somebody recorded it; with `group` a TNM stage group, in an AJCC `version` or in words such as "UICC 8".

    `stage` is the stage, or with `by: SNOMED` the code of its value.
    """

    stage: str
    edition: str | None = None
    by: Literal["NCIt", "text", "SNOMED", "AJCC", "oBDS"] = "NCIt"
    group: Literal["", "SNOMED", "SNOMED c", "SNOMED p", "LOINC", "LOINC c", "LOINC p"] = ""
    version: str | None = None
    on: str | None = "2026-02-13"


class Treatment(_Strict, frozen=True, kw_only=True):
    """A Procedure, or with `rxnorm` a MedicationAdministration; `for` are the Conditions it is for, `reason` is a code of ICD-10-CM."""

    is_: str | None = msgspec.field(name="is", default=None)
    rxnorm: str | None = None
    on: str
    until: str | None = None
    intent: str | None = None
    status: str = "completed"
    for_: list[str] = msgspec.field(name="for", default=[])
    reason: str | None = None


Extent = dict[str, bool | str | Seen | list[Seen]]


class Chart(_Strict, frozen=True, kw_only=True):
    """The record of one patient in shorthand. `condition: null` leaves the primary out; `fhir` adds resources as they are.

    `oligometastasis` names the definition of few metastases, where it is not the default; `unread` are the FHIR types of her record that
    nobody could see."""

    condition: Diagnosis | None = Diagnosis(icd10cm="C53.9")
    spread: list[Diagnosis] = []
    tnm: list[str | Category] = []
    extent: Extent = {}
    recorded: list[Stated] = []
    treatments: list[Treatment] = []
    fhir: list[Json] = []
    patient: Json = {}
    as_of: str | None = None
    oligometastasis: str | None = None
    timestamp: str | None = None
    unread: list[str] = []


class Site(_Strict, frozen=True, kw_only=True):
    """A site of spread as expected; only what is given is compared."""

    site: str
    class_: str | None = msgspec.field(name="class", default=None)
    certainty: str | None = None
    lesions: int | None = None
    in_window: bool | None = None


class Told(_Strict, frozen=True, kw_only=True):
    stage: str
    edition: str | None = None
    agrees: bool | None = None


Unsaid = msgspec.UnsetType


class Expected(_Strict, frozen=True, kw_only=True):
    """What should be concluded. What is left out is not compared, but for `sites` and `issues`: they are always the whole truth."""

    label: str | Unsaid | None = msgspec.UNSET
    could_be: list[str] | Unsaid = msgspec.UNSET
    stage_2009: str | Unsaid | None = msgspec.UNSET
    could_be_2009: list[str] | Unsaid = msgspec.UNSET
    sites: list[Site] | Literal["any"] = []
    issues: list[str] | Literal["any"] = []
    missing: list[str] = []
    not_missing: list[str] = []
    because: str | Unsaid = msgspec.UNSET
    sources: list[str] | Unsaid = msgspec.UNSET
    tnm: dict[str, str | None] = {}
    oligometastatic: bool | Unsaid | None = msgspec.UNSET
    disease_state: str = "initial"
    recorded: list[Told] | Unsaid = msgspec.UNSET
    window: dict[str, str | None] = {}
    applies: bool = True
    why_not: str | None = None
    histology: str | Unsaid | None = msgspec.UNSET
    site: str | Unsaid = msgspec.UNSET


class Case(_Strict, frozen=True, kw_only=True):
    """One sentence, where it comes from, whether the sources agree on it, the record, and the conclusion."""

    says: str
    source: str
    status: Literal["firm", "contested"]
    record: Json = {}
    each: list[Json] = []
    expect: Expected

    def charts(self) -> Iterator[Chart]:
        """The record, or each of its variants: mappings are joined, lists follow one another, anything else is replaced."""
        for variant in self.each or [{}]:
            joined = dict(self.record)
            for key, value in variant.items():
                held = joined.get(key)
                joined[key] = held | value if key == "extent" and held else held + value if isinstance(held, list) else value
            yield msgspec.convert(joined, Chart)
