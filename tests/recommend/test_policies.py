"""Policies as files: what one that extends another takes over, what a hospital's own may say, and what is refused."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from services.recommend.app import create
from services.recommend.candidates import recommend
from services.recommend.library import check, load_library
from services.recommend.settings import RecommendSettings
from shared.fhir.outcome import KnowledgeError, Refused
from shared.oncology.recommendation import Recommendation
from tests.recommend.case import Case, Expected, Spread, Staged, record, staging

REVIEW = 'review: {state: draft, next: "2027-05-22"}'
FEW = Staged(spread=(Spread(site="lung", of="organ", lesions=2),), few=True)


def own(folder: Path, text: str, name: str = "ours") -> Path:
    """A hospital's own policy that extends the default."""
    (folder / f"{name}.yaml").write_text(f"id: {name}\ntitle: Ours\n{text}\n{REVIEW}\n", encoding="utf-8")
    return folder


def answer(folder: Path, staged: Staged, policy: str = "ours") -> Recommendation:
    case = Case(says="", staged=staged, expect=Expected())
    return recommend(record(case), staging(staged), load_library(own=folder), policy=policy)


def test_a_policy_that_extends_another_says_only_what_differs(tmp_path: Path) -> None:
    """Ten lines are a policy; everything else is as in the one that it extends."""
    found = load_library(own=own(tmp_path, "extends: default\nbsa: du-bois\nstale_after: [{fact: creatinine, days: 14}]")).policies
    ours, default = found["ours"], found["default"]
    assert (ours.bsa, ours.weight, ours.order) == ("du-bois", default.weight, default.order)
    ages, before = ({age.fact: age.days for age in policy.stale_after} for policy in (ours, default))
    assert ages == before | {"creatinine": 14}


def test_a_policy_may_extend_one_that_extends_another(tmp_path: Path) -> None:
    found = load_library(own=own(tmp_path, "extends: cisplatin-60\nweight: actual")).policies["ours"]
    assert (found.bsa, found.weight, found.number("cisplatin-clearance-minimum")) == ("du-bois", "actual", 60)


def test_an_order_of_its_own_changes_the_ranks_and_nothing_else(tmp_path: Path) -> None:
    """The order of one setting is replaced; every regimen of it must have a place."""
    text = """extends: default
preferences:
  - regimen: best-supportive-care
    when: {fact: advanced-disease, is: true}
    says: Here supportive care is spoken of first.
    because: [{work: house-judgement, at: Practice of this hospital}]"""
    ours, default = (answer(own(tmp_path, text), Staged(), policy) for policy in ("ours", "default"))
    assert ours.candidates[0].regimen == "best-supportive-care"
    assert {c.regimen: c.verdict for c in ours.candidates} == {c.regimen: c.verdict for c in default.candidates}


def test_a_region_of_the_policy_is_a_criterion_until_the_caller_names_another(tmp_path: Path) -> None:
    folder = own(tmp_path, "extends: default\nregion: NMPA")
    asked = {r.criterion for c in answer(folder, Staged()).candidates for r in c.reasons if r.criterion.startswith("approved-by")}
    assert asked == {"approved-by-nmpa"}
    case = Case(says="", expect=Expected())
    named = recommend(record(case), staging(Staged()), load_library(own=folder), policy="ours", region="FDA")
    assert {r.criterion for c in named.candidates for r in c.reasons if r.criterion.startswith("approved-by")} == {"approved-by-fda"}


def test_few_metastases_are_counted_as_the_policy_says_or_not_at_all(tmp_path: Path) -> None:
    """Staging counted by another definition: its count is not used, and the answer says what to do."""
    same = 'extends: default\noligometastasis: {id: yin-2019, definition: "one organ, at most three lesions"}'
    other = 'extends: default\noligometastasis: {id: ning-2018, definition: "at most two extra-pelvic or para-aortic sites"}'
    folder = own(own(tmp_path, same), other, "other")

    def local(policy: str) -> tuple[set[str], bool]:
        found = answer(folder, FEW, policy)
        return {c.regimen for c in found.candidates if c.regimen == "oligometastasis-radiotherapy" and c.verdict == "eligible"}, any(
            "Have staging count by ning-2018" in note.text for note in found.notes
        )

    assert local("default")[0] == local("ours")[0]
    assert not local("ours")[1]
    assert local("other") == (set(), True)


def test_whose_policy_it_is_stands_in_the_answer(tmp_path: Path) -> None:
    folder = own(tmp_path, "extends: default")
    assert any(note.text.startswith("Answered under the policy ours: Ours") for note in answer(folder, Staged()).notes)
    assert not any(note.text.startswith("Answered under") for note in answer(folder, Staged(), "default").notes)


def test_a_hospital_s_own_policy_is_part_of_the_digest(tmp_path: Path) -> None:
    first = load_library(own=own(tmp_path, "extends: default")).knowledge
    second = load_library(own=own(tmp_path, "extends: default\nbsa: du-bois")).knowledge
    assert len({load_library().knowledge.digest, first.digest, second.digest}) == 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("extends: nobody", "no policy `nobody` to extend"),
        ("extends: ours", "`ours` extends this policy"),
        ("bsa: du-bois", "olicy that extends none says `weight`"),
        ("extends: default\ncolour: red", "`colour`"),
        ("extends: default\nbsa: haycock", "`haycock`"),
        (
            "extends: default\nparameters: [{id: gfr-cup, value: 1, unit: mL/min, says: x, because: [{work: house-judgement, at: x}]}]",
            "no parameter of default",
        ),
        (
            "extends: default\nparameters: [{id: gfr-cap, value: 2, unit: mL/s, says: x, because: [{work: house-judgement, at: x}]}]",
            "is in mL/min; this says mL/s",
        ),
        (
            "extends: default\nparameters: [{id: gfr-cap, value: 150, unit: mL/min, says: x, because: [{work: nobody-1999, at: x}]}]",
            "no work `nobody-1999`",
        ),
        ("extends: default\nrounding: [{drug: aspirin, to: 5, unit: mg}]", "drug `aspirin` is not in codes.yaml"),
        ("extends: default\norder: [{setting: later-line, tiers: []}]", "leaves out"),
        ("extends: default\nstale_after: [{fact: shoe-size, days: 1}]", "No fact is called `shoe-size`"),
    ],
)
def test_a_faulty_policy_is_refused_by_its_file(tmp_path: Path, text: str, says: str) -> None:
    """As strictly as ours, and with the name of the file."""
    refusals = check(own=own(tmp_path, text))
    assert refusals
    assert {Path(str(refusal.file)).name for refusal in refusals} == {"ours.yaml"}
    assert says in str(refusals[0])


def test_two_policies_of_one_name_are_refused(tmp_path: Path) -> None:
    """A hospital's own never stands silently in the place of ours."""
    with pytest.raises(KnowledgeError, match="already"):
        load_library(own=own(tmp_path, "extends: cisplatin-60", "default"))


def test_a_service_whose_policy_is_not_there_does_not_start(tmp_path: Path) -> None:
    """Nor one whose folder of policies is not there."""
    with pytest.raises(Refused, match="There is no policy mars; there are: cisplatin-60, default"):
        create(RecommendSettings(policy="mars"))
    with pytest.raises(KnowledgeError, match="no folder of policies"):
        create(RecommendSettings(policies=tmp_path / "nowhere"))
    create(RecommendSettings(policies=own(tmp_path, "extends: default"), policy="ours"))


def test_what_the_policy_page_shows_is_a_policy(tmp_path: Path) -> None:
    """The example of docs/policies.md loads, and differs where it says so."""
    from tests.docs.markdown import ROOT, blocks

    (example,) = blocks(ROOT / "docs/policies.md", "yaml")
    (tmp_path / "our-hospital.yaml").write_text(example, encoding="utf-8")
    found = load_library(own=tmp_path).policies["our-hospital"]
    assert msgspec.structs.asdict(found)["region"] == "EMA"
    assert found.number("cisplatin-clearance-minimum") == 60
