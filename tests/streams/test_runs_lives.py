"""Runs whose process dies, is left, is one of two, or is told to stop: on both databases."""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection, func, select

from store.database import Database, parse_url
from store.ledger.types.arrivals import Arrival, CancelAsk
from store.tables import executions, requests
from streams.runs import parts, runner
from streams.settings import Settings
from streams.spine import Spine
from streams.web.front import Front
from tests.parts.ledgers import migrate
from tests.streams.commands import served
from tests.streams.webs import client, opened, web_settings

LINES = {"content-type": "application/x-ndjson"}
ON_BOTH = pytest.mark.parametrize("on", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])


@pytest.fixture
async def url(on: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Of a database whose schema is made."""
    found = (
        f"sqlite:///{tmp_path / 'ledger.db'}" if on == "sqlite" else str(request.getfixturevalue("postgres_database"))
    )
    database = Database(parse_url(found))
    await migrate(database)
    await database.aclose()
    return found


@pytest.fixture
def settings(url: str, tmp_path: Path) -> Settings:
    return web_settings(tmp_path, database_url=url)


def batch(count: int, words: str = "", **more: Any) -> dict[str, Any]:
    texts = [f"Text {number}.{words}" for number in range(count)]
    return {"kind": "workflow", "name": "batch_summarize", "params": {"texts": texts}, **more}


async def ended(api: httpx.AsyncClient, run_id: str, within_s: int = 60) -> dict[str, Any]:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        told: dict[str, Any] = (await api.get(f"/v1/runs/{run_id}?wait=10")).json()
        if told["ended_at"] is not None:
            return told
    raise AssertionError(told)


def _booked(conn: Connection) -> tuple[int, int, int]:
    """Requests, those that were called, and calls."""
    found = conn.execute(
        select(
            select(func.count()).select_from(requests).scalar_subquery(),
            select(func.count(func.distinct(executions.c.request_pk))).scalar_subquery(),
            select(func.count()).select_from(executions).scalar_subquery(),
        )
    ).one()
    return found[0], found[1], found[2]


async def booked(url: str) -> tuple[int, int, int]:
    database = Database(parse_url(url))
    try:
        return await database.read(_booked)
    finally:
        await database.aclose()


@ON_BOTH
async def test_a_process_that_dies_between_accepting_and_knowing_it_repeats_nothing(
    url: str, settings: Settings, tmp_path: Path
) -> None:
    with served(tmp_path / "first", "web", GENAI_DATABASE_URL=url, GENAI_POLL_S="0.1", GENAI_KILL_AT="fed:1") as first:
        at = first.said("the API listens")["url"]
        first.said("ready")
        async with httpx.AsyncClient(base_url=at) as api:
            told = (await api.post("/v1/runs", json=batch(620), timeout=30)).json()
        assert await asyncio.to_thread(first.process.wait, 60) == -signal.SIGKILL
    had = await booked(url)
    async with opened(settings.model_copy(update={"lease_s": 2.0})) as (front, _), client(front) as api:
        run = await ended(api, told["run_id"])
        costs = (await api.get("/v1/costs")).json()["totals"]
        items = [json.loads(line) for line in (await api.get(f"/v1/runs/{told['run_id']}/results")).text.splitlines()]
    assert had[0] == 500  # a part was accepted, and nobody knew
    assert (run["status"], run["progress"]["succeeded"], run["cost_usd"]) == ("succeeded", 620, costs["cost_usd"])
    assert [item["index"] for item in items] == list(range(620))
    assert (await booked(url))[:2] == (620, 620)


@pytest.mark.parametrize("on", ["sqlite"])
async def test_what_was_accepted_of_a_cancelled_run_is_counted_once(
    url: str, settings: Settings, tmp_path: Path
) -> None:
    """Its process died before it knew of a part; then the run was cancelled."""
    slow = {"GENAI_FAKE_LATENCY_S": "0.5", "GENAI_POLL_S": "0.1", "GENAI_KILL_AT": "fed:1"}
    with served(tmp_path / "first", "web", GENAI_DATABASE_URL=url, **slow) as first:
        at = first.said("the API listens")["url"]
        first.said("ready")
        async with httpx.AsyncClient(base_url=at) as api:
            told = (await api.post("/v1/runs", json=batch(1100), timeout=30)).json()
        assert await asyncio.to_thread(first.process.wait, 60) == -signal.SIGKILL
    async with (
        opened(settings.model_copy(update={"lease_s": 2.0, "fake_latency_s": 0.5})) as (front, _),
        client(front) as api,
    ):
        assert (await api.post(f"/v1/runs/{told['run_id']}/cancel")).status_code == 202
        run = await ended(api, told["run_id"])
    counts = run["progress"]
    assert (run["status"], counts["succeeded"] + counts["failed"] + counts["cancelled"]) == ("cancelled", 1100)
    assert (await booked(url))[0] == 500


@ON_BOTH
async def test_two_processes_at_once_feed_a_run_once(settings: Settings, url: str) -> None:
    async with opened(settings) as (one, _), opened(settings) as (two, _), client(one) as a, client(two) as b:
        runs = [(await api.post("/v1/runs", json=batch(60, id=f"run {n}"))).json() for n, api in enumerate((a, b))]
        found = [await ended(api, told["run_id"]) for api, told in zip((b, a), runs, strict=True)]
    assert [(run["status"], run["progress"]["succeeded"]) for run in found] == [("succeeded", 60)] * 2
    assert await booked(url) == (120, 120, 120)


@ON_BOTH
async def test_a_cancel_takes_effect_at_once_while_a_run_is_fed_and_a_retry_finishes_it(
    settings: Settings, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "WINDOW", 120)
    monkeypatch.setattr(parts, "MOST", 60)
    async with opened(settings.model_copy(update={"fake_slots": 4})) as (front, spine), client(front) as api:
        told = (await api.post("/v1/runs", json=batch(300))).json()
        while (await api.get(f"/v1/runs/{told['run_id']}")).json()["progress"]["done"] == 0:
            await asyncio.sleep(0.02)
        # by a record on genai.control, which knows nothing of runs
        await spine.writer.accept([_cancel(told["run_id"])])
        run = await ended(api, told["run_id"])
        calls = (await booked(url))[2]
        assert run["status"] == "cancelled"
        assert calls < 290
        await asyncio.sleep(0.3)
        assert (await booked(url))[2] == calls
        await api.post(f"/v1/runs/{told['run_id']}/retry")
        again = await ended(api, told["run_id"])
    assert (again["status"], again["progress"]["succeeded"]) == ("succeeded", 300)
    requests_, called, _ = await booked(url)
    assert (requests_, called) == (300, 300)


def _cancel(run_id: str) -> Any:
    return Arrival(CancelAsk("default", None, None, run_id), None, None, None, b"[]")


@ON_BOTH
async def test_a_deadline_that_passes_ends_a_run(settings: Settings, url: str) -> None:
    """What was begun in time goes on; a run of which nothing was is expired."""
    at = datetime.now(UTC)
    async with opened(settings.model_copy(update={"fake_slots": 1})) as (front, _), client(front) as api:
        soon, past = [(at + timedelta(seconds=seconds)).isoformat() for seconds in (2.0, -1.0)]
        runs = [
            (await api.post("/v1/runs", json=batch(20, " [fake:sleep:3]", deadline=deadline))).json()
            for deadline in (soon, past)
        ]
        late, never = [await ended(api, told["run_id"]) for told in runs]
    assert late["progress"]["succeeded"] + late["progress"]["cancelled"] == 20
    assert late["progress"]["cancelled"] >= 18
    assert (never["status"], never["progress"]["cancelled"]) == ("expired", 20)


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[tuple[Front, Spine]]:
    async with opened(web_settings(tmp_path, request_max_bytes=4096)) as made:
        yield made


async def test_an_upload_that_breaks_off_is_cancelled_and_not_taken_for_whole(process: tuple[Front, Spine]) -> None:
    async def broken() -> AsyncIterator[bytes]:
        for number in range(600):
            yield f'"Text {number}."\n'.encode()
        raise ConnectionResetError

    async with client(process[0]) as api:
        with contextlib.suppress(ConnectionResetError):
            await api.post("/v1/runs?name=batch_summarize&id=broken", content=broken(), headers=LINES)
        run = await ended(api, "broken")
        retried = await api.post("/v1/runs/broken/retry")
        again = await api.post("/v1/runs?name=batch_summarize&id=broken", content='"x"', headers=LINES)
    assert (run["status"], retried.status_code, again.status_code) == ("cancelled", 409, 409)
    assert "broke off after" in run["note"]
    assert "broke off" in retried.json()["detail"]
    assert "broke off" in again.json()["detail"]


async def test_the_same_upload_is_the_same_run_and_another_one_a_conflict(process: tuple[Front, Spine]) -> None:
    async with client(process[0]) as api:
        at = "/v1/runs?name=batch_summarize&idempotency_key=k&wait=30"
        first, again = [(await api.post(at, content='"One."\n"Two."', headers=LINES)).json() for _ in range(2)]
        other = await api.post(at, content='"One."\n"Three."', headers=LINES)
    assert (first["run_id"], other.status_code) == (again["run_id"], 409)
    assert "made of other lines" in other.json()["detail"]


async def test_a_request_that_only_names_a_run_is_none_of_its_items(process: tuple[Front, Spine]) -> None:
    async with client(process[0]) as api:
        await api.post("/v1/summarize", json={"content": "Alone.", "run_id": "r", "id": "alone"})
        told = (await api.post("/v1/runs?wait=30", json=batch(3, id="r"))).json()
        items = (await api.get("/v1/runs/r/items")).json()["items"]
    assert (told["progress"]["succeeded"], [item["index"] for item in items]) == (3, [0, 1, 2])


_MANY = """
import asyncio, json, resource, sys
from pathlib import Path
from streams.web import runs
from tests.streams.webs import client, opened, web_settings

LINES = {"content-type": "application/x-ndjson"}

async def lines(count):
    for number in range(count):
        yield b'"Text %d. ' % number + b'x' * 1000 + b'"\\n'

async def main(folder):
    settings = web_settings(Path(folder), fake_slots=64)
    async with opened(settings) as (front, spine), client(front) as api:
        spine.engine.draining = True  # only fed
        peaks = []
        for count in (2000, 20000):
            reply = await api.post("/v1/runs?name=batch_summarize", content=lines(count), headers=LINES, timeout=120)
            assert reply.json()["progress"]["total"] == count, reply.text
            await api.post(f"/v1/runs/{reply.json()['run_id']}/cancel")
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
    print(json.dumps(peaks))

asyncio.run(main(sys.argv[1]))
"""


def test_twenty_thousand_lines_take_no_more_memory_than_two_thousand(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _MANY, str(tmp_path)], capture_output=True, text=True, timeout=180, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    before, after = json.loads(ran.stdout.splitlines()[-1])
    assert after - before < 40, (before, after)  # MB; the lines alone are 20 MB and once in memory 60
