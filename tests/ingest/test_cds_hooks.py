"""CDS Hooks 2.0 over HTTP, with real tokens and a real JWKS: discovery, requests, prefetch, cards, feedback, CORS."""

from __future__ import annotations

import io
import json
import re
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from services.ingest.doors.cds_hooks import LIMIT
from services.ingest.hooks.prefetch import MOST, QUERIES, Gathered, gathered
from services.together import free_port
from shared.service.log import configure
from tests.ingest.hooking import LENT, ORIGIN, PEOPLE, SECRET, Ehr, Json, draft, ehr

pytestmark = pytest.mark.asyncio(loop_scope="module")
VIEW, SELECT, SIGN = (f"/cds-services/figaro-{name}" for name in ("patient-view", "order-select", "order-sign"))
FEEDBACK = f"{VIEW}/feedback"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def peer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ehr]:
    async with ehr(tmp_path_factory.mktemp("hooks")) as running:
        for patient in ("syn-126", "syn-125"):
            running.fhir.load(PEOPLE[patient])
        yield running


def one(cards: list[Json], part: str) -> Json:
    """The one card whose summary has this part."""
    found = [card for card in cards if part in card["summary"]]
    assert len(found) == 1, [card["summary"] for card in cards]
    return found[0]


def absent(value: Any) -> list[Any]:
    """Every empty value in a JSON tree, but for `cards`."""
    if isinstance(value, dict):
        return [inner for key, below in value.items() if key != "cards" for inner in ([below] if _empty(below) else absent(below))]
    return [inner for below in value for inner in absent(below)] if isinstance(value, list) else []


def _empty(value: Any) -> bool:
    return value is None or value in ("", [], {})


async def test_ch_01_discovery_lists_three_services_with_their_templates(peer: Ehr) -> None:
    """CH-01, CH-02, CH-10, CH-11: tokens and parameters of the safe subset only, and nothing empty."""
    status, said, headers = await peer.call("/cds-services")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert {one["id"]: one["hook"] for one in said["services"]} == {
        "figaro-patient-view": "patient-view",
        "figaro-order-select": "order-select",
        "figaro-order-sign": "order-sign",
    }
    assert absent(said) == []
    for service in said["services"]:
        assert service["description"]
        for template in service["prefetch"].values():
            assert set(re.findall(r"{{(.*?)}}", template)) == {"context.patientId"}
            assert "_include" not in template
            assert not re.search(r"[?&][^=]*:", template), "no modifier"


async def test_ch_30_a_card_has_what_it_must_have_and_nothing_empty(peer: Ehr) -> None:
    """CH-30, CH-31, CH-32, CH-33, CH-35: source, knowledge, day of the data, one SMART link whose context tells nothing; never critical."""
    cards = await peer.cards(peer.hook("syn-126"))
    stage = one(cards, "FIGO 2018 IVB")
    assert stage["indicator"] == "info"
    assert "figo-cervix-2018" in stage["detail"]
    candidates = one(cards, "candidates to discuss")
    assert "doi " in candidates["detail"]
    for card in cards:
        assert len(card["summary"]) < 140
        assert card["indicator"] in ("info", "warning")
        assert card["source"]["label"].startswith("Figaro, knowledge 20")
        assert "Read of the record up to 20" in card["detail"]
        assert "Figaro proposes; a clinician decides" in card["detail"]
        (link,) = card["links"]
        assert (link["type"], link["url"]) == ("smart", "https://figaro.example/ingest/launch")
        assert "syn-" not in link["appContext"]
        assert not {"suggestions", "selectionBehavior", "systemActions"} & card.keys()
        assert absent(card) == []


async def test_ch_04_a_patient_without_cancer_of_the_cervix_has_no_card(peer: Ehr) -> None:
    """CH-02, CH-33: `cards` is there, and empty, and nothing else is. Nothing is said of everybody else's patients."""
    status, said, _ = await peer.call(VIEW, peer.hook("syn-122"))
    assert (status, said) == (200, {"cards": []})


async def test_a_conflict_is_a_warning_that_can_be_overridden_with_a_reason(peer: Ehr) -> None:
    card = one(await peer.cards(peer.hook("syn-125")), "contradicts itself")
    assert card["indicator"] == "warning"
    assert {reason["code"] for reason in card["overrideReasons"]} >= {"considered", "fact-outdated"}
    assert all(reason["display"] and reason["system"] for reason in card["overrideReasons"])


async def test_ch_35_an_undetermined_stage_is_an_info_card_that_says_what_is_missing(peer: Ehr) -> None:
    call = peer.hook("syn-126")
    for key in QUERIES.keys() - {"patient", "conditions"}:
        call["prefetch"][key] = None
    conditions = [entry for entry in call["prefetch"]["conditions"]["entry"] if "C53" in json.dumps(entry)][:1]
    resource = {k: v for k, v in conditions[0]["resource"].items() if k != "stage"}
    call["prefetch"]["conditions"]["entry"] = [{"resource": resource}]
    (card,) = await peer.cards(call)
    assert (card["indicator"], card["summary"][:23]) == ("info", "FIGO stage cannot be to")
    assert "- " in card["detail"]


@pytest.mark.parametrize(
    ("drugs", "says"),
    [
        (["cisplatin"], "clearance"),
        (["cisplatin", "paclitaxel"], "clearance"),
    ],
)
async def test_an_ordered_drug_that_is_blocked_is_a_warning(peer: Ehr, drugs: list[str], says: str) -> None:
    """CH-04: order-sign, by renal function; alone, and as the regimen that it makes with another."""
    cards = await peer.cards(peer.order("syn-126", *(draft("syn-126", drug) for drug in drugs)), "figaro-order-sign")
    card = one(cards, "ruled out")
    assert card["indicator"] == "warning"
    assert says in card["detail"]
    assert "Observation/" in card["detail"].replace("&#47;", "/")
    assert card["overrideReasons"]


async def test_an_order_by_rxnorm_code_and_by_a_medication_beside_it_is_understood(peer: Ehr) -> None:
    """CH-04: order-select, with RxNorm, ATC, a contained Medication and one in the Bundle; and what was not selected says nothing."""
    rxnorm = {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "2555"}]}
    atc = {"coding": [{"system": "http://www.whocc.no/atc", "code": "L01XA01"}]}
    inner = {"resourceType": "Medication", "id": "m", "code": rxnorm}
    contained = draft("syn-126", "x", contained=[inner], medicationReference={"reference": "#m"})
    for order in (
        draft("syn-126", "x", medicationCodeableConcept=rxnorm),
        draft("syn-126", "x", medicationCodeableConcept=atc),
        contained,
    ):
        call = peer.order("syn-126", order, hook="order-select")
        assert one(await peer.cards(call, "figaro-order-select"), "cisplatin: ruled out")
    call = peer.order("syn-126", draft("syn-126", "x", medicationReference={"reference": "Medication/m"}), hook="order-select")
    call["context"]["draftOrders"]["entry"].append({"resource": inner})
    assert one(await peer.cards(call, "figaro-order-select"), "cisplatin: ruled out")
    call["context"]["selections"] = ["MedicationRequest/other"]
    assert await peer.cards(call, "figaro-order-select") == []


async def test_a_marker_that_fails_blocks_the_ordered_regimen(peer: Ehr) -> None:
    """A PD-L1 CPS below 1 stands against pembrolizumab in the first line; without pembrolizumab it does not."""
    drugs = ["pembrolizumab", "cisplatin", "paclitaxel"]
    cards = await peer.cards(peer.order("syn-128", *(draft("syn-128", drug) for drug in drugs)), "figaro-order-sign")
    assert "PD-L1" in one(cards, "ruled out")["detail"]
    assert not [
        c for c in await peer.cards(peer.order("syn-128", draft("syn-128", "paclitaxel")), "figaro-order-sign") if "ruled" in str(c)
    ]


@pytest.mark.parametrize(("milligrams", "warned"), [(102, False), (103, True), (150, True), (20, False)])
async def test_a_dose_over_the_reference_by_more_than_a_tenth_is_told(peer: Ehr, milligrams: float, warned: bool) -> None:
    """Stated as a reference and not as an order; the reference for cisplatin here is 93 mg."""
    cards = await peer.cards(peer.order("syn-127", draft("syn-127", "cisplatin", milligrams)), "figaro-order-sign")
    found = [card for card in cards if "over the reference of 93 mg" in card["summary"]]
    assert bool(found) == warned
    if found:
        assert "reference dose, not an order" in found[0]["detail"]
        assert found[0]["indicator"] == "warning"


async def test_a_drug_that_is_none_of_ours_has_no_card_and_one_outside_the_setting_is_named(peer: Ehr) -> None:
    assert await peer.cards(peer.order("syn-127", draft("syn-127", "ramipril")), "figaro-order-sign") == []
    cards = await peer.cards(peer.order("syn-127", draft("syn-127", "larotrectinib")), "figaro-order-sign")
    assert one(cards, "no candidate of this setting gives larotrectinib")["indicator"] == "info"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"hook": "order-sign"}, 400),
        ({"hookInstance": "no uuid"}, 400),
        ({"context": {"userId": "Practitioner/1"}}, 400),
        ({"context": {"userId": "Device/1", "patientId": "syn-126"}}, 400),
        ({"context": {"userId": "Practitioner/1", "patientId": "Patient/syn-126"}}, 400),
        ({"context": {"userId": "Practitioner/1", "patientId": "../syn-126"}}, 400),
        ({"fhirServer": "https://evil.example/fhir"}, 403),
        ({"prefetch": []}, 400),
    ],
)
async def test_ch_03_a_call_that_is_none_is_refused(peer: Ehr, change: Json, status: int) -> None:
    """CH-03, CH-04, CH-21: with an OperationOutcome that repeats nothing of the body."""
    code, said, _ = await peer.call(VIEW, peer.hook("syn-126") | change)
    assert (code, said["resourceType"]) == (status, "OperationOutcome")
    assert not {"evil", "syn-126", "no uuid"} & set(re.split(r"[^a-z0-9 -]", json.dumps(said)))


async def test_ch_03_an_unknown_service_is_not_found_and_unknown_members_are_passed_over(peer: Ehr) -> None:
    assert (await peer.call("/cds-services/other", peer.hook("syn-126")))[0] == 404
    assert (await peer.call("/cds-services/other/feedback", {"feedback": []}))[0] == 404
    assert (await peer.call(VIEW, peer.hook("syn-122", extension={"x": 1}, more=[None])))[0] == 200
    assert (await peer.call(VIEW, b"[" * 100_000))[0] == 400
    assert (await peer.call(VIEW, b""))[0] == 400


async def test_ch_04_order_hooks_need_their_orders_and_a_practitioner(peer: Ehr) -> None:
    call = peer.order("syn-126", draft("syn-126", "cisplatin"))
    for context in ({"userId": "Patient/syn-126"}, {"draftOrders": None}, {"draftOrders": {"resourceType": "Patient"}}):
        assert (await peer.call(SIGN, call | {"context": call["context"] | context}))[0] == 400, context
    select = call | {"hook": "order-select"}
    assert (await peer.call(SELECT, select))[0] == 400, "selections are missing"


@pytest.mark.parametrize("value", [None, "null", "outcome", "cut"])
async def test_ch_12_what_was_not_delivered_is_named_and_never_taken_for_none(peer: Ehr, value: str | None) -> None:
    """A missing key, a null, an OperationOutcome, the first page of several. Only null means that she has none."""
    call = peer.hook("syn-126")
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "timeout"}]}
    if value is None:
        del call["prefetch"]["allergies"]
    elif value == "cut":
        next_ = [{"relation": "next", "url": "https://evil.example/next"}]
        call["prefetch"]["allergies"] = {"resourceType": "Bundle", "type": "searchset", "link": next_, "entry": []}
    else:
        call["prefetch"]["allergies"] = None if value == "null" else outcome
    cards = await peer.cards(call)
    named = {None: "not looked at: allergies", "outcome": "not looked at: allergies", "cut": "only in part: allergies", "null": "<nothing>"}
    assert all((named[value] in card["detail"]) == (value != "null") for card in cards)


@pytest.mark.parametrize("key", ["patient", "conditions"])
async def test_ch_06_without_the_essentials_it_is_412(peer: Ehr, key: str) -> None:
    call = peer.hook("syn-126")
    del call["prefetch"][key]
    status, said, _ = await peer.call(VIEW, call)
    assert (status, said["resourceType"]) == (412, "OperationOutcome")
    del call["prefetch"]
    assert (await peer.call(VIEW, call))[0] == 412


async def test_ch_13_another_patients_resources_are_refused(peer: Ehr) -> None:
    """A Patient, a Condition, a draft order of another; and a token that was lent for another."""
    other = PEOPLE["syn-125"]["entry"][0]["resource"]
    call = peer.hook("syn-126")
    call["prefetch"]["patient"] = other
    assert (await peer.call(VIEW, call))[0] == 400
    call = peer.hook("syn-126")
    call["prefetch"]["conditions"] = peer.hook("syn-125")["prefetch"]["conditions"]
    status, said, _ = await peer.call(VIEW, call)
    assert status == 400
    assert "syn-1" not in json.dumps(said)
    assert (await peer.call(SIGN, peer.order("syn-126", draft("syn-125", "cisplatin"))))[0] == 400
    assert (await peer.call(VIEW, peer.hook("syn-126", **peer.lent("syn-125"))))[0] == 400


async def test_ch_13_a_resource_that_names_nobody_is_not_used(peer: Ehr) -> None:
    call = peer.hook("syn-126")
    for entry in call["prefetch"]["conditions"]["entry"]:
        entry["resource"] = {key: value for key, value in entry["resource"].items() if key != "subject"}
    assert await peer.cards(call) == []


@pytest.mark.parametrize("kind", ["AllergyIntolerance", "Observation", "BodyStructure", "Condition", "Medication", "Procedure"])
async def test_ch_13_a_resource_of_two_patients_is_refused_whatever_it_is(peer: Ehr, kind: str) -> None:
    for subject, patient in (("syn-126", "syn-125"), ("syn-125", "syn-126")):
        call, of_both = peer.hook("syn-126"), {"resourceType": kind, "id": "x"}
        of_both |= {"subject": {"reference": f"Patient/{subject}"}, "patient": {"reference": f"Patient/{patient}"}}  # type: ignore[dict-item]
        call["prefetch"]["procedures"] = {"resourceType": "Bundle", "entry": [{"resource": of_both}]}
        assert (await peer.call(VIEW, call))[0] == 400


@pytest.mark.parametrize("more", [{}, {"subject": {"reference": "Patient/syn-126"}}])
async def test_ch_13_a_bundle_in_a_bundle_is_not_looked_into(peer: Ehr, more: Json) -> None:
    """Neither another patient's conditions nor her own are taken out of it."""
    call = peer.hook("syn-126")
    whole = [card["summary"] for card in await peer.cards(call)]
    for inner in (peer.hook("syn-125"), call):
        conditions = {**inner["prefetch"]["conditions"], **more}
        call["prefetch"]["procedures"] = {"resourceType": "Bundle", "entry": [{"resource": conditions}]}
        assert [card["summary"] for card in await peer.cards(call)] == whole
    call["prefetch"]["conditions"] = {"resourceType": "Bundle", "entry": [{"resource": {**call["prefetch"]["conditions"], **more}}]}
    assert await peer.cards(call) == []


async def test_ch_20_what_is_missing_is_fetched_once_with_the_token_that_was_lent(peer: Ehr) -> None:
    """CH-20, CH-06, CH-12: from the issuer's own base; the answer is that of a whole prefetch, and the cut page is read to its end."""
    whole = [card["summary"] for card in await peer.cards(peer.hook("syn-126"))]
    call = peer.hook("syn-126", **peer.lent("syn-126"))
    for key in call["prefetch"].keys() - {"patient", "bodyStructures"}:
        del call["prefetch"][key]
    peer.fhir.asked.clear()
    cards = await peer.cards(call)
    assert [card["summary"] for card in cards] == whole
    assert len(peer.fhir.asked) == len(QUERIES) - 2
    assert {method for method, _ in peer.fhir.asked} == {"GET"}, "nothing is written"


async def test_ch_20_a_token_that_does_not_reach_is_412_or_said(peer: Ehr) -> None:
    lent = peer.lent("syn-126", access_token="another")
    call = peer.hook("syn-126", **lent)
    del call["prefetch"]["conditions"]
    assert (await peer.call(VIEW, call))[0] == 412
    call = peer.hook("syn-126", **lent)
    del call["prefetch"]["allergies"]
    assert all("not looked at: allergies" in card["detail"] for card in await peer.cards(call))
    for wrong in ({"token_type": "mac"}, {"expires_in": 0}, {"access_token": ""}):
        assert (await peer.call(VIEW, peer.hook("syn-126", **peer.lent("syn-126", **wrong))))[0] == 400
    nowhere = {"fhirAuthorization": peer.lent("syn-126")["fhirAuthorization"]}
    assert (await peer.call(VIEW, peer.hook("syn-126", **nowhere)))[0] == 400


async def test_ch_06_a_fhir_server_that_is_away_is_named_where_it_was_to_give_the_essentials(tmp_path: Path) -> None:
    """The EHR's people look there first; without a word of it they would look at the prefetch."""
    async with ehr(tmp_path, base=f"http://127.0.0.1:{free_port('127.0.0.1')}/fhir") as peer:
        call = peer.hook("syn-126", **peer.lent("syn-126"))
        del call["prefetch"]["conditions"]
        status, said, _ = await peer.call(VIEW, call)
    assert status == 412
    text = said["issue"][0]["details"]["text"]
    assert peer.fhir.base_url in text
    assert "refuses connections" in text


async def test_ch_21_the_lent_token_goes_nowhere_but_to_the_issuers_base(peer: Ehr) -> None:
    lent = peer.lent("syn-126") | {"fhirServer": peer.jwks_url.replace("/jwks.json", "/fhir")}
    call = peer.hook("syn-126", **lent)
    del call["prefetch"]["allergies"]
    assert (await peer.call(VIEW, call))[0] == 403


async def test_ch_34_hostile_text_is_shown_and_does_nothing(peer: Ehr) -> None:
    """CH-34: names, displays, texts and ids of the record and of the order; no tag, link, picture or heading comes of them."""
    hostile = "<img src=x onerror=alert(1)> [click](https://evil.example) ![p](http://x) **bold** `code`\n# heading\u202e www.evil.example"
    call = peer.hook("syn-126")
    text = json.dumps(call["prefetch"])
    call["prefetch"] = json.loads(re.sub(r'("(?:display|text)": )"[^"]*"', lambda found: found[1] + json.dumps(hostile), text))
    call["prefetch"]["patient"]["name"] = [{"family": hostile, "text": hostile}]
    order = draft("syn-126", "x", medicationCodeableConcept={"text": f"cisplatin {hostile}"})
    for cards in (
        await peer.cards(call),
        await peer.cards(peer.order("syn-126", order) | {"prefetch": call["prefetch"]}, "figaro-order-sign"),
    ):
        assert cards
        for card in cards:
            said = card["summary"] + card["detail"]
            assert not re.search(r"<|](?=\()|!\[|https?://|\n#|`|\u202e|www\.", said), said


async def test_a_huge_prefetch_is_too_much(peer: Ehr) -> None:
    """413, also where the size was not told beforehand."""
    call = peer.hook("syn-126", padding="x" * LIMIT)
    status, said, _ = await peer.call(VIEW, call)
    assert (status, said["issue"][0]["code"]) == (413, "too-long")
    assert (await peer.call(VIEW, peer.hook("syn-122", padding="x" * (LIMIT // 2))))[0] == 200


@pytest.mark.parametrize("where", ["one key", "two keys", "orders"])
async def test_more_resources_than_one_patient_has_are_too_many(peer: Ehr, where: str) -> None:
    """413 that says what to do, and soon."""
    many = [
        {"resource": {"resourceType": "Procedure", "id": f"x{n}", "subject": {"reference": "Patient/syn-126"}}} for n in range(MOST + 1)
    ]
    call = peer.order("syn-126", *[one["resource"] for one in many if where == "orders"], draft("syn-126", "cisplatin"))
    if where != "orders":
        halves = [many, []] if where == "one key" else [many[: MOST // 2], many[MOST // 2 :]]
        for key, half in zip(("procedures", "allergies"), halves, strict=True):
            call["prefetch"][key] = {"resourceType": "Bundle", "entry": half}
    begun = time.monotonic()
    status, said, _ = await peer.call(SIGN, call)
    assert (status, said["issue"][0]["code"]) == (413, "too-long")
    assert time.monotonic() - begun < 5


def told(card: str, **more: Any) -> Json:
    return {"card": card, "outcome": "overridden", "outcomeTimestamp": "2026-11-22T10:00:00Z", **more}


async def shown(peer: Ehr) -> Json:
    status, said, _ = await peer.call(FEEDBACK, method="GET", token=SECRET)
    assert status == 200
    answer: Json = said
    return answer


async def test_ch_40_feedback_is_kept_once_and_shown_to_who_has_the_secret(peer: Ehr) -> None:
    """CH-40: told twice, in batches; with a reason and without; of a card that nobody knows; and what was typed is not kept."""
    card = one(await peer.cards(peer.hook("syn-125")), "contradicts itself")["uuid"]
    reason = {"overrideReason": {"reason": {"code": "considered", "system": "x"}, "userComment": "Anna says so"}}
    item, other = told(card, **reason), told(str(uuid4()))
    for batch in ([item], [item, other], [item, item]):
        assert (await peer.call(FEEDBACK, {"feedback": batch}))[0] == 200
    said = await shown(peer)
    assert {"kind": "conflict", "outcome": "overridden", "reason": "considered", "count": 1} in said["outcomes"]
    assert {"kind": "unknown", "outcome": "overridden", "reason": None, "count": 1} in said["outcomes"]
    assert said["cards"]["conflict"] >= 1
    assert "Anna" not in json.dumps(said)
    assert (await peer.call(FEEDBACK, method="GET", token="another"))[0] == 401
    assert (await peer.call(FEEDBACK, method="GET", token=""))[0] == 401


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"feedback": [{}]},
        {"feedback": [told("c", outcome="ignored")]},
        {"feedback": [told("c", outcome="accepted")]},
        {"feedback": [told("c", outcomeTimestamp="yesterday")]},
        {"feedback": [told("")]},
        {"feedback": [told("c" * 65)]},
    ],
)
async def test_ch_40_feedback_that_is_none_is_refused(peer: Ehr, body: Json) -> None:
    assert (await peer.call(FEEDBACK, body))[0] == 400


async def test_ch_40_accepted_feedback_names_its_suggestions(peer: Ehr) -> None:
    item = told("c1", outcome="accepted", acceptedSuggestions=[{"id": "s1"}])
    assert (await peer.call(FEEDBACK, {"feedback": [item]}))[0] == 200


@pytest.mark.parametrize("path", ["/cds-services", VIEW, FEEDBACK])
async def test_ch_60_a_browser_asks_first_and_needs_no_token_for_that(peer: Ehr, path: str) -> None:
    """CH-60: only registered origins, GET and POST, those two headers, and no credentials."""
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    status, _, headers = await peer.call(path, method="OPTIONS", token="", Origin=ORIGIN, **asks)
    assert status in (200, 204)
    assert headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "Origin" in headers["Vary"]
    assert headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert headers["Access-Control-Max-Age"] == "600"
    assert "Access-Control-Allow-Credentials" not in headers
    for wrong in ({"Origin": "https://evil.example"}, {"Origin": ORIGIN, "Access-Control-Request-Method": "DELETE"}):
        refused = await peer.call(path, method="OPTIONS", token="", **(asks | wrong))
        assert refused[0] == 400
        assert refused[2].get("Access-Control-Allow-Origin") != "https://evil.example"


async def test_ch_60_answers_and_refusals_carry_the_origin_and_other_routes_do_not(peer: Ehr) -> None:
    assert (await peer.call("/cds-services", Origin=ORIGIN))[2]["Access-Control-Allow-Origin"] == ORIGIN
    status, _, headers = await peer.call("/cds-services", token="", Origin=ORIGIN)
    assert (status, headers["Access-Control-Allow-Origin"]) == (401, ORIGIN)
    assert "Access-Control-Allow-Origin" not in (await peer.call("/cds-services", Origin="https://evil.example"))[2]
    assert "Access-Control-Allow-Origin" not in (await peer.call("/cases", token=SECRET, Origin=ORIGIN))[2]


async def test_ch_05_an_answer_that_is_late_is_a_link_and_an_order_says_that_it_was_not_checked(tmp_path: Path) -> None:
    async with ehr(tmp_path, hook_seconds=0.0001, hook_limit_seconds=0.0001) as peer:
        begun = time.monotonic()
        (card,) = await peer.cards(peer.hook("syn-126"))
        assert time.monotonic() - begun < 2
        assert card["links"][0]["type"] == "smart"
        (card,) = await peer.cards(peer.order("syn-126", draft("syn-126", "cisplatin")), "figaro-order-sign")
        assert "has not checked this order" in card["summary"]


async def test_ch_05_a_fhir_server_that_does_not_answer_holds_nobody_up(tmp_path: Path) -> None:
    """The page opens after the hard deadline, with a link; no connection is left open."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        base = f"http://127.0.0.1:{silent.getsockname()[1]}/fhir"
        async with ehr(tmp_path, base=base, hook_limit_seconds=0.5) as peer:
            call = peer.hook("syn-126", **peer.lent("syn-126"))
            del call["prefetch"]["allergies"]
            begun = time.monotonic()
            (card,) = await peer.cards(call)
            assert 0.4 < time.monotonic() - begun < 3
            assert card["summary"] == "Figaro's answer is not ready yet"


async def test_ch_05_a_prefetch_that_takes_too_long_to_read_is_late_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*given: Any) -> Gathered:
        time.sleep(2)
        return gathered(*given)

    monkeypatch.setattr("services.ingest.hooks.answer.gathered", slow)
    async with ehr(tmp_path, hook_seconds=0.2, hook_limit_seconds=0.3) as peer:
        begun = time.monotonic()
        (card,) = await peer.cards(peer.hook("syn-126"))
        assert time.monotonic() - begun < 1.5
        assert card["summary"] == "Figaro's answer is not ready yet"


async def test_lg_01_no_log_holds_anything_of_the_call(peer: Ehr) -> None:
    """No token, no patient, no comment; which service was asked and which kinds of cards came of it are told."""
    stream = io.StringIO()
    configure("DEBUG", stream)
    token = peer.token(VIEW)
    assert (await peer.call(VIEW, peer.hook("syn-126", **peer.lent("syn-126")), token=token))[0] == 200
    item = told(str(uuid4()), overrideReason={"userComment": "Anna says so"})
    assert (await peer.call(FEEDBACK, {"feedback": [item]}))[0] == 200
    said = stream.getvalue()
    assert "hook_answered" in said
    assert not [word for word in ("syn-126", LENT, token, token.rpartition(".")[2], "Anna") if word in said]


async def test_ch_12_treatments_that_were_not_delivered_count_as_unknown_and_never_as_none(peer: Ehr) -> None:
    """Her lung metastasis came after treatment. Who cannot see the treatment does not call it IVB, or a first line eligible."""
    call = peer.hook("syn-139")
    for key in ("procedures", "medicationAdministrations", "medicationRequests", "medicationStatements"):
        del call["prefetch"][key]
    cards = await peer.cards(call)
    assert cards[0]["summary"] == "FIGO 2018 IIB (could be IVB); metastatic sites: lung (equivocal); record not fully delivered"
    assert "**State of the disease:** not known" in cards[0]["detail"]
    said = one(cards, "candidates to discuss")["detail"]
    assert ": eligible" not in said
    assert "Which treatments has she had, and since when?" in said
