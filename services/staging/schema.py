"""What the rule files of staging may say. Unknown keys are refused when the files are read."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from shared.knowledge.table import Reference, Review


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Work(_Strict, frozen=True):
    """A cited work; `short` names it in a sentence, `seen` says how it was read."""

    id: str
    short: str
    citation: str
    doi: str | None
    seen: str


class FactRule(_Strict, frozen=True):
    """A fact: what settles it, whether it can be sent in our code system or what is sent in its place, and the unit of its measure.

    `finding` names it in plain words where it holds, `place` says where nobody has looked while it is unknown.
    """

    ask: str
    finding: str
    place: str
    code: bool = True
    supplied_by: tuple[str, ...] = ()
    measure: str | None = None


class Disorder(_Strict, frozen=True):
    """A SNOMED disorder of the cervix: its topography and, where it tells, its ICD-O morphology."""

    code: str
    site: str
    histology: str | None = None


class Outside(_Strict, frozen=True, rename={"first": "from", "last": "to", "but": "except"}):
    """A range of ICD-O morphologies to which FIGO for carcinoma of the cervix does not apply."""

    first: int
    last: int
    but: tuple[int, ...]
    why: str


class HistologyCodes(_Strict, frozen=True):
    loinc: tuple[str, ...]


class PrimaryRules(_Strict, frozen=True):
    checked: bool
    reference: Reference
    review: Review
    topography: dict[str, str]
    snomed: tuple[Disorder, ...]
    in_situ_snomed: tuple[str, ...]
    vague_icd10: tuple[str, ...]
    in_situ_icd10: tuple[str, ...]
    in_situ_morphology: tuple[str, ...]
    generic_snomed: tuple[str, ...]
    dysplasia_icd10: tuple[str, ...]
    dysplasia_snomed: tuple[str, ...]
    other_snomed: tuple[str, ...]
    outside_snomed: dict[str, str]
    outside_icd10: dict[str, str]
    neuroendocrine_icd10: dict[str, str | None]
    neuroendocrine: tuple[str, ...]
    words: tuple[str, ...]
    cervix_structures: tuple[str, ...]
    secondary_of_cervix: tuple[str, ...]
    history_icd10: tuple[str, ...]
    history_snomed: tuple[str, ...]
    state_snomed: dict[str, str]
    morphology: dict[str, str]
    histology_observations: HistologyCodes
    outside: tuple[Outside, ...]


class SiteRule(_Strict, frozen=True, rename={"site_class": "class"}):
    """A site of spread: the codes that name it, the fact a definite finding makes true, the facts that its code leaves open,
    and those that tell what it leaves open."""

    site: str
    site_class: str = "adjacent"
    holds: str | None = None
    opens: tuple[str, ...] = ()
    told_by: tuple[str, ...] = ()
    ask: str | None = None
    contested: str | None = None
    icd10: tuple[str, ...] = ()
    topography: tuple[str, ...] = ()
    snomed: tuple[str, ...] = ()
    structures: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    obds: tuple[str, ...] = ()
    obds_snomed: tuple[str, ...] = ()
    code: str | None = None


class ContestedReading(_Strict, frozen=True):
    """What one source makes of a finding on which the sources disagree."""

    says: str
    reference: Reference
    checked: bool


class Contested(_Strict, frozen=True):
    """A finding on whose stage the sources disagree: the readings, and which of them is taken."""

    readings: tuple[ContestedReading, ContestedReading]
    taken: str


class OligometastaticRule(_Strict, frozen=True, kw_only=True):
    """A definition of few metastases: at most so many organs, sites, lesions (None: no limit).

    `nodes`: distant nodes are left apart, exclude, or count as sites; `para_aortic`: para-aortic nodes count too; `controlled_primary`:
    the primary must be controlled.
    """

    definition: str
    reference: str
    at: str
    checked: bool
    organs: int | None = None
    sites: int | None = None
    lesions: int | None = None
    nodes: Literal["apart", "exclude", "count"] = "apart"
    para_aortic: bool = False
    controlled_primary: bool = False


class SiteRules(_Strict, frozen=True):
    checked: bool
    reference: Reference
    review: Review
    sites: tuple[SiteRule, ...]
    direct: tuple[SiteRule, ...]
    separate: tuple[SiteRule, ...]
    regions: tuple[SiteRule, ...]
    oligometastatic: dict[str, OligometastaticRule]
    contested: dict[str, Contested]


class RecordedRules(_Strict, frozen=True):
    checked: bool
    reference: Reference
    review: Review
    snomed: tuple[str, ...]
    ncit: dict[str, str | None]
    methods: tuple[str, ...]
    tnm_group_codes: tuple[str, ...]
    group_editions: dict[str, str]
    uicc: tuple[str, ...]
    group_systems: tuple[str, ...]
    groups: dict[str, str]
    other_schemes: tuple[str, ...]
    other_organs: tuple[str, ...]


class ObservationRules(_Strict, frozen=True):
    checked: bool
    reference: Reference
    review: Review
    extent_system: str
    present: tuple[str, ...]
    absent: tuple[str, ...]
    equivocal: tuple[str, ...]
    imaging: tuple[str, ...]
    pathology: tuple[str, ...]
    examination: tuple[str, ...]
    size: tuple[str, ...]
    size_components: tuple[str, ...]
    disease_status: str
    worsened: tuple[str, ...]
    stable: tuple[str, ...]
    remission: tuple[str, ...]
    tumour_free_days: int
    after_diagnosis_days: int
    before_diagnosis_days: int
    specimen_days: int
    distant_present: tuple[str, ...]
    obds_site: str
    millimetres: dict[str, Decimal]
    radiotherapy: tuple[str, ...]
    surgery: tuple[str, ...]
    palliative: tuple[str, ...]
    diagnostic: tuple[str, ...]
    curative: tuple[str, ...]
    cone: tuple[str, ...]
    anticancer_rxnorm: tuple[str, ...]
    anticancer_atc: tuple[str, ...]
    anticancer_text: tuple[str, ...]


class Axis(_Strict, frozen=True):
    """Observation.code of one TNM axis."""

    snomed: tuple[str, ...]
    snomed_c: tuple[str, ...]
    snomed_p: tuple[str, ...]
    loinc: tuple[str, ...]
    loinc_c: tuple[str, ...]
    loinc_p: tuple[str, ...]


class Bounds(_Strict, frozen=True):
    """Millimetres, each end included except below `more_than`."""

    at_most: Decimal | None = None
    more_than: Decimal | None = None


class Said(_Strict, frozen=True):
    """The facts that a category states to hold and to fail."""

    holds: tuple[str, ...] = ()
    fails: tuple[str, ...] = ()


class Category(_Strict, frozen=True):
    """The facts that one TNM category states in version 9, and what it states in another version or when nobody knows the version."""

    holds: tuple[str, ...] = ()
    fails: tuple[str, ...] = ()
    denies: tuple[str, ...] = ()
    size: Bounds | None = None
    depth: Bounds | None = None
    before_9: Bounds | None = None
    in_8: Said | None = None
    in_7: Said | None = None
    undated: Said | None = None


class TnmRules(_Strict, frozen=True):
    checked: bool
    reference: Reference
    review: Review
    axes: dict[str, Axis]
    versions: dict[str, str]
    values: dict[str, dict[str, str]]
    beyond: dict[str, tuple[str, ...]]
    categories: dict[str, Category]
