"""The answer as a whole: order, dates, regions, doses, evidence, and what it never does."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from services.recommend.candidates import recommend
from services.recommend.library import library
from services.recommend.policy import Policy, Rounding
from shared.fhir.outcome import Refused
from shared.oncology.recommendation import Candidate, Recommendation
from shared.oncology.record import Record, encode
from tests.recommend.case import Case, Expected, Line, Spread, Staged, record, staging

ANY = Expected(verdict="eligible")


def answer(*lines: Line, staged: Staged | None = None, silent: tuple[str, ...] = (), **more: object) -> Recommendation:
    """The recommendation for the fit woman with these lines in her record."""
    region = more.pop("region", None)
    case = Case(says="", record=lines, staged=staged or Staged(), silent=silent, expect=ANY, **more)  # type: ignore[arg-type]
    return recommend(record(case), staging(case.staged), library(), region=region)  # type: ignore[arg-type]


def one(recommendation: Recommendation, regimen: str) -> Candidate:
    """The candidate of that name."""
    return next(candidate for candidate in recommendation.candidates if candidate.regimen == regimen)


def test_the_same_record_gives_the_same_bytes() -> None:
    """Invariant 1."""
    assert encode(answer()) == encode(answer())


def test_the_answer_survives_the_wire() -> None:
    """What is encoded decodes to the same value."""
    given = answer(staged=Staged(figo_2018="IVA", figo_2009="IVA"))
    assert msgspec.json.decode(encode(given), type=Recommendation) == given


def test_ranks_run_from_one_and_the_ruled_out_stand_last() -> None:
    """Ranks are 1 to n; after the first ruled-out candidate every other is ruled out."""
    given = answer(Line(condition="icd10 N82.3"), Line(observation="loinc 89247-1", value=1))
    assert [c.rank for c in given.candidates] == list(range(1, len(given.candidates) + 1))
    out = [c.verdict == "ruled-out" for c in given.candidates]
    assert any(out)
    assert out == sorted(out)


def test_a_block_says_why_with_its_source_and_its_work() -> None:
    """A contraindication that holds names the criterion, the finding and the work."""
    block = one(answer(Line(condition="icd10 N82.3", id="f1")), "cisplatin-paclitaxel-bevacizumab").blocks[0]
    assert (block.criterion, block.sources) == ("fistula", ("Condition/f1",))
    assert "gog-240" in block.evidence


def test_doses_name_every_drug_of_the_candidate_and_no_other() -> None:
    """With and without bevacizumab are two candidates; no dose is left out when it cannot be reckoned."""
    for given in (answer(), answer(silent=("height", "weight", "creatinine"))):
        for candidate in given.candidates:
            drugs = library().regimens[candidate.regimen].drugs
            assert tuple(dict.fromkeys(dose.drug for dose in candidate.doses)) == drugs


def test_an_amount_that_cannot_be_reckoned_is_none_and_missing_says_why() -> None:
    """Without a height there is no body surface, and the flat dose stays."""
    found = one(answer(silent=("height",)), "pembrolizumab-cisplatin-paclitaxel")
    assert {dose.drug: dose.amount for dose in found.doses} == {"pembrolizumab": 200.0, "cisplatin": None, "paclitaxel": None}
    assert {"body-surface", "height"} <= {gap.fact for gap in found.missing}
    assert found.verdict == "eligible"


def test_the_rules_are_written_as_agreed() -> None:
    """mg/m2, mg/kg, AUC and flat."""
    cis = {d.drug: d.rule for d in one(answer(), "pembrolizumab-cisplatin-paclitaxel-bevacizumab").doses}
    carbo = {d.drug: d.rule for d in one(answer(), "carboplatin-paclitaxel").doses}
    assert cis == {"pembrolizumab": "200 mg", "cisplatin": "50 mg/m2", "paclitaxel": "175 mg/m2", "bevacizumab": "15 mg/kg"}
    assert carbo == {"carboplatin": "AUC 5", "paclitaxel": "175 mg/m2"}


def test_the_basis_names_formula_inputs_and_dates() -> None:
    """A reader can reckon the dose again."""
    carbo = one(answer(), "carboplatin-paclitaxel").doses[0]
    assert carbo.basis["gfr_ml_min"] == 82.2
    assert carbo.basis["formula"] == "calvert; clearance: Cockcroft-Gault"
    assert {"creatinine_mg_dl": 0.8, "creatinine_date": "2026-02-11", "weight_kg": 64.0, "age_years": 53.0}.items() <= carbo.basis.items()
    assert carbo.cap == 750.0
    bsa = one(answer(), "cisplatin-paclitaxel").doses[0].basis
    assert {"bsa_m2": 1.697, "formula": "mosteller", "height_date": "2026-02-11"}.items() <= bsa.items()


def test_a_policy_may_choose_formula_floor_weight_and_rounding() -> None:
    """DuBois, a creatinine floor with adjusted weight, and steps of 10 mg change what they should and nothing else."""
    default = library().policies["default"]
    other: Policy = msgspec.structs.replace(
        default,
        id="other",
        bsa="du-bois",
        weight="adjusted-from-bmi-25",
        creatinine_floor=True,
        rounding=(Rounding("cisplatin", 10, "mg"),),
    )
    changed = msgspec.structs.replace(library(), policies={"other": other})
    heavy = (
        Line(observation="loinc 8302-2", value=165, unit="cm"),
        Line(observation="loinc 29463-7", value=92, unit="kg"),
        Line(observation="loinc 2160-0", value=0.5, unit="mg/dL"),
    )
    case = Case(says="", born="1991-06-01", record=heavy, expect=ANY)
    given = recommend(record(case), staging(case.staged), changed, policy="other")
    carboplatin = one(given, "carboplatin-paclitaxel").doses[0]
    assert (carboplatin.amount, carboplatin.basis["gfr_ml_min"]) == (750.0, 126.8)
    assert carboplatin.basis["weight_used"] == "adjusted, body mass index 25 or more"
    cisplatin = one(given, "cisplatin-paclitaxel").doses[0]
    assert (cisplatin.basis["formula"], cisplatin.basis["bsa_m2"]) == ("du-bois", 1.989)
    assert (cisplatin.amount, cisplatin.rounded) == (99.5, 100.0)


def test_the_adjusted_weight_counts_from_a_body_mass_index_of_exactly_25() -> None:
    """160 cm and 64 kg are 25; a gram less is below; without a height the answer says that the actual weight was used."""
    other = msgspec.structs.replace(library().policies["default"], id="other", weight="adjusted-from-bmi-25")
    changed = msgspec.structs.replace(library(), policies={"other": other})
    used = []
    for height, weight in ((160, 64.0), (160, 63.999), (None, 64.0)):
        lines = (Line(observation="loinc 29463-7", value=weight, unit="kg"),)
        lines += (Line(observation="loinc 8302-2", value=height, unit="cm"),) if height else ()
        case = Case(says="", record=lines, silent=() if height else ("height",), expect=ANY)
        carboplatin = one(recommend(record(case), staging(case.staged), changed, policy="other"), "carboplatin-paclitaxel").doses[0]
        used.append(carboplatin.basis["weight_used"])
    assert used == [
        "adjusted, body mass index 25 or more",
        "actual, body mass index below 25",
        "actual, since no height tells the body mass index",
    ]


def test_every_dose_is_marked_as_a_reference() -> None:
    """On the wire too, beside the number; with its rounding where there is one."""
    for candidate in answer().candidates:
        for dose in candidate.doses:
            assert dose.mark == "reference dose, not an order"
            assert (dose.amount is not None) == ("rounding" in dose.basis)


def test_an_unknown_policy_is_refused() -> None:
    """The error names the policies there are."""
    case = Case(says="", expect=ANY)
    with pytest.raises(Refused, match="default"):
        recommend(record(case), staging(case.staged), library(), policy="none")


def test_the_final_survival_of_keynote_826_is_cited() -> None:
    """Hazard ratio, interval, medians, number and population as the work reports them."""
    figure = one(answer(), "pembrolizumab-cisplatin-paclitaxel-bevacizumab").evidence[0]
    assert (figure.id, figure.hazard_ratio, figure.ci, figure.level, figure.months, figure.n) == (
        "keynote-826",
        0.60,
        (0.49, 0.74),
        95,
        (28.6, 16.5),
        548,
    )


def test_a_subgroup_is_never_shown_without_the_other() -> None:
    """BEATcc by PD-L1: below 1 and at least 1, whether her own score is known or not."""
    for given in (answer(), answer(silent=("cps",))):
        shown = one(given, "atezolizumab-cisplatin-paclitaxel-bevacizumab").evidence
        ratios = {figure.population: (figure.hazard_ratio, figure.ci) for figure in shown}
        assert ratios["PD-L1 CPS below 1"] == (0.43, (0.24, 0.77))
        assert ratios["PD-L1 CPS at least 1"] == (0.73, (0.51, 1.06))


def test_a_day_in_the_past_hides_what_came_later() -> None:
    """In January 2022 the option is there, on its first report; the final survival of 2023 and the European approval are not."""
    then = answer(Line(observation="loinc 89247-1", value=1, on="2022-01-10"), as_of="2022-01-15")
    found = one(then, "pembrolizumab-cisplatin-paclitaxel-bevacizumab")
    assert [figure.id for figure in found.evidence] == ["keynote-826-first"]
    assert [status.agency for status in found.regulatory] == ["FDA"]
    assert "keynote-826" not in {work for reason in found.reasons for work in reason.evidence}
    names = {candidate.regimen for candidate in then.candidates}
    assert not any(name.startswith(("atezolizumab", "cadonilimab")) for name in names)


def test_without_a_day_nothing_is_hidden_by_date() -> None:
    """Every regimen of the setting that asks for nothing rare stands there."""
    listed = {candidate.regimen for candidate in answer().candidates}
    own = {
        regimen.id
        for regimen in library().regimens.values()
        if "first-line-metastatic" in regimen.belongs.settings and "initial" in regimen.belongs.disease and not regimen.belongs.when
    }
    assert listed == own


def test_a_region_makes_its_approval_a_criterion() -> None:
    """Under the FDA what its label leaves out is ruled out, what nobody found is open; generic drugs and support are not asked."""
    given = {candidate.regimen: candidate.verdict for candidate in answer(region="FDA").candidates}
    assert given["pembrolizumab-cisplatin-paclitaxel-bevacizumab"] == "eligible"
    assert given["atezolizumab-cisplatin-paclitaxel-bevacizumab"] == "cannot-tell"
    assert given["carboplatin-paclitaxel-bevacizumab"] == "ruled-out"
    assert given["carboplatin-paclitaxel"] == "eligible"
    assert given["best-supportive-care"] == "eligible"


def test_every_agency_is_shown_and_none_is_asked_by_default() -> None:
    """The default policy rules nothing out for want of an approval."""
    found = one(answer(), "atezolizumab-cisplatin-paclitaxel-bevacizumab")
    assert found.verdict == "eligible"
    assert {status.status for status in found.regulatory} == {"not-found"}


def test_stage_iv_without_a_substage_lists_both_and_settles_neither() -> None:
    """Where the record does not tell IVA from IVB, options of both are listed, all undecided but support."""
    given = answer(staged=Staged(figo_2018="IV", figo_2009="IV", could_be=("IVA", "IVB"), could_be_2009=("IVA", "IVB")))
    verdicts = {candidate.regimen: candidate.verdict for candidate in given.candidates}
    assert given.situation.setting == "stage-iv"
    assert verdicts["cisplatin-chemoradiation"] == "cannot-tell"
    assert verdicts["cisplatin-paclitaxel"] == "cannot-tell"


@pytest.mark.parametrize(
    ("stage", "setting"),
    [
        ("IB1", "early"),
        ("IIA1", "early"),
        ("IB3", "locally-advanced"),
        ("IIIC1", "locally-advanced"),
        ("IVA", "locally-advanced-iva"),
        (None, None),
    ],
)
def test_the_setting_follows_the_stage(stage: str | None, setting: str | None) -> None:
    """Early stages and unknown ones list nothing and say so."""
    given = answer(staged=Staged(figo_2018=stage, figo_2009=stage))
    assert given.situation.setting == setting
    assert bool(given.candidates) == (setting not in ("early", None))
    assert setting not in ("early", None) or any("nothing is listed" in note.text for note in given.notes)


def test_an_unknown_region_is_refused() -> None:
    """The error names the agencies there are."""
    case = Case(says="", expect=ANY)
    with pytest.raises(Refused, match="FDA, EMA, NMPA"):
        recommend(record(case), staging(case.staged), library(), region="MHRA")  # type: ignore[arg-type]


def test_the_line_is_told_in_words() -> None:
    """The reason for a first line says which line this is."""
    reason = next(r for r in one(answer(), "cisplatin-paclitaxel").reasons if r.criterion == "first-line")
    assert reason.says.endswith("does not count. None on record, and so this is line 1.")


def test_an_empty_record_settles_nothing_but_support() -> None:
    """Silence makes no one eligible and rules no one out."""
    given = recommend(Record(patient="Patient/synthetic", today="2026-02-11"), staging(Staged(histology=None)), library())
    assert {c.verdict for c in given.candidates if c.intent != "supportive"} == {"cannot-tell"}


def test_radiotherapy_comes_with_its_eqd2_and_bed() -> None:
    """45 to 50.4 Gy at 1.7 to 1.8 Gy, and 23 to 34.5 Gy at 4 to 6 Gy, with an alpha/beta of 10."""
    external, brachytherapy, boost = one(answer(), "definitive-pelvic-radiotherapy").radiotherapy
    assert (external.total_gy, external.eqd2_gy, external.bed_gy) == ((45.0, 50.4), (43.9, 49.6), (52.7, 59.5))
    assert (brachytherapy.total_gy, brachytherapy.eqd2_gy) == ((23.0, 34.5), (26.8, 46.0))
    assert (boost.course, boost.total_gy, boost.reference) == ("nodal-boost", (54.0, 60.0), "yin-2019")


def test_the_schedule_counts_days_from_the_first_cycle() -> None:
    """Induction begins on day 1, chemoradiation on day 43; pembrolizumab after radiotherapy on day 106."""
    given = answer(staged=Staged(figo_2018="IVA", figo_2009="IVA"))
    induction = {a.activity.split()[0]: a.day for a in one(given, "induction-carboplatin-paclitaxel-chemoradiation").schedule}
    assert (induction["carboplatin"], induction["cisplatin"], induction["external-beam"]) == (1, 43, 43)
    assert [a.day for a in one(given, "pembrolizumab-chemoradiation").schedule if "pembrolizumab" in a.activity] == [1, 106]


def test_nodes_alone_need_no_four_cycles_before_radiotherapy() -> None:
    """The protocol judges nodes after two cycles and blood-borne spread after four."""
    cycles = [Line(given=drug, on=on) for on in ("2026-01-01", "2026-01-22") for drug in ("cisplatin", "paclitaxel")]
    response = Line(observation="loinc 97509-4", answer="sct 103337004", on="2026-02-10")
    nodes = Staged(spread=(Spread(site="node-supraclavicular", of="distant-node"),))
    assert one(answer(*cycles, response, staged=nodes), "definitive-pelvic-radiotherapy").cautions == ()


def test_loading_the_package_brings_no_heavy_library() -> None:
    """A cold start of the command line does not pay for units, FHIR models or a web server."""
    heavy = "{'pint', 'fhir', 'fastapi', 'aiohttp', 'pydantic'}"
    code = f"import sys, services.recommend.candidates; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
