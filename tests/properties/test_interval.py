"""The stage is an interval: the truth lies in it, and whatever is learnt makes it narrower."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from shared.oncology.not_read import ALLERGIES, FINDINGS, TREATMENTS
from shared.oncology.stage import EditionStage, Staging
from tests.properties.worlds import Encoding, World, encodings, looked_at, worlds
from tests.staging.case import Category, Chart, Diagnosis, Extent, Seen, Stated, Treatment, bundle, record

ORDER = {edition: [row.stage for row in reversed(reader.table.rows)] for edition, reader in rules().tables.items()}
QUICK = settings(max_examples=100, deadline=None, derandomize=True)  # the same examples each run; raise the number to go hunting


def staged(chart: Chart) -> Staging:
    return stage(read_bundle(bundle(chart)), rules())


def under(one: str, parent: str) -> bool:
    """Whether a stage is the other or a substage of it."""
    return one == parent or (one.startswith(parent) and one[len(parent)] not in "IV")


def allows(answer: EditionStage, one: str) -> bool:
    """Whether an answer still allows a stage: as settled, as a substage of what is settled, or as open."""
    return answer.stage == one or one in answer.could_be


@given(looked_at(), encodings())
@QUICK
def test_the_truth_is_never_excluded(drawn: tuple[World, frozenset[str], str], encoding: Encoding) -> None:
    world, looked, _ = drawn
    answer = staged(world.seen(looked, encoding))

    assert allows(answer.editions["figo-2018"], world.figo_2018())
    assert allows(answer.editions["figo-2009"], world.figo_2009())


@given(worlds(), st.sets(st.sampled_from("TNM")), st.sampled_from(("SNOMED", "LOINC")))
@QUICK
def test_tnm_categories_never_exclude_the_truth_and_all_three_settle_it(
    world: World, axes: set[str], by: Literal["SNOMED", "LOINC"]
) -> None:
    answer = staged(world.categories(axes, by))
    new = answer.editions["figo-2018"]

    assert allows(new, world.figo_2018())
    assert allows(answer.editions["figo-2009"], world.figo_2009())
    if axes == {"T", "N", "M"}:
        assert (new.stage, new.could_be) == (world.figo_2018(), ())


@given(worlds(), encodings())
@QUICK
def test_who_has_looked_at_everything_knows_the_stage(world: World, encoding: Encoding) -> None:
    answer = staged(world.seen(world.answers, encoding))

    new, old = answer.editions["figo-2018"], answer.editions["figo-2009"]
    assert (new.stage, new.could_be) == (world.figo_2018(), ())
    assert (old.stage, old.could_be) == (world.figo_2009(), ())
    assert new.missing in ((), new.missing[:1])  # the method of a node finding may still be asked for
    assert answer.issues == ()


@given(looked_at(), encodings())
@QUICK
def test_learning_a_fact_never_widens_the_interval(drawn: tuple[World, frozenset[str], str], encoding: Encoding) -> None:
    world, looked, more = drawn
    _narrower(staged(world.seen(looked, encoding)), staged(world.seen(looked | {more}, encoding)))


@given(worlds(), st.permutations("TNM"), st.integers(0, 2))
@QUICK
def test_learning_a_category_never_widens_the_interval(world: World, axes: list[str], known: int) -> None:
    _narrower(staged(world.categories(axes[:known])), staged(world.categories(axes[: known + 1])))


def _narrower(before: Staging, after: Staging) -> None:
    for edition, then in before.editions.items():
        now = after.editions[edition]
        known = {*then.could_be, then.stage}
        fresh = {*now.could_be, now.stage} - known
        assert all(one is not None and any(other and under(other, one) for other in known) for one in fresh), (then, now)


LENGTHS = {
    "tumour_size": ("10 mm", "20 mm", "30 mm", "40 mm", "50 mm"),
    "stromal_invasion_depth": ("2 mm", "3 mm", "4 mm", "5 mm", "6 mm"),
    "horizontal_width": ("5 mm", "7 mm", "9 mm"),
}


@given(looked_at())
@settings(QUICK, max_examples=25)
def test_the_first_question_narrows_the_interval_at_least_as_much_as_any_other_whatever_the_answer(
    drawn: tuple[World, frozenset[str], str],
) -> None:
    """Judged from outside: every answer to every question is sent in, and the answers are counted."""
    world, looked, _ = drawn
    chart = world.seen(looked)
    before = staged(chart)
    for edition, then in before.editions.items():
        held = {name for reason in then.because for name in reason.facts}
        gains = []
        for asked in (m.fact for m in then.missing if m.fact not in held):  # the method of a finding is asked for last
            widths = [len(_interval(staged(answered).editions[edition])) for answered in _answers(chart, asked)]
            gains.append((len(_interval(then)) - max(widths), len(_interval(then)) - min(widths)))
        helpful = [gain for gain in gains if gain[1] > 0]
        assert gains[: len(helpful)] == sorted(helpful, reverse=True), (then, gains)


def _answers(chart: Chart, fact: str) -> Iterator[Chart]:
    microscopic = fact == "tumour_size" and isinstance(seen := chart.extent.get("microscopic-only"), Seen) and seen.is_ is True
    for says in LENGTHS.get(fact, (True, False)):
        if not (microscopic and says == "50 mm"):  # nobody sees 4 cm only under the microscope
            yield Chart(extent={**chart.extent, fact.replace("_", "-"): says}, spread=chart.spread)


def _interval(answer: EditionStage) -> set[str | None]:
    """The stages that are left, a parent not counted beside a substage of its own."""
    left = {answer.stage, *answer.could_be}
    return {one for one in left if one is None or not any(other and other != one and under(other, one) for other in left)}


def charts() -> st.SearchStrategy[Chart]:
    """Any record: doubts, contradictions and all."""
    facts = [name.replace("_", "-") for name, rule in rules().facts.items() if rule.code and not rule.measure]
    says = st.sampled_from((True, False, "present", "absent", "indeterminate", "suspected"))
    by = st.sampled_from((None, "MRI", "PET", "biopsy", "examination"))
    on = st.sampled_from(("2026-02-12", "2026-02-19", None))
    seen = st.builds(lambda is_, by, on: Seen(is_=is_, by=by, on=on), says, by, on)
    answers = st.dictionaries(st.sampled_from(facts), st.lists(seen, min_size=1, max_size=2), max_size=8)
    lengths = st.fixed_dictionaries({}, optional={"tumour-size": LENGTH, "stromal-invasion-depth": LENGTH})
    extents = st.builds(_joined, answers, lengths)
    categories = st.tuples(*(st.sampled_from(axis) for axis in TNM)).map(lambda found: [each for each in found if each])
    return st.builds(Chart, extent=extents, tnm=categories, spread=st.lists(SECONDARY, max_size=3))


def histories() -> st.SearchStrategy[Chart]:
    """The same with encodings of every kind, stages that somebody recorded, and treatment that closes the window."""
    of = st.sampled_from
    category = st.builds(
        lambda value, by, code, version, on: Category(is_=value, by=by, code=code, version=version, on=on),
        of(("cT1b1", "cT2b", "pT3a", "cN0", "cN1", "pN1", "cN2", "cM0", "cM1", "pM1")),
        of(("SNOMED", "LOINC")),
        of(("text", "display", "ajcc", "uicc")),
        of((None, "7", "8", "9")),
        of(("2026-02-12", "2026-02-20", None)),
    )
    stated = st.builds(
        lambda stage, edition, by, on: Stated(stage=stage, edition=edition, by=by, on=on),
        of(("IB1", "IIB", "IIIC1", "IVA", "IVB")),
        of((None, "2018", "2009")),
        of(("NCIt", "text")),
        of(("2026-02-13", "2026-02-14", None)),
    )
    treated = st.builds(
        lambda what, on: Treatment(is_=what, on=on),
        of(("radiotherapy", "radical hysterectomy", "biopsy")),
        of(("2026-02-15", "2026-04-01")),
    )
    found = st.builds(
        lambda code, on: Diagnosis(icd10cm=code, on=on), of(CODES), of(("2026-02-12", "2026-03-01", "2027-06-01", "2026-02", None))
    )
    return st.builds(
        lambda chart, categories, spread, recorded, treatments: Chart(
            extent=chart.extent,
            tnm=[*chart.tnm, *{(each.is_, each.on): each for each in categories}.values()],
            spread=[*chart.spread, *spread],
            recorded=recorded,
            treatments=treatments,
        ),
        charts(),
        st.lists(category, max_size=2),
        st.lists(found, max_size=2),
        st.lists(stated, max_size=2),
        st.lists(treated, max_size=2),
    )


def _joined(answers: dict[str, list[Seen]], lengths: dict[str, str]) -> Extent:
    return {**answers, **lengths}


TNM = (
    (None, "cTX", "cT1", "cT1a", "cT1b2", "pT1b1", "cT2", "cT2a", "cT2b", "cT3", "cT3b", "cT4"),
    (None, "cNX", "cN0", "cN1", "pN0", "pN0(i+)", "pN1mi", "cN2"),
    (None, "cM0", "cM1"),
)
LENGTH = st.sampled_from(("2 mm", "5 mm", "> 5 mm", "20 mm", "< 4 cm", "41 mm", ">= 4 cm"))
CODES = ("C78.00", "C78.2", "C78.4", "C78.5", "C78.6", "C79.51", "C79.11", "C79.60", "C79.82", "C79.9", "C77.0", "C77.2", "C77.5", "C77.9")
SECONDARY = st.builds(
    lambda code, verification: Diagnosis(icd10cm=code, verification=verification, on="2026-02-12"),
    st.sampled_from(CODES),
    st.sampled_from(("confirmed", "confirmed", "provisional", None)),
)


@given(charts())
@QUICK
def test_could_be_lies_strictly_above_the_stage_lowest_first(chart: Chart) -> None:
    for edition, answer in staged(chart).editions.items():
        order = ORDER[edition]
        places = [order.index(one) for one in answer.could_be]

        assert places == sorted(set(places))
        assert answer.stage not in answer.could_be
        assert answer.stage is None or all(place > order.index(answer.stage) for place in places)
        assert answer.label == (None if answer.stage is None else answer.stage + (answer.suffix or ""))
        assert answer.suffix is None or (answer.stage or "").startswith("IIIC")


UNREAD = sorted(TREATMENTS | FINDINGS | ALLERGIES)


@given(histories(), st.sets(st.sampled_from(UNREAD)), st.sampled_from(UNREAD))
@QUICK
def test_what_was_not_read_never_narrows_the_interval(chart: Chart, unread: set[str], one: str) -> None:
    seen, blind = (stage(record(msgspec.structs.replace(chart, unread=list(types))), rules()) for types in (unread, {*unread, one}))
    for edition, before in seen.editions.items():
        for left in _interval(before):
            assert any(left == other or (left and other and under(left, other)) for other in _interval(blind.editions[edition])), edition


@given(histories())
@QUICK
def test_who_cannot_see_the_treatments_excludes_no_stage_that_they_would_leave(chart: Chart) -> None:
    """For findings of the days before the treatment, of months after it, and of no date; what came between is taken for work-up."""

    def early_or_late(on: str | None) -> bool:
        return on is None or (len(on) == 10 and on <= "2026-02-15") or on > "2026-06"

    def kept(given: object) -> bool:
        return early_or_late(getattr(given, "on", None))

    extent: Extent = {
        fact: [one for one in given if kept(one)] if isinstance(given, list) else given for fact, given in chart.extent.items()
    }
    chart = msgspec.structs.replace(
        chart, tnm=[one for one in chart.tnm if kept(one)], spread=[one for one in chart.spread if kept(one)], extent=extent
    )
    blind = stage(record(msgspec.structs.replace(chart, treatments=[], unread=["Procedure"])), rules())
    for edition, seen in staged(chart).editions.items():
        left = _interval(blind.editions[edition])
        assert all(any(one == other or (one and other and under(one, other)) for other in left) for one in _interval(seen)), edition


@given(charts())
@QUICK
def test_an_open_interval_asks_and_a_settled_stage_gives_its_reason(chart: Chart) -> None:
    for edition, answer in staged(chart).editions.items():
        assert bool(answer.missing) or not answer.could_be, edition
        assert bool(answer.because) is (answer.stage is not None)
        for reason in answer.because:
            assert reason.sources
            assert reason.reference in rules().works


@given(charts(), st.sampled_from(("C78.00", "C78.7", "C79.51", "C77.1", "C77.5", "C78.6", "C78.4", "C77.2")))
@QUICK
def test_a_definite_finding_of_spread_never_lowers_the_stage(chart: Chart, code: str) -> None:
    found = Diagnosis(icd10cm=code, on="2026-02-12")
    before, after = staged(chart), staged(Chart(extent=chart.extent, tnm=chart.tnm, spread=[*chart.spread, found]))

    for edition, then in before.editions.items():
        order, now = ORDER[edition], after.editions[edition]
        if then.stage is not None:
            assert now.stage is not None
            assert order.index(now.stage) >= order.index(then.stage)


@given(charts())
@QUICK
def test_the_sites_do_not_contradict_the_stage(chart: Chart) -> None:
    """A definite distant site is IVB; no definite distant site is hidden behind a lower stage."""
    answer = staged(chart)
    distant = [m for m in answer.metastases if m.certainty == "definite" and m.site_class in ("organ", "peritoneal", "distant-node")]
    assert not distant or answer.editions["figo-2018"].stage == "IVB"


SHARED = {"II", "IIA", "IIA1", "IIA2", "IIB", "III", "IIIA", "IIIB", "IV", "IVA", "IVB"}


@given(charts())
@QUICK
def test_the_editions_agree_from_stage_ii_upwards_but_for_the_nodes(chart: Chart) -> None:
    answer = staged(chart)
    new, old = answer.editions["figo-2018"], answer.editions["figo-2009"]

    assert new.stage not in SHARED or old.stage == new.stage
    assert old.stage not in SHARED or new.stage == old.stage or (new.stage or "").startswith("IIIC")
    high = {"IV", "IVA", "IVB"}
    assert {*new.could_be} & high == {*old.could_be} & high
    if not (new.stage or "").startswith("IIIC"):
        assert {*new.could_be} & SHARED == {*old.could_be} & SHARED
    assert not {one for one in (old.stage, *old.could_be) if one and (one.startswith("IIIC") or one == "IB3")}


@given(
    charts(),
    st.sampled_from(("distant-organ", "distant-nodes", "peritoneal-spread", "pelvic-nodes", "para-aortic-nodes", "inguinal-nodes")),
)
@QUICK
def test_a_node_or_organ_found_more_never_lowers_the_stage(chart: Chart, fact: str) -> None:
    known = chart.extent.get(fact, [])
    more = [*known, Seen(is_=True, by="MRI", on="2026-02-19")] if isinstance(known, list) else [Seen(is_=True)]
    before, after = staged(chart), staged(Chart(extent={**chart.extent, fact: more}, tnm=chart.tnm, spread=chart.spread))

    for edition, then in before.editions.items():
        order, now = ORDER[edition], after.editions[edition]
        assert then.stage is None or (now.stage is not None and order.index(now.stage) >= order.index(then.stage)), (then, now)
