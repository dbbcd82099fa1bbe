"""One patient whose record grows: her own findings again and again, under other ids. Synthetic, like all patients here."""

from __future__ import annotations

import json
from typing import Any

from examples.population import population

Json = dict[str, Any]


def busiest(among: int = 300, seed: int = 1) -> Json:
    """Of the first patients of the population the one with most conditions, and of these the one with most resources."""

    def busy(bundle: Json) -> tuple[int, int]:
        kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
        return kinds.count("Condition"), len(kinds)

    return max(population(among, seed), key=busy)


def grown(bundle: Json, entries: int) -> bytes:
    """The bundle with so many entries: conditions, TNM, sizes, nodes, organs, laboratory values, each as a resource of its own."""
    patient, *rest = bundle["entry"]
    again = (rest[number % len(rest)]["resource"] for number in range(entries - 1))
    copies = [{"resource": {**resource, "id": f"{resource['id']}-{number}"}} for number, resource in enumerate(again)]
    return json.dumps({**bundle, "entry": [patient, *copies]}).encode()
