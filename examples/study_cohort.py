"""The 48 women of the founding study with treatment, response, progression, death and last contact: a cohort that stands in for it.

    python -m examples.study_cohort --out DIR             48 Bundles
    python -m examples.study_cohort --ndjson DIR          a Bulk Data export: one NDJSON file a type
    python -m examples.study_cohort --ndjson DIR --others     with the 40 other synthetic patients, whom the study leaves out

Nobody lived them; each resource is marked as test data. Yin 2019 (doi:10.1186/s13014-019-1297-x) prints tables and no patients. Who
combines which, and the days, were found by simulated annealing (`study_fit.py`, seed 2019) and stand in `study_cohort.csv`. Exact are the
counts of Tables 1, 2 and 4 where these agree with each other; near are the survival figures of Table 3 and of the text. What cannot be met:

- lung metastases are 16, as Table 2 and the total of 59 sites need, not the 14 of Table 3: its two lung rows differ;
- the groups' partial responses (7 and 1) and stable disease (1) are followed, not the overall 6 and 0 that Table 4 prints;
- pelvic radiotherapy is 36 and 5, that is 41, not the printed 42;
- the 9 cycles that are not itemised are given as cisplatin and docetaxel, which is ours;
- the four patients with central shielding, and which variables went into the models, are not told; nor is how follow-up was reckoned;
- PFS at two years is printed as 24.3 % with and 26.7 % without liver metastases, and as 24.2 % for all: the three do not go together;
- PFS of 11.1 % at two years without squamous carcinoma is a last value drawn on: the one left was censored before, here as there;
- group A's PFS of 30.4 % at two years needs somebody censored for progression before, whom its OS of exactly 14 of 36 does not allow.

The days lie in the study's years, while findings are written in today's codes (AJCC version 9, FIGO 2018, mCODE), which came later.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

from examples import codes
from examples.codes import SITES
from examples.findings import fitness, not_pregnant
from examples.founding_cohort import Woman, plan, write
from examples.resources import Chart, Json, born, coding, concept, extension, loinc, snomed
from examples.study_treatment import Beam, Plan, limit, plans
from examples.synthetic_patients import patients

FILE: Final = Path(__file__).with_name("study_cohort.csv")
SEED: Final = 1  # of the charts; the annealing has its own
OPENED, CLOSED = date(2006, 10, 9), date(2017, 12, 29)
ANSWERS: Final = {"complete": "103338009", "partial": "103337004", "stable": "359746009", "progression": "271299001"}
RXNORM: Final = {"cisplatin": "2555", "carboplatin": "40048", "paclitaxel": "56946", "docetaxel": "72962", "etoposide": "4179"}
COMPLETE, PARTIAL = 27, 7  # group A, locoregional; one stable, one who progressed unanswered


def rows() -> list[Json]:
    """The 48 rows of the file, typed."""
    with FILE.open(newline="") as file:
        return [_row(line) for line in csv.DictReader(file)]


def _row(line: dict[str, str]) -> Json:
    numbers = {key: int(line[key]) for key in ("number", "age", "diameter", "ecog", "end")}
    values = {key: float(line[key]) for key in ("haemoglobin", "leucocytes")}
    organs = tuple((organ, int(count)) for organ, count in (each.split(":") for each in line["organs"].split()))
    rest = {"organs": organs, "node": line["node"] or None, "dead": line["dead"] == "1"}
    return line | numbers | values | rest | {"progression": int(line["progression"]) if line["progression"] else None}


def responses(found: list[Json]) -> dict[int, str | None]:
    """The best locoregional response by number: the longer without progression the better; in group B one partial."""
    told: dict[int, str | None] = dict.fromkeys((row["number"] for row in found), None)
    a = sorted((row for row in found if row["group"] == "A"), key=limit, reverse=True)
    for row, answer in zip(a, ["complete"] * COMPLETE + ["partial"] * PARTIAL + ["stable"], strict=False):
        told[row["number"]] = answer
    free = next(row for row in found if row["group"] == "B" and not row["dead"])
    told[free["number"]] = "partial"
    return told


def failures(found: list[Json]) -> dict[int, tuple[str, ...]]:
    """Where each progressed: group A in the distance, two of them in the pelvis too; group B nine in the distance, two in the pelvis."""
    a = [row["number"] for row in found if row["group"] == "A" and row["progression"]]
    b = [row["number"] for row in found if row["group"] == "B" and row["progression"]]
    told: dict[int, tuple[str, ...]] = dict.fromkeys((*a, *b), ("distant",))
    return told | dict.fromkeys(a[:2], ("distant", "locoregional")) | dict.fromkeys(b[:2], ("locoregional",))


def charts() -> list[Chart]:
    """The 48 charts."""
    found = rows()
    treatment, best, failed = plans(found), responses(found), failures(found)
    longest = max((row for row in found if row["group"] == "A"), key=lambda row: row["end"])["number"]
    base = {woman.number: woman for woman in plan(SEED)}
    made = []
    for row in found:
        chart = _chart(row, base[row["number"]])
        number = row["number"]
        _treat(chart, treatment[number], definitive=row["group"] == "A")
        last = max(beam.end for beam in treatment[number].beams) if row["group"] == "A" else treatment[number].cycles[-1][0]
        seen = min(last + 28, limit(row) - 5)
        if answer := best[number]:
            _answer(chart, "response", answer, seen, codes.CERVIX)
        if row["group"] == "A" and best[number] in ("complete", "partial"):
            _answer(chart, "distant", "complete" if number == longest else "stable", seen, SITES[row["organs"][0][0]].structure)
        for where in failed.get(number, ()):
            site = codes.CERVIX if where == "locoregional" else SITES[row["organs"][0][0]].structure
            _answer(chart, f"progression-{where}", "progression", row["progression"], site)
        _follow(chart, row)
        made.append(chart)
    return made


def _chart(row: Json, base: Woman) -> Chart:
    """The findings before treatment, as the founding cohort writes them; the day so that the follow-up ends in time."""
    rng = Random(f"study/{SEED}/{row['number']}")
    blood = {"ecog": row["ecog"], "haemoglobin": row["haemoglobin"], "leucocytes": row["leucocytes"]}
    fit = base.fit._replace(**blood, neutrophils=round(row["leucocytes"] * 0.66, 1))
    taken = {key: row[key] for key in ("group", "age", "histology", "diameter", "looked", "organs", "node")}
    woman = base._replace(**taken, fit=fit)
    room = (min(CLOSED - timedelta(days=row["end"]), date(2016, 12, 20)) - OPENED).days
    day = OPENED + timedelta(days=rng.randint(0, room))
    name, birth = f"Synthetic-Study-{row['number']:02d}", born(row["age"], day, rng.randint(1, 350))
    chart = Chart(f"study-{row['number']:02d}", family=name, birth=birth, day=day, rng=rng)
    write(chart, woman)
    fitness(chart, fit, si=rng.random() < 0.4)
    if woman.age < 55:
        not_pregnant(chart)
    return chart


def _treat(chart: Chart, treatment: Plan, *, definitive: bool) -> None:
    for day, drugs in treatment.cycles:
        for drug in drugs:
            content: Json = {
                "status": "completed",
                "medicationCodeableConcept": concept(coding(codes.RXNORM, RXNORM[drug], drug), text=drug),
                "subject": chart.subject,
                "effectiveDateTime": chart.on(day),
                "reasonReference": [{"reference": f"Condition/{chart.key}-primary"}],
            }
            chart.put("MedicationAdministration", f"{drug}-{day}", content, "cancer-related-medication-administration")
    for number, beam in enumerate(treatment.beams, 1):
        _irradiate(chart, number, beam, curative=beam.site is None and definitive)


def _irradiate(chart: Chart, number: int, beam: Beam, *, curative: bool) -> None:
    """A course summary in the shape of mCODE: modality, intent, dose in cGy, fractions."""
    extent = codes.MCODE + "radiotherapy-"
    dose = {"value": round(beam.gy * 100), "unit": "cGy", "system": codes.UCUM, "code": "cGy"}
    parts = [extension("totalDoseDelivered", valueQuantity=dose), extension("fractionsDelivered", valueUnsignedInt=beam.fractions)]
    modality = ("394902000", "High dose rate brachytherapy") if beam.inside else ("1156506007", "External beam using photons")
    technique = [extension(extent + "modality", valueCodeableConcept=snomed(*modality))]
    intent = snomed("373808002", "Curative") if curative else snomed("363676003", "Palliative")
    site = snomed(SITES[beam.site].structure) if beam.site else snomed(codes.CERVIX, "Cervix uteri")
    content: Json = {
        "extension": [
            extension(codes.MCODE + "procedure-intent", valueCodeableConcept=intent),
            {"url": extent + "modality-and-technique", "extension": technique},
            {"url": extent + "dose-delivered-to-volume", "extension": parts},
        ],
        "status": "completed",
        "code": snomed("1217123003", "Radiotherapy course of treatment"),
        "subject": chart.subject,
        "performedPeriod": {"start": chart.on(beam.start), "end": chart.on(beam.end)},
        "reasonReference": [{"reference": f"Condition/{chart.key}-primary"}],
        "bodySite": [site],
    }
    chart.put("Procedure", f"radiotherapy-{number}", content, "radiotherapy-course-summary")


def _answer(chart: Chart, name: str, answer: str, day: int, site: str) -> None:
    """The disease status (mCODE) at a site, by RECIST 1.1 in the study."""
    status = loinc("97509-4", "Cancer disease progression")
    looked = snomed(codes.MRI) if site == codes.CERVIX else snomed(codes.CT)
    about = f"Condition/{chart.key}-primary"
    value = snomed(ANSWERS[answer])
    chart.observation(
        name, status, chart.on(day), by=looked, site=snomed(site), focus=about, profile="cancer-disease-status", valueCodeableConcept=value
    )


def _follow(chart: Chart, row: Json) -> None:
    """Visits every three months for two years, then every six, then every year; at the last one her performance status. Or her death."""
    day, end = 120, int(row["end"])
    while day < end:
        _visit(chart, day)
        day += 91 if day < 730 else 182 if day < 1826 else 365
    if row["dead"]:
        chart.resources[0]["deceasedDateTime"] = chart.on(end)
        return
    _visit(chart, end)
    ecog = loinc("89247-1", "ECOG Performance Status score")
    chart.observation("ecog-last", ecog, chart.on(end), category="survey", valueInteger=row["ecog"], profile="ecog-performance-status")


def _visit(chart: Chart, day: int) -> None:
    kind = coding(codes.THO + "v3-ActCode", "AMB", "ambulatory")
    when = {"start": chart.on(day), "end": chart.on(day)}
    chart.put("Encounter", f"visit-{day}", {"status": "finished", "class": kind, "subject": chart.subject, "period": when})


def bundles() -> list[Json]:
    """The 48 transaction Bundles."""
    return [chart.transaction() for chart in charts()]


def export(folder: Path, *, others: bool = False) -> Path:
    """Writes the cohort as a Bulk Data export leaves it: one NDJSON file a type. `others`: with the patients of every stage and trap."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[str]] = defaultdict(list)
    given = [resource for chart in charts() for resource in chart.resources]
    if others:
        given += [entry["resource"] for bundle in patients()[48:] for entry in bundle["entry"]]
    for resource in given:
        lines[resource["resourceType"]].append(json.dumps(resource, separators=(",", ":")))
    for kind, found in lines.items():
        (folder / f"{kind}.ndjson").write_text("\n".join(found) + "\n", encoding="utf-8")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--ndjson", type=Path)
    parser.add_argument("--others", action="store_true", help="with the other synthetic patients in the export")
    asked: Any = parser.parse_args()
    if asked.out:
        asked.out.mkdir(parents=True, exist_ok=True)
        for chart in charts():
            (asked.out / f"{chart.key}.json").write_text(json.dumps(chart.transaction(), indent=1) + "\n", encoding="utf-8")
    if asked.ndjson:
        export(asked.ndjson, others=asked.others)


if __name__ == "__main__":
    main()
