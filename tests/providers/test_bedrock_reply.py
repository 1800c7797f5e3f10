"""Bedrock's Converse: answers, streams and refusals."""

from typing import Any

import httpx
import orjson
import pytest

from providers import bedrock_reply
from providers.anthropic_wire import Sent
from providers.base import Model
from providers.calls import ChatAnswer, ChatCall, Delta, EmbedAnswer, EmbedCall, Message, Spent, ToolCall
from providers.errors import (
    ContextTooLong,
    ModelNotFound,
    Overloaded,
    RateLimited,
    Refused,
    Rejected,
    ServerError,
    TimedOut,
    Unreadable,
    Unsupported,
)
from providers.eventstream import written

pytestmark = pytest.mark.fast

HAIKU, NOVA = "global.anthropic.claude-haiku-4-5-20251001-v1:0", "amazon.nova-lite-v1:0"
TITAN, COHERE = "amazon.titan-embed-text-v2:0", "cohere.embed-multilingual-v3"
HELLO = (Message("user", "hello"),)


COUNTED = {
    "inputTokens": 20,
    "outputTokens": 9,
    "totalTokens": 329,
    "cacheReadInputTokens": 200,
    "cacheWriteInputTokens": 100,
}
USED = Spent(320, 9, cached_tokens=200, cache_write_tokens=100, tier="flex")
ANSWERS = [  # content, the reason of its end, how it was asked, the answer
    ([{"text": "Hello!"}], "end_turn", Sent({}), ChatAnswer("Hello!", "stop", USED)),
    ([{"text": "Hel"}], "max_tokens", Sent({}), ChatAnswer("Hel", "length", USED)),
    (
        [{"text": "Sorry."}],
        "guardrail_intervened",
        Sent({}),
        ChatAnswer("Sorry.", "content_filter", USED),
    ),
    ([], "content_filtered", Sent({}), ChatAnswer("", "content_filter", USED)),
    (
        [
            {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "x"}}},
            {"reasoningContent": {"redactedContent": "eA=="}},
            {"text": "Hi"},
        ],
        "end_turn",
        Sent({}),
        ChatAnswer("Hi", "stop", USED, reasoning="Hm."),
    ),
    (
        [{"text": "So:"}, {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"town": "Bonn"}}}],
        "tool_use",
        Sent({}),
        ChatAnswer("So:", "tool_calls", USED, (ToolCall("t1", "weather", '{"town":"Bonn"}'),)),
    ),
    (
        [{"toolUse": {"toolUseId": "t1", "name": "answer", "input": {"a": "x"}}}],
        "tool_use",
        Sent({}, tool=True),
        ChatAnswer('{"a":"x"}', "stop", USED),
    ),
]


@pytest.mark.parametrize(("content", "reason", "how", "expected"), ANSWERS)
def test_an_answer_is_read_whole(content, reason, how, expected):
    message = {"role": "assistant", "content": content}
    reply = {"output": {"message": message}, "stopReason": reason, "usage": COUNTED, "serviceTier": {"type": "flex"}}
    assert bedrock_reply.read_chat(orjson.dumps(reply | {"metrics": {"latencyMs": 3}}), how) == expected


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b"{}", b'{"output":{"message":{"content":[{"text":"x"}]}},"stopReason":"malformed_tool_use"}']
)
def test_what_is_no_whole_answer_is_unreadable(body):
    with pytest.raises(Unreadable):
        bedrock_reply.read_chat(body, Sent({}))


def _event(name: str, **said: Any) -> bytes:
    return written({":event-type": name, ":message-type": "event"}, orjson.dumps(said | {"p": "abc"}))


def _broken(name: str) -> bytes:
    return written({":message-type": "exception", ":exception-type": name}, b'{"message":"no"}')


STREAM = [
    _event("messageStart", role="assistant"),
    _event("contentBlockDelta", contentBlockIndex=0, delta={"reasoningContent": {"text": "Hm."}}),
    _event("contentBlockDelta", contentBlockIndex=0, delta={"reasoningContent": {"signature": "EqQB"}}),
    _event("contentBlockStop", contentBlockIndex=0),
    _event("contentBlockDelta", contentBlockIndex=1, delta={"text": "Let me "}),
    _event("contentBlockDelta", contentBlockIndex=1, delta={"text": "see."}),
    _event("contentBlockStop", contentBlockIndex=1),
    _event("contentBlockStart", contentBlockIndex=2, start={"toolUse": {"toolUseId": "t1", "name": "weather"}}),
    _event("contentBlockDelta", contentBlockIndex=2, delta={"toolUse": {"input": '{"town":'}}),
    _event("contentBlockDelta", contentBlockIndex=2, delta={"toolUse": {"input": '"Bonn"}'}}),
    _event("contentBlockStop", contentBlockIndex=2),
    _event("messageStop", stopReason="tool_use"),
    _event("metadata", usage=COUNTED, metrics={"latencyMs": 551}, serviceTier={"type": "flex"}),
]


@pytest.mark.parametrize("step", [1, 50, 100_000])
def test_a_stream_is_read_as_it_comes(step):
    deltas: list[Delta] = []
    counts: list[int] = []
    stream = bedrock_reply.Stream(Sent({}), counts.append, deltas.append)
    whole = b"".join(STREAM)
    for start in range(0, len(whole), step):
        stream.hear(whole[start : start + step])
    call = ToolCall("t1", "weather", '{"town":"Bonn"}')
    assert stream.reading.answer() == ChatAnswer("Let me see.", "tool_calls", USED, (call,), reasoning="Hm.")
    assert deltas == [
        Delta(reasoning="Hm."),
        Delta(text="Let me "),
        Delta(text="see."),
        Delta(tool_calls=((0, ToolCall("t1", "weather", "")),)),
        Delta(tool_calls=((0, ToolCall("", "", '{"town":')),)),
        Delta(tool_calls=((0, ToolCall("", "", '"Bonn"}')),)),
    ]
    assert counts == [1, 2, 3, 4, 5]


BROKEN = [  # the stream, what is wrong with it
    ([], Unreadable),
    (STREAM[:5], Unreadable),
    (STREAM[:12], Unreadable),  # without its counts
    ([*STREAM[:5], _broken("modelStreamErrorException")], ServerError),
    ([*STREAM[:5], _broken("throttlingException")], ServerError),  # some of it was made
    ([_broken("throttlingException")], RateLimited),
    ([_broken("serviceUnavailableException")], Overloaded),
    ([_broken("validationException")], Rejected),
    ([*STREAM[:5], _broken("modelTimeoutException")], TimedOut),
    ([STREAM[0], b"\x00" * 16], Unreadable),
    ([STREAM[0], _event("messageStop", stopReason="malformed_model_output")], Unreadable),
    ([STREAM[0], written({":event-type": "messageStop", ":message-type": "event"}, b"{")], Unreadable),
]


@pytest.mark.parametrize(("events", "error"), BROKEN)
def test_a_stream_that_is_not_whole_is_no_answer(events, error):
    stream = bedrock_reply.Stream(Sent({}), None, None)
    stream.hear(b"".join(events))
    with pytest.raises(error) as caught:
        stream.reading.answer()
    assert (type(caught.value), caught.value.spent) == (error, None)  # what it used is told in the end only


def _reply(status: int, kind: str, words: str) -> httpx.Response:
    return httpx.Response(
        status, content=orjson.dumps({"message": words}), headers={"x-amzn-errortype": kind} if kind else {}
    )


REFUSALS = [  # status, kind, words, meaning
    (429, "ThrottlingException:http://internal.amazon.com/coral/", "Too many requests", RateLimited),
    (400, "ServiceQuotaExceededException", "Too many tokens per day", RateLimited),
    (429, "ModelNotReadyException", "Model is not ready for inference.", Overloaded),
    (503, "ServiceUnavailableException", "unable", Overloaded),
    (408, "ModelTimeoutException", "took too long", TimedOut),
    (424, "ModelErrorException", "failed", ServerError),
    (500, "InternalServerException", "unexpected", ServerError),
    (403, "AccessDeniedException", "You don't have access to the model", Refused),
    (403, "ExpiredTokenException", "expired", Refused),
    (404, "ResourceNotFoundException", "end of its life", ModelNotFound),
    (400, "ValidationException", "The provided model identifier is invalid.", ModelNotFound),
    (
        400,
        "ValidationException",
        "Invocation of model ID x with on-demand throughput isn\u2019t supported.",
        ModelNotFound,
    ),
    (400, "ValidationException", "This model doesn't support tool use.", Unsupported),
    (400, "ValidationException", "Input is too long for requested model.", ContextTooLong),
    (400, "ValidationException", "Malformed input request", Rejected),
    (502, "", "bad gateway", ServerError),
]


@pytest.mark.parametrize(("status", "kind", "words", "meaning"), REFUSALS)
def test_a_refusal_has_its_meaning(status, kind, words, meaning):
    error = bedrock_reply.refusal(_reply(status, kind, words), "http://node", ChatCall(HAIKU, HELLO, 5.0))
    assert (type(error), words in str(error)) == (meaning, True)


@pytest.mark.parametrize(
    ("call", "words", "figures"),
    [
        (ChatCall(HAIKU, HELLO, 5.0), "prompt is too long: 210 tokens > 200 maximum", (210, 200)),
        (
            EmbedCall(TITAN, ("x",), 5.0),
            "Too many input tokens. Max input tokens: 8192, request input token count: 9000",
            (9000, 8192),
        ),
        (
            ChatCall(HAIKU, HELLO, 5.0),
            "Input is too long for requested model.",
            (200_001, 200_000),
        ),  # it does not say: above what it holds
    ],
)
def test_a_prompt_that_is_too_long_is_told_in_figures(call, words, figures):
    error = bedrock_reply.refusal(_reply(400, "ValidationException", words), "n", call)
    assert (error.details["prompt_tokens"], error.details["context_tokens"]) == figures


def test_an_address_that_is_something_else_is_not_bedrocks():
    error = bedrock_reply.refusal(httpx.Response(404, content=b"404 page not found"), "n", ChatCall(HAIKU, HELLO, 5.0))
    assert (type(error), "GENAI_BEDROCK_BASE_URL" in str(error)) == (Unreadable, True)


def test_vectors_are_made_unit_length_and_counted_by_header_or_body():
    counted = {"x-amzn-bedrock-input-token-count": "7"}
    cohere = httpx.Response(200, content=b'{"embeddings":{"float":[[3,4],[0,2]]}}', headers=counted)
    titan = httpx.Response(200, content=b'{"embedding":[0,5],"inputTextTokenCount":3}')
    assert bedrock_reply.read_embed([cohere], EmbedCall(COHERE, ("a", "b"), 5.0)) == EmbedAnswer(
        ((0.6, 0.8), (0.0, 1.0)), Spent(7)
    )
    assert bedrock_reply.read_embed([titan], EmbedCall(TITAN, ("a",), 5.0)) == EmbedAnswer(((0.0, 1.0),), Spent(3))


@pytest.mark.parametrize(
    "body", [b'{"embeddings":[[1,2]]}', b'{"embeddings":[[1,2],[1]]}', b'{"embeddings":[[0,0],[1,1]]}', b"{}"]
)
def test_other_vectors_than_one_for_each_text_are_unreadable(body):
    with pytest.raises(Unreadable):
        bedrock_reply.read_embed([httpx.Response(200, content=body)], EmbedCall(COHERE, ("a", "b"), 5.0))


def test_what_can_be_called_is_on_demand_or_has_a_profile():
    models = [
        {
            "modelId": "anthropic.claude-haiku-4-5",
            "outputModalities": ["TEXT"],
            "inferenceTypesSupported": ["INFERENCE_PROFILE"],
        },
        {"modelId": NOVA, "outputModalities": ["TEXT"], "inferenceTypesSupported": ["ON_DEMAND"]},
        {"modelId": TITAN, "outputModalities": ["EMBEDDING"], "inferenceTypesSupported": ["ON_DEMAND"]},
        {"modelId": "amazon.nova-canvas-v1:0", "outputModalities": ["IMAGE"], "inferenceTypesSupported": ["ON_DEMAND"]},
        {
            "modelId": "amazon.nova-lite-v1:0:24k",
            "outputModalities": ["TEXT"],
            "inferenceTypesSupported": ["PROVISIONED"],
        },
    ]
    profiles = [
        {"inferenceProfileId": "eu.anthropic.claude-haiku-4-5"},
        {"inferenceProfileId": "eu.amazon.nova-canvas-v1:0"},
    ]
    found = bedrock_reply.read_models(
        orjson.dumps({"modelSummaries": models}), orjson.dumps({"inferenceProfileSummaries": profiles})
    )
    assert found == (
        Model(NOVA, "chat", True),
        Model(TITAN, "embed", True),
        Model("eu.anthropic.claude-haiku-4-5", "chat", True, 200_000),
    )
