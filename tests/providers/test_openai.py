"""OpenAI, Azure and compatible servers: what is sent, what a model family takes, and what each refusal means."""

import base64
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest

from providers import http, openai_errors, openai_models
from providers.calls import ChatCall, EmbedCall, Image, Message, Tool
from providers.config import Server
from providers.double.http1 import Response
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
from providers.openai import OpenAIProvider
from providers.outbound import NOTHING, listed

pytestmark = pytest.mark.fast

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
KEY = "sk-proj-abcdefghijkl"
ASKED = openai_errors.Asked("http://x", "m", 70, 50, KEY, "GENAI_OPENAI_API_KEY")


def _error(message: str, code: Any = None, kind: str = "invalid_request_error", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "code": code, **more}}


REFUSALS: list[tuple[int, Any, type[ProviderError], str]] = [  # status, body, error, what is said; who answers so
    (401, _error(f"Incorrect API key provided: {KEY[:8]}****ijkl.", "invalid_api_key"), Refused, "set GENAI_OPENAI_API_KEY"),
    (403, _error("Country, region, or territory not supported", "unsupported_country"), Refused, "Country"),
    (403, _error("Project `p` does not have access to model `m`", "model_not_found"), ModelNotFound, "`m`"),
    (404, _error("The model `m` does not exist", "model_not_found"), ModelNotFound, "no model `m`"),
    (404, _error("x", "DeploymentNotFound"), ModelNotFound, "no model `m`"),  # Azure
    (404, {"object": "error", "message": "The model `m` does not exist.", "type": "NotFoundError", "code": 404}, ModelNotFound, "`m`"),
    (400, _error("m is not a valid model ID", 400), ModelNotFound, "`m`"),  # OpenRouter
    (400, {"object": "error", "message": "Invalid model: m", "type": "invalid_model", "code": "1500"}, ModelNotFound, "`m`"),
    (404, "404 page not found", Unreadable, "with its /v1"),
    (404, {"detail": "Not Found"}, Unreadable, "with its /v1"),  # FastAPI
    (429, _error("Rate limit reached", "rate_limit_exceeded", "requests"), RateLimited, "Rate limit"),
    (429, _error("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), Refused, "Waiting does not help"),
    (402, _error("Insufficient Balance", "invalid_request_error", "unknown_error"), Refused, "Insufficient"),  # DeepSeek
    (429, _error("Request too large for m on tokens per min (TPM): Limit 3, Requested 9.", "rate_limit_exceeded"), Rejected, "minute"),
    (400, _error("Unsupported parameter: 'stop'.", "unsupported_parameter", param="stop"), Unsupported, "stop"),
    (400, _error("Unsupported value: 'temperature'.", "unsupported_value", param="temperature"), Unsupported, "temperature"),
    (501, _error("This server does not support embeddings.", 501, "not_supported_error"), Unsupported, "embeddings"),
    (400, _error("filtered", "content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}), Refused, "filter"),
    (400, _error("Invalid 'messages'", None, param="messages"), Rejected, "Invalid"),
    (422, {"detail": [{"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}]}, Rejected, "stream_options"),
    (413, _error("too much"), Rejected, "too much"),
    (408, _error("slow"), TimedOut, "slow"),
    (498, _error("Flex tier capacity exceeded"), Overloaded, "Flex"),  # Groq
    (503, _error("The engine is currently overloaded", None, "server_error"), Overloaded, "overloaded"),
    (503, "upstream connect error or disconnect/reset before headers", ServerError, "upstream"),  # Envoy: it may have run
    (529, _error("Overloaded"), Overloaded, "Overloaded"),
    (500, _error("The server had an error", None, "server_error"), ServerError, "had an error"),
    (502, "<html>Bad Gateway</html>", ServerError, "Bad Gateway"),
    (400, {"statusCode": 400, "message": "Bad thing"}, Rejected, "Bad thing"),  # Azure's gateway
    (400, {"error": "bad"}, Rejected, "bad"),  # LM Studio
    (400, [_error("API key not valid")], Rejected, "not valid"),  # Gemini's compatible endpoint
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "kind", "said"), REFUSALS)
def test_a_refusal_is_told_by_its_code_its_words_or_its_status(
    status: int, body: Any, kind: type[ProviderError], said: str
) -> None:
    content = body.encode() if isinstance(body, str) else orjson.dumps(body)
    error = openai_errors.refusal(httpx.Response(status, content=content), ASKED, NOW)
    assert (type(error), said in str(error), KEY in str(error), "****ijkl" in str(error)) == (kind, True, False, False)


TOO_LONG: list[tuple[int, Any, dict[str, int]]] = [  # 70 and 50 are what was known beforehand
    (
        400,
        _error("This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
               "context_length_exceeded"),
        {"prompt_tokens": 9001, "context_tokens": 8192},
    ),
    (
        400,
        _error("This model's maximum context length is 16384 tokens. However, you requested 122946 tokens"
               " (112946 in the messages, 10000 in the completion).", 400, "BadRequestError"),
        {"prompt_tokens": 112946, "context_tokens": 16384},
    ),
    (
        400,
        _error("the request exceeds the available context size", 400, "exceed_context_size_error",
               n_prompt_tokens=3000, n_ctx=2048),
        {"prompt_tokens": 3000, "context_tokens": 2048},
    ),
    (
        400,
        {"object": "error", "message": "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768"
         " maximum context length", "type": "invalid_request_error"},
        {"prompt_tokens": 40000, "context_tokens": 32768},
    ),
    (
        400,
        _error("Your input exceeds the context window of this model.", "context_length_exceeded"),
        {"prompt_tokens": 70, "context_tokens": 50},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "figures"), TOO_LONG)
def test_a_prompt_that_is_too_long_is_told_with_its_figures(status: int, body: Any, figures: dict[str, int]) -> None:
    error = openai_errors.refusal(httpx.Response(status, content=orjson.dumps(body)), ASKED, NOW)
    assert isinstance(error, ContextTooLong)
    assert error.details == figures
    assert all(str(figure) in str(error) for figure in figures.values())


WAITS: list[tuple[dict[str, str], float | None]] = [
    ({}, None),
    ({"retry-after": "2"}, 2.0),
    ({"retry-after": "Sat, 21 Nov 2026 12:00:30 GMT"}, 30.0),
    ({"retry-after": "soon"}, None),
    ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
    ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, 360.0),
    ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1.5s"}, 1.5),
    ({"x-ratelimit-remaining-tokens": "7", "x-ratelimit-reset-tokens": "1h"}, None),  # not what was used up
    (
        {
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": "120ms",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "1m2s",
        },
        62.0,
    ),
    ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "1700000000"}, None),
]


@pytest.mark.parametrize(("headers", "seconds"), WAITS)
def test_how_long_to_wait_is_read_from_whatever_tells_it(headers: dict[str, str], seconds: float | None) -> None:
    body = orjson.dumps(_error("slow down"))
    error = openai_errors.refusal(httpx.Response(429, content=body, headers=headers), ASKED, NOW)
    assert error.retry_after_s == seconds


FAMILIES: list[tuple[str, str | None, dict[str, Any]]] = [  # model, effort, what is known
    (
        "gpt-4o",
        None,
        {"temperature": None, "schema": True, "images": True, "logprobs": True, "context_tokens": 128_000},
    ),
    ("gpt-4o-mini-2024-07-18", None, {"schema": True, "output_tokens": 16_384}),
    ("gpt-4o-2024-05-13", None, {"schema": False}),
    ("ft:gpt-4o-mini-2024-07-18:acme::x", None, {"schema": True, "chat": True}),
    ("gpt-4.1-nano", None, {"context_tokens": 1_047_576}),
    ("gpt-4-turbo", None, {"schema": False, "images": True}),
    ("gpt-3.5-turbo", None, {"schema": False, "images": False, "tools": True}),
    ("o1-mini", None, {"tools": False, "temperature": False}),
    ("o3-mini", None, {"images": False, "temperature": False, "stop": None}),
    ("o4-mini", None, {"stop": False, "images": True}),
    ("gpt-5-mini", None, {"temperature": False, "logprobs": False, "context_tokens": 400_000}),
    ("gpt-5-chat-latest", None, {"temperature": None}),
    ("gpt-5.1", None, {"temperature": None, "logprobs": None}),
    ("gpt-5.1", "none", {"temperature": None}),
    ("gpt-5.1", "low", {"temperature": False, "logprobs": False}),
    ("gpt-6-sol", None, {"temperature": False}),
    ("text-embedding-3-small", None, {"embed": True, "chat": False}),
    ("text-embedding-ada-002", None, {"embed": True, "params": frozenset({"user"})}),
    ("something-new", None, {"chat": None, "embed": None, "tools": None, "temperature": None, "context_tokens": None}),
]


@pytest.mark.parametrize(("model", "effort", "known"), FAMILIES)
def test_what_is_known_of_a_model_goes_by_its_family(model: str, effort: str | None, known: dict[str, Any]) -> None:
    able = openai_models.able(model, effort)
    assert {name: getattr(able, name) for name in known} == known


def _chat(model: str = "gpt-4o", **wishes: Any) -> ChatCall:
    return ChatCall(model, (Message("user", "hello"),), 5.0, tag="r\u00e9/1", **wishes)


REFUSED_BEFORE: list[tuple[ChatCall | EmbedCall, str]] = [
    (_chat("o3", temperature=0.1), "temperature"),
    (_chat("gpt-5-mini", params={"top_p": 0.5}), "top_p"),
    (_chat("gpt-5.1", temperature=0.1, params={"reasoning_effort": "high"}), "temperature"),
    (_chat("o4-mini", stop=("x",)), "stop"),
    (_chat(params={"top_k": 4}), "top_k"),
    (_chat("o1-mini", tools=(Tool("t"),)), "tools"),
    (_chat("text-embedding-3-small"), "does not chat"),
    (EmbedCall("gpt-4o", ("x",), 5.0), "no embeddings"),
    (EmbedCall("text-embedding-ada-002", ("x",), 5.0, dimensions=8), "dimensions"),
]

Begin = Callable[..., Awaitable[Any]]
OK = Response(orjson.dumps({"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}))


@pytest.mark.parametrize(("call", "said"), REFUSED_BEFORE)
async def test_what_a_model_surely_lacks_is_refused_before_anything_is_sent(
    call: ChatCall | EmbedCall, said: str, replay: Begin
) -> None:
    server = await replay(OK)
    provider = OpenAIProvider(Server("openai", (server.url,), key=KEY, setting="GENAI_OPENAI_API_KEY", style="openai"))
    node = provider.nodes()[0]
    with pytest.raises(Unsupported, match=said):
        await (provider.chat(call, node) if isinstance(call, ChatCall) else provider.embed(call, node))
    await provider.aclose()
    assert server.requests == []


SENT: list[tuple[dict[str, Any], str, dict[str, str | None], dict[str, Any]]] = [  # settings, path, headers, body
    (
        {"style": "openai"},
        "/v1/chat/completions",
        {"authorization": f"Bearer {KEY}", "api-key": None, "x-genai-request": "r\\xe9/1"},
        {"model": "gpt-4o", "max_completion_tokens": 3, "max_tokens": None},
    ),
    (
        {"headers": {"HTTP-Referer": "https://app.example.org"}},
        "/v1/chat/completions",
        {"authorization": f"Bearer {KEY}", "http-referer": "https://app.example.org"},
        {"model": "gpt-4o", "max_tokens": 3, "max_completion_tokens": None},
    ),
    (
        {"style": "azure", "api_version": "2024-10-21"},
        "/v1/openai/deployments/gpt-4o/chat/completions",
        {"authorization": None, "api-key": KEY},
        {"model": None, "max_completion_tokens": 3},
    ),
    ({"key": ""}, "/v1/chat/completions", {"authorization": None, "api-key": None}, {"max_tokens": 3}),
]


@pytest.mark.parametrize(("settings", "path", "headers", "body"), SENT)
async def test_the_key_the_path_and_the_names_are_those_of_the_style(
    settings: dict[str, Any], path: str, headers: dict[str, str | None], body: dict[str, Any], replay: Begin
) -> None:
    server = await replay(OK)
    provider = OpenAIProvider(Server(**{"name": "x", "urls": (f"{server.url}/v1",), "key": KEY, **settings}))
    await provider.chat(_chat(max_tokens=3), provider.nodes()[0])
    await provider.aclose()
    (request,) = server.requests
    sent = json.loads(request.body)
    assert (request.path, {name: request.headers.get(name) for name in headers}) == (path, headers)
    assert {name: sent.get(name) for name in body} == body
    assert request.query == ("api-version=2024-10-21" if settings.get("style") == "azure" else "")


async def test_a_server_that_cannot_count_streams_is_not_asked_to(replay: Begin) -> None:
    server = await replay(OK)
    provider = OpenAIProvider(Server("mistral", (server.url,), cannot=frozenset({"stream_options", "seed"})))
    answer = await provider.chat(_chat("m", on_tokens=lambda _: None), provider.nodes()[0])
    with pytest.raises(Unsupported, match="seed"):
        await provider.chat(_chat("m", seed=1), provider.nodes()[0])
    await provider.aclose()
    sent = json.loads(server.requests[0].body)
    assert (sent["stream"], "stream_options" in sent, answer.spent.estimated) == (True, False, True)


async def test_a_shelf_tells_contexts_where_the_server_does_and_who_is_away(replay: Begin) -> None:
    listed = {"data": [{"id": "a", "max_model_len": 4096}, {"id": "b", "context_length": 7}, {"id": "c"}]}
    server = await replay(Response(orjson.dumps(listed)))
    provider = OpenAIProvider(Server("vllm", (server.url, "http://127.0.0.1:9/v1"), context_tokens=99))
    shelf = await provider.shelf()
    await provider.aclose()
    assert [(model.name, model.context_tokens) for model in shelf.models] == [("a", 4096), ("b", 7), ("c", 99)]
    assert len(shelf.away) == 1
    assert "127.0.0.1:9" in shelf.away[0]


async def test_a_refused_key_is_told_on_the_shelf_without_the_key(replay: Begin) -> None:
    server = await replay(Response(orjson.dumps(_error(f"Incorrect API key provided: {KEY}.")), 401))
    provider = OpenAIProvider(Server("openai", (server.url,), key=KEY, setting="GENAI_OPENAI_API_KEY", style="openai"))
    shelf = await provider.shelf()
    await provider.aclose()
    assert ("GENAI_OPENAI_API_KEY" in shelf.away[0], KEY in repr(shelf)) == (True, False)


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.mark.parametrize(
    ("paid", "inside", "allowed", "sent"),
    [
        (False, False, True, f"data:image/png;base64,{base64.b64encode(PNG).decode()}"),  # it is called our own
        (False, False, False, None),  # a private address that nobody listed
        (True, True, True, f"data:image/png;base64,{base64.b64encode(PNG).decode()}"),
        (True, True, False, None),  # it costs, and stands among ours all the same
        (True, False, False, "URL"),  # a server elsewhere fetches it by itself
    ],
)
async def test_a_strangers_picture_is_fetched_here_for_a_server_of_ours(
    paid: bool, inside: bool, allowed: bool, sent: str | None, replay: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def elsewhere(_client: http.Client, _base: str) -> bool:
        return False

    if not inside:
        monkeypatch.setattr(http.Client, "is_inside", elsewhere)
    server = await replay(OK)
    server.pages["/fox.png"] = Response(PNG, kind="image/png")
    url = f"{server.url}/fox.png"
    told = Server("vllm", (f"{server.url}/v1",), paid=paid)
    provider = OpenAIProvider(told, listed(["127.0.0.1"]) if allowed else NOTHING)
    turn = Message("user", "what?", ("what?", Image(url, "high")))
    call = ChatCall("m", (turn,), 5.0)
    if sent is None:
        with pytest.raises(Rejected, match="image"):
            await provider.chat(call, provider.nodes()[0])
        assert server.requests == []
    else:
        await provider.chat(call, provider.nodes()[0])
        part = json.loads(server.requests[-1].body)["messages"][0]["content"][1]
        assert part["image_url"] == {"url": url if sent == "URL" else sent, "detail": "high"}
        assert len(server.requests) == (1 if sent == "URL" else 2)
    await provider.aclose()


@pytest.mark.parametrize("streamed", [False, True])
async def test_what_a_server_says_of_the_headers_that_were_set_for_it_is_not_shown(
    streamed: bool, replay: Begin
) -> None:
    said = orjson.dumps(_error("The token hdrsecret55 is not known."))
    server = await replay(Response(b"data: " + said + b"\n\n", 200) if streamed else Response(said, 400))
    provider = OpenAIProvider(Server("vllm", (server.url,), headers={"x-team-token": "hdrsecret55"}))
    call = ChatCall("m", (Message("user", "hi"),), 5.0, on_delta=(lambda _: None) if streamed else None)
    with pytest.raises(ProviderError) as caught:
        await provider.chat(call, provider.nodes()[0])
    await provider.aclose()
    assert ("The token *** is not known" in str(caught.value), "hdrsecret55" in repr(caught.value)) == (True, False)
