"""The founding cohort holds what the founding study's tables say, counted from the FHIR and from nothing else.

Yin Z et al., Radiat Oncol 2019, doi:10.1186/s13014-019-1297-x, Tables 1 and 2.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from statistics import median
from typing import Any

import pytest

from examples.synthetic_patients import patients

Json = dict[str, Any]

ORGAN = {
    "39607008": "lung",
    "10200004": "liver",
    "119186007": "bone",
    "12738006": "brain",
    "78961009": "spleen",
    "23451007": "adrenal",
}
NODE_DISORDERS = {"94614009", "94408005", "94181007", "94339008", "C77.0", "C77.1", "C77.3", "C77.4"}
DISTANT_NODES = {"76838003", "62683002", "68171009", "279763008"}
CELL_TYPE = {
    "8070/3": "squamous",
    "8071/3": "squamous",
    "8072/3": "squamous",
    "8041/3": "small-cell",
    "8140/3": "adeno",
    "8560/3": "adenosquamous",
    "8890/3": "sarcoma",
}
LOOKED = {"77477000": "CT/MRI/ECT", "113091000": "CT/MRI/ECT", "363679005": "CT/MRI/ECT", "82918005": "PET-CT", "86273004": "biopsy"}


class Read:
    """One woman as the FHIR tells her."""

    def __init__(self, bundle: Json) -> None:
        self.resources: list[Json] = [entry["resource"] for entry in bundle["entry"]]
        self.patient = self.of("Patient")[0]
        self.group = next(tag["code"] for tag in self.patient["meta"]["tag"] if tag["system"].endswith("/founding-group"))

    def of(self, kind: str) -> list[Json]:
        return [resource for resource in self.resources if resource["resourceType"] == kind]

    def observed(self, *wanted: str) -> list[Json]:
        return [each for each in self.of("Observation") if codes(each["code"]) & set(wanted)]

    def one(self, *wanted: str) -> Json:
        (only,) = self.observed(*wanted)
        return only

    @property
    def primary(self) -> Json:
        return next(each for each in self.of("Condition") if each["id"].endswith("-primary"))

    @property
    def secondaries(self) -> list[Json]:
        return [each for each in self.of("Condition") if "-secondary-" in each["id"]]

    @property
    def age(self) -> int:
        at, birth = date.fromisoformat(self.primary["onsetDateTime"]), date.fromisoformat(self.patient["birthDate"])
        return at.year - birth.year - ((at.month, at.day) < (birth.month, birth.day))

    @property
    def cell_type(self) -> str:
        (extension,) = (each for each in self.primary["extension"] if each["url"].endswith("mcode-histology-morphology-behavior"))
        (kind,) = {CELL_TYPE[code] for code in codes(extension["valueCodeableConcept"]) if code in CELL_TYPE}
        return kind

    @property
    def lesions(self) -> dict[str, int]:
        """Organs and their lesion counts; the same organ said twice would show as a key error of the pattern counts."""
        counts = {}
        for each in self.observed("distant-organ"):
            assert each["valueBoolean"] is True
            (organ,) = {ORGAN[code] for code in codes(each["bodySite"])}
            (part,) = each["component"]
            assert codes(part["code"]) == {"lesion-count"}
            counts[organ] = part["valueInteger"]
        return counts

    @property
    def distant_node(self) -> bool:
        written = any(codes(each["code"]) & NODE_DISORDERS or sites(each) & DISTANT_NODES for each in self.secondaries)
        seen = any(each["valueBoolean"] for each in self.observed("distant-nodes", "inguinal-nodes"))
        assert written or not seen
        return written

    @property
    def looked(self) -> str:
        (how,) = {LOOKED[code] for each in self.observed("distant-organ") for code in codes(each["method"])}
        return how

    @property
    def diameter(self) -> float:
        """The greatest diameter of the primary in cm."""
        observation = self.one("tumour-size", "21889-1")
        value: Json = observation.get("valueQuantity") or observation["component"][0]["valueQuantity"]
        return float(value["value"]) / {"mm": 10, "cm": 1}[value["code"]]

    def measured(self, *wanted: str) -> Json:
        value: Json = self.one(*wanted)["valueQuantity"]
        return value

    @property
    def haemoglobin(self) -> float:
        """In g/dL."""
        value = self.measured("718-7")
        return float(value["value"]) / {"g/L": 10, "g/dL": 1}[value["code"]]


def codes(concept: Json) -> set[str]:
    return {coding["code"] for coding in concept.get("coding", [])}


def sites(condition: Json) -> set[str]:
    return {code for site in condition.get("bodySite", []) for code in codes(site)}


WOMEN = [Read(bundle) for bundle in patients() if "founding-group" in json.dumps(bundle["entry"][0]["resource"]["meta"])]


def counted(says: str) -> dict[str, tuple[int, int, int]]:
    """How many women have each value of a property: in all, in group A, in group B."""
    of = Counter((getattr(woman, says), woman.group) for woman in WOMEN)
    return {str(value): (of[value, "A"] + of[value, "B"], of[value, "A"], of[value, "B"]) for value, _ in of}


def split(holds: list[tuple[bool, str]]) -> tuple[int, int, int]:
    of = Counter(group for held, group in holds if held)
    return of.total(), of["A"], of["B"]


def test_forty_eight_women_thirty_six_of_them_in_group_a() -> None:
    assert Counter(woman.group for woman in WOMEN) == {"A": 36, "B": 12}


@pytest.mark.parametrize(("group", "expected"), [("AB", (53, 36, 77)), ("A", (54, 37, 68)), ("B", (47, 36, 77))])
def test_ages_at_diagnosis_have_the_median_and_range_of_table_1(group: str, expected: tuple[int, int, int]) -> None:
    ages = [woman.age for woman in WOMEN if woman.group in group]
    assert (median(ages), min(ages), max(ages)) == expected


def test_twenty_nine_women_are_fifty_or_older() -> None:
    assert sum(woman.age >= 50 for woman in WOMEN) == 29


def test_ecog_is_that_of_table_1() -> None:
    found = Counter((woman.one("89247-1")["valueInteger"], woman.group) for woman in WOMEN)
    assert found == {(0, "A"): 26, (1, "A"): 7, (2, "A"): 3, (0, "B"): 7, (1, "B"): 4, (2, "B"): 1}


def test_cell_types_are_those_of_table_1() -> None:
    assert counted("cell_type") == {
        "squamous": (39, 32, 7),
        "small-cell": (4, 1, 3),
        "adeno": (3, 2, 1),
        "adenosquamous": (1, 0, 1),
        "sarcoma": (1, 1, 0),
    }


def test_primary_size_haemoglobin_and_leucocytes_fall_on_the_sides_of_table_1() -> None:
    assert split([(woman.diameter >= 4, woman.group) for woman in WOMEN]) == (39, 30, 9)
    assert split([(woman.haemoglobin > 10, woman.group) for woman in WOMEN]) == (37, 29, 8)
    assert split([(woman.measured("6690-2", "26464-8")["value"] > 10, woman.group) for woman in WOMEN]) == (8, 6, 2)


def test_metastases_were_found_by_the_means_of_table_1() -> None:
    assert counted("looked") == {"CT/MRI/ECT": (23, 18, 5), "PET-CT": (19, 14, 5), "biopsy": (6, 4, 2)}


def test_patterns_of_spread_are_those_of_table_2() -> None:
    found = Counter(("+".join(sorted(woman.lesions)), woman.distant_node) for woman in WOMEN)
    assert found == {
        ("bone", False): 17,
        ("lung", False): 5,
        ("liver", False): 1,
        ("brain", False): 1,
        ("spleen", False): 1,
        ("bone", True): 5,
        ("lung", True): 4,
        ("liver", True): 3,
        ("lung+spleen", False): 2,
        ("bone+liver", False): 1,
        ("liver+lung", True): 2,
        ("bone+lung", True): 3,
        ("bone+liver", True): 2,
        ("adrenal+liver", True): 1,
    }


def test_the_59_organ_sites_are_those_that_table_2_adds_up_to() -> None:
    organs = Counter(organ for woman in WOMEN for organ in woman.lesions)
    assert organs == {"bone": 28, "lung": 16, "liver": 10, "spleen": 3, "brain": 1, "adrenal": 1}
    assert sum(len(woman.lesions) == 1 for woman in WOMEN) == 37
    assert sum(woman.distant_node for woman in WOMEN) == 20


def test_twenty_one_women_have_one_organ_with_at_most_three_lesions() -> None:
    few = [woman for woman in WOMEN if len(woman.lesions) == 1 and max(woman.lesions.values()) <= 3]
    assert len(few) == 21
    assert all(woman.cell_type != "sarcoma" for woman in few)


def test_every_organ_has_a_secondary_condition_related_to_the_primary() -> None:
    for woman in WOMEN:
        for organ in woman.lesions:
            assert any(each["id"].split("-secondary-")[1].startswith(organ) for each in woman.secondaries)
        for each in woman.secondaries:
            (related,) = each["extension"]
            assert related["valueReference"]["reference"] == f"Condition/{woman.primary['id']}"


def test_no_woman_has_been_treated_yet() -> None:
    treatments = {"Procedure", "MedicationAdministration", "MedicationRequest", "MedicationStatement"}
    assert not [each for woman in WOMEN for each in woman.resources if each["resourceType"] in treatments]


def test_secondaries_are_written_in_every_encoding_and_some_lesions_twice() -> None:
    systems = Counter(frozenset(coding["system"] for coding in each["code"]["coding"]) for woman in WOMEN for each in woman.secondaries)
    assert {len(each) for each in systems} == {1, 2}
    assert {system.rsplit("/", 1)[1] for each in systems for system in each} == {"sct", "icd-10-cm", "icd-10"}
    assert sum(each["id"].endswith("-2") for woman in WOMEN for each in woman.secondaries) >= 3
    assert any(codes(each["code"]) == {"128462008"} and sites(each) for woman in WOMEN for each in woman.secondaries)
