"""A hospital's Bulk Data export of any size: synthetic patients of every kind, about twenty resources each, one NDJSON file per type.

    python -m examples.population --patients 10000 --out DIR [--gzip] [--seed 1] [--per-file 50000]

About one patient in twenty-five has a cancer of the cervix (the cases and the founding pattern again), one in ten another cancer, the
others what brings people to a hospital. Written patient by patient, so that the memory does not grow; patient i depends on the seed and
on i alone. Nobody lived them, and each resource is marked as test data.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import BinaryIO, Final

import msgspec

from examples.population import COMPLAINTS, cervical, complaints, narrated, other_cancer
from examples.resources import BASE, TEST_DATA, Chart, born

CERVIX: Final = 0.04
OTHER: Final = 0.10
FIRST_DAY: Final = date(2019, 1, 7)
DAYS: Final = 6 * 365
_META: Final = msgspec.json.encode({"versionId": "1", "lastUpdated": "2026-09-30T08:00:00.000Z", "tag": TEST_DATA}).decode()
_SID: Final = "https://figaro.example/fhir/sid/synthetic"
_THO: Final = "http://terminology.hl7.org/CodeSystem/"
_LABS: Final = (
    ("718-7", "Hemoglobin [Mass/volume] in Blood", "laboratory", 9.0, 15.5, "g/dL"),
    ("2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "laboratory", 0.5, 1.6, "mg/dL"),
    ("6690-2", "Leukocytes [#/volume] in Blood by Automated count", "laboratory", 3.5, 11.0, "10*3/uL"),
    ("777-3", "Platelets [#/volume] in Blood by Automated count", "laboratory", 120.0, 400.0, "10*3/uL"),
    ("29463-7", "Body weight", "vital-signs", 48.0, 95.0, "kg"),
    ("8480-6", "Systolic blood pressure", "vital-signs", 95.0, 165.0, "mm[Hg]"),
    ("8310-5", "Body temperature", "vital-signs", 36.1, 37.9, "Cel"),
)
_DRUGS: Final = (("6809", "metformin"), ("29046", "lisinopril"), ("7646", "omeprazole"), ("435", "albuterol"))
_ACTS: Final = (("73761001", "Colonoscopy"), ("40701008", "Echocardiography"), ("80146002", "Appendectomy"))


def export(n: int, seed: int) -> Iterator[list[tuple[str, bytes]]]:
    """The resources of each of `n` patients, type and JSON, made as they are asked for."""
    for number in range(n):
        yield _patient(number, Random(f"export/{seed}/{number}"))


def write(n: int, seed: int, folder: Path, *, packed: bool = False, per_file: int = 50_000) -> None:
    """Writes the export into `folder`: Type.ndjson, or with many patients Type.000.ndjson and so on, each of `per_file` patients."""
    folder.mkdir(parents=True, exist_ok=True)
    patients = export(n, seed)
    for part in range(-(-n // per_file)):
        with ExitStack() as files:
            opened: dict[str, BinaryIO] = {}
            for resources in islice(patients, per_file):
                for kind, line in resources:
                    if kind not in opened:
                        name = f"{kind}.{part:03}.ndjson" if n > per_file else f"{kind}.ndjson"
                        opened[kind] = files.enter_context(_opened(folder / name, packed))
                    opened[kind].write(line + b"\n")


def _opened(path: Path, packed: bool) -> BinaryIO:
    if packed:  # without a name or a time in its head: the same seed, the same bytes
        return gzip.GzipFile(path.with_name(f"{path.name}.gz"), "wb", compresslevel=1, mtime=0)  # type: ignore[return-value]
    return path.open("wb", buffering=1 << 20)


def _patient(number: int, rng: Random) -> list[tuple[str, bytes]]:
    day = FIRST_DAY + timedelta(days=rng.randrange(DAYS))
    key, drawn = f"exp-{number:07d}", rng.random()
    if drawn >= CERVIX + OTHER:
        return list(_anyone(key, day, rng))
    birth = born(rng.randint(28, 82), day, rng.randint(1, 350))
    chart = Chart(key, family=f"Synthetic-Export-{number:07d}", birth=birth, day=day, rng=rng)
    if drawn < CERVIX:
        cervical(chart, rng)
    else:
        other_cancer(chart, rng)
        complaints(chart, rng, 2)
    own = [(str(resource["resourceType"]), msgspec.json.encode(narrated(resource))) for resource in chart.resources]
    return own + list(_visits(key, day, rng, 2))


def _anyone(key: str, day: date, rng: Random) -> Iterator[tuple[str, bytes]]:
    """Somebody without a cancer: about twenty resources, as text, because there are so many of them."""
    birth = day - timedelta(days=rng.randint(20 * 365, 85 * 365))
    name = f'"name":[{{"use":"official","family":"Synthetic-Export-{key[4:]}","given":["Synthetic"]}}]'
    yield _resource("Patient", key, str(birth), f'{name},"gender":"{rng.choice(("female", "male"))}","birthDate":"{birth}"')
    for i, (code, words) in enumerate(rng.sample(COMPLAINTS, rng.randint(1, 4))):
        when = day - timedelta(days=rng.randint(40, 900))
        yield _resource(
            "Condition",
            f"{key}-c{i}",
            words,
            f'"clinicalStatus":{{"coding":[{{"system":"{_THO}condition-clinical","code":"active"}}]}},'
            f'"verificationStatus":{{"coding":[{{"system":"{_THO}condition-ver-status","code":"confirmed"}}]}},'
            f'"code":{{"coding":[{{"system":"http://hl7.org/fhir/sid/icd-10-cm","code":"{code}","display":"{words}"}}]}},'
            f'{_subject(key)},"onsetDateTime":"{when}","recordedDate":"{when}"',
        )
    for i in range(rng.randint(6, 14)):
        code, words, category, low, high, unit = rng.choice(_LABS)
        yield _resource(
            "Observation",
            f"{key}-o{i}",
            words,
            f'"status":"final","category":[{{"coding":[{{"system":"{_THO}observation-category","code":"{category}"}}]}}],'
            f'"code":{{"coding":[{{"system":"http://loinc.org","code":"{code}","display":"{words}"}}]}},{_subject(key)},'
            f'"effectiveDateTime":"{day + timedelta(days=i)}","valueQuantity":{{"value":{rng.uniform(low, high):.1f},"unit":"{unit}",'
            f'"system":"http://unitsofmeasure.org","code":"{unit}"}}',
        )
    drug, words = rng.choice(_DRUGS)
    yield _resource(
        "MedicationRequest",
        f"{key}-m0",
        words,
        f'"status":"active","intent":"order","medicationCodeableConcept":{{"coding":[{{"system":'
        f'"http://www.nlm.nih.gov/research/umls/rxnorm","code":"{drug}","display":"{words}"}}]}},{_subject(key)},"authoredOn":"{day}"',
    )
    if rng.random() < 0.5:
        act, words = rng.choice(_ACTS)
        coded = f'"code":{{"coding":[{{"system":"http://snomed.info/sct","code":"{act}","display":"{words}"}}]}}'
        yield _resource("Procedure", f"{key}-p0", words, f'"status":"completed",{coded},{_subject(key)},"performedDateTime":"{day}"')
    yield from _visits(key, day, rng, 3)


def _visits(key: str, day: date, rng: Random, count: int) -> Iterator[tuple[str, bytes]]:
    """Resources of a type that no rule reads, as a real export is full of them."""
    for i in range(rng.randint(2, count + 1)):
        when = day + timedelta(days=30 * i)
        yield _resource(
            "Encounter",
            f"{key}-e{i}",
            "Encounter",
            f'"status":"finished","class":{{"system":"{_THO}v3-ActCode","code":"AMB"}},{_subject(key)},'
            f'"period":{{"start":"{when}T09:00:00+00:00","end":"{when}T09:20:00+00:00"}},'
            f'"serviceProvider":{{"reference":"Organization/synthetic","display":"{BASE}Organization/synthetic"}}',
        )


def _resource(kind: str, key: str, words: str, rest: str) -> tuple[str, bytes]:
    narrative = (
        f'<div xmlns=\\"http://www.w3.org/1999/xhtml\\"><p><b>Generated narrative: {kind} {key}</b></p>'
        f"<p>Synthetic test data: no such person.</p><table><tbody><tr><td>{words}</td></tr></tbody></table></div>"
    )
    return kind, (
        f'{{"resourceType":"{kind}","id":"{key}","meta":{_META},"text":{{"status":"generated","div":"{narrative}"}},'
        f'"identifier":[{{"system":"{_SID}","value":"{key}"}}],{rest}}}'
    ).encode()


def _subject(key: str) -> str:
    return f'"subject":{{"reference":"Patient/{key}"}}'
