"""A population of any size for benchmarks: synthetic women with and without cervical cancer, one Bundle at a time.

    python -m examples.population --n 2000 --out FILE.ndjson
    python -m examples.population --patients 10000 --out DIR [--gzip]     a hospital's export instead: see population_export.py

About three in five have a cervical primary: the cases and the founding pattern again, on other days and with other values. The
others have another cancer, some with metastases, or none. Patient i depends on the seed and on i alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import date, timedelta
from html import escape
from pathlib import Path
from random import Random

import msgspec

from examples import codes
from examples.findings import ENCODINGS, anyone, fitness
from examples.founding_cohort import NODES, PATTERNS, Woman, write
from examples.resources import Chart, Json, born, coding, collection, concept, extension, loinc, quantity, snomed
from examples.synthetic_patients import SCRIPTS, written

FIRST_DAY = date(2021, 1, 4)
DAYS = 5 * 365
OTHER_CANCERS = (
    ("C50.919", "Malignant neoplasm of unspecified site of unspecified female breast", ("bone", "liver", "lung", "node-axillary")),
    ("C34.90", "Malignant neoplasm of unspecified part of unspecified bronchus or lung", ("brain", "adrenal", "node-supraclavicular")),
    ("C54.1", "Malignant neoplasm of endometrium", ("lung", "peritoneum", "node-para-aortic")),
    ("C18.9", "Malignant neoplasm of colon, unspecified", ("liver", "peritoneum", "lung")),
)
COMPLAINTS = (
    ("I10", "Essential (primary) hypertension"),
    ("E11.9", "Type 2 diabetes mellitus without complications"),
    ("J45.909", "Unspecified asthma, uncomplicated"),
    ("M54.50", "Low back pain, unspecified"),
    ("K21.9", "Gastro-esophageal reflux disease without esophagitis"),
    ("F41.9", "Anxiety disorder, unspecified"),
)


def population(n: int, seed: int) -> Iterator[Json]:
    """`n` transaction Bundles, made as they are asked for."""
    for number in range(n):
        yield _patient(number, Random(f"population/{seed}/{number}"))


def _patient(number: int, rng: Random) -> Json:
    day = FIRST_DAY + timedelta(days=rng.randrange(DAYS))
    birth = born(rng.randint(28, 82), day, rng.randint(1, 350))
    chart = Chart(f"pop-{number:07d}", family=f"Synthetic-Population-{number:07d}", birth=birth, day=day, rng=rng)
    drawn = rng.random()
    if drawn < 0.35:
        written(chart, rng.choice(SCRIPTS), full=rng.random() < 0.3)
    elif drawn < 0.6:
        _metastatic(chart, rng)
    elif drawn < 0.8:
        other_cancer(chart, rng)
    else:
        complaints(chart, rng, rng.randint(2, 5))
    _earlier_values(chart, rng)
    chart.resources = [narrated(resource) for resource in chart.resources]
    return chart.transaction()


def cervical(chart: Chart, rng: Random) -> None:
    """One of the cases again, or the founding pattern of spread."""
    if rng.random() < 0.6:
        written(chart, rng.choice(SCRIPTS), full=rng.random() < 0.3)
    else:
        _metastatic(chart, rng)


def _metastatic(chart: Chart, rng: Random) -> None:
    """A founding pattern of spread, with lesion counts of her own."""
    organs, with_node, _ = rng.choices(PATTERNS, weights=[count for *_, count in PATTERNS])[0]
    counted = tuple((organ, rng.randint(1, 8)) for organ in organs)
    looked = rng.choice(("conventional", "pet", "biopsy"))
    histology = rng.choice(("squamous", "squamous", "squamous", "adenocarcinoma", "small-cell"))
    fit = anyone(rng)
    write(chart, Woman(0, "", 0, histology, rng.randint(22, 80), looked, counted, rng.choice(NODES) if with_node else None, fit))
    fitness(chart, fit, si=rng.random() < 0.4, full=rng.random() < 0.3)


def other_cancer(chart: Chart, rng: Random) -> None:
    """A cancer that is not of the cervix: her metastases must not be staged as if it were."""
    code, words, sites = rng.choice(OTHER_CANCERS)
    reference = chart.condition("primary", concept(coding(codes.ICD_10_CM, code, words)), chart.on())
    related = extension(codes.CONDITION_RELATED, valueReference={"reference": reference})
    for name in rng.sample(sites, rng.randint(0, 2)):
        site = codes.SITES[name]
        generic = rng.choice(ENCODINGS) == "generic"
        code_of = (
            snomed(codes.SECONDARY_NODE if site.node else codes.SECONDARY_ANY) if generic else concept(coding(codes.ICD_10_CM, site.cm))
        )
        chart.condition(f"secondary-{name}", code_of, chart.on(9), sites=[snomed(site.structure)], extensions=[related])
    complaints(chart, rng, rng.randint(0, 2))
    fitness(chart, anyone(rng), si=rng.random() < 0.4)


def complaints(chart: Chart, rng: Random, count: int) -> None:
    """What a patient has besides."""
    for code, words in rng.sample(COMPLAINTS, count):
        chart.condition(
            f"complaint-{code.replace('.', '-').lower()}", concept(coding(codes.ICD_10_CM, code, words)), chart.on(-rng.randint(40, 900))
        )


def _earlier_values(chart: Chart, rng: Random) -> None:
    """Weights and haemoglobins of earlier visits; the newest of each is not among them."""
    for visit in range(1, 1 if len(chart.resources) > 14 else 5):
        fit, when = anyone(rng), chart.on(-30 * visit)
        weight, blood = quantity(fit.weight, "kg"), quantity(fit.haemoglobin, "g/dL")
        chart.observation(f"weight-{visit}", loinc("29463-7", "Body weight"), when, category="vital-signs", valueQuantity=weight)
        words = "Hemoglobin [Mass/volume] in Blood"
        chart.observation(f"haemoglobin-{visit}", loinc("718-7", words), when, category="laboratory", valueQuantity=blood)


def narrated(resource: Json) -> Json:
    """The resource with an identifier and a generated narrative, as hospital systems send it."""
    content = resource.get("code") or resource.get("medicationCodeableConcept") or {}
    words = [escape(f"{each.get('display', '')} ({each['system']}|{each['code']})") for each in content.get("coding", [])]
    cells = "".join(f"<tr><td>Code</td><td>{word}</td></tr>" for word in words)
    when = resource.get("effectiveDateTime") or resource.get("onsetDateTime") or resource.get("birthDate") or ""
    table = f"<table><tbody>{cells}<tr><td>Date</td><td>{when}</td></tr></tbody></table>"
    heading = f"<p><b>Generated narrative: {resource['resourceType']} {resource['id']}</b></p><p>Synthetic test data: no such person.</p>"
    text = {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{heading}{table}</div>'}
    return {"text": text, "identifier": [{"system": codes.SYNTHETIC_ID, "value": resource["id"]}]} | resource


def main() -> None:
    """Writes the population as NDJSON, one collection Bundle a line; or with --patients the export of a hospital."""
    parser = argparse.ArgumentParser(prog="python -m examples.population", description="Write a synthetic population as FHIR R4.")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--n", type=int, help="how many patients, one collection Bundle a line")
    size.add_argument("--patients", type=int, help="how many patients, as a Bulk Data export: NDJSON per resource type")
    parser.add_argument("--out", type=Path, required=True, help="NDJSON file; with --patients a folder")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another population (default: %(default)s)")
    parser.add_argument("--gzip", action="store_true", help="with --patients: packed")
    parser.add_argument("--per-file", type=int, default=50_000, help="with --patients: so many patients a file (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.patients is not None:
        from examples import population_export

        population_export.write(arguments.patients, arguments.seed, arguments.out, packed=arguments.gzip, per_file=arguments.per_file)
        return
    with arguments.out.open("wb") as lines:
        for bundle in population(arguments.n, arguments.seed):
            lines.write(msgspec.json.encode(collection(bundle)) + b"\n")


if __name__ == "__main__":
    main()
