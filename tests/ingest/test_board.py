"""The list for the day and the printed sheets behind it, as a browser gets them: its own launches, and nobody else's."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.ingest.pages.board import board_row
from services.ingest.tables import DONE, InHand, compressed
from shared.fhir.outcome import Stuck, to_bytes
from shared.oncology.record import encode
from shared.smart.code import Grant
from shared.smart.identity import Identity
from tests.ingest.answered import BASE, Ward, answered, ward
from tests.peers.pango import pango

server = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]


def test_a_row_says_stage_sites_first_candidate_what_is_missing_and_the_state() -> None:
    row = board_row("/app/x", answered("syn-137").view(), "answered", 0)
    assert (row.stage, row.interval, row.sites, row.state) == ("IIB", "Could still be IVB.", "Lung (equivocal)", "Answered")
    assert row.candidate.startswith("Induction")
    assert row.missing == 5
    assert board_row("/app/x", answered("syn-125").view(), "answered", 2).state == "Answered; 2 decisions"
    assert board_row("/app/x", answered("syn-125").view(), "answered", 0).conflicts == 1


def test_a_row_without_an_answer_says_how_it_stands() -> None:
    assert board_row("/app/x", None, "pulled", 0).state == "No answer yet"
    assert board_row("/app/x", None, "stuck", 0).state == "Stuck: see her page"
    assert board_row("/app/x", answered("syn-118").view(), "pulled", 0).state == "Record being read"
    assert set(DONE) == {"answered", "stuck"}


def test_a_stage_at_diagnosis_is_not_taken_for_the_disease_of_today() -> None:
    row = board_row("/app/x", answered("syn-140").view(), "answered", 0)
    assert (row.stage, row.interval) == ("IB3", "Recurrent disease now.")


def test_out_of_scope_is_said_in_the_place_of_a_stage() -> None:
    row = board_row("/app/x", answered("syn-120").view(), "answered", 0)
    assert (row.stage, row.candidate) == ("Out of scope", "")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ward]:
    async with ward(tmp_path_factory.mktemp("board")) as it:
        yield it


def launch(here: Ward, name: str, cookie: str, subject: str = "dr-7", base: str = BASE) -> str:
    """An answered launch of a synthetic patient by one user in one browser."""
    one = answered(name)
    grant = Grant(access_token="canary-token", life=3000, scopes=("patient/*.rs",), need_patient_banner=False)
    user = Identity("https://issuer.example", subject, "Practitioner/7")
    found = here.ingest.launches.open(base, cookie, grant, one.patient, user)
    here.answer(here.case(found, one.patient), one)
    return found


class TestBoard:
    pytestmark = server

    async def test_it_lists_the_patients_of_this_browsers_launches_and_no_others(self, here: Ward) -> None:
        mine = [launch(here, name, "mine") for name in ("syn-044", "syn-118")]
        launch(here, "syn-125", "theirs", "dr-8")
        status, headers, text = await here.get("/app/board", "mine")
        assert status == 200
        assert "frame-ancestors https://ehr.example" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        for said in (*mine, "Synthetic-Founding-44", "Synthetic-Case-18", "IVB", "IVA"):
            assert said in text, said
        assert "Synthetic-Case-25" not in text
        assert "canary-token" not in text

    async def test_a_patient_launched_twice_stands_once_with_the_newer_launch(self, here: Ward) -> None:
        older, newer = (launch(here, "syn-137", "twice") for _ in range(2))
        _, _, text = await here.get("/app/board", "twice")
        assert newer in text
        assert older not in text
        assert "1 patient:" in text

    async def test_another_user_at_the_same_browser_is_not_mixed_in(self, here: Ward) -> None:
        """Two people's cookies can be in one browser; the board is of who launched last."""
        launch(here, "syn-044", "first-user", "dr-1")
        launch(here, "syn-118", "second-user", "dr-2")
        _, _, text = await here.get("/app/board", "first-user; figaro=second-user")
        assert "Synthetic-Case-18" in text
        assert "Synthetic-Founding-44" not in text

    async def test_where_the_ehr_tells_no_user_a_launch_stands_alone(self, here: Ward) -> None:
        """At a shared computer nobody could tell whose launches the others are."""
        grant = Grant(access_token="t", life=3000, scopes=("patient/*.rs",))
        for name in ("syn-044", "syn-118"):
            one = answered(name)
            found = here.ingest.launches.open(BASE, "untold", grant, one.patient, None)
            here.answer(here.case(found, one.patient), one)
        _, _, text = await here.get("/app/board", "untold")
        assert "Synthetic-Case-18" in text
        assert "Synthetic-Founding-44" not in text

    async def test_a_launch_that_ended_leaves_the_board(self, here: Ward) -> None:
        kept, ended = launch(here, "syn-118", "leaving"), launch(here, "syn-044", "leaving")
        here.ingest.launches.end(ended)
        _, _, text = await here.get("/app/board", "leaving")
        assert kept in text
        assert "Synthetic-Founding-44" not in text

    async def test_without_a_launch_there_is_a_page_that_says_what_to_do(self, here: Ward) -> None:
        for path in ("/app/board", "/app/board/sheet", "/app/board.pdf"):
            status, _, text = await here.get(path, "nobody")
            assert status == 403
            assert "There is no board to show" in text

    async def test_all_sheets_are_printed_behind_a_list_and_who_has_none_is_counted(self, here: Ward) -> None:
        for name in ("syn-044", "syn-118"):
            launch(here, name, "day")
        waiting = Grant(access_token="t", life=3000, scopes=(), need_patient_banner=False)
        here.case(
            here.ingest.launches.open(BASE, "day", waiting, "Patient/later", Identity("https://issuer.example", "dr-7", None)),
            "Patient/later",
        )
        status, _, text = await here.get("/app/board/sheet", "day")
        assert status == 200
        assert text.count('<article class="sheet"') == 2
        assert text.index("Synthetic-Case-18") < text.index("Synthetic-Founding-44")
        assert "no answer yet for 1 of the patients" in text
        _, _, board = await here.get("/app/board", "day")
        assert "No answer yet" in board
        assert "Not read yet" in board


class TestSheet:
    pytestmark = server

    async def test_it_is_shown_to_its_own_launch_only_and_links_to_the_answer_the_board_and_the_pdf(self, here: Ward) -> None:
        """SE-03: the path alone opens nothing."""
        mine = launch(here, "syn-044", "sheet")
        status, headers, text = await here.get(f"/app/{mine}/sheet", "sheet")
        assert status == 200
        assert "style-src 'self'" in headers["Content-Security-Policy"]
        for address in (f"/app/{mine}", "/app/board", f"/app/{mine}/sheet.pdf"):
            assert f'href="{address}"' in text
        style = re.search(r'href="(/app/static/sheet\.[0-9a-f]{12}\.css)"', text)
        assert style is not None
        assert (await here.get(style[1]))[0] == 200
        for path in ("sheet", "sheet.pdf"):
            status, _, text = await here.get(f"/app/{mine}/{path}", "another")
            assert status == 403
            assert "Synthetic" not in text

    async def test_the_patient_is_named_on_paper_also_where_the_ehr_shows_her_beside_us(self, here: Ward) -> None:
        mine = launch(here, "syn-044", "named")
        assert "Synthetic-Founding-44" in (await here.get(f"/app/{mine}/sheet", "named"))[2]

    async def test_without_an_answer_a_page_says_so(self, here: Ward) -> None:
        mine = here.launch("Patient/none")
        case = here.case(mine, "Patient/none")
        here.ingest.ledger.stuck(case, to_bytes(Stuck("The patient was merged into another one.")))
        status, _, text = await here.get(f"/app/{mine}/sheet")
        assert status == 409
        assert "no sheet to print yet" in text

    async def test_an_answer_that_was_not_checked_against_the_record_of_the_day_says_so(self, here: Ward) -> None:
        one = answered("syn-118")
        launch(here, "syn-118", "old")
        grant = Grant(access_token="t", life=3000, scopes=("patient/*.rs",))
        again = here.ingest.launches.open(BASE, "old", grant, one.patient, Identity("https://issuer.example", "dr-7", None))
        read = InHand(case=here.case(again, one.patient), digest="d", raw=compressed(one.raw), record=compressed(encode(one.record)))
        here.ingest.ledger.pulled(read)
        assert "had not been checked against the record" in (await here.get(f"/app/{again}/sheet", "old"))[2]

    @pytest.mark.slow
    async def test_the_pdf_has_a_name_that_tells_of_nobody_and_is_kept_by_no_cache(self, here: Ward) -> None:
        pango()
        mine = launch(here, "syn-118", "pdf")
        for path, name in ((f"/app/{mine}/sheet.pdf", "figaro-sheet.pdf"), ("/app/board.pdf", "figaro-board.pdf")):
            async with here.http.get(f"{here.address}{path}", headers={"Cookie": "figaro=pdf"}) as answer:
                assert answer.status == 200
                assert (await answer.read()).startswith(b"%PDF-")
                assert answer.headers["Content-Type"] == "application/pdf"
                assert answer.headers["Content-Disposition"] == f'inline; filename="{name}"'
                assert answer.headers["Cache-Control"] == "no-store"
