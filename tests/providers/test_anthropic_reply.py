"""Anthropic's Messages: answers, streams and refusals in the shapes of its documentation."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import orjson
import pytest

from providers import anthropic_reply
from providers.anthropic_stream import Events, Reading
from providers.anthropic_wire import Sent
from providers.calls import ChatAnswer, Delta, Spent, ToolCall
from providers.errors import (
    ContextTooLong,
    ModelNotFound,
    Overloaded,
    ProviderError,
    RateLimited,
    Refused,
    Rejected,
    ServerError,
    TimedOut,
    Unreadable,
    Unsupported,
)
from tests.providers.conftest import REPLIES

pytestmark = pytest.mark.fast

USAGE = {
    "input_tokens": 20,
    "cache_creation_input_tokens": 248,
    "cache_creation": {"ephemeral_5m_input_tokens": 148, "ephemeral_1h_input_tokens": 100},
    "cache_read_input_tokens": 1800,
    "output_tokens": 93,
    "output_tokens_details": {"thinking_tokens": 41},
    "service_tier": "standard",
}
USED = Spent(
    2068,
    93,
    cached_tokens=1800,
    cache_write_tokens=248,
    reasoning_tokens=41,
    tier="standard",
    cache_write_1h_tokens=100,
)
MESSAGE = {
    "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5-5",
    "content": [{"type": "text", "text": "Hello!"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": USAGE,
}
PLAIN = Sent({})
CALLED = {"type": "tool_use", "id": "toolu_01", "name": "weather", "input": {"town": "Bonn"}}
INTO = {"type": "tool_use", "id": "toolu_02", "name": "answer", "input": {"a": "x"}}
ANSWERS = [  # what of the message is otherwise, how it was asked, what of the answer is otherwise
    ({}, PLAIN, {}),
    ({"stop_reason": "stop_sequence", "stop_sequence": "END"}, PLAIN, {}),
    ({"stop_reason": "max_tokens"}, PLAIN, {"finish_reason": "length"}),
    ({"stop_reason": "model_context_window_exceeded"}, PLAIN, {"finish_reason": "length"}),
    ({"stop_reason": "pause_turn"}, PLAIN, {"finish_reason": "length"}),
    ({"content": []}, PLAIN, {"text": ""}),  # it has nothing to say, and was paid for thinking so
    (
        {
            "stop_reason": "refusal",
            "content": [],
            "stop_details": {"type": "refusal", "category": "bio", "explanation": "No."},
        },
        PLAIN,
        {"text": "", "finish_reason": "content_filter", "refusal": "No."},
    ),
    (  # what it had said is its text, once
        {"stop_reason": "refusal", "content": [{"type": "text", "text": "I can"}], "stop_details": None},
        PLAIN,
        {"text": "I can", "finish_reason": "content_filter", "refusal": None},
    ),
    (
        {"stop_reason": "tool_use", "content": [*MESSAGE["content"], CALLED]},
        PLAIN,
        {"finish_reason": "tool_calls", "tool_calls": (ToolCall("toolu_01", "weather", '{"town":"Bonn"}'),)},
    ),
    (
        {
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "x"},
                {"type": "redacted_thinking", "data": "y"},
                *MESSAGE["content"],
            ]
        },
        PLAIN,
        {"reasoning": "Hm."},
    ),
    ({"stop_reason": "tool_use", "content": [*MESSAGE["content"], INTO]}, Sent({}, tool=True), {"text": '{"a":"x"}'}),
    (
        {"stop_reason": "tool_use", "content": [INTO | {"input": {"value": [1]}}]},
        Sent({}, tool=True, wrapped=True),
        {"text": "[1]"},
    ),
    ({"stop_reason": "end_turn"}, Sent({}, tool=True), {"text": "Hello!"}),  # it did not call: checked by whoever asked
]


@pytest.mark.parametrize(("change", "how", "expected"), ANSWERS)
def test_an_answer_is_read_whole(change, how, expected):
    plain = {"text": "Hello!", "finish_reason": "stop", "spent": USED, "model": "claude-sonnet-5-5"}
    assert anthropic_reply.read_chat(orjson.dumps(MESSAGE | change), how) == ChatAnswer(**plain | expected)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"type":"message","content":null,"stop_reason":"end_turn"}',
        orjson.dumps(MESSAGE | {"stop_reason": None}),
    ],
)
def test_what_is_no_whole_message_is_unreadable(body):
    with pytest.raises(Unreadable):
        anthropic_reply.read_chat(body, PLAIN)


TEXT_STREAM = (REPLIES / "anthropic_text.sse").read_bytes()
TOOL_STREAM = (REPLIES / "anthropic_tools.sse").read_bytes()


def _read(stream: bytes, how: Sent = PLAIN, step: int = 7) -> tuple[ChatAnswer, list[Delta], list[int]]:
    deltas: list[Delta] = []
    counts: list[int] = []
    reading = Reading(how, counts.append, deltas.append)
    for start in range(0, len(stream), step):
        reading.hear(stream[start : start + step])
    return reading.answer(), deltas, counts


@pytest.mark.parametrize("step", [1, 2, 7, 100, 100_000])
@pytest.mark.parametrize("ends", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_a_stream_is_read_however_its_bytes_are_cut(step, ends):
    answer, deltas, counts = _read(TEXT_STREAM.replace(b"\n", ends), step=step)
    used = Spent(15, 6, cached_tokens=4, reasoning_tokens=3)
    assert answer == ChatAnswer("Hello th\u00e9re!", "stop", used, reasoning="A greeting.", model="claude-sonnet-5-5")
    assert deltas == [Delta(reasoning="A greeting."), Delta(text="Hello"), Delta(text=" th\u00e9re!")]
    assert [delta.prompt for delta in deltas] == [Spent(15, 0, cached_tokens=4), None, None]
    assert counts == [1, 2, 3]


def test_tools_in_a_stream_are_told_by_their_number():
    answer, deltas, _ = _read(TOOL_STREAM)
    assert answer.tool_calls == (ToolCall("toolu_1", "weather", '{"town": "Bonn"}'), ToolCall("toolu_2", "clock", "{}"))
    assert answer.finish_reason == "tool_calls"
    assert [delta.tool_calls[0] for delta in deltas] == [
        (0, ToolCall("toolu_1", "weather", "")),
        (0, ToolCall("", "", '{"town": ')),
        (0, ToolCall("", "", '"Bonn"}')),
        (1, ToolCall("toolu_2", "clock", "")),
        (1, ToolCall("", "", "{}")),
    ]


@pytest.mark.parametrize(
    ("how", "text", "told"),
    [
        (Sent({}, tool=True), '{"town": "Bonn"}', ['{"town": ', '"Bonn"}']),
        (
            Sent({}, tool=True, wrapped=True),
            '{"town": "Bonn"}',
            ['{"town": "Bonn"}'],
        ),  # nothing under `value`: as it came
    ],
)
def test_an_answer_by_a_tool_is_told_as_text(how, text, told):
    stream = TOOL_STREAM.replace(b'"weather"', b'"answer"').split(
        b'event: content_block_start\ndata: {"type":"content_block_start","index":1'
    )
    answer, deltas, _ = _read(stream[0] + stream[1].partition(b'index":1}\n\n')[2], how)
    assert (answer.text, answer.tool_calls, answer.finish_reason) == (text, (), "stop")
    assert [delta.text for delta in deltas] == told


def test_words_beside_a_schemas_tool_are_told_only_if_it_was_not_called():
    answer, deltas, _ = _read(TEXT_STREAM, Sent({}, tool=True))
    assert [delta.text for delta in deltas if delta.text] == [answer.text]


def _cut(stream: bytes, events: int, then: bytes = b"") -> bytes:
    return b"\n\n".join(stream.split(b"\n\n")[:events]) + b"\n\n" + then


OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
BROKEN = [  # the stream, the error, what is known to have been used
    (b"", Unreadable, None),
    (OVERLOADED, Overloaded, None),  # nothing was begun: as a refusal
    (_cut(TEXT_STREAM, 8, OVERLOADED), ServerError, Spent(15, 2, cached_tokens=4, estimated=True)),
    (_cut(TEXT_STREAM, 8), Unreadable, Spent(15, 2, cached_tokens=4, estimated=True)),
    (_cut(TEXT_STREAM, 3, b'data: {"type":\n\n'), Unreadable, Spent(15, 1, cached_tokens=4, estimated=True)),
    (
        _cut(
            TEXT_STREAM,
            3,
            b'data: {"type":"content_block_delta","index":9,"delta":{"type":"text_delta","text":"x"}}\n\n',
        ),
        Unreadable,
        Spent(15, 1, cached_tokens=4, estimated=True),
    ),
]


@pytest.mark.parametrize(("stream", "error", "used"), BROKEN)
def test_a_stream_that_is_not_whole_is_no_answer(stream, error, used):
    with pytest.raises(error) as caught:
        _read(stream)
    assert type(caught.value) is error
    assert caught.value.spent == used


def test_events_are_joined_lines_and_comments_are_no_events():
    events = Events()
    assert events.take(b": hello\n\ndata: {\ndata: }\nid: 3\n\nda") == [b"{}"]
    assert events.take(b"ta:{}\n\n") == [b"{}"]


def _error(kind: str, message: str) -> bytes:
    return orjson.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_011"})


LLAMA = (
    b'{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error",'
    b'"n_prompt_tokens":2622,"n_ctx":512}}'
)
REFUSALS = [  # status, body, meaning, a word that reaches the user
    (400, _error("invalid_request_error", "messages.0: bad"), Rejected, "messages.0: bad"),
    (
        400,
        _error("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
        Refused,
        "credit",
    ),
    (400, _error("invalid_request_error", "`temperature` is deprecated for this model."), Unsupported, "temperature"),
    (
        400,
        _error("invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum"),
        ContextTooLong,
        "208310",
    ),
    (401, _error("authentication_error", "invalid x-api-key"), Refused, "x-api-key"),
    (402, _error("billing_error", "pay"), Refused, "pay"),
    (403, _error("permission_error", "Your API key does not have permission"), Refused, "permission"),
    (404, _error("not_found_error", "model: nope"), ModelNotFound, "`nope`"),
    (404, b"404 page not found", Unreadable, "give its root"),
    (413, _error("request_too_large", "Request exceeds the maximum size"), Rejected, "maximum size"),
    (413, b"<html>nginx</html>", Rejected, "too large"),
    (429, _error("rate_limit_error", "slow down"), RateLimited, "slow down"),
    (500, _error("api_error", "Internal server error"), ServerError, "Internal"),
    (502, b"<html>bad gateway</html>", ServerError, "bad gateway"),
    (504, _error("timeout_error", "took too long"), TimedOut, "too long"),
    (529, _error("overloaded_error", "Overloaded"), Overloaded, "Overloaded"),
    (529, b"", Overloaded, "529"),
    (400, LLAMA, ContextTooLong, "2622"),
]


@pytest.mark.parametrize(("status", "body", "meaning", "words"), REFUSALS)
def test_a_refusal_has_its_meaning(status, body, meaning, words):
    error = anthropic_reply.refusal(httpx.Response(status, content=body), "http://node", "nope")
    assert (type(error), words in str(error)) == (meaning, True)


@pytest.mark.parametrize(
    ("words", "figures"),
    [
        ("prompt is too long: 208310 tokens > 200000 maximum", (208310, 200000)),
        # 178,959 of the prompt and 64,000 of the answer in 200,000: the prompt has 136,000 left
        (
            "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length",
            (178959, 136000),
        ),
    ],
)
def test_a_prompt_that_is_too_long_is_told_in_figures(words, figures):
    error = anthropic_reply.refusal(httpx.Response(400, content=_error("invalid_request_error", words)), "n", "m")
    assert (error.details["prompt_tokens"], error.details["context_tokens"]) == figures


@pytest.mark.parametrize("is_date", [False, True])
def test_how_long_to_wait_is_read_either_way(is_date):
    said = format_datetime(datetime.now(UTC) + timedelta(seconds=3600), usegmt=True) if is_date else "3600"
    reply = httpx.Response(429, content=_error("rate_limit_error", "x"), headers={"retry-after": said})
    error: ProviderError = anthropic_reply.refusal(reply, "n", "m")
    assert error.retry_after_s is not None
    assert 3000 <= error.retry_after_s <= 3600


def test_a_page_of_models_leaves_retired_ones_out_and_says_where_the_next_begins():
    page = {"data": [{"id": "a"}, {"id": "b", "lifecycle": "retired"}], "has_more": True, "last_id": "b"}
    assert anthropic_reply.read_models(orjson.dumps(page)) == ([{"id": "a"}], "b")
    assert anthropic_reply.read_models(b"[]") == ([], None)
