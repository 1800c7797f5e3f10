"""Runs and batches of a key with limits: their items wait for its minute, and none fails for it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams.spine import Spine
from tests.streams import test_openai_batches as batches
from tests.streams.test_web_keys import bearing, made
from tests.streams.webs import opened, web_settings


class Clock:
    """The database's; the runner's waits go by it too."""

    def __init__(self) -> None:
        self.now = 90.0  # the middle of a minute

    def __call__(self, _: Any = None) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("store.ledger.quotas.now", found)
    return found


@pytest.fixture
async def api(tmp_path: Path, clock: Clock) -> AsyncIterator[tuple[httpx.AsyncClient, Spine]]:
    async with opened(web_settings(tmp_path)) as (front, spine):
        spine.runs.turns._clock = clock
        key, _ = await made(spine, tenant="t", rpm=10)
        await front.keys.look(spine.database)
        async with bearing(front, key) as http:
            yield http, spine


async def _run(http: httpx.AsyncClient, text: str = "Text {}.", count: int = 10) -> str:
    params = {"texts": [text.format(number) for number in range(count)]}
    reply = await http.post("/v1/runs", json={"kind": "workflow", "name": "batch_summarize", "params": params})
    return str(reply.json()["run_id"])


async def _batch(http: httpx.AsyncClient) -> str:
    return str((await batches.made(http, "\n".join(batches.asked(number) for number in range(10))))["id"])


async def _lines(http: httpx.AsyncClient) -> str:
    body = "\n".join(f'{{"content": "Text {number}."}}' for number in range(10))
    headers = {"content-type": "application/x-ndjson"}
    return str((await http.post("/v1/runs?name=batch_summarize", content=body, headers=headers)).json()["run_id"])


async def _stands(http: httpx.AsyncClient, id_: str, succeeded: int) -> dict[str, Any]:
    """Once so many have succeeded, and some more time to go beyond that."""
    async with asyncio.timeout(30):
        while (await http.get(f"/v1/runs/{id_}")).json()["progress"]["succeeded"] < succeeded:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.2)
    return dict((await http.get(f"/v1/runs/{id_}")).json())


@pytest.mark.parametrize("ask", [_run, _lines, _batch])
async def test_items_take_their_keys_minute_as_it_passes(
    api: tuple[httpx.AsyncClient, Spine], clock: Clock, ask: Any
) -> None:
    http, _ = api
    id_ = await ask(http)
    told = await _stands(http, id_, 6)  # those that are due after 0, 6, .. 30 s
    sent = (await http.get(f"/v1/requests?run_id={id_}")).json()["items"]
    assert (told["progress"]["succeeded"], told["progress"]["failed"], len(sent)) == (6, 0, 6)
    door = [(await http.post("/v1/summarize", json={"content": f"{number}."})).status_code for number in range(5)]
    assert door == [200] * 4 + [429]  # the rest of the minute was left to whoever asks by hand
    clock.now = 119.9
    assert (await _stands(http, id_, 6))["progress"]["succeeded"] == 6
    clock.now = 150.0
    run = (await http.get(f"/v1/runs/{id_}?wait=20")).json()
    assert (run["status"], run["progress"]["succeeded"], run["progress"]["failed"]) == ("succeeded", 10, 0)


async def test_a_run_that_is_cancelled_while_its_items_wait_ends(api: tuple[httpx.AsyncClient, Spine]) -> None:
    http, _ = api
    id_ = await _run(http)
    await _stands(http, id_, 6)
    await http.post(f"/v1/runs/{id_}/cancel")
    run = (await http.get(f"/v1/runs/{id_}?wait=20")).json()
    assert (run["status"], run["progress"]["succeeded"], run["progress"]["total"]) == ("cancelled", 6, 10)


async def test_what_failed_runs_again_as_far_as_the_minute_goes(
    api: tuple[httpx.AsyncClient, Spine], clock: Clock
) -> None:
    http, _ = api
    clock.now = 119.5  # all ten of this minute are due
    id_ = await _run(http, "{} [fake:rejected]", 4)
    assert (await http.get(f"/v1/runs/{id_}?wait=20")).json()["progress"]["failed"] == 4
    found = []
    for _ in range(3):
        reply = await http.post(f"/v1/runs/{id_}/retry")
        found.append((reply.status_code, reply.json().get("retried"), reply.headers.get("retry-after")))
        assert (await http.get(f"/v1/runs/{id_}?wait=20")).json()["progress"]["failed"] == 4
    assert found == [(202, 4, None), (202, 2, "1"), (429, None, "1")]


async def test_a_key_without_limits_costs_its_runs_nothing(api: tuple[httpx.AsyncClient, Spine], clock: Clock) -> None:
    http, spine = api
    key, _ = await made(spine, tenant="t")
    asked: list[object] = []
    spine.runs.turns.taken = lambda *args: asked.append(args)  # type: ignore[assignment,method-assign]
    reply = await http.post(
        "/v1/runs",
        json={"kind": "task", "name": "summarize", "params": {"content": "One."}},
        headers={"authorization": f"Bearer {key}"},
    )
    run = (await http.get(f"/v1/runs/{reply.json()['run_id']}?wait=20")).json()
    assert (run["status"], asked) == ("succeeded", [])
