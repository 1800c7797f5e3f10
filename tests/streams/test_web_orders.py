"""`POST …/cancel` over SQLite and the double: each answer, each refusal."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from providers.double.faults import Behaviour
from providers.fake_server import FakeServer, start
from store.database import Database, parse_url
from store.tables import executions, requests
from streams.spine import Spine
from streams.web.front import Front
from streams.where import ledger_url
from tests.streams.webs import client, opened, web_settings


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Front, Spine]]:
    async with opened(web_settings(tmp_path, tenants={"genai.requests.summarize": "feed"})) as made:
        yield made


@pytest.fixture
async def api(parts: tuple[Front, Spine]) -> AsyncIterator[httpx.AsyncClient]:
    async with client(parts[0]) as made:
        yield made


async def waits(api: httpx.AsyncClient, spine: Spine, **more: Any) -> None:
    """A request that nobody takes."""
    spine.engine.draining = True
    reply = await api.post("/v1/summarize?wait=0", json={"content": "One.", "id": "a", **more})
    assert reply.status_code == 202


async def test_one_that_waits_is_cancelled_and_says_so_again(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    await waits(api, parts[1])
    first, second = [await api.post("/v1/requests/a/cancel") for _ in range(2)]
    assert (first.status_code, second.status_code, second.json()) == (200, 200, first.json())
    assert first.json() == {
        "request_id": "a",
        "tenant": "default",
        "operation": "summarize",
        "cancel": "cancelled",
        "status": "cancelled",
        "status_url": "/v1/requests/a?tenant=default&operation=summarize",
    }
    assert (await api.get(first.json()["status_url"])).json()["status"] == "cancelled"


async def test_one_that_has_ended_is_409_with_how_it_ended(api: httpx.AsyncClient) -> None:
    await api.post("/v1/summarize", json={"content": "One.", "id": "a/b"})
    reply = await api.post("/v1/requests/a/b/cancel")
    assert (reply.status_code, reply.json()["ended"]) == (409, "succeeded")
    assert "has ended before (succeeded)" in reply.json()["detail"]


async def test_one_that_is_still_to_come_is_kept_and_applied(api: httpx.AsyncClient) -> None:
    reply = await api.post("/v1/requests/later/cancel?operation=summarize")
    assert (reply.status_code, reply.json()["cancel"], reply.json()["status"]) == (202, "kept", "unknown")
    told = await api.post("/v1/summarize", json={"content": "One.", "id": "later"})
    assert (told.status_code, told.json()["status"]) == (409, "cancelled")


async def test_another_tenants_request_is_answered_like_one_that_is_not_there(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    await waits(api, parts[1], tenant="feed")
    theirs = await api.post("/v1/requests/a/cancel?operation=summarize")
    nobodys = await api.post("/v1/requests/b/cancel?operation=summarize")
    assert (theirs.status_code, theirs.text.replace('"a"', '"b"')) == (nobodys.status_code, nobodys.text)
    guessed = await api.post("/v1/requests/a/cancel")
    assert (guessed.status_code, "feed" in guessed.text) == (404, False)
    assert (await api.get("/v1/requests/a?tenant=feed")).json()["state"] == "waiting"


async def test_an_id_of_two_operations_is_refused_and_they_are_named(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    await waits(api, parts[1])
    await api.post("/v1/classify?wait=0", json={"content": "x", "categories": ["p", "q"], "id": "a"})
    reply = await api.post("/v1/requests/a/cancel")
    assert (reply.status_code, reply.json()["operations"]) == (409, ["classify", "summarize"])
    assert (await api.post("/v1/requests/a/cancel?operation=classify")).status_code == 200


async def test_a_newer_request_of_a_key_replaces_the_one_that_waits(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    await waits(api, parts[1], supersede_key="filing 42")
    await waits(api, parts[1], supersede_key="filing 42", id="b")
    old, new = [(await api.get(f"/v1/requests/{id_}")).json() for id_ in "ab"]
    assert (old["status"], old["warnings"]) == ("cancelled", ["superseded by the request 'b'"])
    assert new["state"] == "waiting"


async def holds(api: httpx.AsyncClient, id_: str = "h", **more: Any) -> None:
    """A paid call broke off after its first byte, and its request wants to be asked."""
    body = {"content": "One. [fake:disconnected*1]", "id": id_, "options": {"on_ambiguous": "hold"}, **more}
    assert (await api.post("/v1/summarize?wait=0", json=body)).status_code == 202
    async with asyncio.timeout(20):
        while (await api.get(f"/v1/requests/{id_}")).json().get("state") != "held":
            await asyncio.sleep(0.02)


async def test_a_held_request_is_tried_again_when_somebody_says_so_and_what_it_cost_stays(
    api: httpx.AsyncClient,
) -> None:
    await holds(api)
    listed = (await api.get("/v1/requests?state=held")).json()["items"]
    assert [(item["request_id"], item["status"]) for item in listed] == [("h", "unfinished")]
    assert "genai_held_requests 1.0" in (await api.get("/metrics")).text
    reply = await api.post("/v1/requests/h/retry")
    assert (reply.status_code, reply.json()["state"]) == (200, "waiting")
    body = {"content": "One. [fake:disconnected*1]", "id": "h", "options": {"on_ambiguous": "hold"}}
    result = (await api.post("/v1/summarize?wait=20", json=body)).json()
    calls = (await api.get("/v1/requests/h")).json()["calls"]
    (paid,) = result["warnings"]
    assert (result["status"], paid.partition(":")[0]) == ("succeeded", "paid without an answer")
    assert [call["outcome"] for call in calls] == ["wasted", "ok"]
    assert (await api.post("/v1/requests/h/retry")).status_code == 409


async def test_a_held_request_that_is_dropped_has_failed_and_what_it_cost_stays(api: httpx.AsyncClient) -> None:
    await holds(api)
    reply = await api.post("/v1/requests/h/drop?operation=summarize")
    assert (reply.status_code, reply.json()["state"]) == (200, "failed")
    result = (await api.get("/v1/requests/h")).json()
    assert (result["status"], result["error"]["type"], result["usage"]["calls"]) == ("failed", "ambiguous", 1)


async def test_a_held_request_is_cancelled_like_one_that_waits(api: httpx.AsyncClient) -> None:
    await holds(api)
    assert (await api.post("/v1/requests/h/cancel")).json()["cancel"] == "cancelled"


async def test_what_is_said_about_a_request_is_no_look_at_it(api: httpx.AsyncClient) -> None:
    """An id may end in such a word too."""
    await api.post("/v1/summarize", json={"content": "One.", "id": "a/cancel"})
    there, not_there = await api.get("/v1/requests/a/cancel"), await api.get("/v1/requests/b/cancel?wait=0")
    assert (there.status_code, not_there.status_code, not_there.headers["allow"]) == (200, 405, "POST")


@pytest.mark.parametrize("word", ["retry", "drop"])
async def test_what_is_not_held_is_not_decided_about(api: httpx.AsyncClient, word: str) -> None:
    await api.post("/v1/summarize", json={"content": "One.", "id": "done"})
    done = await api.post(f"/v1/requests/done/{word}")
    assert (done.status_code, done.json()["detail"]) == (409, "The request 'done': it is not held, it is succeeded.")
    for query in ("", "?operation=summarize"):
        nobody = await api.post(f"/v1/requests/nobody/{word}{query}")
        assert (nobody.status_code, nobody.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/v1/requests/nobody/cancel", 404, "add ?operation="),
        ("/v1/requests/a/cancel?operation=nonsense", 404, "There is no operation 'nonsense'"),
        ("/v1/requests/a/cancel?operation=", 422, "is empty"),
        ("/v1/requests/a/cancel?tenant=%00", 422, "is no name"),
        ("/v1/requests/%07/cancel", 422, "is no name"),
        (f"/v1/requests/{'x' * 513}/cancel", 422, "1 to 512 characters"),
        ("/v1/requests/a/cancel?colour=red", 422, "known are tenant, operation, wait"),
        ("/v1/requests/a/cancel?wait=nan", 422, "from 0 to 3600"),
        ("/v1/requests/a/retry?wait=1", 422, "known are tenant, operation"),
        ("/v1/runs/r/cancel?operation=summarize", 422, "known are tenant"),
        ("/v1/runs/%07/cancel", 422, "is no name"),
    ],
)
async def test_bad_input_is_told_clearly(api: httpx.AsyncClient, path: str, status: int, says: str) -> None:
    reply = await api.post(path)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")
    assert says in reply.json()["detail"]


@pytest.mark.parametrize(
    ("origins", "origin", "status"),
    [("", "https://evil.example", 403), ("", "http://test", 202), ("https://app.example", "https://app.example", 202)],
)
async def test_a_page_of_another_site_cancels_nothing(tmp_path: Path, origins: str, origin: str, status: int) -> None:
    """A POST without a body is one that a browser sends for any page without asking."""
    async with opened(web_settings(tmp_path, cors_origins=origins)) as (front, _), client(front) as api:
        reply = await api.post("/v1/requests/a/cancel?operation=summarize", headers={"origin": origin})
    assert reply.status_code == status


async def test_a_run_ends_and_stays_cancelled(api: httpx.AsyncClient, parts: tuple[Front, Spine]) -> None:
    await waits(api, parts[1], run_id="nightly/1")
    reply = await api.post("/v1/runs/nightly/1/cancel")
    assert (reply.status_code, reply.json()) == (
        202,
        {"run_id": "nightly/1", "tenant": "default", "cancel": "cancelled", "unfinished": 1},
    )
    parts[1].engine.draining = False
    parts[1].engine.look()
    body = {"content": "Two.", "id": "b", "run_id": "nightly/1"}
    assert (await api.post("/v1/summarize?wait=20", json=body)).json()["status"] == "cancelled"
    assert (await api.get("/v1/requests/a")).json()["status"] == "cancelled"


@pytest.fixture
async def double() -> AsyncIterator[FakeServer]:
    async with await start(how=Behaviour(latency_s=120.0, tail=0.0)) as made:
        yield made


async def until(done: Any, within_s: float = 20.0) -> None:
    async with asyncio.timeout(within_s):
        while not done():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("where", ["requests/a", "runs/r"])
async def test_another_process_aborts_the_call_and_its_connection_is_closed(
    tmp_path: Path, double: FakeServer, where: str
) -> None:
    """`poll_s` says half a minute: nobody waits for that to stop a call."""
    settings = web_settings(tmp_path, fake_url=double.url, fake_paid=True, poll_s=30.0)
    async with opened(settings) as (front, holder), opened(settings) as (other, _):
        async with client(front) as api, client(other) as stranger:
            asking = api.post("/v1/summarize?wait=0", json={"content": "One.", "id": "a", "run_id": "r"})
            assert (await asking).status_code == 202
            await until(lambda: double.counts.in_flight == 1)
            reply = await stranger.post(f"/v1/{where}/cancel", params={} if where == "runs/r" else {"wait": 0})
            assert (reply.status_code, reply.json()["cancel"]) == (202, "cancelled" if "runs" in where else "stopping")
            await until(lambda: double.counts.total.aborted == 1)
            await until(lambda: not holder.engine.tasks)
            told = (await stranger.get("/v1/requests/a")).json()
    assert (told["status"], [call["outcome"] for call in told["calls"]]) == ("cancelled", ["wasted"])
    assert told["usage"]["calls"] == 1


async def test_an_abort_is_waited_for(tmp_path: Path, double: FakeServer) -> None:
    settings = web_settings(tmp_path, fake_url=double.url)
    async with opened(settings) as (front, _), client(front) as api:
        await api.post("/v1/summarize?wait=0", json={"content": "One.", "id": "a"})
        await until(lambda: double.counts.in_flight == 1)
        reply = await api.post("/v1/requests/a/cancel?wait=20")
    assert (reply.status_code, reply.json()["status"]) == (200, "cancelled")


@pytest.mark.parametrize(
    ("wish", "paid", "state", "outcome"),
    [
        ("retry", True, "waiting", "wasted"),
        ("fail", True, "failed", "wasted"),
        ("hold", True, "held", "wasted"),
        ("hold", False, "waiting", "error"),
    ],
)
async def test_a_call_that_is_cut_off_by_the_end_of_its_process_goes_on_as_its_request_wishes(
    tmp_path: Path, double: FakeServer, wish: str, paid: bool, state: str, outcome: str
) -> None:
    settings = web_settings(tmp_path, fake_url=double.url, fake_paid=paid, drain_s=0.05)
    async with opened(settings) as (front, spine), client(front) as api:
        body = {"content": "One.", "id": "a", "options": {"on_ambiguous": wish}}
        await api.post("/v1/summarize?wait=0", json=body)
        await until(lambda: double.counts.in_flight == 1)
    assert spine.metrics.registry.get_sample_value("genai_ambiguous_calls_total") == float(paid)
    database = Database(parse_url(ledger_url(settings)))
    of_both = select(requests.c.state, executions.c.outcome).join(executions, executions.c.request_pk == requests.c.pk)
    found = await database.read(lambda conn: [tuple(row) for row in conn.execute(of_both)])
    await database.aclose()
    assert found == [(state, outcome)]


async def test_a_deadline_that_has_passed_costs_nothing(api: httpx.AsyncClient) -> None:
    body = {"content": "One.", "deadline": "2020-01-01T00:00:00Z"}
    told = await api.post("/v1/summarize?wait=30", json=body)
    assert (told.status_code, told.json()["status"], told.json()["usage"]["calls"]) == (504, "expired", 0)
