"""How much one session may ask of the page (SE-12): pages, streams, documents, and the cookies that are looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from threading import Event
from typing import Any

import pytest
import pytest_asyncio
from limits import parse

from services.ingest.launches import Launches
from services.ingest.pages import sheet_pdf
from services.ingest.pages.errors import PageError
from services.ingest.pages.sheet_pdf import pdf
from tests.ingest.answered import Ward, answered, ward

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]
COOKIE = {"Cookie": "figaro=browser"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def here(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ward]:
    async with ward(tmp_path_factory.mktemp("limits")) as it:
        yield it


async def test_se_12_one_page_too_many_of_a_session_is_a_page_that_says_when_and_another_session_goes_on(
    here: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = (here.shown(answered(name)) for name in ("syn-044", "syn-118"))
    monkeypatch.setitem(here.limits._rates, "pages", parse("3/minute"))
    for _ in range(3):
        assert (await here.get(f"/app/{other}", "a stranger's"))[0] == 403, "who is not let in uses up nothing"
    told = [await here.get(f"/app/{mine}{path}") for path in ("", "/source/Patient/self", "/sheet", "")]
    assert [status for status, _, _ in told] == [200, 200, 200, 429]
    assert 1 <= int(told[-1][1]["Retry-After"]) <= 60
    assert "Too many pages" in told[-1][2]
    assert "frame-ancestors https://ehr.example" in told[-1][1]["Content-Security-Policy"]
    assert (await here.get(f"/app/{other}"))[0] == 200
    assert (await here.get("/app/static/none"))[0] == 404, "what is the same for all is not counted"


async def test_se_12_the_board_counts_for_its_newest_launch(here: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    here.shown(answered("syn-044"))
    monkeypatch.setitem(here.limits._rates, "pages", parse("2/minute"))
    assert [(await here.get("/app/board"))[0] for _ in range(3)] == [200, 200, 429]


async def test_se_12_a_session_has_five_streams_at_once_and_gets_another_when_one_has_ended(here: Ward) -> None:
    launch = here.launch("Patient/waits")
    here.case(launch, "Patient/waits")
    url = f"{here.address}/app/{launch}/events"
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(here.http.get(url, headers=COOKIE)) for _ in range(5)]
        assert [one.status for one in opened] == [200] * 5
        async with here.http.get(url, headers=COOKIE) as refused:
            assert refused.status == 429
            assert "Figaro is open too often" in await refused.text()
        opened[0].close()
        async with asyncio.timeout(10):
            while True:
                async with here.http.get(url, headers=COOKIE) as again:
                    if again.status == 200:
                        break
                await asyncio.sleep(0.1)


async def test_se_12_no_more_than_five_session_cookies_of_a_request_are_looked_at(here: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = here.shown(answered("syn-044"))
    asked: list[str] = []

    def counting(name: str) -> None:
        real = getattr(Launches, name)

        def counted(self: Launches, *rest: str) -> Any:
            asked.append(name)
            return real(self, *rest)

        monkeypatch.setattr(Launches, name, counted)

    counting("session")
    counting("of_browser")
    for many in ("; figaro=".join(f"no{n}" for n in range(100)), ".".join(f"no{n}" for n in range(100))):
        for path in (f"/app/{launch}", "/app/board"):
            asked.clear()
            assert (await here.get(path, many))[0] == 403
            assert len(asked) == 5
    assert (await here.get(f"/app/{launch}", "no; figaro=no; figaro=no; figaro=browser"))[0] == 200, "the same one counts once"


async def test_se_12_one_document_at_once_is_made_for_one_user_and_the_next_when_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nobody waits for it any more: it is being drawn all the same."""
    going, drawn = Event(), Event()

    def printed(page: Any) -> bytes:
        going.set()
        drawn.wait(10)
        return page().encode()  # type: ignore[no-any-return]

    monkeypatch.setattr(sheet_pdf, "_printed", printed)
    first = asyncio.create_task(pdf(lambda: "first", "she", longest=0.2))
    await asyncio.to_thread(going.wait, 10)
    for _ in range(2):
        with pytest.raises(PageError) as told:
            await pdf(lambda: "second", "she")
        assert (told.value.status, told.value.title) == (429, "Your PDF is being made")
        with pytest.raises(PageError):
            await first
    other = asyncio.create_task(pdf(lambda: "other", "he"))
    drawn.set()
    assert await other == b"other"
    assert await pdf(lambda: "third", "she") == b"third"
