"""Staging as FHIR: the stage of each edition, TNM, sites of spread and what is to be looked at. One shape, for two doors.

recommend writes it into the transaction of the CarePlan, under identifiers of the decision; staging answers `$stage` with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

from shared.fhir.assertion import FIGARO, Json, reference
from shared.fhir.detected_issue import conflict, issues
from shared.fhir.site_observation import site_observation
from shared.fhir.stage_observation import stage_observation
from shared.fhir.tnm_observation import categories
from shared.oncology.record import Record
from shared.oncology.stage import Staging

# Takes in a resource as (kind, key within its kind, resource), and gives the reference that others may name it by.
Add = Callable[[str, str, Json], str]


class Derived(NamedTuple):
    """The references of what was added; `stages` by edition, `findings` the categories and sites."""

    stages: dict[str, str]
    categories: list[str]
    sites: list[str]
    issues: list[str]

    @property
    def all(self) -> list[str]:
        return [*self.stages.values(), *self.categories, *self.sites, *self.issues]


def derive(record: Record, staging: Staging, add: Add, *, at: str | None = None, author: str | None = None) -> Derived:
    """Adds everything that is derived; `at` is an instant and `author` a Device, where they are known."""
    found = Derived({}, [], [], [])
    recorded, written = [], []
    for category in categories(record, staging, issued=at):
        if category.resource is None:
            recorded.append(reference(category.source or ""))
        else:
            found.categories.append(add("tnm", category.axis, category.resource))
            written.append(reference(found.categories[-1]))
    for site in staging.metastases:
        key = site.site if site.in_window else f"{site.site}|later"
        found.sites.append(add("site", key, site_observation(record, staging, site, issued=at)))
    for edition in staging.editions:
        # What we derive is of version 9, which mirrors FIGO 2018 only.
        members = [*recorded, *written] if edition == "figo-2018" else recorded
        found.stages[edition] = add("stage", edition, stage_observation(record, staging, edition, members=members, issued=at))
    known: Json = {"identifiedDateTime": at} if at else {}
    known |= {"author": {"reference": author}} if author else {}
    for number, issue in enumerate(issues(staging)):
        found.issues.append(add("issue", f"conflict|{number}", conflict(issue, staging, found.stages) | known))
    return found


def collection(record: Record, staging: Staging) -> Json:
    """Everything derived, as a Bundle. Without a clock: the same record and the same knowledge give the same Bundle."""
    entries: list[Json] = []
    rests_on = f"{FIGARO}/derived/{record.digest()}/{staging.knowledge.digest}"

    def add(kind: str, key: str, resource: Json) -> str:
        url = f"urn:uuid:{uuid5(NAMESPACE_URL, f'{rests_on}/{kind}/{key}')}"
        entries.append({"fullUrl": url, "resource": resource})
        return url

    derive(record, staging, add)
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}
