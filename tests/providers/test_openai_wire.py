"""OpenAI's format, read and written: bodies, whole answers, streams in any pieces, and what servers that are nearly compatible send."""

import base64
import itertools
import json
import struct
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import openai_errors, openai_schema, openai_wire
from providers.calls import ChatAnswer, ChatCall, Delta, EmbedCall, Forced, Image, Message, Spent, Tool, ToolCall
from providers.errors import ContextTooLong, ProviderError, RateLimited, Rejected, ServerError, Unreadable
from providers.openai_stream import Reading

pytestmark = pytest.mark.fast

HELLO = (Message("user", "hello"),)
ASKED = openai_errors.Asked("http://x", "m", 7)


def _call(**wishes: Any) -> ChatCall:
    return ChatCall("m", wishes.pop("messages", HELLO), 1.0, **wishes)


BODIES: list[tuple[dict[str, Any], dict[str, Any]]] = [  # wishes, and what stands in the body for them
    ({}, {"model": "m", "messages": [{"role": "user", "content": "hello"}]}),
    ({"max_tokens": 3, "temperature": 0.0, "seed": 0}, {"max_completion_tokens": 3, "temperature": 0.0, "seed": 0}),
    ({"stop": ("a", "b")}, {"stop": ["a", "b"]}),
    ({"json_mode": True}, {"response_format": {"type": "json_object"}}),
    ({"logprobs": 0}, {"logprobs": True}),
    ({"logprobs": 3}, {"logprobs": True, "top_logprobs": 3}),
    ({"params": {"top_p": 0.5, "service_tier": "flex"}}, {"top_p": 0.5, "service_tier": "flex"}),
    ({"tool_choice": "none", "parallel_tool_calls": True}, {}),  # both mean nothing without tools, and are refused
    (
        {"tools": (Tool("t", "what", {"type": "object"}, strict=True),), "parallel_tool_calls": False},
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "t", "description": "what", "parameters": {"type": "object"}, "strict": True},
                }
            ],
            "parallel_tool_calls": False,
        },
    ),
    (
        {"tools": (Tool("t"),), "tool_choice": Forced("t")},
        {
            "tools": [{"type": "function", "function": {"name": "t"}}],
            "tool_choice": {"type": "function", "function": {"name": "t"}},
        },
    ),
]


@pytest.mark.parametrize(("wishes", "told"), BODIES)
def test_a_wish_stands_in_the_body_under_openais_name(wishes: dict[str, Any], told: dict[str, Any]) -> None:
    body = orjson.loads(openai_wire.chat_body(_call(**wishes), streamed=False, max_name="max_completion_tokens"))
    assert body == {"model": "m", "messages": [{"role": "user", "content": "hello"}]} | told


def test_a_stream_asks_for_its_counts_where_the_server_knows_how() -> None:
    bodies = [
        orjson.loads(openai_wire.chat_body(_call(), streamed=True, max_name="max_tokens", counts_streams=counts))
        for counts in (True, False)
    ]
    assert [(body["stream"], body.get("stream_options")) for body in bodies] == [
        (True, {"include_usage": True}),
        (True, None),
    ]


def test_turns_keep_their_parts_their_tools_and_their_names() -> None:
    turns = (
        Message("system", "s"),
        Message("user", "a\nb", ("a", Image("https://x/y.png", "low"), "b"), name="ann"),
        Message("assistant", "", tool_calls=(ToolCall("c1", "t", "{}"),)),
        Message("tool", "r", tool_call_id="c1"),
    )
    body = orjson.loads(openai_wire.chat_body(_call(messages=turns), streamed=False, max_name="max_tokens"))
    assert body["messages"] == [
        {"role": "system", "content": "s"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
                {"type": "text", "text": "b"},
            ],
            "name": "ann",
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "t", "arguments": "{}"}}],
        },
        {"role": "tool", "content": "r", "tool_call_id": "c1"},
    ]


def test_what_json_cannot_carry_is_rejected() -> None:
    with pytest.raises(Rejected, match="JSON"):
        openai_wire.chat_body(_call(messages=(Message("user", "\ud800"),)), streamed=False, max_name="max_tokens")


A = {"a": {"type": "string"}}
CLOSED = {"type": "object", "properties": A, "required": ["a"], "additionalProperties": False}
STRICT: list[
    tuple[str, dict[str, Any], dict[str, Any] | None]
] = [  # why, the schema, what is sent strict; None: a hint
    ("closed", CLOSED, CLOSED),
    ("open, so closed", {"type": "object", "properties": A, "required": ["a"]}, CLOSED),
    (
        "annotated",
        {"$schema": "x", "title": "T", **CLOSED, "properties": {"a": {"type": "string", "default": "x"}}},
        CLOSED,
    ),
    ("optional", {"type": "object", "properties": A}, None),
    ("open on purpose", {**CLOSED, "additionalProperties": True}, None),
    ("a map", {"type": "object", "additionalProperties": {"type": "string"}}, None),
    ("no object", {"type": "array", "items": {"type": "string"}}, None),
    ("a choice at the root", {**CLOSED, "anyOf": [CLOSED]}, None),
    ("a keyword it refuses", {**CLOSED, "properties": {"a": {"type": "string", "minLength": 3}}}, None),
    ("oneOf inside", {**CLOSED, "properties": {"a": {"oneOf": [{"type": "string"}]}}}, None),
    ("anything", {**CLOSED, "properties": {"a": {}}}, None),
    ("a strange format", {**CLOSED, "properties": {"a": {"type": "string", "format": "uri"}}}, None),
    ("required without a property", {**CLOSED, "required": ["a", "b"]}, None),
    (
        "inside of lists, choices and definitions",
        {
            "type": "object",
            "properties": {"l": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/e"}, {"type": "null"}]}}},
            "required": ["l"],
            "$defs": {"e": {"type": "object", "properties": A, "required": ["a"]}},
        },
        {
            "type": "object",
            "properties": {"l": {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/e"}, {"type": "null"}]}}},
            "required": ["l"],
            "$defs": {"e": CLOSED},
            "additionalProperties": False,
        },
    ),
]


@pytest.mark.parametrize(("schema", "sent"), [row[1:] for row in STRICT], ids=[row[0] for row in STRICT])
def test_a_schema_is_sent_strict_where_strict_mode_takes_it(
    schema: dict[str, Any], sent: dict[str, Any] | None
) -> None:
    before = json.dumps(schema)
    assert openai_schema.strict(schema) == (schema if sent is None else sent, sent is not None)
    assert json.dumps(schema) == before


def test_a_schema_too_deep_or_too_wide_is_a_hint() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(11):
        deep = {"type": "object", "properties": {"x": deep}, "required": ["x"]}
    wide = {**CLOSED, "properties": {"a": {"enum": [str(n) for n in range(1001)]}}}
    assert [openai_schema.strict(schema)[1] for schema in (deep, wide)] == [False, False]


def _whole(message: dict[str, Any], finish: str | None = "stop", **more: Any) -> bytes:
    return orjson.dumps({"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish}], **more})


USAGES: list[tuple[dict[str, Any], Spent]] = [
    ({"usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}, Spent(5, 2)),
    (
        {
            "usage": {
                "prompt_tokens": 50,
                "completion_tokens": 20,
                "total_tokens": 70,
                "prompt_tokens_details": {"cached_tokens": 40},
                "completion_tokens_details": {"reasoning_tokens": 15},
            },
            "service_tier": "flex",
        },
        Spent(50, 20, cached_tokens=40, reasoning_tokens=15, tier="flex"),
    ),
    (  # xAI counts thinking beside: 5 + 2 + 9 = 16
        {
            "usage": {
                "prompt_tokens": 5,
                "completion_tokens": 2,
                "total_tokens": 16,
                "completion_tokens_details": {"reasoning_tokens": 9},
            }
        },
        Spent(5, 11, reasoning_tokens=9),
    ),
    (
        {"usage": {"prompt_tokens": 5, "completion_tokens": 2, "prompt_cache_hit_tokens": 4}},
        Spent(5, 2, cached_tokens=4),
    ),
    ({"x_groq": {"usage": {"prompt_tokens": 5, "completion_tokens": 2}}}, Spent(5, 2)),
    (
        {"usage": {"prompt_tokens": 5, "completion_tokens": 2}, "timings": {"prompt_ms": 250, "predicted_ms": 750.0}},
        Spent(5, 2, gpu_seconds=1.0),
    ),
]


@pytest.mark.parametrize(("told", "spent"), USAGES)
def test_tokens_are_the_servers_own_count(told: dict[str, Any], spent: Spent) -> None:
    assert openai_wire.read_chat(_whole({"content": "x"}, **told), _call(), "x").spent == spent


@pytest.mark.parametrize("streamed", [False, True])
def test_a_server_that_does_not_count_is_estimated(streamed: bool) -> None:
    call = _call(messages=(Message("user", "Tell me about the foxes, please."),))
    if streamed:
        body = _events({"choices": [{"delta": {"content": "They are red."}}]}, _end("stop"))
        spent = _read(call, [body]).spent
    else:
        spent = openai_wire.read_chat(_whole({"content": "They are red."}), call, "x").spent
    assert (spent.estimated, 8 <= spent.input_tokens <= 16, 2 <= spent.output_tokens <= 5) == (True, True, True)


ODD: list[tuple[dict[str, Any], str | None, ChatAnswer]] = [  # a message and its end, as servers send them
    ({"content": None}, "length", ChatAnswer("", "length", Spent(1, 1))),
    ({"content": "x", "refusal": "no"}, "stop", ChatAnswer("x", "stop", Spent(1, 1), refusal="no")),
    ({"content": "x"}, "content_filter", ChatAnswer("x", "content_filter", Spent(1, 1))),
    ({"content": "x"}, "eos", ChatAnswer("x", "stop", Spent(1, 1))),
    ({"content": "x"}, "model_length", ChatAnswer("x", "length", Spent(1, 1))),
    ({"content": "x", "reasoning": "hm"}, "stop", ChatAnswer("x", "stop", Spent(1, 1), reasoning="hm")),
    (
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": "x"},
            ]
        },
        "stop",
        ChatAnswer("x", "stop", Spent(1, 1), reasoning="hm"),
    ),
    (
        {"content": None, "tool_calls": [{"function": {"name": "t", "arguments": {"a": 1}}}]},
        "tool_calls",
        ChatAnswer("", "tool_calls", Spent(1, 1), tool_calls=(ToolCall("call_1", "t", '{"a":1}'),)),
    ),
]


@pytest.mark.parametrize(("message", "finish", "answer"), ODD)
def test_what_servers_send_in_their_own_way_is_read(message: dict[str, Any], finish: str, answer: ChatAnswer) -> None:
    body = _whole(message, finish, usage={"prompt_tokens": 1, "completion_tokens": 1})
    assert openai_wire.read_chat(body, _call(), "x") == answer


BROKEN: list[tuple[bytes, type[ProviderError]]] = [
    (b"", Unreadable),
    (b"[]", Unreadable),
    (b'{"choices": []}', Unreadable),
    (b'{"choices": [7]}', Unreadable),
    (b'{"choices": [{"finish_reason": "stop"}]}', Unreadable),
    (_whole({"content": "x"}, None), Unreadable),
    (_whole({"content": "x"}, "error"), ServerError),
    (_whole({"content": "x", "tool_calls": [{"id": "1"}]}), Unreadable),
    (b'{"error": {"message": "upstream", "code": 502}}', ServerError),  # OpenRouter, with status 200
]


@pytest.mark.parametrize(("body", "error"), BROKEN)
def test_what_is_no_whole_answer_is_none(body: bytes, error: type[ProviderError]) -> None:
    with pytest.raises(error):
        openai_wire.read_chat(body, _call(), "x")


def test_the_model_that_answered_is_told_where_it_is_another_name() -> None:
    body = orjson.loads(_whole({"content": "x"})) | {"model": "m-2026-01-01"}
    assert openai_wire.read_chat(orjson.dumps(body), _call(), "x").model == "m-2026-01-01"
    assert openai_wire.read_chat(_whole({"content": "x"}), _call(), "x").model is None


def _events(*events: dict[str, Any], done: bool = True) -> bytes:
    return b"".join(b"data: %b\n\n" % orjson.dumps(event) for event in events) + (b"data: [DONE]\n\n" if done else b"")


def _end(reason: str) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


def _read(call: ChatCall, pieces: list[bytes]) -> ChatAnswer:
    reading = Reading(call, "x", lambda error: openai_errors.in_stream(error, ASKED))
    for piece in pieces:
        reading.feed(piece)
    return reading.answer(b"".join(pieces))


STREAM = b": OPENROUTER PROCESSING\n\n" + _events(
    {"choices": [], "prompt_filter_results": [{"prompt_index": 0}]},  # Azure begins so
    {"model": "m", "service_tier": "default", "choices": [{"delta": {"role": "assistant", "content": ""}}]},
    {"choices": [{"delta": {"reasoning": "hm "}}]},
    {"choices": [{"delta": {"content": "Red \u2603 "}, "logprobs": {"content": [{"token": "Red", "logprob": -1.0}]}}]},
    {"choices": [{"delta": {"content": "foxes."}, "logprobs": {"content": [{"token": "f", "logprob": -2.0}]}}]},
    {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "t", "arguments": ""}}]}}]},
    {"choices": [{"delta": {"tool_calls": [{"index": 1, "id": "b", "function": {"name": "u", "arguments": '{"x"'}}]}}]},
    {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}}]},
    {"choices": [{"delta": {"tool_calls": [{"index": 1, "function": {"arguments": ":1}"}}]}}]},
    _end("tool_calls"),
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 9}},
)
ANSWER = ChatAnswer(
    "Red \u2603 foxes.",
    "tool_calls",
    Spent(3, 9, tier="default"),
    tool_calls=(ToolCall("a", "t", "{}"), ToolCall("b", "u", '{"x":1}')),
    reasoning="hm ",
    logprobs=({"token": "Red", "logprob": -1.0}, {"token": "f", "logprob": -2.0}),
)


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=40), crlf=st.booleans())
def test_a_stream_is_the_same_in_whatever_pieces_it_comes(cuts: list[int], crlf: bool) -> None:
    places = sorted({0, *cuts, len(STREAM)})
    pieces = [STREAM[a:b] for a, b in itertools.pairwise(places)]
    if crlf:
        pieces = [piece.replace(b"\n", b"\r\n") for piece in pieces]
    told: list[Delta] = []
    counts: list[int] = []
    answer = _read(_call(on_delta=told.append, on_tokens=counts.append), pieces)
    assert (answer, "".join(each.text for each in told), counts == sorted(set(counts))) == (ANSWER, ANSWER.text, True)


@given(end=st.integers(0, len(STREAM.rstrip()) - 1))
def test_a_stream_that_was_cut_anywhere_is_never_an_answer(end: int) -> None:
    with pytest.raises((Unreadable, ServerError)):
        _read(_call(), [STREAM[:end]])


def test_tools_without_an_index_are_told_apart_by_their_ids() -> None:
    def piece(**told: Any) -> dict[str, Any]:
        return {"choices": [{"delta": {"tool_calls": [told]}}]}

    body = _events(
        piece(id="a", function={"name": "t", "arguments": "{"}),
        piece(function={"arguments": "}"}),
        piece(id="b", function={"name": "u", "arguments": "{}"}),
        _end("tool_calls"),
    )
    assert _read(_call(), [body]).tool_calls == (ToolCall("a", "t", "{}"), ToolCall("b", "u", "{}"))


def test_a_server_that_does_not_stream_is_read_whole_and_told_at_once() -> None:
    told: list[Delta] = []
    answer = _read(_call(on_delta=told.append), [_whole({"content": "x"}, usage={"prompt_tokens": 1})])
    assert (answer.text, told) == ("x", [Delta("x")])


START = {"choices": [{"delta": {"content": "x"}}]}
BREAKS: list[tuple[bytes, type[ProviderError]]] = [
    (b"", Unreadable),
    (b"<html>", Unreadable),
    (b"data: [DONE]\n\n", Unreadable),
    (_events(START, _end("stop"), done=False), Unreadable),  # all of the text, and no end
    (_events(START), Unreadable),  # an end without a reason
    (_events(START, _end("error")), ServerError),
    (_events(START, {"error": {"message": "boom", "code": 429}}), ServerError),  # too late for a refusal
    (_events({"error": {"message": "slow down", "code": 429}}), RateLimited),
    (
        _events(
            {
                "error": {
                    "message": "This model's maximum context length is 10 tokens. (12 in the messages)",
                    "code": 400,
                }
            }
        ),
        ContextTooLong,
    ),
    (b"data: {\n\n" + _events(_end("stop")), Unreadable),
    (b"data: 7\n\n" + _events(_end("stop")), Unreadable),
    (_events({"choices": [7]}, _end("stop")), Unreadable),
    (_events({"choices": [{"delta": {"tool_calls": [7]}}]}, _end("stop")), Unreadable),
]


@pytest.mark.parametrize(("body", "error"), BREAKS)
def test_a_stream_that_breaks_ends_in_its_error(body: bytes, error: type[ProviderError]) -> None:
    with pytest.raises(ProviderError) as caught:
        _read(_call(), [body])
    assert type(caught.value) is error


@given(body=st.binary(max_size=200), streamed=st.booleans())
def test_whatever_comes_is_an_answer_or_an_error_of_the_tree(body: bytes, streamed: bool) -> None:
    read: Callable[[], Any] = lambda: _read(_call(), [body]) if streamed else openai_wire.read_chat(body, _call(), "x")  # noqa: E731
    with pytest.raises(ProviderError):
        read()


def _vectors(*vectors: Any, order: tuple[int, ...] | None = None, **more: Any) -> bytes:
    told = [{"index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return orjson.dumps({"data": [told[at] for at in order] if order else told, **more})


def test_vectors_are_read_packed_or_not_in_the_order_of_their_numbers() -> None:
    packed = base64.b64encode(struct.pack("<2f", 3.0, 4.0)).decode()
    body = _vectors([1.0, 0.0], packed, order=(1, 0), usage={"prompt_tokens": 4, "total_tokens": 4})
    answer = openai_wire.read_embed(body, EmbedCall("m", ("a", "b"), 1.0), "x")
    assert (answer.vectors, answer.spent) == (((1.0, 0.0), (0.6, 0.8)), Spent(4))


@pytest.mark.parametrize(
    "body",
    [
        _vectors([1.0]),  # one for two texts
        _vectors([1.0], [1.0, 0.0]),
        _vectors([0.0], [1.0]),  # no direction
        _vectors(["x"], [1.0]),
        _vectors("!", "AAAA"),
        _vectors(None, [1.0]),
        b'{"data": {}}',
        b'{"data": [{"embedding": [1.0]}]}',
    ],
)
def test_vectors_that_are_none_are_unreadable(body: bytes) -> None:
    with pytest.raises(Unreadable):
        openai_wire.read_embed(body, EmbedCall("m", ("a", "b"), 1.0), "x")


def test_a_list_of_models_is_read_bare_or_as_openai_has_it() -> None:
    listed = [{"id": "a"}, {"id": 7}, 7]
    bodies = (orjson.dumps({"data": listed}), orjson.dumps(listed), b"nonsense", b"{}")
    assert [openai_wire.read_models(body) for body in bodies] == [({"id": "a"},), ({"id": "a"},), (), ()]
