"""Anthropic's Messages: bodies, answers and events, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from providers import fake_server
from providers.calls import Delta, Spent, ToolCall
from streams.web.messages import describing, wire
from streams.web.problems import Problem
from tests.streams.talking import Talking, seat
from tests.streams.test_web_keys import bearing, made
from tests.streams.webs import client, opened, web_settings

pytestmark = pytest.mark.fast

USER = {"role": "user", "content": "Hello"}
TOOL = {"name": "look", "input_schema": {"type": "object"}}
PATH = "/v1/messages"


def body(**more: Any) -> dict[str, Any]:
    return {"model": "fake", "max_tokens": 50, "messages": [USER], **more}


BASE = {"messages": [USER], "repair": False, "whole": True}


@pytest.mark.parametrize(
    ("more", "input_"),
    [
        ({}, {}),
        ({"system": "Be brief."}, {"messages": [{"role": "system", "content": "Be brief."}, USER]}),
        (
            {"system": [{"type": "text", "text": "Be", "cache_control": {}}, {"type": "text", "text": "brief."}]},
            {
                "messages": [
                    {"role": "system", "content": [{"type": "text", "text": word} for word in ("Be", "brief.")]},
                    USER,
                ],
                "keep": [{"turn": 0, "block": 0}],
            },
        ),
        ({"top_p": 0.5, "top_k": 3}, {"params": {"top_p": 0.5, "top_k": 3}}),
        (
            {"metadata": {"user_id": "u"}, "service_tier": "standard_only"},
            {"params": {"user": "u", "service_tier": "default"}},
        ),
        ({"stop_sequences": ["x"]}, {"stop": ["x"]}),
        ({"thinking": {"type": "disabled"}, "tools": []}, {}),
        ({"cache_control": {"type": "ephemeral"}}, {"keep": [{"turn": 0, "block": 0}]}),
        ({"output_config": {"effort": "low"}}, {"params": {"reasoning_effort": "low"}}),
        (
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {"output_schema": {"type": "object"}},
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
            {
                "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
                "tool_choice": "required",
                "parallel_tool_calls": False,
            },
        ),
    ],
)
def test_what_is_passed_on(more: dict[str, Any], input_: dict[str, Any]) -> None:
    assert wire.read(body(**more)).record == {"input": {**BASE, **input_}, "options": {"max_tokens": 50}}


def test_blocks_become_turns() -> None:
    """Results of tools are turns of their own; thoughts that are sent back are not shown again."""
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "What?"}, image]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": ""},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "c", "name": "look", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "c",
                    "content": [{"type": "text", "text": "fog"}],
                    "is_error": True,
                },
                {"type": "text", "text": "Well?"},
            ],
        },
    ]
    assert wire.read(body(messages=turns)).record["input"]["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            ],
        },
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "Error: fog"},
        {"role": "user", "content": "Well?"},
    ]


RESULT = {"type": "tool_result", "tool_use_id": "c", "content": [{"type": "text", "text": "x"}] * 2000}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"model": None}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0].type"),
        ({"response_format": {}}, "response_format"),
        ({"max_completion_tokens": 3}, "max_completion_tokens"),
        ({"thinking": {"type": "enabled"}}, "thinking"),
        ({"tools": [{"type": "web_search_20250305", "name": "x"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"service_tier": "fast"}, "service_tier"),
        ({"service_tier": {}}, "service_tier"),
        ({"tools": {}}, "tools"),
        ({"tool_choice": {"type": {}}}, "tool_choice.type"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"stream": 1}, "stream"),
        ({"messages": [{"role": "user", "content": "x"}] * 1001}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 2049}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [RESULT] * 5}]}, "messages"),
        ({"system": [{"type": "text", "text": "x"}] * 2049}, "system"),
        ({"tools": [{"name": "x", "input_schema": {}}] * 129}, "tools"),
    ],
)
def test_what_is_refused_is_named(more: dict[str, Any], param: str) -> None:
    with pytest.raises(Problem) as caught:
        wire.read(body(**more))
    assert (caught.value.status, caught.value.more["param"]) == (400, param)


def test_every_field_is_described() -> None:
    assert (set(describing.FIELDS), set(describing.COUNTED)) == (wire.FIELDS, wire.COUNTED)


SAYS = (
    Delta(reasoning="Hm."),
    Delta("Let me "),
    Delta("see."),
    Delta(tool_calls=((0, ToolCall("c", "look", '{"a"')),)),
    Delta(tool_calls=((0, ToolCall("", "", ": 1}")),)),
)


async def test_a_message_and_its_events(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path)) as (front, spine), client(front) as api:
        seat(spine, Talking(pieces=SAYS))
        reply = await api.post(PATH, json=body())
        lines = (await api.post(PATH, json=body(stream=True))).text.split("\n")
    told = reply.json()
    assert (told["type"], told["stop_reason"], reply.headers["request-id"]) == ("message", "tool_use", told["id"])
    assert told["content"] == [
        {"type": "thinking", "thinking": "Hm.", "signature": ""},
        {"type": "text", "text": "Let me see."},
        {"type": "tool_use", "id": "c", "name": "look", "input": {"a": 1}},
    ]
    assert told["usage"] == {
        "input_tokens": 5,
        "output_tokens": 5,
        "cache_read_input_tokens": 2,
        "cache_creation_input_tokens": 0,
    }
    names = [line[7:] for line in lines if line.startswith("event: ")]
    events = [orjson.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert names == [event["type"] for event in events]
    assert [name.removeprefix("content_block_") for name in names] == [
        *(
            "message_start",
            "start",
            "delta",
            "stop",
            "start",
            "delta",
            "delta",
            "stop",
            "start",
            "delta",
            "delta",
            "stop",
        ),
        *("message_delta", "message_stop"),
    ]
    assert [event["index"] for event in events if "index" in event] == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert events[-2]["usage"]["input_tokens"] == 5


USED = {
    "input_tokens": 2,
    "output_tokens": 5,
    "cache_read_input_tokens": 2,
    "cache_creation_input_tokens": 3,
}


@pytest.mark.parametrize(
    ("prompt", "silent", "begins"),
    [
        (Spent(7, 0, 2, 3), False, USED | {"output_tokens": 0}),
        (None, True, USED | {"output_tokens": 0}),  # nothing was told before it was whole
        (None, False, None),  # a guess
    ],
)
async def test_what_a_cache_held_and_took_is_told_beside_the_input(
    tmp_path: Path, prompt: Spent | None, silent: bool, begins: dict[str, int] | None
) -> None:
    async with opened(web_settings(tmp_path)) as (front, spine), client(front) as api:
        seat(spine, Talking(pieces=[replace(SAYS[0], prompt=prompt), *SAYS[1:]], written=3, silent=silent))
        reply = await api.post(PATH, json=body())
        lines = (await api.post(PATH, json=body(stream=True))).text.split("\n")
        (listed,) = (await api.get(f"/v1/requests/{reply.json()['id']}")).json()["calls"]
    events = [orjson.loads(line[6:]) for line in lines if line.startswith("data: ")]
    first = events[0]["message"]["usage"]
    assert (reply.json()["usage"], events[-2]["usage"]) == (USED, USED)
    assert first == begins if begins else set(first) == {"input_tokens", "output_tokens"}
    assert (listed["cached_tokens"], listed["cache_write_tokens"]) == (2, 3)


REFUSED = [
    (orjson.dumps(body(nonsense=1)), 400, "invalid_request_error", "nonsense"),
    (orjson.dumps(body(temperature=-1)), 400, "invalid_request_error", "temperature"),
    (orjson.dumps(body(max_tokens=100_000)), 400, "invalid_request_error", "8192"),
    (orjson.dumps(body(model="fakee")), 404, "not_found_error", "Did you mean fake"),
    (orjson.dumps(body(model="fakee", stream=True)), 404, "not_found_error", "fakee"),
    (
        orjson.dumps(body(messages=[{"role": "user", "content": "[fake:context_too_long]"}])),
        400,
        "invalid_request_error",
        "context",
    ),
    (b"{", 400, "invalid_request_error", "not JSON"),
    (b"[]", 400, "invalid_request_error", "array"),
    (orjson.dumps(body(messages=[{"role": "user", "content": "x" * 9000}])), 413, "request_too_large", "at most 8192"),
]


async def test_bad_input_is_told_in_anthropics_shape(tmp_path: Path) -> None:
    settings = web_settings(tmp_path, request_max_bytes=8192, api_key="secret")
    async with opened(settings) as (front, _), client(front) as api:
        stranger = await api.post(PATH, json=body())
        api.headers["x-api-key"] = "secret"
        for raw, status, kind, says in REFUSED:
            reply = await api.post(PATH, content=raw, headers={"content-type": "application/json"})
            told = reply.json()
            assert (reply.status_code, told["type"], told["error"]["type"]) == (status, "error", kind), raw[:200]
            assert says in told["error"]["message"]
        method = await api.get(PATH)
        counted = await api.post(f"{PATH}/count_tokens", json={"model": "fake", "messages": [USER], "tools": [TOOL]})
    assert (stranger.status_code, stranger.json()["error"]["type"]) == (401, "authentication_error")
    assert (method.status_code, method.json()["type"]) == (405, "error")
    assert (counted.json()["input_tokens"] > 10, counted.json()["estimated"]) == (True, True)
    assert counted.status_code == 200


async def test_refusals_and_streams_name_the_request_too(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path)) as (front, _), client(front) as api:
        refused = await api.post(PATH, json=body(model=7), headers={"x-request-id": "mine"})
        stream = await api.post(PATH, json=body(stream=True))
    assert (refused.status_code, refused.json()["request_id"], refused.headers["request-id"]) == (400, "mine", "mine")
    assert stream.headers["request-id"] == stream.headers["x-genai-request-id"]


async def test_what_fails_in_the_middle_ends_with_an_error_event(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path, retry_base_s=0.01)) as (front, spine), client(front) as api:
        seat(spine, Talking(pieces=SAYS, breaks={1: 2}, pause_s=0.02))
        lines = (await api.post(PATH, json=body(stream=True))).text.split("\n")
    assert orjson.loads(lines[-3][6:])["type"] == "error"
    assert not any("message_stop" in line for line in lines)


COUNT = f"{PATH}/count_tokens"
COUNTED = {"model": "anthropic/fake", "messages": [USER], "tools": [TOOL]}


async def test_a_provider_that_counts_is_asked_to(tmp_path: Path) -> None:
    async with await fake_server.start() as double:
        at = {"anthropic_base_url": double.url, "anthropic_api_key": "sk-ant-123456"}
        async with opened(web_settings(tmp_path, **at)) as (front, spine), client(front) as api:
            told = (await api.post(COUNT, json={**COUNTED, "system": "Be brief."})).json()
            unknown = await api.post(COUNT, json={**COUNTED, "model": "anthropic/claude-nobody"})
            wrong = await api.post(COUNT, json={**COUNTED, "messages": []})
            key, _ = await made(spine, tenant="t", models=["fake/*"])
            await front.keys.look(spine.database)
            async with bearing(front, key) as other:
                foreign = await other.post(COUNT, json=COUNTED)
    assert told == {"input_tokens": 3, "estimated": False}  # the double counts words
    assert (unknown.status_code, unknown.json()["error"]["type"]) == (404, "not_found_error")
    assert (wrong.status_code, foreign.status_code) == (400, 403)


@pytest.mark.parametrize("guards", [{}, {"*": ["pii:mask"]}, {"complete": ["secrets:refuse"]}])
async def test_a_provider_that_is_away_or_must_not_see_the_words_is_not_what_counts(
    tmp_path: Path, guards: dict[str, list[str]]
) -> None:
    async with await fake_server.start() as double:
        url = double.url if guards else "http://127.0.0.1:1"
        at = {"anthropic_base_url": url, "anthropic_api_key": "sk-ant-123456", "guards": guards}
        async with opened(web_settings(tmp_path, **at)) as (front, _), client(front) as api:
            told = (await api.post(COUNT, json=COUNTED)).json()
    assert (told["estimated"], told["input_tokens"] > 3) == (True, True)
