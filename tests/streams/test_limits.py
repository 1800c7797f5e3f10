"""A provider that refuses, over HTTP: two processes' engines on one ledger obey it together."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from providers import fake_server
from providers.double.faults import Behaviour
from providers.fake_server import FakeServer
from schemas.request import Lane
from store.database import Database, parse_url
from store.ledger import limits
from store.ledger.types.arrivals import Arrival
from streams.app import running
from streams.settings import Settings
from streams.spine import Spine
from streams.web.front import Front
from streams.web.health import ready
from streams.where import ledger_url
from tests.parts.ledgers import migrate

POOL = ("fake", "fake:latest")


def settings(folder: Path, **changes: object) -> Settings:
    return Settings(
        data_dir=folder,
        default_provider="fake",
        default_model=POOL[1],
        poll_s=0.1,
        retry_base_s=0.05,
        cache_ttl_s=0.0,  # equal texts, and every one a call
        _env_file=None,
        **{"fake_slots": 16, **changes},
    )


@pytest.fixture
async def spines(tmp_path: Path) -> AsyncIterator[Callable[..., object]]:
    """Two engines, each with a ledger connection and a view of its own."""
    async with AsyncExitStack() as stack:

        async def start(server: FakeServer, **changes: object) -> list[Spine]:
            told = settings(tmp_path, fake_url=server.url, **changes)
            database = Database(parse_url(ledger_url(told)))
            await migrate(database)
            await database.aclose()
            both = [await stack.enter_async_context(running(told, bootstrap=None)) for _ in range(2)]
            for spine in both:
                await spine.engine.pools.ensure(POOL)
            return both

        yield start


def arrivals(spine: Spine, who: str, count: int, content: str = "Apple shipped phones.") -> list[Arrival]:
    made = []
    for i in range(count):
        value = json.dumps({"id": f"{who}-{i}", "input": {"content": content}}).encode()
        ask = spine.decoder.ask("summarize", Lane.NORMAL, value, [], place=f"{who}/{i}", tenant="t")
        made.append(Arrival(ask, None, b"k", value, b"[]"))
    return made


async def until(what: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not what():
            await asyncio.sleep(0.02)


async def test_a_storm_of_429_costs_few_calls_and_no_request(spines: Callable[..., object]) -> None:
    how = Behaviour(latency_s=0.01, most=4, most_wait_s=0.2)
    async with await fake_server.start(how=how) as server:
        one, two = await spines(server)  # type: ignore[misc]
        await one.writer.accept(arrivals(one, "one", 60))
        await two.writer.accept(arrivals(two, "two", 60))
        total = server.counts.total
        await until(lambda: total.finished == 120)
        assert total.refused <= 60, (
            total
        )  # 32 slots for 4 places: without limits, each place taken costs several refusals
        known = await one.database.read(limits.read)
        assert known.pools[POOL].ceiling is not None


async def test_retry_after_stops_every_process(spines: Callable[..., object]) -> None:
    async with await fake_server.start(how=Behaviour(latency_s=0.01)) as server:
        one, two = await spines(server)  # type: ignore[misc]
        await one.writer.accept(arrivals(one, "asked-to-wait", 1, "[fake:rate_limited:1.5*1]"))
        while not (await one.database.read(limits.read)).pools:  # committed: now nobody begins a call
            await asyncio.sleep(0.01)
        await two.writer.accept(arrivals(two, "others", 20))
        await asyncio.sleep(0.5)
        assert server.counts.total.finished == 0
        await until(lambda: server.counts.total.finished == 21)


async def test_a_dead_node_is_left_alone_and_comes_back(spines: Callable[..., object], monkeypatch) -> None:
    monkeypatch.setattr("store.ledger.throttle.SHUT_S", 0.5)
    async with await fake_server.start(how=Behaviour(latency_s=0.01)) as server:
        one, _ = await spines(server, fake_slots=1)  # type: ignore[misc]
        away = arrivals(one, "first", 1, "[fake:overloaded*6]")
        await one.writer.accept(away)
        await until(lambda: server.counts.total.refused == 6)
        await until(lambda: server.counts.total.finished == 1)
        while (await one.database.read(limits.read)).doors:  # open again with the answer's commit
            await asyncio.sleep(0.01)


async def test_a_node_that_only_times_out_is_left_alone_and_ready_tells_it(
    spines: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every process; it is no reason to send requests elsewhere, so they stay ready."""
    monkeypatch.setattr("store.ledger.throttle.SHUT_S", 1.5)
    monkeypatch.setattr("agents.engine.gates.PATIENT_S", 0.1)
    async with await fake_server.start(how=Behaviour(latency_s=0.01)) as server:
        one, two = await spines(  # type: ignore[misc]
            server, fake_slots=1, fake_paid=False, default_timeout_s=0.2, retry_cap_s=0.1
        )
        front, other = (Front(spine.settings, "web", spine=spine) for spine in (one, two))
        assert ready(front)[1]["parts"].get("nodes") is None
        await one.writer.accept(arrivals(one, "hangs", 2, "[fake:timed_out]"))  # three tries each
        await until(lambda: one.engine.pools.gates.shut() != [])
        told = ready(front)
        assert (told[0], told[1]["parts"]["nodes"]["needed"]) == (True, False)
        assert server.url in told[1]["parts"]["nodes"]["why"]
        assert server.counts.total.started >= 5
        await two.writer.accept(arrivals(two, "others", 3))
        await until(lambda: "nodes" in ready(other)[1]["parts"])
        await until(lambda: server.counts.total.finished == 3)
        await until(lambda: "nodes" not in ready(front)[1]["parts"])


async def test_a_minutes_calls_are_shared_and_whoever_waits_for_the_next_one_leaves_at_once(
    spines: Callable[..., object], monkeypatch
) -> None:
    monkeypatch.setattr("store.ledger.quotas.now", lambda _: 30.0)  # this minute never ends
    async with await fake_server.start(how=Behaviour(latency_s=0.01)) as server:
        one, two = await spines(server, limits={"fake/*": {"rpm": 10}}, drain_s=30.0)  # type: ignore[misc]
        await one.writer.accept(arrivals(one, "one", 10))
        await two.writer.accept(arrivals(two, "two", 10))
        await until(lambda: server.counts.total.finished == 10)
        await asyncio.sleep(0.3)
        assert server.counts.total.started == 10
        async with asyncio.timeout(10):
            for spine in (one, two):
                await spine.engine.drain(30.0)
