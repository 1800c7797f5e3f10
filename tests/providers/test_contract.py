"""What every provider promises, as one table: a row is a claim, a column a provider.

A new provider gets a column in `SUBJECTS` and passes every claim.
"""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from providers import fake, fake_server, local, ollama
from providers.base import (
    ChatCall,
    ContextTooLong,
    Delta,
    EmbedCall,
    Message,
    ModelNotFound,
    Provider,
    TimedOut,
)
from providers.double.faults import FAULTS, Behaviour

SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["billing", "shipping"]}, "urgent": {"type": "boolean"}},
    "required": ["label", "urgent"],
    "additionalProperties": False,
}


@dataclass
class Subject:
    """A provider and how to make it slow: by a directive, or (the real model) by a long answer."""

    provider: Provider
    slow: str = "[fake:sleep:30] a story"
    endless: str = "[fake:gate] Tell me a long story about foxes."
    """It stops after its first piece, or its answer is long."""

    @property
    def node(self) -> str:
        return self.provider.nodes()[0]

    def call(self, text: str, timeout_s: float = 60.0, **wishes: object) -> ChatCall:
        model = wishes.pop("model", self.provider.default_model("chat"))
        return ChatCall(model, (Message("user", text),), timeout_s, **wishes)  # type: ignore[arg-type]

    def vectors(self, *texts: str, timeout_s: float = 60.0) -> EmbedCall:
        return EmbedCall(self.provider.default_model("embed"), texts, timeout_s)


@asynccontextmanager
async def _in_process() -> AsyncIterator[Subject]:
    yield Subject(fake.FakeProvider(Behaviour(context_tokens=2000)))


@asynccontextmanager
async def _at_server() -> AsyncIterator[Subject]:
    async with await fake_server.start(how=Behaviour(context_tokens=2000)) as server:
        provider = fake.at_server(server.url)
        yield Subject(provider)
        await provider.aclose()


@asynccontextmanager
async def _ollama() -> AsyncIterator[Subject]:
    async with await fake_server.start(how=Behaviour(context_tokens=2000)) as server:
        provider = ollama.OllamaProvider((server.url,), num_ctx=2048)
        yield Subject(provider)
        await provider.aclose()


@asynccontextmanager
async def _local() -> AsyncIterator[Subject]:
    provider = local.LocalProvider(threads=1)
    yield Subject(provider, slow="Tell me a long story about foxes.", endless="Tell me a long story about foxes.")
    await provider.aclose()


SUBJECTS = [
    pytest.param(_in_process, id="fake", marks=pytest.mark.fast),
    pytest.param(_at_server, id="fake-server", marks=pytest.mark.fast),
    pytest.param(_ollama, id="ollama", marks=pytest.mark.fast),
    pytest.param(_local, id="local", marks=pytest.mark.model),
]


@pytest.fixture(params=SUBJECTS)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    async with request.param() as made:
        yield made


async def test_answers_a_chat_and_says_what_it_used(subject: Subject) -> None:
    """Text, a finish reason, and the provider's own counts."""
    answer = await subject.provider.chat(subject.call("Say hello to the foxes.", max_tokens=40), subject.node)
    assert answer.text.strip()
    assert answer.finish_reason in ("stop", "length")
    assert (answer.spent.input_tokens > 0, answer.spent.output_tokens > 0, answer.spent.estimated) == (
        True,
        True,
        False,
    )


async def test_the_answer_is_the_same_whether_anybody_is_told_of_its_tokens(subject: Subject) -> None:
    """Text, end and counts; what is told grows, and is no more than was used in the end."""
    told: list[int] = []
    wishes: dict[str, object] = {"max_tokens": 20, "temperature": 0.0, "seed": 1}
    quiet = await subject.provider.chat(subject.call("Tell me a long story about foxes.", **wishes), subject.node)
    heard = await subject.provider.chat(
        subject.call("Tell me a long story about foxes.", on_tokens=told.append, **wishes), subject.node
    )
    assert (heard.text, heard.finish_reason, heard.spent.input_tokens, heard.spent.output_tokens) == (
        quiet.text,
        quiet.finish_reason,
        quiet.spent.input_tokens,
        quiet.spent.output_tokens,
    )
    assert told == sorted(told)
    assert all(0 <= count <= heard.spent.output_tokens + 1 for count in told)


async def test_joined_the_pieces_that_a_reader_is_told_are_the_answer(subject: Subject) -> None:
    """And it is the answer that nobody reads along."""
    wishes: dict[str, object] = {"max_tokens": 20, "temperature": 0.0, "seed": 1}
    text = "Tell me a long story about foxes, bread and the sea."
    quiet = await subject.provider.chat(subject.call(text, **wishes), subject.node)
    for on_tokens in (None, lambda _: None):
        told: list[Delta] = []
        call = subject.call(text, on_delta=told.append, on_tokens=on_tokens, **wishes)
        read = await subject.provider.chat(call, subject.node)
        assert (read.text, read.finish_reason) == (quiet.text, quiet.finish_reason)
        assert "".join(delta.text for delta in told) == read.text
        assert len(told) > 3
        assert all(delta.text for delta in told)


async def test_the_first_piece_comes_before_the_last_is_made(subject: Subject) -> None:
    """The answer ends only because its reader leaves after the first piece, and nothing is told after that."""
    await subject.provider.chat(subject.call("warm up", max_tokens=1), subject.node)
    loop, told = asyncio.get_running_loop(), asyncio.Queue[Delta]()
    call = subject.call(
        subject.endless, max_tokens=400, on_delta=lambda delta: loop.call_soon_threadsafe(told.put_nowait, delta)
    )
    task = asyncio.create_task(subject.provider.chat(call, subject.node))
    assert (await asyncio.wait_for(told.get(), 30)).text
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.fast
async def test_what_waits_at_the_gate_goes_on_when_it_is_opened() -> None:
    """In the process and at the server: whoever reads along has had a piece, and gets the others."""
    how = Behaviour()
    async with await fake_server.start(how=how) as server, httpx.AsyncClient() as client:
        here, there = fake.FakeProvider(how), fake.at_server(server.url)
        for provider in (here, there):
            told: list[str] = []
            first = asyncio.Event()

            def hear(delta: Delta, told: list[str] = told, first: asyncio.Event = first) -> None:
                told.append(delta.text)
                first.set()

            call = Subject(provider).call("[fake:gate] Tell me about foxes.", on_delta=hear)
            task = asyncio.create_task(provider.chat(call, provider.nodes()[0]))
            await asyncio.wait_for(first.wait(), 30)
            assert told == ["Tell "]
            if provider is here:
                here.open()
            else:
                await client.post(f"{server.url}/_open")
            assert (await task).text == "".join(told) == "Tell me about foxes."
        await there.aclose()


@pytest.mark.fast
@pytest.mark.parametrize("make", [_in_process, _at_server], ids=["fake", "fake-server"])
@pytest.mark.parametrize("fault", ["cut", "stalled"])
async def test_an_answer_that_breaks_off_has_told_its_first_pieces(fault: str, make: Callable[[], object]) -> None:
    told: list[Delta] = []
    async with make() as subject:  # type: ignore[attr-defined]
        call = subject.call(f"[fake:{fault}] one two three four five six seven eight", 0.5, on_delta=told.append)
        with pytest.raises(FAULTS[fault].error):
            await subject.provider.chat(call, subject.node)
    text = "".join(delta.text for delta in told)
    assert "one two three four five six seven eight".startswith(text.strip())
    assert text.startswith("one two three")


@pytest.mark.parametrize("make", [_in_process, _at_server, _local], ids=["fake", "fake-server", "local"])
async def test_tokens_are_told_while_the_answer_is_made(make: Callable[[], object]) -> None:
    told: list[tuple[float, int]] = []
    began = time.perf_counter()
    async with make() as subject:  # type: ignore[attr-defined]
        text = "[fake:sleep:0.6] a story" if subject.provider.name == "fake" else subject.slow
        call = subject.call(text, max_tokens=60, on_tokens=lambda n: told.append((time.perf_counter() - began, n)))
        await subject.provider.chat(call, subject.node)
    ended = time.perf_counter() - began
    early = [count for at, count in told if at < ended - 0.1]
    assert len(set(early)) >= 2


async def test_a_schema_is_enforced(subject: Subject) -> None:
    """A whole answer is an instance of the schema; what a person wrote in it does not matter."""
    call = subject.call("My parcel has not arrived. Label it.", schema=SCHEMA, max_tokens=80)
    answer = await subject.provider.chat(call, subject.node)
    parsed = json.loads(answer.text)
    assert (set(parsed), parsed["label"] in ("billing", "shipping"), type(parsed["urgent"])) == (
        {"label", "urgent"},
        True,
        bool,
    )


async def test_vectors_keep_the_order_of_the_texts_and_have_unit_length(subject: Subject) -> None:
    """Each text's vector is the same alone, in any company."""
    texts = ["My parcel has not arrived.", "How to bake bread at home, with much patience.", "x"]
    together = await subject.provider.embed(subject.vectors(*texts), subject.node)
    alone = [(await subject.provider.embed(subject.vectors(text), subject.node)).vectors[0] for text in texts]
    assert [math.hypot(*vector) for vector in together.vectors] == pytest.approx([1.0] * 3, abs=1e-5)
    for one, other in zip(together.vectors, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert together.spent.input_tokens > 0


async def test_max_tokens_cuts_and_says_so(subject: Subject) -> None:
    answer = await subject.provider.chat(subject.call("Tell me a long story about foxes.", max_tokens=3), subject.node)
    assert (answer.finish_reason, answer.spent.output_tokens) == ("length", 3)


async def test_an_unknown_model_is_answered_with_the_names_of_the_known(subject: Subject) -> None:
    for attempt in (
        subject.provider.chat(subject.call("hello", model="nope"), subject.node),
        subject.provider.embed(EmbedCall("nope", ("hello",), 5.0), subject.node),
    ):
        with pytest.raises(ModelNotFound) as caught:
            await attempt
        known = await subject.provider.models()
        assert known
        assert all(name in str(caught.value) for name in (*known, "nope"))
        assert (caught.value.maybe_paid, caught.value.another_try_may_help) == (False, False)


@pytest.mark.parametrize("text", ["fox " * 6000, "The quick brown fox jumps. " * 190_000], ids=["24 kB", "5 MB"])
async def test_a_prompt_above_the_context_is_refused_with_both_figures(subject: Subject, text: str) -> None:
    """In well under a second, and the event loop goes on meanwhile."""
    await subject.provider.chat(subject.call("warm up", max_tokens=1), subject.node)
    longest, began = await _longest_pause(_refused(subject, text))
    assert longest < 3  # seconds: no measure of speed, only that the loop is not stuck
    assert began < 3.0


async def _refused(subject: Subject, text: str) -> None:
    traits = subject.provider.traits
    for attempt, known in (
        (subject.provider.chat(subject.call(text), subject.node), traits.context_tokens),
        (subject.provider.embed(subject.vectors("short", text), subject.node), traits.embed_context_tokens),
    ):
        with pytest.raises(ContextTooLong) as caught:
            await attempt
        figures = caught.value.details
        assert figures["prompt_tokens"] > figures["context_tokens"] > 0
        assert known is None or figures["context_tokens"] <= known  # a model's own may be below its server's setting
        assert str(figures["prompt_tokens"]) in str(caught.value)
        assert str(figures["context_tokens"]) in str(caught.value)


async def _longest_pause(work: Awaitable[None]) -> tuple[float, float]:
    """The longest time for which the loop stood still while `work` ran, and how long it ran, in seconds."""
    task = asyncio.ensure_future(work)
    longest, began = 0.0, time.perf_counter()
    while not task.done():
        before = time.perf_counter()
        await asyncio.sleep(0.001)
        longest = max(longest, time.perf_counter() - before)
    await task
    return longest, time.perf_counter() - began


@pytest.mark.parametrize("told", [None, lambda _: None], ids=["whole", "told"])
async def test_a_call_ends_at_its_time_out(subject: Subject, told: Callable[[int], None] | None) -> None:
    await subject.provider.chat(subject.call("warm up", max_tokens=1), subject.node)
    began = time.perf_counter()
    with pytest.raises(TimedOut) as caught:
        await subject.provider.chat(subject.call(subject.slow, timeout_s=0.2, on_tokens=told), subject.node)
    assert 0.15 < time.perf_counter() - began < 1.0
    assert (caught.value.maybe_paid, caught.value.another_try_may_help) == (True, True)


@pytest.mark.parametrize("told", [None, lambda _: None], ids=["whole", "told"])
async def test_a_cancelled_call_ends_at_once_and_frees_the_model(
    subject: Subject, told: Callable[[int], None] | None
) -> None:
    """The next call on the only slot does not wait for the cancelled one's end."""
    await subject.provider.chat(subject.call("warm up", max_tokens=1), subject.node)
    task = asyncio.create_task(
        subject.provider.chat(subject.call(subject.slow, max_tokens=500, on_tokens=told), subject.node)
    )
    await asyncio.sleep(0.3)
    began = time.perf_counter()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.perf_counter() - began < 0.2
    await subject.provider.chat(subject.call("Again.", max_tokens=1), subject.node)
    assert time.perf_counter() - began < 4.0


async def test_says_what_the_engine_asks_beforehand(subject: Subject) -> None:
    """Nodes, slots, defaults; and both default models are among those that can be called."""
    provider = subject.provider
    names = {name.removesuffix(":latest") for name in await provider.models()}
    for kind in ("chat", "embed"):
        model = provider.default_model(kind)
        assert model.removesuffix(":latest") in names
        assert provider.slots(subject.node, model) >= 1
    assert provider.name in ("fake", "local", "ollama")


async def test_is_closed_twice_without_harm(subject: Subject) -> None:
    await subject.provider.aclose()
    await subject.provider.aclose()


@pytest.mark.fast
@pytest.mark.parametrize("make", [_in_process, _at_server], ids=["fake", "fake-server"])
@pytest.mark.parametrize("told", [None, lambda _: None], ids=["whole", "told"])
@pytest.mark.parametrize("name", sorted(set(FAULTS) - {"unreachable"}))
async def test_every_error_of_the_tree_can_be_provoked(
    name: str, told: Callable[[int], None] | None, make: Callable[[], object]
) -> None:
    """The double in the process and the one over the wire end in the same class, streamed or not."""
    async with make() as subject:  # type: ignore[attr-defined]
        with pytest.raises(FAULTS[name].error) as caught:
            await subject.provider.chat(
                subject.call(f"[fake:{name}] hello", timeout_s=0.3, on_tokens=told), subject.node
            )
        assert type(caught.value) is FAULTS[name].error
        assert str(caught.value)


@pytest.mark.fast
@pytest.mark.parametrize("make", [_in_process, _at_server], ids=["fake", "fake-server"])
@pytest.mark.parametrize("name", ["rate_limited", "rate_limited_date"])
async def test_how_long_to_wait_is_told_in_seconds_either_way(name: str, make: Callable[[], object]) -> None:
    """An HTTP date has whole seconds: up to one is lost."""
    async with make() as subject:  # type: ignore[attr-defined]
        with pytest.raises(FAULTS[name].error) as caught:
            await subject.provider.chat(subject.call(f"[fake:{name}:30] hello"), subject.node)
        assert 28.5 <= caught.value.retry_after_s <= 30
