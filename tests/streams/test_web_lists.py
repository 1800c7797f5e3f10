"""`GET /v1/requests`, over SQLite and the double."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams.web import cursors
from tests.streams.webs import client, opened, web_settings


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with opened(web_settings(tmp_path)) as (front, _), client(front) as made:
        yield made


async def fill(api: httpx.AsyncClient) -> None:
    for number in range(5):
        await api.post("/v1/summarize", json={"content": "One.", "id": f"a{number}", "tenant": "t"})
    await api.post("/v1/classify?lane=batch", json={"content": "x", "categories": ["p", "q"], "id": "b", "run_id": "r"})
    await api.post("/v1/summarize", json={"content": "x [fake:refused]", "id": "bad", "tenant": "t"})


def ids(listed: dict[str, Any]) -> list[str]:
    return [item["request_id"] for item in listed["items"]]


async def test_newest_first_page_by_page(api: httpx.AsyncClient) -> None:
    await fill(api)
    first = (await api.get("/v1/requests?limit=3")).json()
    second = (await api.get("/v1/requests", params={"limit": 3, "cursor": first["next"]})).json()
    third = await api.get("/v1/requests", params={"limit": 3, "cursor": second["next"]})
    assert [ids(first), ids(second), ids(third.json())] == [["bad", "b", "a4"], ["a3", "a2", "a1"], ["a0"]]
    assert (third.json()["next"], "link" in third.headers) == (None, False)


async def test_the_link_header_leads_to_the_next_page(api: httpx.AsyncClient) -> None:
    await fill(api)
    reply = await api.get("/v1/requests?tenant=t&limit=4")
    following = await api.get(reply.links["next"]["url"])
    assert ids(following.json()) == ["a1", "a0"]


FILTERED = [
    ("state=failed", ["bad"]),
    ("status=failed", ["bad"]),
    ("state=finished&operation=classify", ["b"]),
    ("state=unfinished", []),
    ("state=succeeded,failed&limit=2", ["bad", "b"]),
    ("tenant=t&limit=1", ["bad"]),
    ("lane=batch", ["b"]),
    ("run_id=r", ["b"]),
    ("operation=classify", ["b"]),
    ("from=1970-01-01&to=1999-12-31", []),
    ("from=2020-01-01&state=failed", ["bad"]),
]


async def test_filters(api: httpx.AsyncClient) -> None:
    await fill(api)
    found = [(query, ids((await api.get(f"/v1/requests?{query}")).json())) for query, _ in FILTERED]
    assert found == FILTERED


async def test_an_item_says_how_it_ended_and_where_it_is(api: httpx.AsyncClient) -> None:
    await fill(api)
    (item,) = (await api.get("/v1/requests?state=failed")).json()["items"]
    assert (item["status"], item["state"], item["lane"], item["error_type"]) == (
        "failed",
        "failed",
        "normal",
        "refused",
    )
    assert (await api.get(item["status_url"])).json()["id"] == "bad"


REFUSED = [
    ("limit=0", 422, "from 1 to 500"),
    ("limit=501", 422, "from 1 to 500"),
    ("limit=ten", 422, "from 1 to 500"),
    ("limit=%D9%A3", 422, "from 1 to 500"),
    ("limit=", 422, "empty"),
    ("limit=1&limit=2", 422, "twice"),
    ("stat=failed", 422, "known are state"),
    ("state=done", 422, "unfinished, finished, waiting"),
    ("state=failed&status=waiting", 422, "two names of one filter"),
    ("lane=fast", 422, "realtime, normal, batch"),
    ("tenant=a%00b", 422, "control character"),
    ("operation=%0a", 422, "control character"),
    ("run_id=" + "x" * 513, 422, "1 to 512"),
    ("from=yesterday", 422, "YYYY-MM-DD"),
    ("from=2026-02-30", 422, "YYYY-MM-DD"),
    ("from=2026-01-01T00:00:00", 422, "zone"),
    ("from=2026-02-01&to=2026-01-01", 422, "exchange them"),
    ("cursor=x", 400, "hand back what `next` said"),
    ("cursor=%F0%9F%98%80", 400, "hand back what `next` said"),
    ("cursor=" + "A" * 32, 400, "another list"),
]


async def test_bad_questions_are_told_clearly(api: httpx.AsyncClient) -> None:
    for query, status, says in REFUSED:
        reply = await api.get(f"/v1/requests?{query}")
        assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json"), query
        assert says in reply.json()["detail"], query


async def test_a_cursor_of_other_filters_is_refused(api: httpx.AsyncClient) -> None:
    await fill(api)
    given = (await api.get("/v1/requests?limit=1")).json()["next"]
    reply = await api.get("/v1/requests", params={"tenant": "t", "cursor": given})
    assert (reply.status_code, "other filters" in reply.json()["detail"]) == (400, True)
    assert (await api.get("/v1/requests", params={"limit": 5, "cursor": given})).status_code == 200


async def test_a_list_that_did_not_change_is_304(api: httpx.AsyncClient) -> None:
    await fill(api)
    first = await api.get("/v1/requests?state=finished")
    known = {"if-none-match": f'"other", {first.headers["etag"]}'}
    again = await api.get("/v1/requests?state=finished", headers=known)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    await api.post("/v1/summarize", json={"content": "One.", "id": "new"})
    assert (await api.get("/v1/requests?state=finished", headers=known)).status_code == 200


async def test_one_request_shows_its_calls(api: httpx.AsyncClient) -> None:
    await fill(api)
    reply = await api.get("/v1/requests/a1?tenant=t")
    (call,) = reply.json()["calls"]
    shown = {name: call[name] for name in ("number", "attempt", "outcome", "provider", "model", "error")}
    assert shown == {"number": 1, "attempt": 1, "outcome": "ok", "provider": "fake", "model": "fake", "error": None}
    assert call["cost_usd"] == reply.json()["usage"]["cost_usd"]
    again = await api.get("/v1/requests/a1?tenant=t", headers={"if-none-match": reply.headers["etag"]})
    assert again.status_code == 304


async def test_an_unfinished_request_shows_its_open_call(api: httpx.AsyncClient) -> None:
    url = (await api.post("/v1/summarize?wait=0", json={"content": "x [fake:sleep:0.4]"})).headers["location"]
    while not (told := (await api.get(url)).json())["calls"]:
        await asyncio.sleep(0.01)
    assert (told["status"], [each["outcome"] for each in told["calls"]]) == ("unfinished", ["open"])


def test_a_cursor_is_read_back_as_it_was_written() -> None:
    place = cursors.Place(1_700_000_000.123456, 2**40)
    assert cursors.place("list", cursors.cursor("list", place)) == place
    with pytest.raises(cursors.Foreign, match="another list"):
        cursors.place("other", cursors.cursor("list", place))
    with pytest.raises(cursors.Foreign):
        cursors.place("list", cursors.cursor("list", cursors.Place(float("nan"), 1)))
