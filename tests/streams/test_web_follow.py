"""Not paying twice over HTTP: idempotency keys, equal questions, callers who leave."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from providers.calls import ChatCall
from store.ledger import life
from streams.spine import Spine
from streams.web import server
from streams.web.app import make_api
from streams.web.front import Front
from tests.streams.talking import Talking, seat
from tests.streams.webs import client, opened, web_settings

SLOW = {"content": "One. [fake:sleep:20]"}


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Front, Spine]]:
    async with opened(web_settings(tmp_path, cache_ttl_s=60.0, drain_s=0.1)) as made:
        yield made


@pytest.fixture
async def api(parts: tuple[Front, Spine]) -> AsyncIterator[httpx.AsyncClient]:
    """Over a real socket, so that a caller can leave."""
    sock = server.bind("127.0.0.1", 0, "GENAI_API_PORT")
    async with (
        server.serving(make_api(parts[0]), sock),
        httpx.AsyncClient(base_url=server.address(sock), timeout=20) as made,
    ):
        yield made


def calls(spine: Spine) -> int:
    return int(spine.providers["fake"].counts.total.started)  # type: ignore[attr-defined]


async def until(what: Any) -> None:
    for _ in range(200):
        if what():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came about")


async def test_callers_with_one_idempotency_key_get_one_answer_and_pay_once(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    body = {"content": "One. [fake:sleep:0.3]"}
    ways: list[dict[str, Any]] = [
        {"json": body, "headers": {"Idempotency-Key": '"order 7"'}},
        {"json": {**body, "idempotency_key": "order 7", "id": "named"}},
        {"json": body, "headers": {"idempotency-key": "order 7"}},
    ]
    replies = await asyncio.gather(*(api.post("/v1/summarize", **way) for way in ways))
    later = await api.post("/v1/summarize", **ways[0])
    told = [reply.json() for reply in (*replies, later)]
    assert [reply.status_code for reply in (*replies, later)] == [200] * 4
    assert (sum(each["usage"]["calls"] for each in told), calls(parts[1])) == (1, 1)
    assert (len({each["id"] for each in told}), sum(each["replayed"] for each in told)) == (4, 3)
    assert parts[1].metrics.registry.get_sample_value("genai_cache_hits_total", {"kind": "key"}) == 3
    (lead,) = [each for each in told if not each["replayed"]]
    assert {each["cached"]["id"] for each in told if each["replayed"]} == {lead["id"]}
    assert {each["output"]["summary"] for each in told} == {lead["output"]["summary"]}


async def test_a_follower_is_woken_by_another_process(tmp_path: Path) -> None:
    """The leader's caller asks one process, the follower's another one."""
    settings = web_settings(tmp_path)
    body = {"content": "One. [fake:sleep:0.3]", "idempotency_key": "k"}
    async with opened(settings) as (here, _), opened(settings) as (there, spine), client(here) as a, client(there) as b:
        spine.engine.draining = True
        first = asyncio.create_task(a.post("/v1/summarize", json=body))
        await asyncio.sleep(0.1)
        second = await b.post("/v1/summarize?wait=10", json=body)
        assert [(await first).json()["replayed"], second.json()["replayed"]] == [False, True]


async def test_one_key_with_two_payloads_is_a_conflict(api: httpx.AsyncClient) -> None:
    await api.post("/v1/summarize", json={"content": "One.", "idempotency_key": "k"})
    reply = await api.post("/v1/summarize", json={"content": "Two.", "idempotency_key": "k"})
    assert (reply.status_code, reply.json()["error"]["type"]) == (409, "idempotency_conflict")
    assert "idempotency_key 'k'" in reply.json()["error"]["message"]


async def test_two_keys_for_one_request_are_refused(api: httpx.AsyncClient) -> None:
    body = {"content": "One.", "idempotency_key": "k"}
    reply = await api.post("/v1/summarize", json=body, headers={"Idempotency-Key": "other"})
    assert (reply.status_code, "different keys" in reply.json()["detail"]) == (422, True)


async def test_the_same_text_under_other_ids_is_answered_by_the_cache(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    body = {"content": "Acme sold 12 pumps. [fake:sleep:0.2]"}
    together = await asyncio.gather(*(api.post("/v1/summarize", json={**body, "id": f"a{i}"}) for i in range(3)))
    later = (await api.post("/v1/summarize", json={**body, "id": "later"})).json()
    anew = (await api.post("/v1/summarize", json={**body, "id": "n", "options": {"cache": "refresh"}})).json()
    off = (await api.post("/v1/summarize", json={**body, "id": "o", "options": {"cache": "off"}})).json()
    told = [reply.json() for reply in together]
    (origin,) = [each for each in told if each["cached"] is None]
    assert calls(parts[1]) == 3
    assert (later["cached"]["id"], later["usage"]["calls"], later["replayed"]) == (origin["id"], 0, False)
    assert (anew["cached"], off["cached"], anew["usage"]["calls"], off["usage"]["calls"]) == (None, None, 1, 1)
    sample = parts[1].metrics.registry.get_sample_value
    assert sample("genai_cache_hits_total", {"kind": "exact"}) == 1
    assert sample("genai_cache_hits_total", {"kind": "flight"}) == 2
    saved = sample("genai_cache_saved_usd_total", {"kind": "exact"})
    assert saved == pytest.approx(float(origin["usage"]["cost_usd"]))
    assert (await api.get("/v1/costs")).json()["totals"]["calls"] == 3


async def leaves(api: httpx.AsyncClient, spine: Spine, **body: Any) -> None:
    """Asks, and goes away once the call is under way."""
    asking = asyncio.create_task(api.post("/v1/summarize", json={**SLOW, **body}))
    await until(lambda: calls(spine) == 1)
    asking.cancel()


async def test_a_caller_who_leaves_ends_the_call_and_what_was_spent_is_wasted(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    await leaves(api, parts[1], id="mine")
    await until(lambda: not parts[1].engine.tasks)
    told = (await api.get("/v1/requests/mine?operation=summarize")).json()
    assert (told["status"], [each["outcome"] for each in told["calls"]]) == ("cancelled", ["wasted"])


@pytest.mark.parametrize("why", ["key", "same id", "same question"])
async def test_a_request_that_somebody_else_may_wait_for_goes_on(
    api: httpx.AsyncClient, parts: tuple[Front, Spine], why: str
) -> None:
    mine = {"idempotency_key": "k"} if why == "key" else {}
    asking = asyncio.create_task(api.post("/v1/summarize", json={**SLOW, "id": "mine", **mine}))
    await until(lambda: calls(parts[1]) == 1)
    if why != "key":
        other = "mine" if why == "same id" else "other"
        assert (await api.post("/v1/summarize?wait=0", json={**SLOW, "id": other})).status_code == 202
    asking.cancel()
    await asyncio.sleep(0.3)
    told = (await api.get("/v1/requests/mine?operation=summarize")).json()
    assert told["state"] == "calling"
    parts[1].engine.recalls.stop(list(parts[1].engine.tasks))


async def test_a_caller_who_leaves_before_the_call_costs_nothing(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    parts[1].engine.draining = True  # nobody runs it
    asking = asyncio.create_task(api.post("/v1/summarize", json={**SLOW, "id": "mine"}))
    for _ in range(100):
        if (await api.get("/v1/requests/mine?operation=summarize")).status_code == 200:
            break
        await asyncio.sleep(0.02)
    asking.cancel()
    for _ in range(100):
        told = (await api.get("/v1/requests/mine?operation=summarize")).json()
        if told["status"] != "unfinished":
            break
        await asyncio.sleep(0.02)
    assert (told["status"], told["usage"]["calls"]) == ("cancelled", 0)


async def test_who_is_told_where_to_ask_again_has_not_left_when_the_process_dies(tmp_path: Path) -> None:
    settings = web_settings(tmp_path)
    async with opened(settings) as (other, spine), opened(settings) as (front, here), client(front) as api:
        here.engine.draining = spine.engine.draining = True  # nobody runs it
        reply = await api.post("/v1/summarize?wait=0.1", json={"content": "One.", "id": "mine"})
        await spine.database.write(lambda conn: life.bury(conn, spine.routes, [here.worker]))
        async with client(other) as stranger:
            told = (await stranger.get(reply.json()["status_url"])).json()
    assert (reply.status_code, told["status"]) == (202, "unfinished")


@pytest.mark.parametrize("content", ["One.", "One. [fake:sleep:20]"])
async def test_a_process_that_ends_leaves_to_others_what_it_tells_its_callers_to_ask_again_for(
    tmp_path: Path, content: str
) -> None:
    """Whether it waits or runs."""
    settings = web_settings(tmp_path, drain_s=0.1)
    async with opened(settings) as (other, spine):
        spine.engine.draining = True
        async with opened(settings) as (front, here):
            here.engine.draining = content == "One."
            api = client(front)
            asking = asyncio.create_task(api.post("/v1/summarize?wait=60", json={"content": content, "id": "mine"}))
            await until(lambda: front.promised and (here.engine.draining or calls(here)))
        reply = await asking
        async with client(other) as stranger:
            told = (await stranger.get(reply.json()["status_url"])).json()
    assert (reply.status_code, told["status"]) == (202, "unfinished")


LONG = "One. [fake:sleep:20]"
TURN = {"messages": [{"role": "user", "content": LONG}]}
PATHS: list[tuple[str, dict[str, Any], int]] = [  # and how many calls it makes at once
    ("chat/completions", {"model": "fake", **TURN}, 1),
    ("chat/completions", {"model": "fake", **TURN, "stream": True}, 1),
    ("chat/completions", {"model": "fake", **TURN, "n": 2}, 1),
    ("completions", {"model": "fake", "prompt": LONG}, 1),
    ("completions", {"model": "fake", "prompt": [LONG, f"{LONG} Two."]}, 2),
    ("completions", {"model": "fake", "prompt": LONG, "stream": True}, 1),
    ("embeddings", {"model": "fake-embed", "input": LONG}, 1),
    ("messages", {"model": "fake", "max_tokens": 9, **TURN}, 1),
    ("messages", {"model": "fake", "max_tokens": 9, **TURN, "stream": True}, 1),
    ("summarize", {"content": LONG}, 1),
    ("extract?wait=9", {"content": LONG}, 1),
    ("classify", {"content": LONG, "categories": ["a", "b"]}, 1),
    ("compare", {"items": [LONG, "Two."]}, 1),
    ("rewrite", {"content": LONG, "tone": "dry"}, 1),
    ("complete", {"prompt": LONG}, 1),
    ("embed", {"texts": [LONG]}, 1),
    ("execute-prompt", {"prompt": "tone", "variables": {"content": LONG}}, 1),
]


async def test_a_caller_who_leaves_ends_the_calls_on_every_path(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    """Streaming or not: nothing of it runs on, and nothing of it stays in the ledger as unfinished."""
    total = parts[1].providers["fake"].counts.total  # type: ignore[attr-defined]
    for path, body, several in PATHS:
        before = total.started
        asking = asyncio.create_task(api.post(f"/v1/{path}", json=body))
        await until(lambda before=before, several=several: total.started == before + several)
        asking.cancel()
        await until(lambda: total.aborted == total.started and not parts[1].engine.tasks)
    ended = (await api.get("/v1/requests?limit=100")).json()["items"]
    assert [each["state"] for each in ended] == ["cancelled"] * sum(several for _, _, several in PATHS)


class Counts(Talking):
    """As long as anybody waits for it."""

    async def count(self, call: ChatCall, node: str) -> int:
        self.calls.append(call)
        try:
            await asyncio.sleep(20)
        except asyncio.CancelledError:
            self.left += 1
            raise
        return 1


async def test_a_caller_who_leaves_ends_a_count(api: httpx.AsyncClient, parts: tuple[Front, Spine]) -> None:
    double = seat(parts[1], Counts())
    asking = asyncio.create_task(api.post("/v1/messages/count_tokens", json={"model": "fake", **TURN}))
    await until(lambda: double.calls)
    asking.cancel()
    await until(lambda: double.left == 1)
