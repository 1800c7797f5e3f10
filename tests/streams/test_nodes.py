"""Nodes that hold one model at a time, over HTTP: two processes share their slots, calls go where their model is."""

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from providers import fake_server
from providers.double.faults import Behaviour
from providers.fake_server import FakeServer
from schemas.request import Lane
from store.database import Database, parse_url
from store.ledger import homes
from store.ledger.types.arrivals import Arrival
from streams.app import running
from streams.settings import Settings
from streams.spine import Spine
from streams.where import ledger_url
from tests.parts.ledgers import migrate

MODELS = ("a:latest", "b:latest", "c:latest", "d:latest")
SLOTS = 2


def arrivals(spine: Spine, who: str, count: int) -> list[Arrival]:
    """Models in turn, as a mixed stream has them."""
    made = []
    for i in range(count):
        value = json.dumps(
            {
                "id": f"{who}-{i}",
                "input": {"content": "Apple shipped phones."},
                "options": {"model": MODELS[i % len(MODELS)]},
            }
        ).encode()
        ask = spine.decoder.ask("summarize", Lane.NORMAL, value, [], place=f"{who}/{i}", tenant="t")
        made.append(Arrival(ask, None, b"k", value, b"[]"))
    return made


async def started(stack: AsyncExitStack, folder: Path, servers: list[FakeServer], **changes: object) -> list[Spine]:
    told = Settings(
        data_dir=folder,
        default_provider="ollama",
        ollama_url=",".join(server.url for server in servers),
        ollama_slots=SLOTS,
        poll_s=0.1,
        cache_ttl_s=0.0,  # equal texts, and every one a call
        _env_file=None,
        **{"ollama_gather_s": 0.3, "ollama_loaded": 1, **changes},
    )
    database = Database(parse_url(ledger_url(told)))
    await migrate(database)
    await database.aclose()
    both = [await stack.enter_async_context(running(told, bootstrap=None)) for _ in range(2)]
    for spine in both:
        for model in MODELS:
            await spine.engine.pools.ensure(("ollama", model))
    return both


async def until_finished(servers: list[FakeServer], count: int) -> None:
    async with asyncio.timeout(40):
        while sum(server.counts.total.finished for server in servers) < count:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def test_two_processes_never_exceed_a_nodes_slots_and_load_seldom(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("postgres_database") if kind == "postgres" else ""
    how = Behaviour(latency_s=0.02, holds=1, load_s=0.2)
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(await fake_server.start(how=how, models=MODELS)) for _ in range(2)]
        one, two = await started(stack, tmp_path, servers, database_url=url)
        await one.writer.accept(arrivals(one, "one", 60))
        await two.writer.accept(arrivals(two, "two", 60))
        await until_finished(servers, 120)
        loads = sum(sum(server._loading.loads.values()) for server in servers)
        assert [server.counts.max_in_flight <= SLOTS for server in servers] == [True, True]
        assert loads <= 20  # in turn it would be 90: three of four calls find another model
        assert all(server.counts.total.refused == 0 for server in servers)


async def test_a_call_goes_where_its_model_is_loaded(tmp_path: Path) -> None:
    how = Behaviour(latency_s=0.01, holds=1, load_s=0.2)
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(await fake_server.start(how=how, models=MODELS)) for _ in range(2)]
        one, _ = await started(stack, tmp_path, servers)
        for i in range(12):  # one at a time, two models: each has its node
            made = arrivals(one, f"r{i}", 2)
            await one.writer.accept([made[i % 2]])
            await until_finished(servers, i + 1)
        assert sum(sum(server._loading.loads.values()) for server in servers) <= 3
        board = await one.database.write(lambda conn: homes.read(conn, "ollama"))
        open_ = {(place.node, place.model) for place in board.places if place.open}
        loaded = {(s.url, model) for s in servers for model in s.loaded()}
        assert open_ == loaded


def on_gpu(spine: Spine, who: str, count: int) -> list[Arrival]:
    made = []
    for i in range(count):
        options = {"model": MODELS[0], "resource": "gpu"}
        value = json.dumps({"id": f"{who}-{i}", "input": {"content": "Apple shipped."}, "options": options}).encode()
        ask = spine.decoder.ask("summarize", Lane.NORMAL, value, [], place=f"{who}/{i}", tenant="t")
        made.append(Arrival(ask, None, b"k", value, b"[]"))
    return made


async def test_a_request_for_a_gpu_runs_only_where_one_is(tmp_path: Path) -> None:
    how = Behaviour(latency_s=0.02)
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(await fake_server.start(how=how, models=MODELS)) for _ in range(2)]
        has = max(servers, key=lambda server: server.url)  # by name it would be the last that a claim takes
        one, _ = await started(stack, tmp_path, servers, ollama_gpu_nodes=has.url, ollama_loaded=4)
        await one.writer.accept(on_gpu(one, "gpu", 12))
        await until_finished(servers, 12)
        assert has.counts.total.finished == 12


async def test_a_request_for_a_gpu_fails_clearly_where_there_is_none(tmp_path: Path) -> None:
    """The double's models are in memory and none of it is on a GPU."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(await fake_server.start(how=Behaviour(), models=MODELS))
        one, _ = await started(stack, tmp_path, [server], ollama_loaded=4)
        told: asyncio.Future[dict[str, object]] = asyncio.get_running_loop().create_future()
        one.engine.on_end.append(lambda _, body: told.set_result(json.loads(body)))
        await one.writer.accept(on_gpu(one, "gpu", 1))
        found = await asyncio.wait_for(told, 20)
        error = found["error"]
        assert isinstance(error, dict)
        assert (found["status"], error["type"], error["retryable"]) == ("failed", "invalid_request", False)
        assert "no node of ollama has a GPU" in error["message"]
        assert server.counts.total.started == 0
