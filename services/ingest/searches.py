"""Which FHIR searches make one patient's record.

All Conditions, treatments and allergies of the patient are asked for: generic, local and text-only codes would be lost by a filter.
Observations are asked for by code, because a record holds thousands that no rule reads. A code stands without its system, so that it is
found under every alias. No search filters by category or status: both are often wrong or missing, and are judged after reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

EXTENT = "https://figaro.example/fhir/CodeSystem/extent-of-disease"
CODES_PER_SEARCH = 50

# LOINC, SNOMED CT and NCIt; German registries use some SNOMED codes for what others code in LOINC.
_OBSERVATIONS = """
stage:         106250008 385361009 385367008 C186617 C186618 C157232 399390009 399537006 399588009 21908-9 21902-2 21914-7
tumour:        78873005 399504009 384625004 21905-5 21899-0 21911-3 21889-1 33728-7 33729-5
nodes:         277206009 399534004 371494008 21906-3 21900-6 21912-1 21893-3 21894-1
metastases:    277208005 399387003 371497001 21907-1 21901-4 21913-9 385421009 1287652008 399409002
histology:     31206-6 77753-2 59847-4 33732-9 C18000 22637-3 60568-3 84892-9
performance:   89247-1 89262-0 89243-0 423740007
response:      97509-4 21976-6 88040-1
heart:         10230-1 8806-2 88020-3
kidney:        2160-0 14682-9 38483-4 2164-2 35591-7 35592-5 98979-8 98980-6 50210-4 62238-1 69405-9 77147-7 88293-6
               88294-4 48642-3 48643-1 50044-7 33914-3 2888-6 9318-7 2889-4 2890-2 20454-5 5804-0
blood:         718-7 59260-0 20509-6 6690-2 26464-8 777-3 26515-7 26499-4 751-8 753-4 6301-6 34714-6 3173-2 14979-9
               3016-3 2532-0 4548-4 2345-7
liver-salts:   1975-2 14631-6 1968-7 14629-0 1742-6 1920-8 30239-8 6768-6 1751-7 2823-3 2951-2 17861-6 2000-8 19123-9
               2601-3
body:          29463-7 3141-9 8302-2 3137-7 8277-6 3140-1 39156-5 85354-9 8480-6 8462-4 55284-4
pregnancy:     82810-3 2106-3 2118-8 2110-5 80385-8 2112-1 80384-1 19080-1 21198-7 63895-7 56888-1 7917-8
               29893-5 5196-1 13955-0 16128-1
markers:       C176582 C184941 C199175 83052-1 83053-9 83054-7 83055-4 83056-2 83057-0 85147-7 85148-5 85149-3 105302-4
               18474-7 48676-1 72383-3 72382-5 31150-6 96893-3 85319-2 32996-1 42914-2 51981-9 43368-0 62862-8 81695-9
               94076-7 69548-6 48018-6 48019-4
virus:         82675-0 77379-6 21440-3 30167-1 59420-0 77399-4 77400-0 86560-0 86562-6 105077-2
"""
OBSERVATION_CODES = tuple(word for word in _OBSERVATIONS.split() if not word.endswith(":"))


class Search(NamedTuple):
    """One search. An optional one may be refused by the server: then the record is made without it."""

    type: str
    params: tuple[tuple[str, str], ...]
    optional: bool = False


def searches_for(patient_id: str) -> Iterator[Search]:
    """The searches that make the record of one patient, given the id without "Patient/"."""
    yield _search("Condition", patient_id)
    for start in range(0, len(OBSERVATION_CODES), CODES_PER_SEARCH):
        yield _search("Observation", patient_id, ("code", ",".join(OBSERVATION_CODES[start : start + CODES_PER_SEARCH])))
    yield _search("Observation", patient_id, ("code", f"{EXTENT}|"), optional=True)
    yield _search("Observation", patient_id, ("code:missing", "true"), optional=True)
    yield _search("Procedure", patient_id)
    yield _search("MedicationRequest", patient_id, ("_include", "MedicationRequest:medication"))
    yield _search("MedicationAdministration", patient_id, ("_include", "MedicationAdministration:medication"))
    yield _search("MedicationStatement", patient_id, ("_include", "MedicationStatement:medication"))
    yield _search("AllergyIntolerance", patient_id)
    yield _search("BodyStructure", patient_id, optional=True)  # whose size an Observation gives: the primary's, or a metastasis's


OPTIONAL: Final = frozenset({"BodyStructure"})  # types that a record can be made without


def changes_of(resource_type: str) -> Iterator[Search]:
    """The searches of one type for all patients: the same resources that a record is made of."""
    if resource_type != "Observation":
        yield Search(resource_type, (), optional=resource_type in OPTIONAL)
        return
    for search in searches_for(""):
        if search.type == resource_type:
            yield Search(resource_type, search.params[1:], search.optional)


def _search(resource_type: str, patient_id: str, *more: tuple[str, str], optional: bool = False) -> Search:
    return Search(resource_type, (("patient", patient_id), *more), optional)
