"""Tools, pictures, thoughts and log probabilities in Ollama's words, and what is refused because it has none for it."""

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest

from providers import fake_server
from providers.base import Able
from providers.calls import ChatCall, Delta, EmbedCall, Forced, Image, Message, Tool, ToolCall
from providers.double.http1 import Response
from providers.errors import Rejected, Unsupported
from providers.ollama import OllamaProvider
from providers.outbound import listed
from tests.providers.test_images import data_url, png

pytestmark = pytest.mark.fast

Ask = Callable[..., ChatCall]
Start = Callable[..., Awaitable[Any]]

WEATHER = Tool("weather", "of a city", {"type": "object", "properties": {"city": {"type": "string"}}})
CAN = {"capabilities": ["completion", "tools", "vision", "thinking"], "model_info": {"llama.context_length": 131072}}
SHOWN = Response(orjson.dumps(CAN))
HELLO = Response(b'{"message":{"role":"assistant","content":"hello"},"done":true,"done_reason":"stop"}')


async def _sent(call: ChatCall, replay: Start, reply: Response = HELLO) -> Any:
    server = await replay(reply)
    server.pages["/api/show"] = SHOWN
    provider = OllamaProvider((server.url,), num_ctx=4096, outbound=listed(["127.0.0.1"]))
    try:
        await provider.chat(call, server.url)
    finally:
        await provider.aclose()
    return orjson.loads(next(each.body for each in server.requests if each.path == "/api/chat"))


async def test_tools_and_what_came_of_them_are_written_as_ollama_reads_them(replay: Start) -> None:
    """Arguments are an object there; a result names its tool, which here only its call does."""
    called = ToolCall("call_1", "weather", '{"city":"Paris"}')
    call = ChatCall(
        "m",
        (
            Message("user", "How is it there?"),
            Message("assistant", "", tool_calls=(called, ToolCall("call_2", "weather", ""))),
            Message("tool", "rain", tool_call_id="call_1"),
        ),
        5.0,
        tools=(WEATHER, Tool("now")),
        parallel_tool_calls=True,
        tool_choice="auto",
    )
    body = await _sent(call, replay)
    empty = {"type": "object", "properties": {}}
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "weather", "description": "of a city", "parameters": WEATHER.parameters},
        },
        {"type": "function", "function": {"name": "now", "description": "", "parameters": empty}},
    ]
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"id": "call_1", "function": {"index": 0, "name": "weather", "arguments": {"city": "Paris"}}},
                {"id": "call_2", "function": {"index": 1, "name": "weather", "arguments": {}}},
            ],
        },
        {"role": "tool", "content": "rain", "tool_call_id": "call_1", "tool_name": "weather"},
    ]


@pytest.mark.parametrize(
    ("wishes", "sent"),
    [
        ({"json_mode": True}, {"format": "json"}),
        ({"logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
        ({"params": {"reasoning_effort": "none"}}, {"think": False}),
        ({"params": {"reasoning_effort": "high"}}, {"think": "high"}),
        ({"tools": (WEATHER,), "tool_choice": "none"}, {}),  # none may be called: none is offered
    ],
)
async def test_wishes_beside_the_options(wishes: dict[str, Any], sent: dict[str, Any], ask: Ask, replay: Start) -> None:
    likely = b'{"message":{"content":"a"},"done":true,"logprobs":[{"token":"a","logprob":-0.5}]}'
    body = await _sent(ask(**wishes), replay, Response(likely))
    usual = {"model", "messages", "stream", "truncate", "shift", "keep_alive", "options"}
    assert {name: value for name, value in body.items() if name not in usual} == sent


async def test_params_are_options_under_the_same_names(ask: Ask, replay: Start) -> None:
    params = {"top_p": 0.5, "top_k": 7, "min_p": 0.1, "frequency_penalty": -1.0, "presence_penalty": 0.0}
    assert (await _sent(ask(params=params), replay))["options"] == {"num_ctx": 4096, **params}


async def test_pictures_go_beside_the_words_fetched_by_us(replay: Start) -> None:
    site = await replay(Response(png(2, 3)))
    parts = ("What is this?", Image(data_url(png(1, 1))), Image(f"{site.url}/a.png", "auto"))
    body = await _sent(ChatCall("m", (Message("user", "What is this?", parts=parts),), 5.0), replay)
    packed = [data_url(each).partition(",")[2] for each in (png(1, 1), png(2, 3))]
    assert body["messages"] == [{"role": "user", "content": "What is this?", "images": packed}]


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"tools": (WEATHER,), "tool_choice": "required"}, ["tool_choice"]),
    ({"tools": (WEATHER,), "tool_choice": Forced("weather")}, ["tool_choice"]),
    ({"tools": (WEATHER,), "parallel_tool_calls": False}, ["parallel_tool_calls"]),
    ({"tools": (Tool("x", strict=True),)}, ["strict"]),
    ({"params": {"reasoning_effort": "xhigh"}}, ["reasoning_effort"]),
    ({"params": {"logit_bias": {"1": 1.0}, "user": "me"}}, ["logit_bias", "user"]),
    ({"params": {"service_tier": "flex"}}, ["service_tier"]),
]


@pytest.mark.parametrize(("wishes", "fields"), REFUSED, ids=[str(row[1]) for row in REFUSED])
async def test_what_ollama_has_no_word_for_is_refused_by_name(
    wishes: dict[str, Any], fields: list[str], ask: Ask, replay: Start
) -> None:
    server = await replay(SHOWN)
    provider = OllamaProvider((server.url,))
    with pytest.raises(Unsupported) as refusal:
        await provider.chat(ask(**wishes), server.url)
    await provider.aclose()
    assert refusal.value.details == {"fields": fields}
    assert all(f"`{name}`" in refusal.value.message for name in fields)
    assert [each.path for each in server.requests if each.path == "/api/chat"] == []


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (Message("user", "hi", name="ann"), ["name"]),
        (Message("user", "hi", parts=("hi", Image(data_url(png(1, 1)), "high"))), ["detail"]),
    ],
)
async def test_what_a_turn_holds_that_ollama_has_no_word_for_is_refused_by_name(
    message: Message, fields: list[str], replay: Start
) -> None:
    server = await replay(SHOWN)
    provider = OllamaProvider((server.url,))
    with pytest.raises(Unsupported) as refusal:
        await provider.chat(ChatCall("m", (message,), 5.0), server.url)
    await provider.aclose()
    assert refusal.value.details == {"fields": fields}


@pytest.mark.parametrize("arguments", ["{", "[]", "3", '"x"'])
async def test_arguments_that_are_no_object_are_refused(arguments: str, replay: Start) -> None:
    turns = (Message("user", "hi"), Message("assistant", "", tool_calls=(ToolCall("call_1", "weather", arguments),)))
    with pytest.raises(Rejected, match="`call_1` are no JSON object"):
        await _sent(ChatCall("m", turns, 5.0), replay)


LINES = [
    {"message": {"content": "", "thinking": "Let me "}, "done": False},
    {"message": {"content": "", "thinking": "see."}, "done": False},
    {
        "message": {"content": "It "},
        "done": False,
        "logprobs": [{"token": "It ", "logprob": -0.5, "bytes": [73, 116, 32]}],
    },
    {
        "message": {"content": "rains."},
        "done": False,
        "logprobs": [{"token": "rains.", "logprob": -1, "top_logprobs": [{"token": "é", "logprob": -2}]}],
    },
    {
        "message": {"content": "", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Rome"}}}]},
        "done": False,
    },
    {
        "message": {"content": "", "tool_calls": [{"id": "call_7", "function": {"index": 1, "name": "now"}}]},
        "done": False,
    },
    {"message": {"content": ""}, "done": True, "done_reason": "stop", "prompt_eval_count": 5, "eval_count": 6},
]
LIKELY = (
    {"token": "It ", "logprob": -0.5, "bytes": [73, 116, 32], "top_logprobs": []},
    {
        "token": "rains.",
        "logprob": -1.0,
        "bytes": list(b"rains."),
        "top_logprobs": [{"token": "é", "logprob": -2.0, "bytes": list("é".encode())}],
    },
)


async def test_a_stream_is_read_with_its_thoughts_calls_and_probabilities(replay: Start, ask: Ask) -> None:
    """Whoever read along has the same, and the same ids, as the whole answer."""
    told: list[Delta] = []
    server = await replay(Response(b"\n".join(map(orjson.dumps, LINES)) + b"\n", kind="application/x-ndjson"))
    provider = OllamaProvider((server.url,))
    answer = await provider.chat(ask(on_delta=told.append), server.url)
    await provider.aclose()
    assert (answer.text, answer.reasoning, answer.finish_reason) == ("It rains.", "Let me see.", "tool_calls")
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [
        ("weather", '{"city":"Rome"}'),
        ("now", "{}"),
    ]
    assert answer.tool_calls[0].id.startswith("call_")
    assert answer.tool_calls[1].id == "call_7"
    assert answer.logprobs == LIKELY
    assert "".join(each.text for each in told) == answer.text
    assert "".join(each.reasoning for each in told) == answer.reasoning
    assert tuple(likely for each in told for likely in each.logprobs) == LIKELY
    assert tuple(call for each in told for call in each.tool_calls) == tuple(enumerate(answer.tool_calls))


@pytest.mark.parametrize(
    "message",
    [
        {"content": "", "tool_calls": [{"function": {"arguments": {}}}]},
        {"content": "", "tool_calls": [3]},
        {"content": "", "thinking": 3},
        {"content": 3},
    ],
)
async def test_a_message_against_the_protocol_is_no_answer(message: dict[str, Any], replay: Start, ask: Ask) -> None:
    from providers.errors import Unreadable

    server = await replay(Response(orjson.dumps({"message": message, "done": True})))
    provider = OllamaProvider((server.url,))
    for wishes in ({}, {"on_delta": lambda _: None}):
        with pytest.raises(Unreadable):
            await provider.chat(ask(**wishes), server.url)
    await provider.aclose()


async def test_an_ollama_that_gives_no_probabilities_is_told_apart(replay: Start, ask: Ask) -> None:
    server = await replay(HELLO)
    provider = OllamaProvider((server.url,))
    with pytest.raises(Unsupported, match=r"0\.12\.11") as refusal:
        await provider.chat(ask(logprobs=0), server.url)
    await provider.aclose()
    assert refusal.value.details == {"fields": ["logprobs"]}


async def test_vectors_of_another_length_than_asked_for_are_refused(replay: Start) -> None:
    """An Ollama that does not know the field drops it without a word."""
    server = await replay(Response(b'{"embeddings":[[0.6,0.8,0]],"prompt_eval_count":1}'))
    provider = OllamaProvider((server.url,))
    with pytest.raises(Unsupported, match="3 dimensions instead of 2"):
        await provider.embed(EmbedCall("m", ("x",), 5.0, 2), server.url)
    assert orjson.loads(server.requests[0].body)["dimensions"] == 2
    assert len((await provider.embed(EmbedCall("m", ("x",), 5.0, 3), server.url)).vectors[0]) == 3
    await provider.aclose()


async def test_what_models_can_do_is_known_from_when_they_were_last_seen() -> None:
    """Asked once for each digest, whoever looks; the context is the smaller one of the model's and ours."""
    async with await fake_server.start(models=("smol:latest", "big:latest", "my-embed:latest")) as server:
        provider = OllamaProvider((server.url,), num_ctx=4096)
        assert provider.able("big") == Able(schema=True, params=provider.able("big").params, context_tokens=4096)
        await provider.models()
        smol, big, embed = (provider.able(name) for name in ("smol", "big:latest", "my-embed"))
        await provider.aclose()
    assert (smol.chat, smol.tools, smol.images, "reasoning_effort" in smol.params) == (True, False, False, False)
    assert (big.chat, big.tools, big.images, "reasoning_effort" in big.params) == (True, True, True, True)
    assert (embed.chat, embed.embed, embed.tools, "dimensions" in embed.params) == (False, True, False, True)
    assert {each.context_tokens for each in (smol, big, embed)} == {4096}


@pytest.mark.parametrize(
    ("wishes", "field"),
    [({"tools": (WEATHER,)}, "tools"), ({"params": {"reasoning_effort": "low"}}, "reasoning_effort")],
)
async def test_a_model_is_asked_what_it_can_do_before_the_first_call_that_wants_it(
    wishes: dict[str, Any], field: str, ask: Ask
) -> None:
    async with await fake_server.start(models=("smol:latest",)) as server:
        provider = OllamaProvider((server.url,))
        with pytest.raises(Unsupported) as refusal:
            await provider.chat(ask(model="smol", **wishes), server.url)
        await provider.aclose()
    assert refusal.value.details == {"fields": [field]}
    assert server.counts.total.started == 0


async def test_a_recorded_refusal_names_the_field(replay: Start, ask: Ask) -> None:
    """From an Ollama that does not say beforehand what its models can do."""
    server = await replay("err_tools_unsupported")
    provider = OllamaProvider((server.url,))
    with pytest.raises(Unsupported) as refusal:
        await provider.chat(ask(tools=(WEATHER,)), server.url)
    await provider.aclose()
    assert refusal.value.details == {"fields": ["tools"]}
