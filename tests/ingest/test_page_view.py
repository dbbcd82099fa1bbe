"""What the clinician's page shows of an answer: views, pictures and markup, without a server."""

from __future__ import annotations

import re
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from typing import get_args

import msgspec
import pytest

from services.ingest.pages.bodymap import bodymap
from services.ingest.pages.forest import forest, rows, runs, unchecked
from services.ingest.pages.headers import page_headers
from services.ingest.pages.links import Links, address
from services.ingest.pages.progress import progress
from services.ingest.pages.rendering import Place, plain, render, static, static_name
from services.ingest.pages.resource_view import resource
from services.ingest.pages.view import Page as View
from services.ingest.pages.view import Viewer
from shared.oncology.recommendation import Citation, EvidenceFigure
from shared.oncology.stage import Certainty, Metastasis
from tests.ingest.answered import answered, made, synthetic

ORGANS = (
    *("lung", "pleura", "mediastinum", "liver", "bone", "bone-marrow", "brain", "meninges", "spinal-cord", "adrenal", "spleen", "kidney"),
    *("pancreas", "peritoneum", "omentum", "retroperitoneum", "small-intestine", "large-intestine", "rectum", "bladder", "ureter"),
    *("urethra", "vagina", "vulva", "uterus", "parametrium", "ovary", "fallopian-tube", "skin", "soft-tissue", "breast", "thyroid"),
    *("other", "unknown"),
)
NODES = (
    *("pelvic", "para-aortic", "inguinal", "supraclavicular", "neck", "mediastinal", "axillary", "mesenteric", "abdominal", "mesorectal"),
    *("multiple", "unspecified"),
)
SITES = (*ORGANS, *(f"node-{name}" for name in NODES))
PEOPLE = ("syn-044", "syn-118", "syn-140", "syn-125", "syn-120", "syn-002", "syn-138")


class Reader(HTMLParser):
    """The tags, addresses and scripts of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@cache
def view(name: str) -> View:
    """What is shown of one synthetic patient."""
    return answered(name).view()


@cache
def shown(name: str) -> str:
    """The page of one synthetic patient."""
    return html(view(name))


def html(page: View) -> str:
    place = Place("/app/launch")
    return render("page.html", page=page, viewer=Viewer("csrf", "0", may_decide=True), place=place, progress=None, decided=())


def test_the_headline_is_the_stage_and_its_interval() -> None:
    settled, open_ = view("syn-044").headline, view("syn-137").headline
    assert (settled.stage, settled.interval, settled.findings) == (
        "IVB",
        "The record settles it.",
        "Metastasis in liver and lung; supraclavicular node metastasis",
    )
    assert (open_.stage, open_.interval) == ("IIB", "Could still be IVB.")
    assert {notch.stage: notch.state for notch in open_.scale if notch.state} == {"IIB": "is", "IVB": "could"}


@pytest.mark.parametrize(
    ("name", "hidden", "stage", "interval", "disease"),
    [
        ("syn-139", ("Procedure", "MedicationAdministration"), "IIB", "Could still be IVB.", "Not known: not everything was read"),
        ("syn-044", ("AllergyIntolerance",), "IVB", "What was read leaves no other stage.", "At first diagnosis"),
    ],
)
def test_the_record_settles_nothing_where_some_of_it_was_not_read(
    name: str, hidden: tuple[str, ...], stage: str, interval: str, disease: str
) -> None:
    page = made([one for one in synthetic()[name] if one["resourceType"] not in hidden], tuple(sorted(hidden))).view()
    assert (page.headline.stage, page.headline.settled) == (stage, False)
    assert page.headline.interval.startswith(f"{interval} Not read, or not wholly: ")
    assert page.headline.interval.endswith(" What is silent there is unknown, not absent.")
    assert dict(page.headline.facts)["Disease"] == disease
    assert "The record settles it" not in html(page)


def test_after_a_recurrence_the_headline_says_that_the_stage_is_of_the_diagnosis() -> None:
    headline = view("syn-140").headline
    assert (headline.stage, headline.now) == ("IB3", "Recurrent disease now; a stage never changes after treatment.")
    assert "Stage at diagnosis" in shown("syn-140")


def test_the_first_candidate_stands_with_its_best_checked_figure_and_the_first_eligible_one() -> None:
    first = view("syn-044").first
    assert first is not None
    assert (first.candidate.rank, first.candidate.verdict) == (1, "cannot-tell")
    assert first.candidate.why.startswith("Not on record: PD-L1 combined positive score")
    assert first.figure is not None
    assert (first.figure.hazard_ratio, first.figure.ci) == (0.6, (0.49, 0.74))
    assert first.eligible is not None
    assert first.eligible.rank == 5


def test_what_is_missing_keeps_the_order_of_staging_then_what_settles_candidates() -> None:
    one = answered("syn-137")
    asked = view("syn-137").missing
    stage = [m.ask for edition in one.staging.editions.values() for m in edition.missing]
    assert [gap.ask for gap in asked if gap.stage] == list(dict.fromkeys(stage))
    assert [gap.stage for gap in asked] == sorted((gap.stage for gap in asked), reverse=True)


def test_a_conflict_is_told_beside_the_headline_and_the_recorded_stage_stays() -> None:
    page = view("syn-125")
    assert len(page.conflicts) == 1
    assert [(one.stage, one.agrees) for one in page.recorded] == [("IIB", False)]


def test_ruled_out_candidates_come_last_and_are_never_open() -> None:
    page = view("syn-048")
    assert len(page.open) == 3
    assert all(view.verdict != "ruled-out" for view in (*page.open, *page.more))
    assert page.out
    assert all(view.blocks or view.fails for view in page.out)


def test_out_of_scope_shows_the_reason_and_no_stage() -> None:
    page = view("syn-120")
    assert page.out_of_scope
    assert not page.editions
    assert page.first is None
    assert "No FIGO stage: out of scope" in shown("syn-120")


@pytest.mark.parametrize("name", PEOPLE)
def test_every_source_link_opens_a_resource_that_was_pulled(name: str) -> None:
    one = answered(name)
    links = [str(a.get("href")) for a in Reader(shown(name)).all("a") if "/source/" in str(a.get("href"))]
    assert links or name in ("syn-120",)
    for link in set(links):
        kind, _, resource_id = link.removeprefix("/app/launch/source/").partition("/")
        assert resource(one.raw, kind, resource_id) is not None, link


@pytest.mark.parametrize("name", PEOPLE)
def test_no_name_and_no_patient_id_stands_in_an_address_or_the_title(name: str) -> None:
    one, page = answered(name), shown(name)
    addresses = [str(a.get("href")) for a in Reader(page).all("a")]
    assert not [link for link in addresses if "Patient/" in link and not link.endswith("Patient/self")]
    title = re.search(r"<title>(.*?)</title>", page)
    assert title is not None
    assert name not in title[1]
    assert "Synthetic" not in title[1]
    assert one.patient not in page


@pytest.mark.parametrize("name", PEOPLE)
def test_headings_descend_by_one_and_ids_are_there_once(name: str) -> None:
    tags = Reader(shown(name)).tags
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels)), levels
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in tags:
        for reference in str(attributes.get("aria-labelledby") or "").split():
            assert reference in ids, reference


def test_se04_a_page_loads_only_what_is_ours_and_its_forms_go_nowhere_else() -> None:
    policy = page_headers()["Content-Security-Policy"].split("; ")
    assert {"default-src 'self'", "script-src 'self'", "object-src 'none'", "base-uri 'none'", "form-action 'self'"} <= set(policy)
    assert "frame-ancestors 'none'" in policy


def test_no_style_attribute_element_or_inline_script_breaks_the_policy() -> None:
    """SE-04."""
    tags = Reader(shown("syn-044")).tags
    assert not [attributes for _, attributes in tags if "style" in attributes or any(name.startswith("on") for name in attributes)]
    assert not [tag for tag, _ in tags if tag == "style"]
    assert all(attributes.get("src") for tag, attributes in tags if tag == "script")


def test_every_site_code_is_drawn_or_listed_beside_and_described() -> None:
    listed = [Metastasis(site=site, site_class="organ") for site in SITES]
    drawn = bodymap(listed)
    assert len(drawn.labels) - 1 + len(drawn.beside) == len(SITES)
    assert {label.site for label in drawn.labels} >= {site for site in SITES if site.startswith("node-") and site[5:7] not in ("mu", "un")}
    assert len(drawn.beside) == 6


@pytest.mark.parametrize("count", [1, 4, 9, 16])
def test_labels_of_one_side_do_not_touch(count: int) -> None:
    shown = bodymap([Metastasis(site=site, site_class="organ", lesions=3) for site in SITES[:count]])
    for side in (-1, 1):
        labels = [label for label in shown.labels if label.side == side]
        for above, below in pairwise(labels):
            assert above.label_y + 20 * (len(above.names) + bool(above.more) - 1) < below.label_y


def test_certainty_is_told_by_shape_and_in_words_and_not_by_colour_alone() -> None:
    marks = {}
    for certainty in get_args(Certainty):
        shown = bodymap([Metastasis(site="liver", site_class="organ", certainty=certainty)])
        marks[certainty] = next(label.more for label in shown.labels if label.site == "liver")
    assert marks == {"definite": "", "equivocal": "equivocal", "unknown": "not sure"}
    equivocal = str(view("syn-137").map_svg)
    assert 'class="site equivocal"' in equivocal
    assert 'fill="url(#map-hatch)"' in equivocal


def test_only_checked_hazard_ratios_are_drawn_and_the_table_says_the_same() -> None:
    offered = [c for c in answered("syn-044").recommendation.candidates if c.verdict != "ruled-out"]
    shown = rows(offered)
    picture = forest(shown)
    assert picture is not None
    figures = {(f.id, f.endpoint, f.population, f.hazard_ratio, f.ci) for c in offered for f in c.evidence if f.checked and f.hazard_ratio}
    assert len(picture.rows) == len(figures) == len(shown)
    assert [row[5] for row in picture.rows] == [f"{row.figure.hazard_ratio:.2f}" for row in shown]
    for row in picture.rows:
        assert row[5] in picture.wide
        assert row[5] in picture.narrow


def test_an_unchecked_figure_is_never_drawn() -> None:
    candidate = answered("syn-044").recommendation.candidates[0]
    figure = EvidenceFigure(id="made-up-2020", citation="A work.", endpoint="overall survival", hazard_ratio=0.11, ci=(0.1, 0.2))
    shaky = msgspec.structs.replace(candidate, evidence=(figure,))
    assert rows([shaky]) == ()
    assert forest(()) is None
    assert unchecked([shaky]) == ("Made up 2020",)


def test_a_timeline_names_every_activity_and_goes_to_the_follow_up() -> None:
    candidate, pathway = view("syn-044").timelines
    assert candidate.rows[0][0] == "Pembrolizumab 200 mg IV"
    assert "at most 35 cycles" in candidate.rows[0][1]
    assert pathway.rows[-1] == (
        "Follow-up visit, intervals of the founding study",
        "day 217, every 3 months for 2 years, then every 6 months for 3 years, then once a year, from the end of treatment",
    )
    assert "Follow-up visit" in pathway.wide


def test_pictures_take_the_colour_of_the_page_and_carry_title_and_description() -> None:
    picture = view("syn-044").forest
    assert picture is not None
    assert not re.search(r"#[0-9a-fA-F]{3,6}\b|rgb\(|style=|font-family", picture.wide)
    assert picture.wide.startswith('<svg xmlns="http://www.w3.org/2000/svg" class="plot wide"')
    assert '<title id="forest-wide-title">' in picture.wide
    assert '<desc id="forest-wide-says">' in picture.wide


def test_only_what_looks_like_a_doi_pubmed_or_registry_number_becomes_an_address() -> None:
    assert address(Citation(citation="A", doi="10.1200/JCO.23.00914")) == "https://doi.org/10.1200/JCO.23.00914"
    assert address(Citation(citation="A", doi="javascript:alert(1)", pmid="37910822")) == "https://pubmed.ncbi.nlm.nih.gov/37910822/"
    assert address(Citation(citation="A", doi='10.1000/"><script>')) == "https://doi.org/10.1000/%22%3E%3Cscript%3E"
    assert address(Citation(citation="A", doi="javascript:alert(1)", pmid="1'", nct="NCT1")) is None
    assert Links("/app/x", (), {}).source("Observation/../../evil").href is None
    assert Links("/app/x", (), {}).source("https://evil.example/Observation/1").href is None


def test_text_that_hides_or_turns_round_is_made_plain_and_cut() -> None:
    assert plain("a\u202eb\u2066c\x00d\u200b\ud800") == "abc d "
    assert len(plain("x" * 5000, 100)) == 101


def test_hostile_text_in_every_field_is_shown_as_text() -> None:
    evil = '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202e'

    def poisoned(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {name: poisoned(inner, name) for name, inner in value.items()} | ({"text": evil} if "coding" in value else {})
        if isinstance(value, list):
            return [poisoned(inner, key) for inner in value]
        return evil + value if key in ("display", "text", "family", "given") and isinstance(value, str) else value

    resources = [poisoned(one) for one in synthetic()["syn-044"]]
    page = html(made(resources).view())  # type: ignore[arg-type]
    tags = Reader(page).tags
    assert len([tag for tag, _ in tags if tag == "script"]) == 1
    assert not [tag for tag, _ in tags if tag == "img"]
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page


def test_progress_names_the_step_that_is_under_way_and_a_stuck_case_says_what_to_do() -> None:
    assert [step.state for step in progress("pulled").steps] == ["done", "done", "now", ""]
    outcome = '{"issue": [{"details": {"text": "The record cannot be read."}}]}'
    by_hand, by_itself = progress("stuck", outcome=outcome), progress("stuck", outcome=outcome, retry_at="2026-11-22T12:00:00Z")
    assert by_hand.stuck == by_itself.stuck == "The record cannot be read."
    assert "open Figaro from the chart again" in by_hand.advice
    assert "tried again by itself" in by_itself.advice
    assert progress("stuck", outcome="not json").stuck.startswith("No reason was left")


def test_static_files_are_named_by_their_bytes() -> None:
    assert static_name("figaro.css") in static()
    assert re.fullmatch(r"figaro\.[0-9a-f]{12}\.js", static_name("figaro.js"))


def test_runs_draw_numbers_together() -> None:
    assert runs([4, 1, 2, 3, 7]) == "1 to 4, 7"
