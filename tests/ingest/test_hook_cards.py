"""What stands behind a card: text that is only text, orders as drugs and doses, and which candidates are asked about them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from services.ingest.hooks.cards import late
from services.ingest.hooks.orders import Drugs, Order, judged, orders, together
from services.ingest.hooks.prefetch import QUERIES, gathered
from services.ingest.hooks.wording import escaped, summary
from shared.fhir.outcome import Refused
from shared.oncology.recommendation import Candidate, Caution, DoseAmount, Reason
from shared.oncology.record import Concept

BASE, ME = "https://fhir.example/r4", "Patient/1"
Json = dict[str, Any]


@pytest.mark.parametrize(
    "hostile", ["<b>", "[a](b)", "![a](b)", "**a**", "`a`", "# a", "1. a", "- a", "http://x", "www.x.y", "a | b", "&lt;", "~a~"]
)
def test_ch_34_what_could_be_markup_is_a_character_reference(hostile: str) -> None:
    said = escaped(hostile)
    assert said != hostile
    assert not set("<>[]*`|~") & set(said)


@pytest.mark.parametrize("text", ["CrCl 23.4 mL/min, Cockcroft-Gault, 2026-07-28.", "Observation/o1 (50 mg/m2); 3-weekly"])
def test_what_is_no_markup_stays_readable(text: str) -> None:
    assert escaped(text) == text


@pytest.mark.parametrize("character", ["a", "é", "病", "👩"])
def test_ch_30_a_summary_has_fewer_than_140_code_points(character: str) -> None:
    assert len(summary((character * 9 + " ") * 40)) < 140
    assert len(summary(character * 139)) == 139
    assert "\n" not in summary("a\nb\u202ec")
    assert "<" not in summary("<script>")


def test_ch_30_what_was_not_delivered_is_never_cut_from_a_summary() -> None:
    said = summary("metastatic sites: " + "lung, " * 40, end="; record not fully delivered")
    assert len(said) < 140
    assert said.endswith("…; record not fully delivered")


def test_ch_05_an_order_that_was_not_checked_says_so_with_a_page_to_open_or_without() -> None:
    assert [one.card.links for one in late("order-sign", None)] == [()]
    assert list(late("patient-view", None)) == []
    assert [one.card.links[0].url for one in late("patient-view", "https://figaro.example/launch")] == ["https://figaro.example/launch"]


def drafts(*resources: Json) -> msgspec.Raw:
    return msgspec.Raw(json.dumps({"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]}).encode())


def request(quantity: Json | None = None, **more: Any) -> Json:
    dosage = {"dosageInstruction": [{"doseAndRate": [{"doseQuantity": quantity}]}]} if quantity else {}
    me = {"subject": {"reference": ME}, "medicationCodeableConcept": {"text": "cisplatin"}}
    return {"resourceType": "MedicationRequest", "id": "r", "status": "draft", **me, **dosage, **more}


UCUM = {"system": "http://unitsofmeasure.org"}


@pytest.mark.parametrize(
    ("quantity", "milligrams"),
    [
        ({"value": 85, "unit": "mg"}, 85),
        ({"value": 0.085, "unit": "grams", "code": "g", **UCUM}, 85),
        ({"value": 500, "unit": "µg", "code": "ug", **UCUM}, 0.5),
        ({"value": 50, "unit": "mg/m2"}, None),
        ({"value": 50, "unit": "mL"}, None),
        ({"unit": "mg"}, None),
        (None, None),
    ],
)
def test_a_dose_is_compared_only_where_it_is_a_mass(quantity: Json | None, milligrams: float | None) -> None:
    (order,) = orders(drafts(request(quantity)), ME, BASE)
    assert order.milligrams == milligrams


@pytest.mark.parametrize("more", [{"status": "cancelled"}, {"status": "entered-in-error"}, {"doNotPerform": True}])
def test_what_is_not_to_be_given_is_no_order(more: Json) -> None:
    assert orders(drafts(request(**more)), ME, BASE) == []


def test_ch_13_an_order_for_somebody_else_is_refused_whatever_it_orders() -> None:
    other = {"resourceType": "ServiceRequest", "subject": {"reference": "Patient/2"}}
    with pytest.raises(Refused, match="another patient"):
        orders(drafts(request(), other), ME, BASE)
    assert orders(drafts(request(subject={"reference": f"{BASE}/Patient/1"})), ME, BASE)


def candidate(name: str, *drugs: str, verdict: Any = "eligible", blocks: tuple[str, ...] = (), fails: tuple[str, ...] = ()) -> Candidate:
    return Candidate(
        regimen=name,
        title=name,
        intent="palliative",
        rank=1,
        verdict=verdict,
        blocks=tuple(Caution(criterion=block, says=block) for block in blocks),
        reasons=tuple(Reason(criterion=fail, verdict="fails", says=fail) for fail in fails),
        doses=tuple(DoseAmount(drug=drug, rule="x", amount=100.0, unit="mg") for drug in drugs),
    )


def asked(*drugs: str) -> Drugs:
    return Drugs(dict.fromkeys(drugs))


def test_an_ordered_set_is_judged_by_the_candidate_that_gives_just_these_drugs() -> None:
    both = candidate("ab", "a", "b", verdict="ruled-out", blocks=("kidney",))
    (found,) = judged(asked("a", "b"), [both, candidate("abc", "a", "b", "c")])
    assert (found.exact, found.ruled_out, [one.criterion for one in found.against]) == (True, True, ["kidney"])


def test_a_part_of_a_regimen_is_blocked_only_where_every_candidate_with_it_is_and_by_what_they_share() -> None:
    one = candidate("ab", "a", "b", verdict="ruled-out", blocks=("kidney", "fistula"))
    two = candidate("ac", "a", "c", verdict="ruled-out", blocks=("kidney",), fails=("cps",))
    (found,) = judged(asked("a"), [one, two])
    assert (found.exact, found.ruled_out, [each.criterion for each in found.against]) == (False, True, ["kidney"])
    (found,) = judged(asked("a"), [one, two, candidate("ad", "a", "d")])
    assert not found.ruled_out


def test_drugs_that_no_candidate_gives_together_are_judged_one_by_one() -> None:
    found = list(judged(asked("a", "z"), [candidate("ab", "a", "b", verdict="cannot-tell")]))
    assert [(one.names, bool(one.giving)) for one in found] == [(("a",), True), (("z",), False)]


def test_the_dose_of_a_product_of_two_drugs_is_that_of_neither() -> None:
    found = together([Order("x", Concept(), 50.0), Order("y", Concept(), 70.0)], [["a", "b"], ["a"]])
    assert found.doses == {"a": 70.0, "b": None}


def test_ch_12_only_null_means_none_and_the_patient_is_never_none() -> None:
    came = gathered({"patient": msgspec.Raw(b"null"), "allergies": msgspec.Raw(b"null"), "procedures": msgspec.Raw(b"5")}, ME, BASE)
    assert "allergies" not in came.missing
    assert {"patient", "procedures", "conditions"} <= set(came.missing)
    assert set(came.missing) == QUERIES.keys() - {"allergies"}


def test_ch_12_a_bundle_with_an_outcome_in_it_is_not_whole() -> None:
    outcome = {"resource": {"resourceType": "OperationOutcome", "issue": []}}
    bundle = {"resourceType": "Bundle", "type": "searchset", "entry": [outcome]}
    assert gathered({"allergies": msgspec.Raw(json.dumps(bundle).encode())}, ME, BASE).partial == ("allergies",)
