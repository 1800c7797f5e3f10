"""A pool's nodes: each one pulls, loads and unloads for itself, and says for itself what went wrong."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson
import pytest

from providers import fake_server
from providers.double.faults import Behaviour
from providers.double.http1 import Response
from providers.fake_server import FakeServer
from providers.ollama_pool import Done, OnNode, Pool, Progress

pytestmark = pytest.mark.fast

NOBODY = "http://127.0.0.1:1"
Start = Callable[..., Awaitable[Any]]


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with await fake_server.start(
        how=Behaviour(holds=2), models=("a:latest", "b:latest", "x-embed:latest")
    ) as made:
        yield made


@pytest.fixture
async def pool(server: FakeServer) -> AsyncIterator[Pool]:
    made = Pool((server.url, NOBODY), num_ctx=512, keep_alive="7m")
    yield made
    await made.aclose()


async def _loaded(pool: Pool, server: FakeServer) -> set[str]:
    found, _ = await pool.models((server.url,))
    return {each.model for each in found if each.loaded}


async def test_a_pull_tells_how_far_it_is_and_the_model_is_there(pool: Pool, server: FakeServer) -> None:
    """And the node that is away keeps nobody waiting."""
    told: list[Progress] = []
    ends = await pool.pull(pool.nodes(), "c", told.append, 10.0)
    assert (ends[0], ends[1].node) == (Done(server.url), NOBODY)
    assert "No connection to" in (ends[1].why or "")
    assert (told[0].status, told[-1].status) == ("pulling manifest", "success")
    sizes = [(each.completed, each.total) for each in told if each.total]
    assert sizes == sorted(sizes)
    assert sizes[-1][0] == sizes[-1][1] > sizes[0][0]
    assert "c:latest" in {each.model for each in (await pool.models((server.url,)))[0]}


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("nope:7b", "finds no `nope:7b` in its registry"),
        ("lost", "stopped before `lost` was whole"),  # the connection ends in the middle
    ],
)
async def test_a_pull_that_fails_says_why(pool: Pool, server: FakeServer, model: str, words: str) -> None:
    (end,) = await pool.pull((server.url,), model, lambda _: None, 10.0)
    assert words in (end.why or "") or "ended the connection before" in (end.why or "")
    assert model not in {each.model.removesuffix(":latest") for each in (await pool.models((server.url,)))[0]}


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Response(b'{"status":"pulling manifest"}\n{"error":"no space left on device"}\n'), "no space left on device"),
        (Response(b'{"status":"pulling manifest"}\n'), "stopped before"),
        (Response(b'{"error":"unauthorized"}', 401), "unauthorized"),
        (Response(b"404 page not found", 404, "text/plain"), "not an Ollama's"),
        (Response(b"<html>\n"), "is not JSON"),
    ],
)
async def test_what_a_node_may_say_instead(reply: Response, words: str, replay: Start) -> None:
    replayed = await replay(reply)
    pool = Pool((replayed.url,))
    (end,) = await pool.pull(pool.nodes(), "m", lambda _: None, 5.0)
    await pool.aclose()
    assert words in (end.why or "")


async def test_a_model_is_loaded_and_unloaded(pool: Pool, server: FakeServer) -> None:
    """One that embeds too; unloading what is not loaded changes nothing."""
    assert await _loaded(pool, server) == set()
    for model in ("a", "x-embed"):
        assert await pool.warm((server.url,), model, None, 10.0) == [Done(server.url)]
    assert await _loaded(pool, server) == {"a:latest", "x-embed:latest"}
    for model in ("x-embed", "x-embed", "b"):
        assert await pool.unload((server.url,), model, 10.0) == [Done(server.url)]
    assert await _loaded(pool, server) == {"a:latest"}


async def test_a_model_is_loaded_as_calls_will_want_it(replay: Start) -> None:
    """With another context, the first call would load it again."""
    replayed = await replay("chat_load_only")
    pool = Pool((replayed.url,), num_ctx=512, keep_alive="7m")
    assert await pool.warm(pool.nodes(), "smol", None, 5.0) == [Done(replayed.url)]
    assert await pool.warm(pool.nodes(), "smol", "-1", 5.0) == [Done(replayed.url)]
    await pool.aclose()
    sent = [orjson.loads(each.body) for each in replayed.requests]
    usual = {"model": "smol", "messages": [], "options": {"num_ctx": 512}}
    assert sent == [usual | {"keep_alive": "7m"}, usual | {"keep_alive": -1}]


async def test_a_recorded_unload_is_read_and_asked_for_as_it_was_recorded(replay: Start) -> None:
    """By its word Ollama 0.17.4 unloads: a chat of nothing that is kept for nothing."""
    replayed = await replay("chat_unload", tags="tags", ps="ps_empty")
    pool = Pool((replayed.url,))
    assert await pool.unload(pool.nodes(), "smol", 5.0) == [Done(replayed.url)]
    found, _ = await pool.models(pool.nodes())
    await pool.aclose()
    assert orjson.loads(replayed.requests[0].body) == {"model": "smol", "messages": [], "keep_alive": 0}
    assert found == [OnNode(replayed.url, "smol:latest", loaded=False, on_gpu=False)]


@pytest.mark.parametrize("what", ["warm", "unload"])
async def test_a_model_that_is_not_there_is_named_with_what_to_do(pool: Pool, server: FakeServer, what: str) -> None:
    (end,) = await (
        pool.warm((server.url,), "nope", None, 5.0) if what == "warm" else pool.unload((server.url,), "nope", 5.0)
    )
    assert "has no model `nope`" in (end.why or "")
    assert "genai-spine models pull nope" in (end.why or "")


async def test_a_pull_that_is_given_up_ends_at_once(replay: Start) -> None:
    """A node that says nothing more keeps nobody."""
    async with await fake_server.start(how=Behaviour()) as server:
        pool = Pool((server.url,))
        task = asyncio.create_task(pool.pull(pool.nodes(), "c", lambda _: task.cancel(), 60.0))
        with pytest.raises(asyncio.CancelledError):
            await task
        await pool.aclose()


async def test_what_each_node_has(pool: Pool, server: FakeServer) -> None:
    found, ends = await pool.models(pool.nodes())
    assert found == [OnNode(server.url, name, False, False) for name in ("a:latest", "b:latest", "x-embed:latest")]
    assert [(each.node, each.why is None) for each in ends] == [(server.url, True), (NOBODY, False)]
