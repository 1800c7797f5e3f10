"""Anthropic's provider against a server that we have not written: llama.cpp speaks Messages too (`xllamacpp`)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from providers.anthropic import AnthropicProvider
from providers.calls import ChatAnswer, ChatCall, Delta, Message
from providers.embedded import llama, wheels
from providers.errors import ContextTooLong

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def address() -> Any:
    """One server, loaded once, at a port of its own."""
    xllamacpp = wheels.module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = str(wheels.file(*llama.FILE))
    params.n_ctx, params.n_parallel = 1024, 1
    params.n_batch = params.n_ubatch = 128
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.fit_params = False
    params.cache_ram_mib = 0
    params.verbosity = 0
    server = xllamacpp.Server(params)
    yield server.listening_address
    del server


@pytest.fixture
async def real(address: str) -> AsyncIterator[AnthropicProvider]:
    provider = AnthropicProvider(None, address, slots=1, chat_model="smollm2")
    yield provider
    await provider.aclose()


def _call(text: str, **wishes: Any) -> ChatCall:
    wishes = {"max_tokens": 12, "temperature": 0.0} | wishes
    return ChatCall("smollm2", (Message("system", "Be short."), Message("user", text)), 60.0, **wishes)


async def _ask(real: AnthropicProvider, text: str, **wishes: Any) -> ChatAnswer:
    return await real.chat(_call(text, **wishes), real.nodes()[0])


async def test_a_real_answer_is_the_same_whole_and_in_pieces(real: AnthropicProvider) -> None:
    pieces: list[Delta] = []
    whole = await _ask(real, "What is the capital of France? Answer in one word.")
    read = await _ask(real, "What is the capital of France? Answer in one word.", on_delta=pieces.append)
    assert (read.text, read.finish_reason, read.spent.output_tokens) == (
        whole.text,
        whole.finish_reason,
        whole.spent.output_tokens,
    )
    assert "".join(piece.text for piece in pieces) == whole.text
    assert len(pieces) > 1
    assert whole.spent.input_tokens > 10


async def test_a_real_answer_is_cut_at_max_tokens(real: AnthropicProvider) -> None:
    answer = await _ask(real, "Tell me a long story about foxes.", max_tokens=3)
    assert (answer.finish_reason, answer.spent.output_tokens) == ("length", 3)


async def test_a_server_that_passes_a_tool_over_has_its_words_shown_as_they_are(real: AnthropicProvider) -> None:
    """SmolLM2's template has no tools, so llama.cpp drops even one that must be called: whoever asked checks the answer."""
    schema = {"type": "object", "properties": {"label": {"enum": ["billing", "shipping"]}}, "required": ["label"]}
    pieces: list[Delta] = []
    answer = await _ask(real, "My parcel is late. Label it.", schema=schema, on_delta=pieces.append)
    assert answer.text.strip()
    assert answer.tool_calls == ()
    assert "".join(piece.text for piece in pieces) == answer.text


async def test_a_real_refusal_of_a_long_prompt_has_its_figures(real: AnthropicProvider) -> None:
    with pytest.raises(ContextTooLong) as caught:
        await _ask(real, "fox " * 3000)
    assert caught.value.details["prompt_tokens"] > caught.value.details["context_tokens"] == 1024


async def test_a_real_server_is_told_when_nobody_waits_any_more(real: AnthropicProvider) -> None:
    """The next call on its only slot does not wait for 900 tokens (20 s)."""
    task = asyncio.create_task(_ask(real, "Tell me a long story about foxes.", max_tokens=900, on_delta=lambda _: None))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(15):
        await _ask(real, "Hello.", max_tokens=1)


async def test_its_models_are_listed(real: AnthropicProvider) -> None:
    assert len(await real.models()) == 1
    shelf = await real.shelf()
    assert [model.kind for model in shelf.models] == ["chat"]
