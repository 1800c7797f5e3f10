"""OpenAI's paths over HTTP: answers, refusals, what is published, and asking twice."""

import asyncio
import base64
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import Connection, func, select

from providers.calls import Delta, ToolCall
from schemas.errors import ErrorType
from store.tables import outbox, requests
from streams.spine import Spine
from streams.web.front import Front
from streams.web.openai import shape
from tests.streams.talking import Talking, seat
from tests.streams.webs import client, opened, web_settings

JSON = {"content-type": "application/json"}
CHAT = "/v1/chat/completions"


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Front, Spine]]:
    async with opened(web_settings(tmp_path, request_max_bytes=4096)) as made:
        yield made


@pytest.fixture
async def api(parts: tuple[Front, Spine]) -> AsyncIterator[httpx.AsyncClient]:
    async with client(parts[0]) as made:
        yield made


def chat(content: Any = "One.", **more: Any) -> dict[str, Any]:
    return {"model": "fake", "messages": [{"role": "user", "content": content}]} | more


async def published(spine: Spine) -> dict[str, int]:
    def count(conn: Connection) -> dict[str, int]:
        found = select(outbox.c.topic, func.count()).group_by(outbox.c.topic)
        return {row[0]: row[1] for row in conn.execute(found)}

    return await spine.database.read(count)


async def test_a_chat_is_answered_in_openais_shape(api: httpx.AsyncClient, parts: tuple[Front, Spine]) -> None:
    reply = await api.post(CHAT, json=chat("One. Two.", metadata={"a": "b"}))
    told = reply.json()
    kept = (await api.get(f"/v1/requests/{told['id']}")).json()
    (choice,) = told["choices"]
    assert (reply.status_code, told["object"], told["model"], told["system_fingerprint"]) == (
        200,
        "chat.completion",
        "fake",
        None,
    )
    assert told["id"].startswith("chatcmpl-")
    assert choice == {
        "index": 0,
        "message": {"role": "assistant", "content": kept["output"]["content"], "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert (kept["usage"]["input_tokens"], kept["metadata"]) == (told["usage"]["prompt_tokens"], {"a": "b"})
    assert {name: reply.headers[f"x-genai-{name}"] for name in ("request-id", "cost-usd", "cache")} == {
        "request-id": told["id"],
        "cost-usd": kept["usage"]["cost_usd"],
        "cache": "miss",
    }
    lane = await parts[1].database.read(lambda conn: conn.execute(select(requests.c.lane)).scalar_one())
    assert lane == 0  # people wait here


async def test_an_answer_is_published_only_where_a_setting_says_so(tmp_path: Path) -> None:
    found = []
    for on in (False, True):
        async with opened(web_settings(tmp_path / str(on), chat_results=on)) as (front, spine), client(front) as api:
            for said in ("One.", "One. [fake:refused]", "One. [fake:gibberish]"):
                await api.post(CHAT, json=chat(said))
            await api.post("/v1/embeddings", json={"model": "fake-embed", "input": "x"})
            found.append(await published(spine))
    quiet, loud = found
    assert quiet.keys() == {"genai.usage", "genai.prompts"}  # no text, in no topic
    assert (loud["genai.results"], loud["genai.usage"]) == (4, quiet["genai.usage"])


async def test_everything_that_can_be_asked_for_reaches_the_provider(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    entry = {"token": "Fog", "logprob": -0.1, "bytes": None, "top_logprobs": []}
    said = (
        Delta("Fog", logprobs=(entry,)),
        Delta(reasoning="Hm."),
        Delta(tool_calls=((0, ToolCall("c", "look", "{}")),)),
    )
    double = seat(parts[1], Talking(pieces=said))
    tool = {"type": "function", "function": {"name": "look", "description": "d", "strict": True}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}}
    body = chat(
        [{"type": "text", "text": "What?"}, picture],
        tools=[tool],
        tool_choice={"type": "function", "function": {"name": "look"}},
        parallel_tool_calls=False,
        stop="x",
        seed=3,
        temperature=0.5,
        logprobs=True,
        top_logprobs=2,
        user="u",
        service_tier="flex",
        reasoning_effort="low",
        max_completion_tokens=9,
    )
    told = (await api.post(CHAT, json=body)).json()
    (call,) = double.calls
    assert (call.stop, call.seed, call.temperature, call.logprobs, call.max_tokens) == (("x",), 3, 0.5, 2, 9)
    assert (call.tools[0].name, call.tool_choice.name, call.parallel_tool_calls) == ("look", "look", False)  # type: ignore[union-attr]
    assert call.params == {"user": "u", "service_tier": "flex", "reasoning_effort": "low"}
    assert call.messages[0].parts[1].detail == "low"  # type: ignore[union-attr]
    assert told["choices"][0] == {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": "Fog",
            "refusal": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
            "reasoning_content": "Hm.",
        },
        "logprobs": {"content": [entry], "refusal": None},
        "finish_reason": "tool_calls",
    }
    assert told["usage"]["completion_tokens_details"]["reasoning_tokens"] == 1


PAID_AGAIN = [
    (CHAT, {"messages": [{"role": "user", "content": "[fake:cut*1] Hi."}]}, ("prompt_tokens", "completion_tokens")),
    ("/v1/completions", {"prompt": "[fake:cut*1] Hi."}, ("prompt_tokens", "completion_tokens")),
    ("/v1/embeddings", {"input": "[fake:cut*1] Hi."}, ("prompt_tokens", "total_tokens")),
    (
        "/v1/messages",
        {"messages": [{"role": "user", "content": "[fake:cut*1] Hi."}]},
        ("input_tokens", "output_tokens"),
    ),
    ("/v1/responses", {"input": "[fake:cut*1] Hi."}, ("input_tokens", "output_tokens")),
]


@pytest.mark.parametrize(("path", "body", "names"), PAID_AGAIN)
async def test_a_call_that_was_paid_and_lost_is_told_and_is_no_part_of_the_answers_usage(
    api: httpx.AsyncClient, path: str, body: dict[str, Any], names: tuple[str, str]
) -> None:
    most = {"/v1/embeddings": {}, "/v1/responses": {"max_output_tokens": 50}}.get(path, {"max_tokens": 50})
    asked = {"model": "fake/fake-embed" if path == "/v1/embeddings" else "fake/fake", **body, **most}
    reply = await api.post(path, json=asked)
    kept = (await api.get(f"/v1/requests/{reply.headers['x-genai-request-id']}")).json()
    lost, answered = (kept["calls"][0], kept["calls"][1])
    own = [answered["input_tokens"], answered["output_tokens"]]
    assert ([lost["outcome"], answered["outcome"]], kept["usage"]["cost_usd"]) == (
        ["wasted", "ok"],
        reply.headers["x-genai-cost-usd"],
    )
    told = [reply.json()["usage"][name] for name in names]
    assert told == (own if path != "/v1/embeddings" else [own[0], own[0]])
    assert kept["usage"]["wasted"]["calls"] == 1
    assert (
        orjson.loads(reply.headers["x-genai-warnings"])
        == kept["warnings"]
        == [
            f"paid without an answer: `{asked['model']}` was asked again after a call that was booked at {lost['cost_usd']} USD and lost"
        ]
    )


async def test_no_answer_is_cut_that_nobody_cut(api: httpx.AsyncClient, parts: tuple[Front, Spine]) -> None:
    double = seat(parts[1], Talking())
    await api.post(CHAT, json=chat())
    await api.post("/v1/complete", json={"prompt": "One."})
    assert [call.max_tokens for call in double.calls] == [None, 512]


async def test_several_answers(api: httpx.AsyncClient) -> None:
    told = (await api.post(CHAT, json=chat(n=3))).json()
    assert [choice["index"] for choice in told["choices"]] == [0, 1, 2]
    one = (await api.post(CHAT, json=chat())).json()
    assert told["usage"]["completion_tokens"] == 3 * one["usage"]["completion_tokens"]


async def test_json_by_a_schema_is_not_asked_for_twice(api: httpx.AsyncClient) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    asked = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    told = (await api.post(CHAT, json=chat(response_format=asked))).json()
    assert isinstance(orjson.loads(told["choices"][0]["message"]["content"])["a"], int)
    broken = await api.post(CHAT, json=chat("One. [fake:gibberish]", response_format=asked))
    assert broken.status_code == 200  # as it came, as OpenAI does
    assert (await api.get("/v1/costs")).json()["totals"]["calls"] == 2


async def test_old_completions(api: httpx.AsyncClient) -> None:
    one = (await api.post("/v1/completions", json={"model": "fake", "prompt": "One."})).json()
    two = (await api.post("/v1/completions", json={"model": "fake", "prompt": ["One.", "Two."], "n": 2})).json()
    assert (one["object"], one["choices"][0]["index"], one["choices"][0]["logprobs"]) == ("text_completion", 0, None)
    assert [choice["index"] for choice in two["choices"]] == [0, 1, 2, 3]
    assert one["id"].startswith("cmpl-")


async def test_embeddings_as_numbers_and_packed(api: httpx.AsyncClient) -> None:
    asked = {"model": "fake-embed", "input": ["a", "b"]}
    plain = (await api.post("/v1/embeddings", json=asked)).json()
    packed = (await api.post("/v1/embeddings", json={**asked, "encoding_format": "base64", "user": "u"})).json()
    tokens = (await api.post("/v1/embeddings", json={**asked, "input": [[64], [65]]})).json()
    assert tokens == plain  # as LangChain sends texts
    vector = plain["data"][1]["embedding"]
    raw = base64.b64decode(packed["data"][1]["embedding"])
    assert struct.unpack(f"<{len(vector)}f", raw) == pytest.approx(vector, abs=1e-6)
    assert (plain["object"], plain["data"][1]["index"], plain["model"]) == ("list", 1, "fake-embed")
    assert plain["usage"]["prompt_tokens"] == plain["usage"]["total_tokens"] == 2


async def test_lane_and_tenant_come_as_headers(api: httpx.AsyncClient, parts: tuple[Front, Spine]) -> None:
    await api.post(CHAT, json=chat(), headers={"x-genai-lane": "batch", "x-genai-tenant": "t"})
    row = await parts[1].database.read(lambda conn: conn.execute(select(requests.c.lane, requests.c.tenant)).one())
    assert tuple(row) == (2, "t")


LARGE = orjson.dumps(chat("x" * 5000))
DEEP = b'{"model": "fake", "messages": [{"role": "user", "content": ' + b"[" * 3000 + b"]" * 3000 + b"}]}"


BAD: list[tuple[bytes, int, str | None, str | None, str]] = [
    (b"", 400, None, None, "empty"),
    (b"{", 400, None, None, "not JSON"),
    (b"[]", 400, None, None, "array"),
    (b'{"model": "\xff"}', 400, None, None, "not UTF-8"),
    (LARGE, 413, "request_too_large", None, "at most 4096"),
    (orjson.dumps(chat(nonsense=1)), 400, "unknown_parameter", "nonsense", "nonsense"),
    (orjson.dumps(chat(temperature=-1)), 400, None, "temperature", "greater than or equal to 0"),
    (orjson.dumps(chat(max_tokens=0)), 400, None, "max_tokens", "greater than or equal to 1"),
    (orjson.dumps(chat(max_tokens=100_000)), 400, None, "max_tokens", "at most 8192 tokens"),
    (orjson.dumps(chat(top_p=7)), 400, None, "top_p", "less than or equal to 1"),
    (orjson.dumps(chat(stream=True, n=2)), 400, None, "n", "stream"),
    (orjson.dumps(chat(7)), 400, None, "messages[0].content", "string"),
    (orjson.dumps({**chat(), "messages": []}), 400, None, "messages", "at least one turn"),
    (orjson.dumps({**chat(), "messages": [{"role": "user"}]}), 400, None, "messages[0]", "needs `content`"),
    (orjson.dumps(chat(tool_choice="required")), 400, None, "tool_choice", "needs `tools`"),
    (orjson.dumps(chat(prompt="both")), 400, "unsupported_parameter", "prompt", "/v1/completions"),
    (orjson.dumps({**chat(), "model": "fakee"}), 404, "model_not_found", "model", "Did you mean fake"),
    (orjson.dumps({**chat(), "model": "fake/nope", "stream": True}), 404, "model_not_found", "model", "nope"),
    (orjson.dumps(chat("x " * 100 + "[fake:context_too_long]")), 400, "context_length_exceeded", None, "context"),
    (orjson.dumps(chat("x [fake:refused]")), 502, "refused", None, "told to fail"),
    (orjson.dumps(chat("x [fake:refused]", stream=True)), 502, "refused", None, "told to fail"),
]


async def test_bad_input_is_told_in_openais_shape(api: httpx.AsyncClient) -> None:
    for body, status, code, param, says in BAD:
        reply = await api.post(CHAT, content=body, headers=JSON)
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["param"]) == (status, code, param), body[:200]
        assert says in error["message"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert reply.headers["x-request-id"]
    assert (await api.post(CHAT, json=chat())).status_code == 200


async def test_a_body_that_is_nested_too_deeply(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path)) as (front, _), client(front) as api:
        reply = await api.post(CHAT, content=DEEP, headers=JSON)
    assert (reply.status_code, reply.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_what_a_model_cannot_do_is_named(api: httpx.AsyncClient) -> None:
    picture = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    reply = await api.post(CHAT, json=chat(picture, model="fake-embed"))
    error = reply.json()["error"]
    assert (reply.status_code, error["param"], error["code"]) == (400, "model", "unsupported_parameter")


async def test_bad_input_leaves_nothing_behind(api: httpx.AsyncClient, parts: tuple[Front, Spine]) -> None:
    for body in (chat(temperature=-1), chat(nonsense=1), chat(max_tokens=10**5)):
        await api.post(CHAT, json=body)
    count = await parts[1].database.read(
        lambda conn: conn.execute(select(func.count()).select_from(requests)).scalar_one()
    )
    assert count == 0


async def test_a_tenant_in_a_header_is_the_one_of_that_name_in_json(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    await api.post(CHAT, json=chat(), headers={"x-genai-tenant": "mieté".encode()})
    await api.post("/v1/complete", json={"prompt": "One.", "tenant": "mieté"})
    tenants = await parts[1].database.read(lambda conn: conn.execute(select(requests.c.tenant)).scalars().all())
    assert tenants == ["mieté", "mieté"]


WRONG_HEADERS: list[tuple[dict[str, Any], str]] = [
    ({"x-genai-tenant": b"miet\xe9"}, "not UTF-8"),
    ({"x-genai-lane": b"\xff"}, "not UTF-8"),
    ({"idempotency-key": b"\xff"}, "not UTF-8"),
    ({"x-genai-lane": ""}, "realtime, normal, batch"),
    ({"x-genai-lane": "fast"}, "realtime, normal, batch"),
    ({"idempotency-key": "k" * 600}, "Idempotency-Key"),
    ({"idempotency-key": ""}, "Idempotency-Key"),
    ({"x-genai-tenant": "t" * 600}, "tenant"),
]


async def test_a_wrong_header_is_told(api: httpx.AsyncClient) -> None:
    for headers, says in WRONG_HEADERS:
        reply = await api.post(CHAT, json=chat(), headers=headers)
        assert (reply.status_code, says in reply.json()["error"]["message"]) == (400, True), headers


async def test_other_types_and_methods_are_refused_in_the_same_shape(api: httpx.AsyncClient) -> None:
    form = await api.post(CHAT, data={"model": "fake"})
    got = await api.get(CHAT)
    assert [(reply.status_code, reply.json()["error"]["code"]) for reply in (form, got)] == [
        (415, "unsupported_media_type"),
        (405, "method_not_allowed"),
    ]


async def test_without_the_key_the_door_says_so_in_the_same_shape(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path, api_key="secret")) as (front, _), client(front) as api:
        refused = await api.post(CHAT, json=chat())
        taken = await api.post(CHAT, json=chat(), headers={"authorization": "Bearer secret"})
    assert (refused.status_code, refused.json()["error"]["code"], taken.status_code) == (401, "invalid_api_key", 200)


async def test_a_full_lane_says_when_to_come_again(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path, http_window=1)) as (front, spine), client(front) as api:
        spine.engine.draining = True
        waiting = asyncio.create_task(api.post(CHAT, json=chat()))
        for _ in range(100):
            reply = await asyncio.wait_for(api.post(CHAT, json=chat(nonsense=1)), 5)
            if front.gate._taken[0]:
                break
            await asyncio.sleep(0.01)
        reply = await api.post(CHAT, json=chat())
        waiting.cancel()
    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(reply.headers["retry-after"]) >= 1


async def test_one_that_takes_too_long_is_given_up_unless_it_has_a_key(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path, chat_timeout_s=0.1)) as (front, spine), client(front) as api:
        spine.engine.draining = True  # nobody runs it
        plain = await api.post(CHAT, json=chat())
        keyed = await api.post(CHAT, json=chat(), headers={"idempotency-key": "k"})
        states = await spine.database.read(
            lambda conn: list(conn.execute(select(requests.c.state).order_by(requests.c.pk)).scalars())
        )
    assert [reply.json()["error"]["code"] for reply in (plain, keyed)] == ["timeout", "timeout"]
    assert "same Idempotency-Key" in keyed.json()["error"]["message"]
    assert (plain.status_code, states) == (504, ["cancelled", "waiting"])


async def test_the_same_key_and_body_get_the_same_answer(api: httpx.AsyncClient, parts: tuple[Front, Spine]) -> None:
    double = seat(parts[1], Talking(pause_s=0.05))
    key = {"idempotency-key": '"order 7"'}
    first = await asyncio.gather(*(api.post(CHAT, json=chat(), headers=key) for _ in range(3)))
    later = await api.post(CHAT, json=chat(), headers={"idempotency-key": "order 7"})
    answers = [reply.json() for reply in (*first, later)]
    assert (len(double.calls), all(told == answers[0] for told in answers)) == (1, True)
    assert answers[0]["usage"]["prompt_tokens"] == 7  # what it took when it was made, also when it is told again
    other = await api.post(CHAT, json=chat("Another."), headers=key)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_conflict")


async def test_a_failure_under_a_key_may_be_tried_again(api: httpx.AsyncClient, parts: tuple[Front, Spine]) -> None:
    key = {"idempotency-key": "k"}
    body = chat("x [fake:refused*1]")
    replies = [await api.post(CHAT, json=body, headers=key) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [502, 200]
    assert replies[0].headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("word", "status", "code"),
    [
        (ErrorType.BUDGET_EXCEEDED, 429, "insufficient_quota"),
        (ErrorType.RATE_LIMITED, 429, "rate_limit_exceeded"),
        (ErrorType.OVERLOADED, 503, "overloaded"),
        (ErrorType.UNREACHABLE, 502, "unreachable"),
        (ErrorType.INTERNAL, 500, "internal"),
    ],
)
def test_our_words_in_openais(word: str, status: int, code: str) -> None:
    assert (shape.status_of(word), shape.error("x", word)["code"]) == (status, code)
