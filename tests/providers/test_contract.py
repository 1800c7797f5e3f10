"""What every provider promises, as one table: a row is a claim, a column a provider (`tests/providers/columns.py`).

What a model cannot do (`able`) it must refuse by name: so each row holds for each column. How calls fail: `test_contract_faults.py`.
"""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import httpx
import pytest

from providers import fake, fake_server
from providers.calls import ChatAnswer, ChatCall, Delta, EmbedCall, Forced, Image, Message, Tool, ToolCall
from providers.double.faults import Behaviour
from providers.errors import ContextTooLong, ModelNotFound, TimedOut, Unsupported
from schemas.chat import Params
from tests.providers.columns import SUBJECTS, Subject

SCHEMA = {
    "type": "object",
    "properties": {"label": {"type": "string", "enum": ["billing", "shipping"]}, "urgent": {"type": "boolean"}},
    "required": ["label", "urgent"],
    "additionalProperties": False,
}
WEATHER = Tool(
    "weather",
    "The weather in a town",
    {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"], "additionalProperties": False},
)
CLOCK = Tool("clock")
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PARAMS: dict[str, Any] = {
    "top_p": 0.9,
    "top_k": 40,
    "min_p": 0.05,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "logit_bias": {"50256": -100.0},
    "reasoning_effort": "low",
    "verbosity": "low",
    "service_tier": "default",
    "prompt_cache_key": "foxes",
    "user": "feedspine",
}


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
    wishes: dict[str, object] = {"max_tokens": 20, **subject.settled()}
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


async def test_tokens_are_told_while_the_answer_is_made(subject: Subject) -> None:
    told: list[tuple[float, int]] = []
    began = time.perf_counter()
    text = subject.slow.replace("[fake:sleep:30]", "[fake:sleep:0.6]")
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
    """Each text's vector is the same alone, in any company. Who has none says who does."""
    if not subject.embeds:
        with pytest.raises(Unsupported, match="embeddings"):
            await subject.provider.embed(subject.vectors("x"), subject.node)
        return
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
    provider, node = subject.provider, subject.node
    attempts: list[Coroutine[Any, Any, object]] = [provider.chat(subject.call("hello", model="nope"), node)]
    if subject.embeds:
        attempts.append(provider.embed(EmbedCall("nope", ("hello",), 5.0), node))
    for attempt in attempts:
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
    provider, traits = subject.provider, subject.provider.traits
    attempts: list[tuple[Coroutine[Any, Any, object], int | None]] = [
        (provider.chat(subject.call(text), subject.node), traits.context_tokens)
    ]
    if subject.embeds:
        vectors = provider.embed(subject.vectors("short", text), subject.node)
        attempts.append((vectors, traits.embed_context_tokens))
    for attempt, known in attempts:
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
    for kind in ("chat", "embed") if subject.embeds else ("chat",):
        model = provider.default_model(kind)
        assert model.removesuffix(":latest") in names
        assert provider.slots(subject.node, model) >= 1


async def test_is_closed_twice_without_harm(subject: Subject) -> None:
    await subject.provider.aclose()
    await subject.provider.aclose()


async def _answer(subject: Subject, call: ChatCall, can: bool | None, field: str) -> ChatAnswer | None:
    """Answered; or, where the model surely cannot, refused with the field's name: None."""
    if can is not False:
        return await subject.provider.chat(call, subject.node)
    with pytest.raises(Unsupported) as caught:
        await subject.provider.chat(call, subject.node)
    assert caught.value.details["fields"] == [field]
    assert field in str(caught.value)
    return None


def _read(pieces: list[Delta]) -> tuple[str, tuple[ToolCall, ...], tuple[dict[str, Any], ...]]:
    """What somebody who reads along has at the end."""
    calls: dict[int, ToolCall] = {}
    for number, piece in (each for delta in pieces for each in delta.tool_calls):
        before = calls.get(number, ToolCall("", "", ""))
        calls[number] = ToolCall(before.id or piece.id, before.name or piece.name, before.arguments + piece.arguments)
    text = "".join(delta.text for delta in pieces)
    return text, tuple(calls[number] for number in sorted(calls)), tuple(p for d in pieces for p in d.logprobs)


@pytest.mark.parametrize("directive", ["", "[fake:sleep:0.3] ", "[fake:length] "])
async def test_who_reads_along_has_the_answer_in_pieces(subject: Subject, directive: str) -> None:
    pieces: list[Delta] = []
    wishes: dict[str, Any] = {"max_tokens": 20, **subject.settled()}
    quiet = await subject.provider.chat(subject.call(f"{directive}A story about foxes.", **wishes), subject.node)
    read = await subject.provider.chat(
        subject.call(f"{directive}A story about foxes.", on_delta=pieces.append, **wishes), subject.node
    )
    assert (read.text, read.finish_reason) == (quiet.text, quiet.finish_reason)
    assert _read(pieces)[0] == read.text
    assert sum(1 for piece in pieces if piece.text) > 1


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


@pytest.mark.parametrize("reads", [False, True], ids=["whole", "read along"])
async def test_tools_are_asked_for_with_arguments_that_are_json(subject: Subject, reads: bool) -> None:
    """Two at once: each has an id of its own. Pieces joined are the same calls."""
    pieces: list[Delta] = []
    call = subject.call(
        "[fake:tools:2] What is the weather in Bonn, and how late is it?",
        tools=(WEATHER, CLOCK),
        on_delta=pieces.append if reads else None,
    )
    answer = await _answer(subject, call, subject.able().tools, "tools")
    if answer is not None:
        assert (answer.finish_reason, [each.name for each in answer.tool_calls]) == (
            "tool_calls",
            ["weather", "clock"],
        )
        assert [set(json.loads(each.arguments)) for each in answer.tool_calls] == [{"town"}, set()]
        assert len({each.id for each in answer.tool_calls} - {""}) == 2
        assert call.on_delta is None or _read(pieces)[1] == answer.tool_calls


CHOICES: dict[Any, list[str]] = {
    "required": ["weather"],
    Forced("weather"): ["weather"],
    "none": [],
    "auto": [],
    None: [],
}
"""The double asks for a tool only when it must."""


async def _done_or_named(subject: Subject, call: ChatCall, fields: tuple[str, ...]) -> ChatAnswer | None:
    """None: it is refused, by the names of some of the fields."""
    try:
        return await subject.provider.chat(call, subject.node)
    except Unsupported as refusal:
        assert set(refusal.details["fields"]) <= set(fields)
        return None


async def test_the_choice_of_tools_is_passed_on_or_named(subject: Subject) -> None:
    for choice, asked_for in CHOICES.items():
        call = subject.call("Hello to the foxes.", tools=(WEATHER,), tool_choice=choice)
        answer = await _done_or_named(subject, call, ("tools", "tool_choice") if asked_for else ("tools",))
        if answer is not None:
            assert (choice, [each.name for each in answer.tool_calls]) == (choice, asked_for)


async def test_one_tool_at_a_time_is_passed_on_or_named(subject: Subject) -> None:
    call = subject.call("[fake:tools:2] Hello.", tools=(WEATHER, CLOCK), parallel_tool_calls=False)
    answer = await _done_or_named(subject, call, ("tools", "parallel_tool_calls"))
    assert answer is None or [each.name for each in answer.tool_calls] == ["weather"]


async def test_a_chat_in_which_tools_were_called_goes_on(subject: Subject) -> None:
    turns = (
        Message("system", "You tell the weather."),
        Message("user", "What is the weather in Bonn, and how late is it?"),
        Message(
            "assistant",
            "",
            tool_calls=(ToolCall("call_1", "weather", '{"town":"Bonn"}'), ToolCall("call_2", "clock", "{}")),
        ),
        Message("tool", "rain", tool_call_id="call_1"),
        Message("tool", "noon", tool_call_id="call_2"),
    )
    call = subject.call("", messages=turns, tools=(WEATHER, CLOCK), max_tokens=20)
    answer = await _answer(subject, call, subject.able().tools, "tools")
    assert answer is None or (answer.text.strip() and not answer.tool_calls)


async def test_json_mode_gives_an_object(subject: Subject) -> None:
    call = subject.call("Label my parcel, as JSON.", json_mode=True, max_tokens=200)
    able = subject.able()
    can = able.schema if able.json_mode is None else able.json_mode
    answer = await _answer(subject, call, can, "response_format.json_object")
    assert answer is None or answer.finish_reason == "length" or isinstance(json.loads(answer.text), dict)


async def test_a_picture_is_passed_on(subject: Subject) -> None:
    """Words before it and after it keep their places."""
    parts = ("What is this?", Image(PIXEL), "Say it in one word.")
    turn = Message("user", "What is this?\nSay it in one word.", parts)
    call = subject.call("", messages=(turn,), max_tokens=20)
    answer = await _answer(subject, call, subject.able().images, "image_url")
    assert answer is None or answer.text.strip()


@pytest.mark.parametrize("reads", [False, True], ids=["whole", "read along"])
async def test_log_probabilities_are_told_token_by_token(subject: Subject, reads: bool) -> None:
    pieces: list[Delta] = []
    told = pieces.append if reads else None
    call = subject.call("Tell me about foxes.", logprobs=2, max_tokens=10, on_delta=told)
    answer = await _answer(subject, call, subject.able().logprobs, "logprobs")
    if answer is not None:
        assert answer.logprobs is not None
        assert "".join(entry["token"] for entry in answer.logprobs).strip() == answer.text.strip()
        assert all(entry["logprob"] <= 0 and len(entry["top_logprobs"]) == 2 for entry in answer.logprobs)
        assert told is None or _read(pieces)[2] == answer.logprobs


async def test_a_wish_is_passed_on_or_refused_by_its_name(subject: Subject) -> None:
    assert set(PARAMS) == set(Params.model_fields)
    for name, value in PARAMS.items():
        room = 2000 if name == "reasoning_effort" else 5  # thoughts count
        call = subject.call("Say hello.", params={name: value}, max_tokens=room)
        answer = await _answer(subject, call, name in subject.able().params, name)
        assert answer is None or answer.text.strip()


async def test_shorter_vectors_are_made_or_refused(subject: Subject) -> None:
    if not subject.embeds:
        pytest.skip("has no embeddings")
    call = subject.vectors("a fox", "a hound", dimensions=16)
    if "dimensions" in subject.able("embed").params:
        answer = await subject.provider.embed(call, subject.node)
        assert [len(vector) for vector in answer.vectors] == [16, 16]
        assert [math.hypot(*vector) for vector in answer.vectors] == pytest.approx([1.0] * 2, abs=1e-5)
    else:
        with pytest.raises(Unsupported, match="dimensions"):
            await subject.provider.embed(call, subject.node)


@pytest.mark.parametrize("reads", [False, True], ids=["whole", "read along"])
@pytest.mark.parametrize("name", ["refusal", "content_filter", "reasoning"])
async def test_what_is_no_plain_answer_is_told_apart(subject: Subject, name: str, reads: bool) -> None:
    """A refusal and a filter are no errors and no plain answers; what a model thinks aloud is not its text."""
    if name not in subject.tells:
        pytest.skip("its format has no words for it")
    pieces: list[Delta] = []
    told = pieces.append if reads else None
    call = subject.call(f"[fake:{name}] Tell me about foxes.", on_delta=told)
    answer = await subject.provider.chat(call, subject.node)
    if name == "refusal":
        assert answer.refusal or answer.finish_reason == "content_filter"
    elif name == "content_filter":
        assert answer.finish_reason == "content_filter"
    else:
        assert answer.reasoning
        assert answer.reasoning not in answer.text
        assert 0 < answer.spent.reasoning_tokens < answer.spent.output_tokens
        assert told is None or "".join(piece.reasoning for piece in pieces) == answer.reasoning
