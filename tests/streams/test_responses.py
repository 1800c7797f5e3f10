"""Responses over HTTP: what is asked and answered, gone on from, kept, and let go of."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import delete, select

from providers.calls import Delta, ToolCall
from providers.errors import ContextTooLong
from providers.fake import FakeProvider
from store.tables import bodies, requests, results
from streams.spine import Spine
from streams.web.front import Front
from streams.web.problems import Problem
from streams.web.responses import wire
from tests.streams.talking import Talking, seat
from tests.streams.test_web_keys import bearing, made, until_closed
from tests.streams.webs import client, opened, web_settings

PATH = "/v1/responses"
TOOL = {"type": "function", "name": "look", "description": "d", "parameters": {"type": "object"}, "strict": True}


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Front, Spine]]:
    async with opened(web_settings(tmp_path, request_max_bytes=4096)) as found:
        yield found


@pytest.fixture
async def api(parts: tuple[Front, Spine]) -> AsyncIterator[httpx.AsyncClient]:
    async with client(parts[0]) as found:
        yield found


def body(input_: Any = "One. Two.", **more: Any) -> dict[str, Any]:
    return {"model": "fake", "input": input_} | more


async def created(api: httpx.AsyncClient, *told: Any, **more: Any) -> dict[str, Any]:
    reply = await api.post(PATH, json=body(*told, **more))
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def ended(api: httpx.AsyncClient, id_: str) -> dict[str, Any]:
    for _ in range(300):
        found: dict[str, Any] = (await api.get(f"{PATH}/{id_}")).json()
        if found["status"] not in {"queued", "in_progress"}:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError("it never ended")


def told(stream: str) -> list[dict[str, Any]]:
    """The events of a stream; each is named by its type."""
    found = []
    for block in filter(None, stream.split("\n\n")):
        name, _, data = block.partition("\n")
        found.append(orjson.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


async def test_a_response_says_how_it_was_asked_and_is_shown_again(api: httpx.AsyncClient) -> None:
    reply = await api.post(PATH, json=body(instructions="Be brief.", metadata={"a": "b"}, max_output_tokens=50))
    first = reply.json()
    mark = first["id"].removeprefix("resp_")
    part = {"type": "output_text", "text": "One. Two.", "annotations": [], "logprobs": []}
    assert first["output"] == [
        {"id": f"msg_{mark}_0", "type": "message", "status": "completed", "role": "assistant", "content": [part]}
    ]
    named = (
        "object",
        "status",
        "model",
        "instructions",
        "metadata",
        "max_output_tokens",
        "store",
        "previous_response_id",
    )
    assert [first[name] for name in named] == ["response", "completed", "fake", "Be brief.", {"a": "b"}, 50, True, None]
    assert first["usage"]["total_tokens"] == first["usage"]["input_tokens"] + first["usage"]["output_tokens"] > 0
    assert (await api.get(f"{PATH}/{first['id']}")).json() == first
    assert reply.headers["x-genai-request-id"] == first["id"]
    items = (await api.get(f"{PATH}/{first['id']}/input_items")).json()
    asked = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "One. Two."}]}
    assert items["data"] == [{"id": f"msg_{mark}_in0", **asked, "status": "completed"}]


async def test_everything_that_can_be_asked_for_reaches_the_provider(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    entry = {"token": "Fog", "logprob": -0.1, "bytes": None, "top_logprobs": []}
    said = (
        Delta(reasoning="Hm."),
        Delta("Fog", logprobs=(entry,)),
        Delta(tool_calls=((0, ToolCall("c", "look", '{"a"')),)),
        Delta(tool_calls=((0, ToolCall("", "", ": 1}")), (1, ToolCall("d", "look", "{}")))),
    )
    double = seat(parts[1], Talking(pieces=said))
    asks = body(
        [
            {"role": "developer", "content": "Look."},
            {
                "role": "user",
                "content": [_text("What?"), {"type": "input_image", "image_url": "data:image/png;base64,AA=="}],
            },
        ],
        tools=[TOOL],
        tool_choice={"type": "function", "name": "look"},
        parallel_tool_calls=False,
        temperature=0.5,
        top_p=0.9,
        include=["message.output_text.logprobs"],
        top_logprobs=2,
        reasoning={"effort": "low", "summary": "auto"},
        text={"verbosity": "low", "format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}},
        service_tier="flex",
        max_output_tokens=9,
        safety_identifier="u",
    )
    whole = (await api.post(PATH, json=asks)).json()
    stream = told((await api.post(PATH, json={**asks, "stream": True})).text)
    call = double.calls[0]
    assert (call.temperature, call.logprobs, call.max_tokens, call.schema) == (0.5, 2, 9, {"type": "object"})
    assert (call.tools[0].name, call.tool_choice.name, call.parallel_tool_calls) == ("look", "look", False)  # type: ignore[union-attr]
    assert call.params == {
        "top_p": 0.9,
        "service_tier": "flex",
        "user": "u",
        "reasoning_effort": "low",
        "verbosity": "low",
    }
    assert ([message.role for message in call.messages], call.messages[1].parts[1].url[:10]) == (  # type: ignore[union-attr]
        ["system", "user"],
        "data:image",
    )
    thought, message, first, second = whole["output"]
    assert thought["content"] == [{"type": "reasoning_text", "text": "Hm."}]
    assert message["content"][0]["logprobs"] == [{"bytes": [], "token": "Fog", "logprob": -0.1, "top_logprobs": []}]
    assert [(each["call_id"], each["name"], each["arguments"]) for each in (first, second)] == [
        ("c", "look", '{"a": 1}'),
        ("d", "look", "{}"),
    ]
    assert whole["text"]["format"]["schema"] == {"type": "object"} and whole["tools"] == [TOOL]
    assert whole["tool_choice"] == {"type": "function", "name": "look"}
    assert [each["type"].removeprefix("response.") for each in stream] == [
        *("created", "in_progress"),
        *("output_item.added", "content_part.added", "reasoning_text.delta"),
        *("reasoning_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done"),
        *("output_item.added", "function_call_arguments.delta", "function_call_arguments.delta"),
        *("output_item.added", "function_call_arguments.delta"),
        *("function_call_arguments.done", "output_item.done", "function_call_arguments.done", "output_item.done"),
        "completed",
    ]
    assert [each["sequence_number"] for each in stream] == list(range(len(stream)))
    last = stream[-1]["response"]
    assert last["output"] == (await api.get(f"{PATH}/{last['id']}")).json()["output"]


def _text(words: str) -> dict[str, Any]:
    return {"type": "input_text", "text": words}


async def test_an_answer_goes_on_from_the_one_before(api: httpx.AsyncClient, parts: tuple[Front, Spine]) -> None:
    double = seat(parts[1], Talking(pieces=(Delta(tool_calls=((0, ToolCall("c", "look", "{}")),)),)))
    first = await created(api, "What is there?", tools=[TOOL], instructions="Look.")
    double.pieces = (Delta("Fog."),)
    output = [{"type": "function_call_output", "call_id": "c", "output": "fog"}]
    second = await created(api, output, previous_response_id=first["id"])
    third = await created(api, "And now?", previous_response_id=second["id"], instructions="Be brief.")
    said = [(message.role, message.content) for message in double.calls[-1].messages]
    assert said == [
        ("system", "Be brief."),  # those of the first were for the first
        ("user", "What is there?"),
        ("assistant", ""),
        ("tool", "fog"),
        ("assistant", "Fog."),
        ("user", "And now?"),
    ]
    assert double.calls[-1].messages[2].tool_calls == (ToolCall("c", "look", "{}"),)
    assert third["previous_response_id"] == second["id"]
    items = (await api.get(f"{PATH}/{second['id']}/input_items")).json()["data"]
    assert [(item["type"], item["output"]) for item in items] == [("function_call_output", "fog")]


async def test_what_cannot_be_gone_on_from_is_told_apart(api: httpx.AsyncClient, parts: tuple[Front, Spine]) -> None:
    front, spine = parts
    pruned, forgotten = (await created(api))["id"], (await created(api, store=False))["id"]
    long_ = (await created(api, "x" * 3500))["id"]

    def prune(conn: Any) -> None:
        found = conn.execute(select(requests.c.pk).where(requests.c.id == pruned)).scalar_one()
        conn.execute(delete(results).where(results.c.request_pk == found))
        conn.execute(delete(bodies).where(bodies.c.request_pk == found))

    await spine.database.write(prune)
    failed = await api.post(PATH, json=body("[fake:refused]", background=True))
    await ended(api, failed.json()["id"])
    longer = (await created(api, "y" * 900, previous_response_id=long_))["id"]
    wants = {
        "resp_nobody": "previous_response_not_found",
        forgotten: "previous_response_not_found",
        pruned: "recorded_answer_expired",
        failed.json()["id"]: "previous_response_failed",
        longer: "conversation_too_long",
    }
    found = {id_: (await api.post(PATH, json=body(previous_response_id=id_))).json()["error"] for id_ in wants}
    assert {id_: error["code"] for id_, error in found.items()} == wants
    assert {error["param"] for error in found.values()} == {"previous_response_id"}
    assert [(await api.get(f"{PATH}/{id_}")).status_code for id_ in (pruned, forgotten)] == [410, 404]
    assert not front.leaving


async def test_what_is_let_go_of_is_gone_and_what_it_cost_stays(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    first = await created(api)
    before = (await api.get("/v1/costs")).json()["totals"]
    done = (await api.delete(f"{PATH}/{first['id']}")).json()
    assert done == {"id": first["id"], "object": "response", "deleted": True}
    again = [await api.get(f"{PATH}/{first['id']}"), await api.delete(f"{PATH}/{first['id']}")]
    assert [each.status_code for each in again] == [404, 404]
    assert (await api.get("/v1/costs")).json()["totals"] == before
    left = [
        await parts[1].database.read(lambda conn, table=table: conn.execute(select(table)).first())
        for table in (bodies, results)
    ]
    assert left == [None, None]


async def test_another_tenants_response_is_as_unknown_as_one_that_there_is_not(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path)) as (front, spine):
        (one, _), (other, _) = await made(spine, tenant="a"), await made(spine, tenant="b")
        await front.keys.look(spine.database)
        await until_closed(front)
        async with bearing(front, one) as mine, bearing(front, other) as theirs:
            id_ = (await created(mine, background=True))["id"]
            await ended(mine, id_)
            asked = [
                await theirs.get(f"{PATH}/{id_}"),
                await theirs.get(f"{PATH}/{id_}?stream=true"),
                await theirs.get(f"{PATH}/{id_}/input_items"),
                await theirs.post(f"{PATH}/{id_}/cancel"),
                await theirs.delete(f"{PATH}/{id_}"),
            ]
            went_on = await theirs.post(PATH, json=body(previous_response_id=id_))
            there = (await mine.get(f"{PATH}/{id_}")).status_code
    assert ([each.status_code for each in asked], went_on.status_code, there) == ([404] * 5, 400, 200)


async def test_the_background_goes_on_without_its_caller(api: httpx.AsyncClient, parts: tuple[Front, Spine]) -> None:
    first = await created(api, background=True)
    done = await ended(api, first["id"])
    assert (first["status"], first["output"], first["usage"]) == ("queued", [], None)
    assert (done["status"], done["output"][0]["content"][0]["text"], done["background"]) == (
        "completed",
        "One. Two.",
        True,
    )
    lane = await parts[1].database.read(lambda conn: conn.execute(select(requests.c.lane)).scalar_one())
    assert lane == 1  # nobody waits
    assert (await api.post(f"{PATH}/{first['id']}/cancel")).json() == done  # it has ended; nothing is changed


async def test_a_response_of_the_background_is_cancelled(api: httpx.AsyncClient, parts: tuple[Front, Spine]) -> None:
    fake = parts[1].providers["fake"]
    assert isinstance(fake, FakeProvider)
    first = await created(api, "One. [fake:gate]", background=True)
    busy = await api.delete(f"{PATH}/{first['id']}")
    stopped = (await api.post(f"{PATH}/{first['id']}/cancel")).json()
    stream = told((await api.get(f"{PATH}/{first['id']}?stream=true")).text)
    plain = await created(api)
    refused = await api.post(f"{PATH}/{plain['id']}/cancel")
    assert (busy.status_code, busy.json()["error"]["code"], stopped["status"]) == (409, "not_ended", "cancelled")
    assert (stream[-1]["type"], stream[-1]["response"]["status"]) == ("response.failed", "cancelled")
    assert refused.status_code == 400


async def test_the_same_key_and_body_get_the_same_response(api: httpx.AsyncClient) -> None:
    key = {"idempotency-key": "k"}
    first = (await api.post(PATH, json=body(), headers=key)).json()
    again = (await api.post(PATH, json=body(), headers=key)).json()
    other = await api.post(PATH, json=body("Three."), headers=key)
    assert (first, other.status_code) == (again, 422)
    for more in ({"background": True}, {"store": False}, {"metadata": {"a": "b"}}):
        assert (await api.post(PATH, json=body(**more), headers=key)).status_code == 422, more
    behind = {"idempotency-key": "l"}
    told = [(await api.post(PATH, json=body(background=True), headers=behind)).json()["id"] for _ in range(2)]
    assert told[0] == told[1]


async def test_an_answer_that_is_cut_is_incomplete(api: httpx.AsyncClient) -> None:
    words = "One two three four five. [fake:length]"
    whole = await created(api, words)
    stream = told((await api.post(PATH, json=body(words, stream=True))).text)
    assert (whole["status"], whole["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert whole["output"][0]["status"] == "incomplete"
    assert (stream[-1]["type"], stream[-1]["response"]["output"][0]["status"]) == ("response.incomplete", "incomplete")


class Short(Talking):
    """Its context holds so few characters."""

    async def chat(self, call: Any, node: str) -> Any:
        size = sum(len(message.content) for message in call.messages)
        if size > 100:
            raise ContextTooLong("too long", {"prompt_tokens": size, "context_tokens": 100})
        return await super().chat(call, node)


async def test_what_is_too_long_is_shortened_where_the_caller_says_so(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    double = seat(parts[1], Short())
    chat = [{"role": "user" if i % 2 == 0 else "assistant", "content": f"{i} " + "w" * 30} for i in range(7)]
    refused = await api.post(PATH, json=body(chat))
    cut = await created(api, chat, truncation="auto", instructions="Be brief.")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "context_length_exceeded")
    sent = [message.content[:2] for message in double.calls[-1].messages]
    assert (sent[0], sent[-1], len(sent) < 5, cut["truncation"]) == ("Be", "6 ", True, "auto")


MANY = {f"k{i}": "v" for i in range(17)}
PICTURE = {"type": "input_image", "file_id": "file-1"}


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"messages": [{"role": "user", "content": "x"}]}, "messages"),
    ({"max_tokens": 5}, "max_tokens"),
    ({"response_format": {"type": "text"}}, "response_format"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"prompt": {"id": "p"}}, "prompt"),
    ({"max_tool_calls": 2}, "max_tool_calls"),
    ({"stop": ["x"]}, "stop"),
    ({"model": None}, "model"),
    ({"input": None}, "input"),
    ({"input": ""}, "input"),
    ({"input": []}, "input"),
    ({"input": 5}, "input"),
    ({"input": [5]}, "input[0].type"),
    ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0].type"),
    ({"input": [{"type": "reasoning", "summary": []}]}, "input"),
    ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role"),
    ({"input": [{"role": "user", "content": 5}]}, "input[0].content"),
    ({"input": [{"role": "user", "content": [PICTURE]}]}, "input[0].content[0].file_id"),
    ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0].type"),
    ({"input": [{"role": "assistant", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
    ({"input": [{"type": "function_call", "call_id": "c", "name": "n", "arguments": {}}]}, "input[0].arguments"),
    ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input"),
    ({"input": [{"role": "user", "content": "x", "colour": 1}]}, "input[0].colour"),
    ({"instructions": ["x"]}, "instructions"),
    ({"tools": {"type": "function"}}, "tools"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ({"tools": [{"type": "function", "function": {"name": "n"}}]}, "tools[0].function"),
    ({"tools": [{"type": "function", "name": "n n"}]}, "tools[0].name"),
    ({"tool_choice": "maybe"}, "tool_choice"),
    ({"tool_choice": {"type": "web_search"}}, "tool_choice.type"),
    ({"tool_choice": "required"}, "tool_choice"),
    ({"parallel_tool_calls": "yes"}, "parallel_tool_calls"),
    ({"text": {"format": {"type": "yaml"}}}, "text.format.type"),
    ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema"),
    ({"text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": 5}}}}, "text.format"),
    ({"text": {"verbosity": "loud"}}, "text.verbosity"),
    ({"text": "x"}, "text"),
    ({"reasoning": {"effort": "much"}}, "reasoning.effort"),
    ({"reasoning": {"summary": "detailed"}}, "reasoning.summary"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"max_output_tokens": "9"}, "max_output_tokens"),
    ({"temperature": 3}, "temperature"),
    ({"temperature": -0.1}, "temperature"),
    ({"top_p": 2}, "top_p"),
    ({"top_logprobs": 2}, "top_logprobs"),
    ({"include": ["reasoning.encrypted_content"]}, "include"),
    ({"include": "x"}, "include"),
    ({"metadata": {"a": 1}}, "metadata"),
    ({"metadata": MANY}, "metadata"),
    ({"store": "no"}, "store"),
    ({"background": True, "store": False}, "store"),
    ({"background": "x"}, "background"),
    ({"stream": 1}, "stream"),
    ({"stream_options": {"include_obfuscation": True}}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": True}}, "stream_options.include_usage"),
    ({"truncation": "some"}, "truncation"),
    ({"previous_response_id": 5}, "previous_response_id"),
    ({"previous_response_id": "resp_x"}, "previous_response_id"),
]


async def test_what_is_wrong_is_named(api: httpx.AsyncClient) -> None:
    for more, param in WRONG:
        reply = await api.post(PATH, json={name: value for name, value in body(**more).items() if value is not None})
        error = reply.json()["error"]
        assert (reply.status_code, error["param"], error["type"]) == (400, param, "invalid_request_error"), (
            more,
            error,
        )
    assert (await api.get("/v1/requests")).json()["items"] == []


WORD = {"type": "input_text", "text": "x"}


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input": [{"role": "user", "content": [WORD] * 2049}]}, "input[0].content"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": [WORD] * 2049}]}, "input[0].output"),
        ({"input": [{"role": "user", "content": [WORD] * 2000}] * 5}, "input"),
        ({"input": [{"role": "user", "content": "x"}] * 8193}, "input"),
        ({"tools": [{"type": "function", "name": "n"}] * 129}, "tools"),
    ],
)
def test_what_is_too_many_is_refused_before_it_is_read(more: dict[str, Any], param: str) -> None:
    with pytest.raises(Problem, match="at most") as caught:
        wire.read({"model": "m", "input": "x", **more})
    assert (caught.value.status, caught.value.more["param"]) == (400, param)


async def test_bodies_that_are_none_are_refused_in_the_doors_own_shape(api: httpx.AsyncClient) -> None:
    deep = orjson.dumps(body()).replace(b'"One. Two."', b'[{"role":"user","content":' + b"[" * 300 + b"]" * 300 + b"}]")
    schema = b'{"model":"fake","input":"x","text":{"format":{"type":"json_schema","name":"n","schema":' + b'{"a":' * 240
    json = {"content-type": "application/json"}
    sent = {
        "oversize": orjson.dumps(body("x" * 5000)),
        "not json": b"{",
        "a list": b"[]",
        "deep": deep,
        "deep schema": schema + b"{}" + b"}" * 243,
    }
    found = {name: await api.post(PATH, content=raw, headers=json) for name, raw in sent.items()}
    unknown = await api.post(PATH, json=body(model="nobody"))
    assert {name: reply.status_code for name, reply in found.items()} == {
        "oversize": 413,
        "not json": 400,
        "a list": 400,
        "deep": 400,
        "deep schema": 400,
    }
    assert all(set(reply.json()["error"]) == {"message", "type", "param", "code"} for reply in found.values())
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
    assert "Did you mean fake" in (await api.post(PATH, json=body(model="fakee"))).json()["error"]["message"]


WRONG_LOOKS = [
    ("?stream=maybe", "stream"),
    ("?starting_after=1", "starting_after"),
    ("?stream=true&starting_after=-1", "starting_after"),
    ("?stream=true&starting_after=x", "starting_after"),
    ("?stream=true", "stream"),  # it was not made for the background
    ("?include=x", "include"),
    ("?colour=red", None),
]


async def test_what_is_wrong_of_a_look_is_named(api: httpx.AsyncClient) -> None:
    id_ = (await created(api))["id"]
    for query, param in WRONG_LOOKS:
        reply = await api.get(f"{PATH}/{id_}{query}")
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, param), query


async def test_items_are_paged(api: httpx.AsyncClient) -> None:
    chat = [{"role": "user", "content": str(i)} for i in range(3)]
    path = f"{PATH}/{(await created(api, chat))['id']}/input_items"
    first = (await api.get(path, params={"limit": 2, "order": "asc"})).json()
    rest = (await api.get(path, params={"order": "asc", "after": first["last_id"]})).json()
    newest = (await api.get(path, params={"limit": 1})).json()
    wrong = [await api.get(path, params=told_) for told_ in ({"limit": 0}, {"order": "up"}, {"after": "x"})]
    shown = [[item["content"][0]["text"] for item in page["data"]] for page in (first, rest, newest)]
    assert shown == [["0", "1"], ["2"], ["2"]]
    assert [page["has_more"] for page in (first, rest, newest)] == [True, False, True]
    assert [each.status_code for each in wrong] == [400, 400, 400]
