"""docs/integration-engine.md followed word for word, at a sekmet-fhir that is told no more than what the page has it told."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shared.fhir.client import FhirClient
from shared.service.embedded import embedded_fhir_server
from tests.docs.following import Page, Terminal, exports
from tests.ingest.patients import bundle, concept, extent, metastatic
from tests.journeys.figaro import until
from tests.journeys.test_kill import free_port

pytestmark = [pytest.mark.server, pytest.mark.slow]
Json = dict[str, Any]
SECRET, NEXT = "for-notices-of-this-test", "the-next-one-of-this-test"
API = "for-cases-of-this-test"
SOON = {"FIGARO_DEBOUNCE_SECONDS": "0.5", "FIGARO_DRAIN_SECONDS": "1", "FIGARO_POLL_SECONDS": "0.05"}  # the page's minute, made short
WATCHED = ("figaro_notices_total", "figaro_subscription_active", "figaro_sweep_age_seconds", "figaro_waiting")


class Ward:
    """The FHIR server at `base`, Figaro at `url`, the page with both, and a terminal beside the one in which Figaro runs."""

    def __init__(self, base: str, folder: Path) -> None:
        port = free_port()
        self.base, self.url = base, f"http://127.0.0.1:{port}"
        self.page = Page(
            "integration-engine.md",
            {
                "https://ehr.example/fhir": base,
                "https://figaro.example/ingest": f"{self.url}/ingest",
                "FIGARO_NOTIFICATION_SECRET=…": f"FIGARO_NOTIFICATION_SECRET={SECRET}",
                "FIGARO_API_SECRET=…": f"FIGARO_API_SECRET={API}",
            },
        )
        self.told = {"FIGARO_PORT": str(port), **SOON}
        self.first, self.other = Terminal(folder, **self.told), Terminal(folder, **self.told)

    async def write(self, *resources: Json) -> None:
        async with FhirClient(self.base) as server:
            await server.transaction(bundle(list(resources)))

    async def plans(self, who: str) -> dict[str, str]:
        """The status of each CarePlan of hers, by id."""
        async with FhirClient(self.base) as server:
            found = [json.loads(bytes(entry.resource or b"")) for entry in await server.search("CarePlan", {"patient": who})]
        return {plan["id"]: plan["status"] for plan in found}

    async def another_draft(self, who: str, than: str = "") -> str:
        """The draft that takes the place of the one before."""
        drafts: list[str] = []

        async def there() -> bool:
            nonlocal drafts
            drafts = [id for id, status in (await self.plans(who)).items() if status == "draft"]
            return len(drafts) == 1 and drafts != [than]

        await until(there, seconds=30)
        return drafts[0]

    async def ask(self, place: str, secret: str = API) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {secret}"}
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/ingest{place}", headers=headers) as answer:
            return answer.status, await answer.text()


@pytest.fixture
def ward(tmp_path: Path) -> Iterator[Ward]:
    with embedded_fhir_server() as base:
        yield Ward(base, tmp_path)


def table(printed: str) -> list[list[str]]:
    """The rows: channel, criteria, id, status, until, done."""
    return [line.split() for line in printed.splitlines() if re.search(r" \d{4}-\d\d-\d\d +\w+ *$", line)]


def worse(who: str) -> Json:
    """A metastasis in the lung."""
    return extent(f"{who}-n", f"Patient/{who}", "distant-organ", True) | {"bodySite": concept("http://snomed.info/sct", "39607008")}


def local(who: str) -> list[Json]:
    """A patient whose cancer has not spread to an organ."""
    return [one for one in metastatic(who) if one["id"] != f"{who}-m"]


async def test_the_page_followed_word_for_word_leads_from_a_change_on_the_server_to_a_careplan(ward: Ward) -> None:
    """Servers with Subscriptions: those there already, subscribe, again, a new patient, a changed finding, `--remove`."""
    page, other = ward.page, ward.other
    page.says("To try all this on one machine, `FIGARO_PUBLIC_URL` may be `http://127.0.0.1:8000/ingest`.")
    page.says("A FHIR R4 server that `figaro check` calls usable")
    other.run(f".venv/bin/figaro check {ward.base}")
    [serve] = page.blocks("What you need")
    await ward.write(*local("before"))
    with ward.first.stays(serve, ward.url) as log:
        other.run(exports(serve))
        page.says("For those who have a cervical cancer already: `figaro run`")
        assert "before" in other.run(f".venv/bin/figaro run {ward.base}").stdout
        before = await ward.another_draft("before")

        [subscribe] = page.blocks("A server with Subscriptions")
        rows = table(other.run(subscribe).stdout)
        page.says("waits until the server says `active`, and prints a table")
        assert {(row[-3], row[-1]) for row in rows} == {("active", "created")}
        page.says("They end after 90 days.")
        assert {row[-2] for row in rows} <= {(datetime.now(UTC) + timedelta(days=days)).date().isoformat() for days in (89, 90)}
        types = re.search(r"each type that a record is read from \((.+?)\)", page.words)
        assert types
        page.says("Where the server lists a topic that fires at every create and update of a type, it is used for that type")
        told = {row[1].partition("?")[0] for row in rows if not row[0].startswith("topic-")}
        topics = [row for row in rows if row[0].startswith("topic-")]
        assert set(types[1].split(", ")) - told == {"Patient"}
        assert (len(topics), "/SubscriptionTopic/p" in topics[0][1]) == (1, True)
        page.says("what is as it should be is kept")
        assert {row[-1] for row in table(other.run(subscribe).stdout)} == {"kept"}

        page.says("a finding changes on the FHIR server, and a minute or so later the CarePlan there is replaced")
        await ward.write(worse("before"))
        await ward.another_draft("before", before)
        assert (await ward.plans("before"))[before] == "revoked"
        page.says("A patient nobody has seen before gets a case only if staging finds an invasive cervical cancer in her Conditions")
        await ward.write(*(one for one in local("without") if one["resourceType"] != "Condition"))
        await ward.write(*local("new"))
        await ward.another_draft("new")

        page.says("`--remove` deletes all of ours.")
        assert {row[-1] for row in table(other.run(f"{subscribe.strip()} --remove").stdout)} == {"removed"}
        async with FhirClient(ward.base) as server:
            assert not await server.search("Subscription")
        status, cases = await ward.ask("/cases")
        assert (status, {case["patient"] for case in json.loads(cases)["cases"]}) == (200, {"Patient/before", "Patient/new"})
        assert (await ward.ask("/cases", "another"))[0] == 401
        assert SECRET not in log.read_text()


async def test_the_page_followed_word_for_word_has_an_engine_push(ward: Ward) -> None:
    """By hand: `Stored.`, each header of the table, each refusal; a CarePlan follows; then the secret is replaced, and it is watched."""
    page, other = ward.page, ward.other
    [serve] = page.blocks("What you need")
    prints, by_hand = page.blocks("An engine that pushes")
    await ward.write(*local("pushed"))
    other.run(exports(serve))
    with ward.first.stays(serve, ward.url):
        address = other.run(prints).stdout.strip()
        assert address.startswith(f"{ward.url}/ingest/notifications/")
        by_hand = by_hand.replace("Condition/17", "Condition/pushed-c")
        page.says("It is answered with `Stored.`; without the second header, with 415.")
        assert '"Stored."' in other.run(by_hand).stdout
        await ward.another_draft("pushed")
        other_kind = by_hand.replace(" -H 'Content-Type: application/fhir+json'", " -w '%{http_code}'")
        assert other_kind != by_hand
        assert other.run(other_kind).stdout.endswith("415")

        bearer = '-H "Authorization: Bearer $FIGARO_NOTIFICATION_SECRET"'
        assert bearer in by_hand
        page.says("| Mirth, NextGen Connect: HTTP Sender with Basic | any user, the secret as password |")
        assert '"Stored."' in other.run(by_hand.replace(bearer, '-u "mirth:$FIGARO_NOTIFICATION_SECRET"')).stdout
        page.says("| Redox | `verification-token: …` |")
        assert '"Stored."' in other.run(by_hand.replace(bearer, '-H "verification-token: $FIGARO_NOTIFICATION_SECRET"')).stdout
        page.says("| 401 | address or secret is wrong")
        page.says("| 413, 415, 422 | too large, not JSON, not readable")
        for changed, status in (
            (by_hand.replace("$FIGARO_NOTIFICATION_SECRET", "another"), "401"),
            (by_hand.replace('"$address"', '"${address}x"'), "401"),
            (by_hand.replace("@condition.json", "'not JSON'"), "422"),
            (f"head -c 5000001 /dev/zero > large\n{by_hand}".replace("@condition.json", "@large"), "413"),
        ):
            assert other.run(f"{changed.strip()} -w '%{{http_code}}'").stdout.endswith(status)


async def test_the_page_followed_word_for_word_replaces_the_secret_and_watches(ward: Ward) -> None:
    """Nothing is missed meanwhile: the old address takes notices until the old secret is taken out."""
    page, other = ward.page, ward.other
    [serve] = page.blocks("What you need")
    [subscribe] = page.blocks("A server with Subscriptions")
    prints, by_hand = page.blocks("An engine that pushes")
    assert not page.left
    await ward.write(*local("told"))
    other.run(exports(serve))
    with ward.first.stays(serve, ward.url):
        other.run(subscribe)
        old = other.run(prints).stdout.strip()

    page.says("Set the new one as `FIGARO_NOTIFICATION_SECRET` and the old one as `FIGARO_NOTIFICATION_SECRET_BEFORE`, restart")
    both = f"export FIGARO_NOTIFICATION_SECRET_BEFORE={SECRET}\nexport FIGARO_SWEEP_SECONDS=2\n" + serve.replace(SECRET, NEXT)
    push = by_hand.replace("Condition/17", "Condition/told-c")
    other.run(exports(both))
    with ward.first.stays(both, ward.url):
        as_before = push.replace("$FIGARO_NOTIFICATION_SECRET", SECRET).replace('"$address"', old)
        assert '"Stored."' in other.run(as_before).stdout
        page.says("run `figaro subscribe`, give pushing engines their new address, then take the old one out")
        assert {(row[-3], row[-1]) for row in table(other.run(subscribe).stdout)} == {("active", "renewed")}
        assert other.run(prints).stdout.strip() != old
        assert '"Stored."' in other.run(push).stdout

        page.says("asked with `Authorization: Bearer` and `FIGARO_API_SECRET`, shows when each server was last swept, and")

        async def watched() -> bool:
            shown = json.loads((await ward.ask("/health/ready"))[1])
            kept = [one for one in shown["subscriptions"] if one["channel"] != "push"]
            return bool(shown["sweeps"]["default"]["swept"]) and {one["status"] for one in kept} == {"active"} and len(kept) == 10

        await until(watched)
        status, metrics = await ward.ask("/metrics")
        assert status == 200
        for metric in WATCHED:
            page.says(f"| `{metric}{{")
            assert f"\n{metric}{{" in metrics
    alone = serve.replace(SECRET, NEXT)
    other.run("unset FIGARO_NOTIFICATION_SECRET_BEFORE")
    with ward.first.stays(alone, ward.url):
        assert other.run(f"{as_before.strip()} -w '%{{http_code}}'").stdout.endswith("401")
        assert '"Stored."' in other.run(push).stdout
