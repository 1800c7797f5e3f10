"""The double loads and throws out models as an Ollama does, and counts it."""

import asyncio

import httpx
import pytest

from providers import fake_server
from providers.calls import ChatCall, Message
from providers.double.faults import Behaviour
from providers.double.loading import Loading
from providers.ollama import OllamaProvider

pytestmark = pytest.mark.fast

MODELS = ("a:latest", "b:latest", "c:latest")


def test_what_was_used_longest_ago_goes_and_what_is_called_stays() -> None:
    now = [0.0]
    memory = Loading(2, 5.0, lambda: now[0])
    assert (memory.begin("a"), memory.begin("b")) == (5.0, 5.0)
    now[0] = 1.0
    assert (memory.begin("a"), memory.may_begin("c")) == (4.0, False)  # it is still being loaded; both are in use
    memory.end("b")
    assert (memory.may_begin("c"), memory.begin("c"), list(memory.ready_at)) == (True, 5.0, ["a", "c"])
    assert memory.loads == {"a": 1, "b": 1, "c": 1}


async def test_a_server_that_holds_one_model_loads_the_next_and_says_so() -> None:
    how = Behaviour(holds=1, load_s=0.05)
    async with await fake_server.start(how=how, models=MODELS) as server:
        provider = OllamaProvider((server.url,), holds=1)
        [node] = provider.nodes()

        async def chat(model: str) -> float | None:
            answer = await provider.chat(ChatCall(model, (Message("user", "hello"),), 10.0), node)
            return answer.spent.load_s

        loads = [await chat(model) for model in ("a:latest", "a:latest", "b")]
        assert [round(seconds or 0, 2) for seconds in loads] == [0.05, 0.0, 0.05]
        assert await provider.loaded(node) == {"b:latest": False}
        together = await asyncio.gather(*(chat(model) for model in ("a", "c", "a")))
        assert all(seconds is not None for seconds in together)
        async with httpx.AsyncClient() as client:
            counts = (await client.get(f"{server.url}/_counts?requests=0")).json()
        assert (counts["loads"]["b:latest"], counts["finished"]) == (1, 6)
        await provider.aclose()


async def test_a_node_that_does_not_answer_is_unknown() -> None:
    provider = OllamaProvider(("http://127.0.0.1:9",))
    assert await provider.loaded(provider.nodes()[0]) is None
    await provider.aclose()
