"""What waits, over HTTP: lanes and pools, one request's place, and a door that is full. On both databases."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from streams.spine import Spine
from streams.web import gate, looker
from tests.streams.webs import client, opened, web_settings


@pytest.fixture(params=["", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("postgres_database") if request.param else ""


@pytest.fixture(autouse=True)
def _always_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looker, "FRESH_S", 0.0)
    monkeypatch.setattr(gate, "FRESH_S", 0.0)
    monkeypatch.setattr(gate, "_STALE_S", 0.0)


@contextlib.asynccontextmanager
async def api_of(folder: Path, **changes: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Spine]]:
    async with opened(web_settings(folder, **changes)) as (front, spine), client(front) as api:
        yield api, spine


async def post(
    api: httpx.AsyncClient, id_: str, lane: str = "normal", tenant: str = "t", **more: Any
) -> httpx.Response:
    body = {"content": f"One {id_}.", "id": id_, "tenant": tenant, **more}
    return await api.post(f"/v1/summarize?wait=0&lane={lane}", json=body)


async def fill(api: httpx.AsyncClient, spine: Spine) -> None:
    """Three answered; then nothing runs, and two lanes fill."""
    for n in range(3):
        assert (await api.post("/v1/summarize", json={"content": "One.", "id": f"done{n}"})).status_code == 200
    spine.engine.draining = True
    for n in range(4):
        await post(api, f"n{n}", tenant="tu"[n % 2])
    await post(api, "b", "batch")


async def test_lanes_pools_and_all(tmp_path: Path, database: str) -> None:
    async with api_of(tmp_path, database_url=database, fake_latency_s=0.05) as (api, spine):
        await fill(api, spine)
        told = (await api.get("/v1/queue")).json()
    lanes = {lane["lane"]: lane for lane in told["lanes"]}
    assert [(lanes[name]["waiting"], lanes[name]["running"]) for name in lanes] == [(0, 0), (4, 0), (1, 0)]
    (pool,) = told["pools"]
    assert (pool["provider"], pool["model"], pool["slots"], pool["measured"]) == ("fake", "fake", 4, 3)
    assert pool["rate_per_s"] > 0 and pool["call_s"] >= 0.05
    assert lanes["batch"]["eta_s"] >= pool["call_s"] and lanes["batch"]["done_s"] > 0
    assert lanes["realtime"]["done_s"] == 0
    assert (told["all"]["waiting"], told["all"]["in_kafka"]) == (5, None)
    assert told["kafka"]["ok"] is False and "No Kafka broker runs" in told["kafka"]["why"]


async def test_nothing_measured_is_said_to_be_unknown(tmp_path: Path, database: str) -> None:
    async with api_of(tmp_path, database_url=database) as (api, spine):
        spine.engine.draining = True
        await post(api, "a")
        told = (await api.get("/v1/queue")).json()
        place = (await api.get("/v1/requests/a/queue?tenant=t")).json()
    lane = told["lanes"][1]
    assert (lane["waiting"], lane["eta_s"], lane["done_s"], lane["rate_per_s"]) == (1, None, None, None)
    assert (place["position"], place["eta_s"]) == (1, None) and "nothing was answered" in place["why"]


async def test_filters_narrow_and_what_is_in_kafka_has_no_tenant(tmp_path: Path, database: str) -> None:
    async with api_of(tmp_path, database_url=database) as (api, spine):
        await fill(api, spine)
        one = (await api.get("/v1/queue?lane=normal&tenant=u")).json()
        none = (await api.get("/v1/queue?provider=ollama")).json()
    assert [(lane["lane"], lane["waiting"], lane["in_kafka"]) for lane in one["lanes"]] == [("normal", 2, None)]
    assert (none["pools"], none["all"]["waiting"]) == ([], 0)


REFUSED = [
    ("lane=fast", "choose one of realtime, normal, batch"),
    ("lanes=batch", "known are provider, model, lane, tenant"),
    ("tenant=", "empty"),
    ("tenant=a%00", "control character"),
]


async def test_bad_questions_are_told_clearly(tmp_path: Path) -> None:
    async with api_of(tmp_path) as (api, _):
        for query, says in REFUSED:
            reply = await api.get(f"/v1/queue?{query}")
            assert (reply.status_code, says in reply.json()["detail"]) == (422, True), query


async def test_a_request_has_a_place_while_it_waits_and_none_when_it_has_ended(tmp_path: Path, database: str) -> None:
    async with api_of(tmp_path, database_url=database) as (api, spine):
        await fill(api, spine)
        shown = (await api.get("/v1/requests/n2?tenant=t")).json()
        place = (await api.get("/v1/requests/n2/queue?tenant=t")).json()
        done = (await api.get("/v1/requests/done0")).json()
        asked = await api.get("/v1/requests/done0/queue")
        nobody = await api.get("/v1/requests/nobody/queue")
    # one of its own tenant before it, and about one and a half turns of the other tenant; one batch row at a third of a turn
    assert shown["queue"]["position"] == place["position"] == 4
    assert shown["queue"]["eta_s"] > 0
    assert "queue" not in done
    assert (asked.status_code, nobody.status_code) == (409, 404)
    assert "has ended (succeeded)" in asked.json()["detail"] and asked.json()["status_url"].startswith(
        "/v1/requests/done0"
    )


async def test_a_running_one_and_a_delayed_one(tmp_path: Path) -> None:
    slow = {"retry_base_s": 1e6, "retry_cap_s": 1e6, "drain_s": 0.1, "fake_paid": False}
    async with api_of(tmp_path, **slow) as (api, _):
        for n in range(3):
            await api.post("/v1/summarize", json={"content": "One. [fake:sleep:0.3]", "id": f"done{n}"})
        await post(api, "runs", content="x [fake:sleep:60]")
        await post(api, "again", content="x [fake:overloaded*1]")
        runs = await until(api, "runs", lambda told: told["state"] == "calling")
        again = await until(api, "again", lambda told: told["attempts"] == 1 and told["state"] == "waiting")
        waits = (await api.get("/v1/queue")).json()["lanes"][1]
        late = await until(api, "runs", lambda told: told["queue"]["why"])
    assert (runs["queue"]["position"], again["queue"]["position"]) == (0, 1)
    assert again["queue"]["eta_s"] > 60  # not before its next try
    assert (waits["running"], waits["delayed"]) == (1, 1)
    assert (late["queue"]["eta_s"], late["queue"]["why"]) == (None, "it takes longer than any that ended lately")


async def until(api: httpx.AsyncClient, id_: str, fits: Any) -> dict[str, Any]:
    for _ in range(500):
        told = (await api.get(f"/v1/requests/{id_}?tenant=t")).json()
        if fits(told):
            return dict(told)
        await asyncio.sleep(0.02)
    raise AssertionError(told)


async def test_a_stream_of_events_tells_the_place(tmp_path: Path) -> None:
    async with api_of(tmp_path) as (api, spine):
        await fill(api, spine)

        async def first() -> list[str]:
            lines: list[str] = []
            async with api.stream("GET", "/v1/requests/n2/events?tenant=t") as reply:
                async for line in reply.aiter_lines():
                    lines.append(line)
                    if line.startswith("data") and lines[-2].startswith("event: queue"):
                        break
            return lines

        reading = asyncio.create_task(first())
        await asyncio.sleep(0.3)
        spine.engine.draining = False
        spine.engine.look()
        lines = await asyncio.wait_for(reading, 20)
    assert orjson.loads(lines[-1].removeprefix("data: "))["position"] == 4


async def test_a_full_lane_refuses_what_is_new_and_nothing_else(tmp_path: Path, database: str) -> None:
    async with api_of(tmp_path, database_url=database, http_window=4) as (api, spine):
        await fill(api, spine)
        full = await post(api, "new")
        known, done = (
            await post(api, "n1", tenant="u"),
            await api.post("/v1/summarize", json={"content": "One.", "id": "done0"}),
        )
        urgent, bad = await post(api, "urgent", "realtime"), await api.post("/v1/summarize?wait=0", json={"id": "bad"})
        there = await api.get("/v1/requests/new?tenant=t")
        figures = (await api.get("/metrics")).text
    assert (full.status_code, full.headers["content-type"]) == (429, "application/problem+json")
    assert 1 <= int(full.headers["retry-after"]) <= gate.MOST_S
    told = full.json()
    assert (told["error"]["type"], told["lane"], told["waiting"], told["window"]) == ("rate_limited", "normal", 4, 4)
    assert [each.status_code for each in (known, done, urgent, bad, there)] == [202, 200, 202, 422, 404]
    assert 'genai_refused_total{lane="normal"} 1.0' in figures


async def test_who_is_taken_meanwhile_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks: a burst does not slip in."""
    monkeypatch.setattr(gate, "FRESH_S", 60.0)
    monkeypatch.setattr(gate, "_STALE_S", 60.0)
    async with api_of(tmp_path, http_window=5) as (api, spine):
        spine.engine.draining = True
        found = [(await post(api, f"a{n}")).status_code for n in range(8)]
    assert found == [202] * 5 + [429] * 3


@pytest.mark.parametrize(
    ("seconds", "chance", "expected"),
    [
        (0.0, 0.9, 1),  # never at once
        (20.0, 0.0, 20),
        (20.0, 0.99, 30),  # half of it more at most
        (1e6, 0.0, 600),  # who waits longer asks again
        (None, 0.0, 10),  # nothing was measured
    ],
)
def test_when_to_come_again(seconds: float | None, chance: float, expected: int) -> None:
    assert gate.retry_after_s(seconds, chance) == expected
