"""OpenAI's format at a server that we have not written: llama.cpp's own, opened by `xllamacpp` with a key."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from providers.calls import ChatAnswer, ChatCall, Delta, EmbedCall, Message
from providers.config import Server
from providers.embedded import llama, wheels
from providers.errors import ContextTooLong, Refused, Unsupported
from providers.openai import OpenAIProvider

pytestmark = pytest.mark.model

KEY = "sk-real-secret-key"
CONTEXT = 1024
SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["billing", "shipping"]}, "urgent": {"type": "boolean"}},
    "required": ["label", "urgent"],
}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """One server, loaded once, at a port of its own."""
    xllamacpp = wheels.module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = str(wheels.file(*llama.FILE))
    params.model_alias = {"smollm"}
    params.n_ctx, params.n_parallel = CONTEXT, 1
    params.n_batch = params.n_ubatch = 128
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.fit_params = False
    params.cache_ram_mib = 0
    params.verbosity = 0
    params.api_keys = [KEY]
    server = xllamacpp.Server(params)
    yield server.listening_address
    del server


def _server(address: str, **changes: Any) -> OpenAIProvider:
    told = {
        "name": "llamacpp",
        "urls": (f"{address}/v1",),
        "key": KEY,
        "paid": False,
        "setting": "MY_KEY",
        "chat_model": "smollm",
    }
    return OpenAIProvider(Server(**{**told, **changes}))


@pytest.fixture
async def real(address: str) -> AsyncIterator[OpenAIProvider]:
    provider = _server(address)
    yield provider
    await provider.aclose()


async def _ask(real: OpenAIProvider, text: str, **wishes: Any) -> ChatAnswer:
    wishes = {"max_tokens": 12, "temperature": 0.0} | wishes
    return await real.chat(ChatCall("smollm", (Message("user", text),), 60.0, **wishes), real.nodes()[0])


async def test_a_real_answer_is_the_same_whole_and_in_pieces(real: OpenAIProvider) -> None:
    pieces: list[Delta] = []
    counts: list[int] = []
    whole = await _ask(real, "Tell me about foxes.", seed=1)
    read = await _ask(real, "Tell me about foxes.", seed=1, on_delta=pieces.append, on_tokens=counts.append)
    assert (read.text, read.finish_reason, read.spent.output_tokens, read.spent.estimated) == (
        whole.text,
        whole.finish_reason,
        whole.spent.output_tokens,
        False,
    )
    assert ("".join(piece.text for piece in pieces), len(pieces) > 3, counts == sorted(counts)) == (
        whole.text,
        True,
        True,
    )
    assert read.spent.gpu_seconds is not None


async def test_a_real_schema_is_enforced(real: OpenAIProvider) -> None:
    answer = await _ask(real, "My parcel is late. Label it.", schema=SCHEMA, max_tokens=60)
    parsed = json.loads(answer.text)
    assert (parsed["label"] in ("billing", "shipping"), type(parsed["urgent"])) == (True, bool)


async def test_real_log_probabilities_are_of_the_tokens_of_the_text(real: OpenAIProvider) -> None:
    pieces: list[Delta] = []
    answer = await _ask(real, "Name a colour.", logprobs=2, on_delta=pieces.append)
    assert answer.logprobs is not None
    assert "".join(entry["token"] for entry in answer.logprobs).startswith(answer.text[:5])
    assert all(len(entry["top_logprobs"]) == 2 for entry in answer.logprobs)
    assert tuple(entry for piece in pieces for entry in piece.logprobs) == answer.logprobs


@pytest.mark.parametrize("told", [None, lambda _: None], ids=["whole", "told"])
async def test_a_real_refusal_of_a_long_prompt_has_its_figures(real: OpenAIProvider, told: Any) -> None:
    with pytest.raises(ContextTooLong) as caught:
        await _ask(real, "fox " * 3000, on_tokens=told)
    assert (caught.value.details["context_tokens"], caught.value.details["prompt_tokens"] > 3000) == (CONTEXT, True)


async def test_a_real_refusal_of_a_wrong_key_does_not_show_it(address: str) -> None:
    wrong = _server(address, key="sk-quite-wrong-key")
    with pytest.raises(Refused, match="set MY_KEY") as caught:
        await _ask(wrong, "hello")
    await wrong.aclose()
    assert "sk-quite" not in repr(caught.value)


async def test_what_a_real_server_was_not_started_for_it_does_not_support(real: OpenAIProvider) -> None:
    with pytest.raises(Unsupported, match="does not support embeddings"):
        await real.embed(EmbedCall("smollm", ("a fox",), 10.0), real.nodes()[0])


async def test_a_real_server_tells_its_model_and_its_context(real: OpenAIProvider) -> None:
    shelf = await real.shelf()
    assert [(model.name, model.context_tokens) for model in shelf.models] == [("smollm", CONTEXT)]


async def test_a_real_server_is_told_when_nobody_waits_any_more(real: OpenAIProvider) -> None:
    """The next call on its only slot does not wait for 900 tokens (20 s)."""
    task = asyncio.create_task(_ask(real, "Tell me a long story.", max_tokens=900, on_delta=lambda _: None))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(15):
        await _ask(real, "Hello.", max_tokens=1)
