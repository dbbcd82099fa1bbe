"""What `figaro cohort` is measured against, each in a process of its own: python -m benchmarks.cohort_peers NAME FOLDER|FILE

Three membership tests of a patient: a Condition coded C53 in ICD-10, one coded C77 to C79, an Observation with the value cM1. Each peer
prints how many patients pass each, and a digest of who they are, so that peers that answer differently are not compared.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec

CM1: Final = "1229903009"
TESTS: Final = ("cervix", "secondary", "m1")
# `system` of a coding is asked for where the code alone could be another system's.
FHIRPATH: Final = {
    "cervix": "Bundle.entry.resource.ofType(Condition).code.coding.where(system.contains('icd-10') and code.startsWith('C53')).exists()",
    "secondary": "Bundle.entry.resource.ofType(Condition).code.coding.where(system.contains('icd-10') and "
    "(code.startsWith('C77') or code.startsWith('C78') or code.startsWith('C79'))).exists()",
    "m1": f"Bundle.entry.resource.ofType(Observation).value.ofType(CodeableConcept).coding.where(code = '{CM1}').exists()",
}
_SQL: Final = """
    SELECT DISTINCT split_part(subject.reference, 'Patient/', 2) FROM read_json(
        $files, format = 'newline_delimited', maximum_object_size = 33554432,
        columns = {{subject: 'STRUCT(reference VARCHAR)', {element}: 'STRUCT(coding STRUCT(system VARCHAR, code VARCHAR)[])'}}
    ) WHERE len(list_filter({element}.coding, lambda c: {test})) > 0
"""
_TESTS_IN_SQL: Final = {
    "cervix": ("Condition", "code", "contains(c.system, 'icd-10') AND c.code LIKE 'C53%'"),
    "secondary": ("Condition", "code", "contains(c.system, 'icd-10') AND substr(c.code, 1, 3) IN ('C77', 'C78', 'C79')"),
    "m1": ("Observation", "valueCodeableConcept", f"c.code = '{CM1}'"),
}


def told(found: dict[str, set[str]]) -> str:
    """How many, and who, as one line."""
    return " ".join(f"{name}={len(found[name])}:{sha256(chr(10).join(sorted(found[name])).encode()).hexdigest()[:12]}" for name in TESTS)


def lines(folder: Path, kinds: str = "") -> Iterator[bytes]:
    import gzip

    for path in sorted(folder.glob(f"{kinds}*.ndjson*")):
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield from file


def orjson_alone(folder: Path) -> str:
    """Reads and parses every line, and does nothing with it."""
    import orjson

    count = 0
    for line in lines(folder):
        orjson.loads(line)
        count += 1
    return f"lines={count}"


def duckdb_sql(folder: Path) -> str:
    import duckdb

    found: dict[str, set[str]] = {}
    with duckdb.connect() as db:
        for name, (kind, element, test) in _TESTS_IN_SQL.items():
            files = [str(path) for path in sorted(folder.glob(f"{kind}*.ndjson*"))]
            found[name] = {row[0] for row in db.execute(_SQL.format(element=element, test=test), {"files": files}).fetchall()}
    return told(found)


class _Coding(msgspec.Struct, frozen=True, gc=False):
    system: str | None = None
    code: str | None = None


class _Concept(msgspec.Struct, frozen=True, gc=False):
    coding: tuple[_Coding, ...] = ()


class _Reference(msgspec.Struct, frozen=True, gc=False):
    reference: str = ""


class _Line(msgspec.Struct, frozen=True, gc=False):
    subject: _Reference
    code: _Concept = _Concept()
    valueCodeableConcept: _Concept = _Concept()  # noqa: N815 - FHIR's own name


def python_tests(folder: Path) -> str:
    """The three tests in Python, on typed structs of no more than they need."""
    found: dict[str, set[str]] = {name: set() for name in TESTS}
    decode = msgspec.json.Decoder(_Line).decode
    for line in lines(folder, "Condition"):
        it = decode(line)
        for coding in it.code.coding:
            if "icd-10" in (coding.system or "") and (coding.code or "").startswith(("C53", "C77", "C78", "C79")):
                found["cervix" if (coding.code or "").startswith("C53") else "secondary"].add(it.subject.reference.partition("/")[2])
    for line in lines(folder, "Observation"):
        it = decode(line)
        if any(coding.code == CM1 for coding in it.valueCodeableConcept.coding):
            found["m1"].add(it.subject.reference.partition("/")[2])
    return told(found)


def fhirpathpy_tests(file: Path) -> str:
    """The three expressions on a Bundle a line."""
    import fhirpathpy
    import orjson
    from fhirpathpy.models import models

    compiled: dict[str, Any] = {name: fhirpathpy.compile(expression, models["r4"]) for name, expression in FHIRPATH.items()}
    found: dict[str, set[str]] = {name: set() for name in TESTS}
    with file.open("rb") as bundles:
        for line in bundles:
            bundle = orjson.loads(line)
            for name, test in compiled.items():
                if test(bundle) == [True]:
                    found[name].add(bundle["id"])
    return told(found)


def pathling_views(folder: Path) -> str:
    """The codings by Pathling's views, the tests by Spark: Pathling's FHIRPath has neither `contains` nor `startsWith`."""
    from pathling import PathlingContext  # type: ignore[import-not-found] # in a virtual environment of its own

    context = PathlingContext.create(max_nesting_level=0, enabled_open_types=(), enable_terminology=False)
    data = context.read.ndjson(str(folder))
    patient = {"column": [{"name": "patient", "path": "subject.getReferenceKey(Patient)"}]}
    parts = {"column": [{"name": "system", "path": "system"}, {"name": "code", "path": "code"}]}
    concepts = {"Condition": "code", "Observation": "value.ofType(CodeableConcept)"}
    views = {
        kind: data.view(kind, select=[patient, {"forEach": f"{path}.coding", **parts}]).cache().alias("c")
        for kind, path in concepts.items()
    }
    passing = {name: views[kind].where(test).collect() for name, (kind, _, test) in _TESTS_IN_SQL.items()}
    return told({name: {row.patient.partition("/")[2] for row in rows} for name, rows in passing.items()})


PEERS: Final = {
    "orjson": orjson_alone,
    "duckdb": duckdb_sql,
    "python": python_tests,
    "fhirpathpy": fhirpathpy_tests,
    "pathling": pathling_views,
}

if __name__ == "__main__":
    print(PEERS[sys.argv[1]](Path(sys.argv[2])))
