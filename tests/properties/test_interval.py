"""The stage is an interval: the truth lies in it, and whatever is learnt makes it narrower."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from services.staging.knowledge import rules
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from shared.oncology.stage import EditionStage, Staging
from tests.properties.worlds import World, looked_at, worlds
from tests.staging.case import Chart, Diagnosis, Extent, Seen, bundle

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


@given(looked_at())
@QUICK
def test_the_truth_is_never_excluded(drawn: tuple[World, frozenset[str], str]) -> None:
    world, looked, _ = drawn
    answer = staged(world.seen(looked))

    assert allows(answer.editions["figo-2018"], world.figo_2018())
    assert allows(answer.editions["figo-2009"], world.figo_2009())


@given(worlds())
@QUICK
def test_who_has_looked_at_everything_knows_the_stage(world: World) -> None:
    answer = staged(world.seen(world.answers))

    new, old = answer.editions["figo-2018"], answer.editions["figo-2009"]
    assert (new.stage, new.could_be) == (world.figo_2018(), ())
    assert (old.stage, old.could_be) == (world.figo_2009(), ())
    assert new.missing in ((), new.missing[:1])  # the method of a node finding may still be asked for
    assert answer.issues == ()


@given(looked_at())
@QUICK
def test_learning_a_fact_never_widens_the_interval(drawn: tuple[World, frozenset[str], str]) -> None:
    world, looked, more = drawn
    before, after = staged(world.seen(looked)), staged(world.seen(looked | {more}))

    for edition, then in before.editions.items():
        now = after.editions[edition]
        known = {*then.could_be, then.stage}
        fresh = {*now.could_be, now.stage} - known
        assert all(one is not None and any(other and under(other, one) for other in known) for one in fresh), (then, now)


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
