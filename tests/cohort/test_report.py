"""The report: tables as the founding study prints them, nothing small shown that should be hidden, a page that runs and fetches nothing."""

from __future__ import annotations

import re
from errno import ENOSPC
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from services.cohort import terminal
from services.cohort.counting import Line
from services.cohort.definitions import printed
from services.cohort.document import HTML, PDF, html, written
from services.cohort.report import Report, made
from services.cohort.statistics import ENDPOINTS
from services.cohort.unread import Unread, withheld
from shared.fhir.outcome import Refused
from tests.cohort.study_rows import rows
from tests.docs.markdown import ROOT

FOUNDING = printed()
pytestmark = pytest.mark.usefixtures("fitted_once")


@cache
def report(threshold: int = 0) -> Report:
    return made(rows(), threshold=threshold, synthetic=True)


def cells(lines: list[Line]) -> list[tuple[str, str, str, str | None]]:
    """Label, ours, printed and footnote of every cell that the paper prints."""
    return [(x.label, mine, theirs, x.note) for x in lines for mine, theirs in zip(x.ours, x.printed, strict=True) if theirs]


@pytest.mark.parametrize("table", ["one", "two", "four"])
def test_the_table_comes_out_as_printed_wherever_the_paper_agrees_with_itself(table: str) -> None:
    """Where it differs, a footnote says that the paper contradicts itself."""
    different = {label: (mine, theirs, note) for label, mine, theirs, note in cells(report().tables[table]) if mine != theirs}
    assert (
        different
        == {
            "one": {"Radiotherapy to the pelvis": ("41 (85.4)", "42 (87.5)", "a")},
            "two": {"Lung": ("16 (27.1)", "14 (23.7)", "b")},
            "four": {"Partial response": ("8 (16.7)", "6 (12.5)", "c"), "Stable disease": ("1 (2.1)", "0 (0.0)", "c")},
        }[table]
    )


def test_the_cycles_come_out_as_printed() -> None:
    ours = {name: mine for name, mine, _ in report().tables["regimens"]}
    assert {name: ours[name] for name in FOUNDING.regimens} == {name: str(cycles) for name, cycles in FOUNDING.regimens.items()}
    assert report().tables["cycles"] == (213, 213)


def test_survival_at_two_years_is_near_the_printed_in_every_subgroup() -> None:
    """Within 2 points. Not lung, counted in two ways; not a rate that nobody was followed to; not PFS without liver metastases, 26.7 %
    there: with and without both lie above the whole, so that the printed rates cannot all be met."""
    far, compared, head = [], 0, ""
    for row in report().tables["three"]:
        head = row.label if row.head else head
        for cell in (row.cells[0], row.cells[2]):
            if cell.printed and cell.ours != "not followed so long" and not head.startswith("Lung"):
                compared += 1
                far += [(head, row.label, cell)] if abs(float(cell.ours.split()[0]) - float(cell.printed)) > 2 else []
    assert [(head, label, cell.printed) for head, label, cell in far] == [("Liver metastasis", "No", "26.7")]
    assert compared == 47


def test_medians_rates_and_hazard_ratios_of_the_groups_are_near_the_printed() -> None:
    for endpoint in ENDPOINTS:
        part = report().parts[endpoint]
        for row in part.rows:
            for cell, tolerance in zip(row.cells, (0.15, 1, 1, 1), strict=True):
                assert not cell.printed or abs(float(cell.ours.split()[0]) - float(cell.printed)) <= tolerance
        group = part.lines[-1]
        assert abs(float(group.ratio.split()[0]) - float(group.printed.split()[0])) <= 0.02
        assert part.p == FOUNDING.table3["group"].p[ENDPOINTS.index(endpoint)]
    assert (f"{report().follow.observed:.1f}", report().progression) == ("14.4", "7.1")


def test_the_flow_diagram_goes_from_all_rows_to_the_counted_without_a_gap() -> None:
    steps = [int(report().rows), *(int(step.left) for step in report().flow)]
    assert [before - after for before, after in pairwise(steps)] == [int(step.out) for step in report().flow]
    assert steps[-1] == int(report().counted) == 48


class _Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.append((tag, dict(attrs)))


def test_the_page_runs_nothing_and_fetches_nothing() -> None:
    """No script, handler or address; a policy that lets in its own style, by its digest, and its own pictures."""
    page = html(report())
    tags = _Tags(page).seen
    assert not {tag for tag, _ in tags} & {"script", "iframe", "link", "object", "form", "base"}
    assert not [name for _, attributes in tags for name in attributes if name.startswith("on") or name in ("style", "srcset")]
    addresses = [value or "" for _, attributes in tags for name, value in attributes.items() if name in ("src", "href")]
    assert len(addresses) == 2
    assert all(value.startswith("data:image/svg+xml;base64,") for value in addresses)
    (policy,) = [a["content"] or "" for tag, a in tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]{44}'; img-src data:", policy)


def test_the_page_says_before_any_figure_what_it_cannot_show() -> None:
    page = html(report())
    assert page.index("What this cannot show") < page.index("Who is counted") < page.index("Log-rank p")
    for word in ("not randomised", "immortal time", "Landmark at 6 months", "Synthetic patients", "our reading"):
        assert word in page


def test_every_inconsistency_of_the_founding_study_is_a_footnote() -> None:
    page = html(report())
    assert all(text in page for text in FOUNDING.notes.values())
    for letter in FOUNDING.notes:
        assert f"<sup>{letter}</sup>" in page


def test_text_of_a_record_is_shown_as_text() -> None:
    """A regimen's name is a drug of the code book; whatever stands there, it is no markup."""
    odd = [row | {"regimens": [{"drugs": "<script>alert(1)</script>", "cycles": 3}]} for row in rows()]
    page = html(made(odd))
    assert "<script" not in page.casefold()


@pytest.mark.parametrize("threshold", [5, 10])
def test_no_small_count_is_shown_and_none_can_be_reckoned(threshold: int) -> None:
    """In each row whole, A and B: none hidden, or at least two."""
    found = report(threshold)
    for table in ("one", "two", "four"):
        for line in found.tables[table]:
            if line.head or "median" in line.label or not re.match(r"\d|<|–", line.ours[0]):
                continue
            numbers = [int(number) for cell in line.ours if (number := cell.split(" ")[0]).isdecimal()]
            assert not [number for number in numbers if 0 < number < threshold], line
            away = sum(cell.startswith(("<", "–")) for cell in line.ours if cell)
            assert away != 1 or table == "two", line
    two = [x.ours[0] for x in found.tables["two"] if not x.head]
    assert sum(cell.startswith(("<", "–")) for cell in two) != 1
    assert found.tables["one"][0].ours == ("53", "54", "47")
    assert found.parts["os"].rows[2].cells[2].ours == "–"  # one woman is still at risk


def test_with_small_cells_hidden_the_curves_end_where_few_are_at_risk_and_mark_nobody() -> None:
    plain, hidden = report().parts["os"].picture, report(5).parts["os"].picture
    assert len(hidden) < len(plain)
    assert "too few events to draw" in hidden
    assert plain.count('aria-roledescription="tick"') == 12
    assert hidden.count('aria-roledescription="tick"') == 0


def test_nobody_to_count_is_refused_with_the_way_on() -> None:
    with pytest.raises(Refused, match="left_out"):
        made([row | {"counted": False, "left_out": "cycles"} for row in rows()])
    with pytest.raises(Refused, match="run `figaro cohort`"):
        made([{"patient": "Patient/1"}])


def test_a_cohort_of_one_group_alone_has_a_report() -> None:
    found = made([row for row in rows() if row["group"] == "A"])
    assert (found.sizes, found.parts["os"].p) == (("36", "36", "0"), "")
    assert found.parts["os"].model.away["group"] == "all alike"
    assert "without Treatment (all alike), of which there is no hazard ratio" in html(found)


def test_what_is_missing_is_counted_and_shown() -> None:
    holes = [row | ({"haemoglobin": None} if number < 7 else {}) for number, row in enumerate(rows())]
    found = made(holes)
    assert "Haemoglobin: 7 of 48 patients without it" in found.missing
    assert "Haemoglobin: 7 of 48 patients without it" in html(found)
    doses = made([row | {"external_gy": None, "point_a_eqd2_gy": None} for row in rows()]).missing
    wanted = (("Dose of external beam to the pelvis", 41), ("Dose to point A", 36))
    assert doses[-2:] == [f"{name}: {number} of {number} patients without it" for name, number in wanted]
    assert [row.patients.ours for row in found.tables["three"] if row.label == "Not told"] == ["7"]


def test_a_group_too_small_to_show_is_shown_nowhere() -> None:
    """Three women in group B: no size, column, curve, test, model or landmark of either group."""
    few = [row for row in rows() if row["group"] == "A"] + [row for row in rows() if row["group"] == "B"][:3]
    found = made(few, threshold=5)
    page = html(found)
    assert found.sizes == ("39", "–", "–")
    assert "One of the groups has fewer than 5 patients" in page
    assert {cell for table in ("one", "four") for line in found.tables[table] if not line.head for cell in line.ours[1:] if cell} == {"–"}
    for part in found.parts.values():
        assert (part.p, part.landmark, [row.label for row in part.rows]) == ("", None, ["All"])
        assert "Group A" not in part.picture
    assert not [line for part in found.parts.values() for line in part.lines if line.label.startswith("Treatment")]
    assert "Landmark at" not in page
    assert "Log-rank p = <" not in page


@pytest.mark.slow
def test_numbers_that_tell_a_small_rest_are_hidden() -> None:
    """All but three, in a table; two who lack a variable, in a model; few who died in the first year, at risk and in per cent."""
    page = html(made([row | ({"age": None} if number < 2 else {}) for number, row in enumerate(rows())], threshold=5))
    assert "Cox model of those patients in whom every variable is told" in page
    assert "46 patients" not in page
    nearly = [row | {"ecog_score": 0 if number >= 3 else 1} for number, row in enumerate(rows())]
    assert [line.ours[0] for line in made(nearly, threshold=5).tables["one"] if line.label in ("0", "1", "2")] == ["–", "–", "0 (0.0)"]
    late = [row | {"os_days": 400 + number, "died": number >= 45, "died_on": None} for number, row in enumerate(rows())]
    (whole, *_) = made(late, threshold=5).parts["os"].rows
    assert whole.cells[1].ours == "–"  # nothing has happened: of the three who died it is not told when
    early = [row | {"os_days": 100 if number < 3 else 3000, "died": number < 3} for number, row in enumerate(rows())]
    (whole, *_) = made(early, threshold=5).parts["os"].rows
    assert [cell.ours for cell in whole.cells[1:]] == ["–", "–", "–"]


def test_patterns_organs_and_regimens_of_few_are_one_number() -> None:
    found = report(5).tables
    two = [(line.label, line.ours[0].split(" ")[0]) for line in found["two"] if not line.head]
    assert two[:3] == [("Bone", "17"), ("Lung", "5"), ("Bone", "5")]
    assert ("All of them", "21") in two
    assert two[-2:] == [("Other organs", "–"), ("All", "–")]
    assert not [number for _, number in two[:-2] if 0 < int(number) < 5]
    assert {name for name, *_ in found["regimens"]} <= {name for name, *_ in report().tables["regimens"]} | {"other regimens"}


@pytest.mark.parametrize(
    ("unread", "why"),
    [
        (Unread(absent=("Procedure",)), "Radiotherapy is not known: the export has no Procedure."),
        (Unread(cut=("Procedure",)), "Radiotherapy is not known: a file of Procedure breaks off."),
    ],
)
def test_without_procedures_no_groups_are_assigned_and_page_and_terminal_say_why(unread: Unread, why: str) -> None:
    """Silence on radiotherapy is not group B."""
    found = made([withheld(row, unread) for row in rows()])
    page = html(found)
    assert page.index("What this rests on") < page.index(why) < page.index("What this cannot show")
    assert terminal.tables(found)[0].caption == f"{why} No groups are assigned, and none are compared."
    assert (found.sizes, found.parts["os"].p, found.parts["os"].landmark) == (("48", "–", "–"), "", None)
    assert [line.ours[0] for line in found.tables["one"] if line.label.startswith("Radiotherapy to the pelvis")] == ["not told"]
    assert "Group A" not in found.parts["os"].picture
    assert found.parts["os"].rows[0].events == "36"


def test_an_empty_group_has_no_median_and_no_rates() -> None:
    rows_b = made([row for row in rows() if row["group"] == "A"]).parts["os"].rows[2]
    assert [cell.ours for cell in rows_b.cells] == ["–"] * 4


def test_a_disk_that_is_full_is_one_sentence_and_leaves_no_half_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, content: bytes) -> int:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Refused, match="no space left on device"):
        written(report(), tmp_path / "report")
    assert list((tmp_path / "report").iterdir()) == []
    assert (tmp_path / "report").stat().st_mode & 0o077 == 0


def test_the_terminal_shows_survival_beside_the_printed() -> None:
    console = Console(width=150, record=True, file=None, quiet=False)
    with console.capture() as said:
        for table in terminal.tables(report()):
            console.print(table)
    text = said.get()
    assert "at least two cycles of chemotherapy" in text
    assert re.search(r"Group A +36 +25 +17\.\d \(\S+\) +17\.3", text)


def test_the_pictures_of_the_documents_are_those_of_the_report() -> None:
    """Made anew by `python -m examples.study_pictures docs/pictures`."""
    for name, endpoint in (("overall-survival.svg", "os"), ("progression-free-survival.svg", "pfs")):
        assert (ROOT / "docs" / "pictures" / name).read_text(encoding="utf-8") == report().parts[endpoint].picture


@pytest.mark.slow
def test_the_report_is_printed_on_a_few_pages_of_a4(tmp_path: Path) -> None:
    from weasyprint import HTML as PAGE  # type: ignore[import-untyped]

    paths = written(report(), tmp_path)
    assert [path.name for path in paths[:2]] == [HTML, PDF]
    assert paths[1].read_bytes().startswith(b"%PDF-")
    pages = PAGE(filename=paths[0]).render().pages
    assert 5 <= len(pages) <= 9
    assert {(round(page.width), round(page.height)) for page in pages} == {(794, 1123)}
