"""Allergies to a drug of a regimen, by its name, brand or class: facts of the patient, and the rules that rest on them."""

from __future__ import annotations

from services.recommend.codes import CodeBook, Codes, Disorder, Drug
from services.recommend.disorders import present
from services.recommend.eligibility import Told
from services.recommend.regimen import Contraindication, Level, Place
from services.recommend.treatments import SWAPS, swaps
from shared.oncology.record import Record

FACT = "allergy-to-{}"
BECAUSE = (Place("house-judgement", "Allergy to a drug of the regimen"),)


def drug_allergies(record: Record, book: CodeBook) -> dict[str, Told]:
    """The fact `allergy-to-<drug>` of every drug that an allergy names, also by a brand or by its class."""
    found = {FACT.format(drug.id): present(record, book, _allergy(drug, book)) for drug in book.drugs}
    return {fact: told for fact, told in found.items() if told}


def _allergy(drug: Drug, book: CodeBook) -> Disorder:
    denied = next(d.not_words for d in book.disorders if d.fact == "platinum-hypersensitivity")
    others = tuple(n for d in book.drugs if d is not drug for n in (d.name, *d.names) if drug.name in n)  # of albumin-bound paclitaxel
    classes = tuple(word for name in SWAPS if name in drug.classes for word in (name, f"{name}s"))
    codes: Codes = {"rxnorm": (drug.rxnorm,) if drug.rxnorm else (), "atc": (drug.atc,) if drug.atc else ()}
    codes |= {system: (*codes.get(system, ()), *listed) for system, listed in drug.codes.items()}
    return Disorder(
        fact=FACT.format(drug.id),
        says=f"an allergy to {drug.name}",
        kinds=("allergy",),
        codes=codes,
        words=(drug.name, *drug.names, *classes),
        not_words=(*denied, *others),
    )


def allergy_rules(drugs: tuple[str, ...], known: set[str], book: CodeBook) -> list[Contraindication]:
    """An allergy to a drug of the regimen rules it out; one to another drug of the same class warns."""
    rules = []
    for drug in map(book.drug, drugs):
        for other in book.drugs:
            fact, itself = FACT.format(other.id), other.id == drug.id
            if fact in known and (itself or (swaps(drug, other) and FACT.format(drug.id) not in known)):
                says = f"An allergy to {other.name}{'' if itself else f', of the same class as {drug.name}'}"
                level: Level = "block" if itself else "warn"
                rules.append(Contraindication(id=f"{fact}-{drug.id}", fact=fact, is_=True, level=level, says=says, because=BECAUSE))
    return rules
