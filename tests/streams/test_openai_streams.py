"""Answers read along over a real socket: from the first token on, across processes, cut, begun anew, and left."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import Connection, func, select

from providers.calls import Delta, ToolCall
from providers.fake import FakeProvider
from store.ledger import life
from store.tables import executions, pieces, requests
from streams.app import running
from streams.spine import Spine
from streams.web import server
from streams.web.app import make_api
from streams.web.front import Front
from streams.web.openai import sse
from tests.streams.talking import WORDS, Talking, seat
from tests.streams.webs import opened, web_settings

CHAT = "/v1/chat/completions"
BOTH = pytest.mark.parametrize("on", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])


@contextlib.asynccontextmanager
async def web(folder: Path, **changes: Any) -> AsyncIterator[tuple[Front, Spine, httpx.AsyncClient]]:
    async with opened(web_settings(folder, drain_s=0.1, retry_base_s=0.01, **changes)) as (front, spine):
        sock = server.bind("127.0.0.1", 0, "GENAI_API_PORT")
        async with (
            server.serving(make_api(front), sock),
            httpx.AsyncClient(base_url=server.address(sock), timeout=20) as api,
        ):
            yield front, spine, api


def database(request: pytest.FixtureRequest, on: str) -> dict[str, Any]:
    return {} if on == "sqlite" else {"database_url": request.getfixturevalue("postgres_database")}


def routed(folder: Path, routes: str) -> dict[str, Any]:
    (folder / "routes.yaml").write_text(f"routes: {routes}")
    return {"routes": str(folder / "routes.yaml")}


def chat(content: str = "One.", **more: Any) -> dict[str, Any]:
    return {"model": "fake", "messages": [{"role": "user", "content": content}], "stream": True, **more}


async def events(api: httpx.AsyncClient, body: dict[str, Any], path: str = CHAT, **more: Any) -> list[Any]:
    """Everything that is told; comments as they are."""
    found: list[Any] = []
    async with api.stream("POST", path, json=body, **more) as reply:
        async for line in reply.aiter_lines():
            if line.startswith("data: {"):
                found.append(orjson.loads(line[6:]))
            elif line:
                found.append(line)
    return found


def deltas(found: list[Any]) -> list[Any]:
    return [each["choices"][0]["delta"] for each in found if isinstance(each, dict) and each.get("choices")]


def text(found: list[Any]) -> str:
    return "".join(delta.get("content") or "" for delta in deltas(found))


async def until(what: Any) -> None:
    for _ in range(300):
        if what():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came about")


async def test_the_first_token_comes_while_the_rest_is_made(tmp_path: Path) -> None:
    async with web(tmp_path) as (_, spine, api):
        fake = spine.providers["fake"]
        assert isinstance(fake, FakeProvider)
        async with api.stream("POST", CHAT, json=chat("One two three. [fake:gate]")) as reply:
            lines = reply.aiter_lines()
            seen = [line async for line in _first(lines, 2)]
            assert (reply.status_code, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
            assert reply.headers["x-genai-request-id"].startswith("chatcmpl-")
            fake.open()
            rest = [line async for line in lines if line]
    told = [orjson.loads(line[6:]) for line in (*seen, *rest) if line.startswith("data: {")]
    assert told[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert told[1]["choices"][0]["delta"]["content"]
    assert ([each["choices"][0]["finish_reason"] for each in told][-2:], rest[-1]) == ([None, "stop"], "data: [DONE]")


async def _first(lines: AsyncIterator[str], count: int) -> AsyncIterator[str]:
    async for line in lines:
        if line:
            yield line
            count -= 1
        if not count:
            return


async def test_a_stream_tells_what_the_answer_tells(tmp_path: Path) -> None:
    entry = {"token": "Fog", "logprob": -0.1, "bytes": None, "top_logprobs": []}
    said = (
        Delta(reasoning="Hm."),
        Delta("Fog", logprobs=(entry,)),
        Delta(tool_calls=((0, ToolCall("c", "look", '{"a"')),)),
        Delta(tool_calls=((0, ToolCall("", "", ": 1}")),)),
    )
    async with web(tmp_path) as (_, spine, api):
        double = seat(spine, Talking(pieces=said))
        found = await events(api, chat(logprobs=True, stream_options={"include_usage": True}))
        double.silent = True
        late = await events(api, chat(logprobs=True))
    look = {"name": "look", "arguments": '{"a"'}
    assert deltas(found) == [
        {"role": "assistant", "content": "", "refusal": None},
        {"reasoning_content": "Hm."},
        {"content": "Fog"},
        {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": look}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]},
        {},
    ]
    assert found[2]["choices"][0]["logprobs"] == {"content": [entry], "refusal": None}
    assert (found[-2]["choices"], found[-2]["usage"]["total_tokens"], found[-1]) == ([], 11, "data: [DONE]")
    assert [each["usage"] for each in found[:-2]] == [None] * (len(found) - 2)
    assert (len(late), late[1]["choices"][0]["delta"]["content"]) == (4, "Fog")  # all at once, where nobody tells


async def test_old_completions_are_streamed_too(tmp_path: Path) -> None:
    async with web(tmp_path) as (_, spine, api):
        seat(spine, Talking())
        found = await events(api, {"model": "fake", "prompt": "One.", "stream": True}, "/v1/completions")
    assert [each["choices"][0]["text"] for each in found[:-1]] == ["Fog ", "in ", "Bergen.", ""]
    assert (found[-2]["choices"][0]["finish_reason"], found[-1]) == ("stop", "data: [DONE]")


async def test_who_waits_for_a_slot_gets_comments_and_late_refusals_as_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE_S", 0.05)
    async with web(tmp_path) as (_, spine, api):
        spine.engine.draining = True
        waiting = asyncio.create_task(events(api, chat("One. [fake:refused]")))
        await asyncio.sleep(0.3)
        spine.engine.draining = False
        spine.engine.look()
        found = await waiting
    assert found[0] == ": still waiting"
    assert found[-1]["error"]["code"] == "refused"


@pytest.mark.parametrize("paid", [True, False])
@pytest.mark.parametrize(
    ("breaks", "key", "told", "state", "calls"),
    [
        ({1: 0}, None, "Fog in Bergen.", "succeeded", 2),  # nothing was sent: another try
        ({1: 0, 2: 2}, None, "broken_off", "failed", 2),
        ({1: 2}, None, "broken_off", "failed", 1),  # nobody would read another answer: none is made
        ({1: 3}, None, "broken_off", "failed", 1),  # all was told, but it was never said to be whole
        ({1: 2}, "k", "broken_off", "succeeded", 2),  # who comes again with the key reads the second one
    ],
)
async def test_a_cut_upstream(
    tmp_path: Path, paid: bool, breaks: dict[int, int], key: str | None, told: str, state: str, calls: int
) -> None:
    async with web(tmp_path) as (_, spine, api):
        double = seat(spine, Talking(breaks=breaks, pause_s=0.02, paid=paid))
        found = await events(api, chat(), headers={"idempotency-key": key} if key else {})
        await until(lambda: not spine.engine.tasks)
        (kept,) = (await api.get("/v1/requests")).json()["items"]
    end = found[-1]["error"]["code"] if isinstance(found[-1], dict) else text(found)
    assert (end, kept["state"], len(double.calls)) == (told, state, calls)


@pytest.mark.parametrize(("paid", "error"), [(True, "ambiguous"), (False, "unreachable")])
async def test_a_cut_that_its_caller_has_seen_goes_to_no_fallback(tmp_path: Path, paid: bool, error: str) -> None:
    async with web(tmp_path, **routed(tmp_path, "{fast: {targets: [fake/one], fallbacks: [fake/two]}}")) as (
        _,
        spine,
        api,
    ):
        double = seat(spine, Talking(breaks={1: 2}, pause_s=0.02, paid=paid))
        found = await events(api, {**chat(), "model": "fast"})
        kept = (await api.get(f"/v1/requests/{found[0]['id']}")).json()
    assert (found[-1]["error"]["code"], len(double.calls)) == ("broken_off", 1)
    assert (kept["status"], kept["error"]["type"], kept["route"]["fallbacks"]) == ("failed", error, [])


@BOTH
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_who_leaves_stops_the_call_and_pays_for_what_was_made(
    tmp_path: Path, request: pytest.FixtureRequest, on: str, stream: bool
) -> None:
    async with web(tmp_path, **database(request, on)) as (_, spine, api):
        double = seat(spine, Talking(pause_s=30.0, paid=True))
        asking = asyncio.create_task(api.post(CHAT, json=chat(stream=stream)))
        await until(lambda: double.told == 1)
        asking.cancel()
        await until(lambda: double.left == 1)
        await until(lambda: not spine.engine.tasks)
        told = (await api.get("/v1/requests")).json()["items"]
        costs = (await api.get("/v1/costs")).json()["totals"]
    assert ([each["state"] for each in told], len(double.calls), costs["calls"]) == (["cancelled"], 1, 1)
    assert costs["output_tokens"] == double.told  # and not what it might have become
    assert float(costs["cost_usd"]) > 0


async def test_with_a_key_the_call_goes_on_and_who_comes_late_reads_it_from_its_beginning(tmp_path: Path) -> None:
    key = {"idempotency-key": "k"}
    async with web(tmp_path) as (_, spine, api):
        double = seat(spine, Talking(pause_s=0.2))
        leaving = asyncio.create_task(events(api, chat(), headers=key))
        await until(lambda: double.calls)
        second = asyncio.create_task(events(api, chat(), headers=key))
        await asyncio.sleep(0.1)
        leaving.cancel()
        during = await second
        after = await events(api, chat(), headers=key)
    assert (text(during), text(after), len(double.calls)) == ("Fog in Bergen.", "Fog in Bergen.", 1)
    assert len(deltas(during)) == 5  # role, three pieces, the end


@BOTH
async def test_pieces_come_across_from_another_process(tmp_path: Path, request: pytest.FixtureRequest, on: str) -> None:
    where = database(request, on)
    async with web(tmp_path, **where) as (_, spine, api):
        spine.engine.draining = True  # this one takes the request and runs nothing
        async with running(web_settings(tmp_path, **where), bootstrap=None) as other:
            double = seat(other, Talking(pieces=WORDS * 3, pause_s=0.12))
            found = await events(api, chat())
            plain = await api.post(CHAT, json=chat(stream=False))
        left = await spine.database.read(
            lambda conn: conn.execute(select(func.count()).select_from(pieces)).scalar_one()
        )
    assert (text(found), found[-1]) == ("Fog in Bergen." * 3, "data: [DONE]")
    assert len(deltas(found)) > 4  # it was read along, not told at the end
    assert plain.json()["choices"][0]["message"]["content"] == "Fog in Bergen." * 3
    assert (left, len(double.calls)) == (0, 2)


@BOTH
async def test_a_client_who_leaves_stops_the_call_of_another_process(
    tmp_path: Path, request: pytest.FixtureRequest, on: str
) -> None:
    where = database(request, on)
    async with web(tmp_path, **where) as (_, spine, api):
        spine.engine.draining = True
        async with running(web_settings(tmp_path, **where), bootstrap=None) as other:
            double = seat(other, Talking(pause_s=30.0))
            asking = asyncio.create_task(events(api, chat()))
            await until(lambda: double.calls)
            asking.cancel()
            await until(lambda: double.left == 1)
            await until(lambda: not other.engine.tasks)
        state = await spine.database.read(lambda conn: conn.execute(select(requests.c.state)).scalar_one())
    assert state == "cancelled"


@BOTH
async def test_a_client_whose_process_dies_stops_the_call_of_another_one_which_is_not_made_again(
    tmp_path: Path, request: pytest.FixtureRequest, on: str
) -> None:
    where = database(request, on)
    async with web(tmp_path, **where) as (_, spine, api):
        spine.engine.draining = True
        async with running(web_settings(tmp_path, **where), bootstrap=None) as other:
            double = seat(other, Talking(pieces=WORDS * 99, pause_s=0.3, paid=True))
            asking = asyncio.create_task(events(api, chat()))
            await until(lambda: double.told > 1)
            await other.database.write(lambda conn: life.bury(conn, other.routes, [spine.worker]))
            await until(lambda: not other.engine.tasks)
            await asyncio.wait_for(asking, 10)
        state, calls = await spine.database.read(_outcomes)
    assert (state, calls, double.left) == ("cancelled", ["wasted"], 1)


def _outcomes(conn: Connection) -> tuple[str, list[str | None]]:
    calls = conn.execute(select(executions.c.outcome).order_by(executions.c.id)).scalars()
    return conn.execute(select(requests.c.state)).scalar_one(), list(calls)


async def test_a_cut_in_another_process_is_told(tmp_path: Path) -> None:
    async with web(tmp_path) as (_, spine, api):
        spine.engine.draining = True
        async with running(web_settings(tmp_path, retry_base_s=0.01), bootstrap=None) as other:
            seat(other, Talking(breaks={1: 2}, pause_s=0.15))
            found = await events(api, chat())
    assert found[-1]["error"]["code"] == "broken_off"


MESSAGE = {"max_tokens": 50, "messages": [{"role": "user", "content": "One."}]}


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        (CHAT, chat(), lambda told: told["model"]),
        ("/v1/completions", {"prompt": "One."}, lambda told: told["model"]),
        ("/v1/messages", MESSAGE, lambda told: told["message"]["model"]),
        ("/v1/responses", {"input": "One."}, lambda told: told["response"]["model"]),
    ],
)
@pytest.mark.parametrize("silent", [False, True])
async def test_a_stream_names_who_answers_and_not_who_was_asked_first(
    tmp_path: Path, path: str, body: dict[str, Any], model: Callable[[Any], str], silent: bool
) -> None:
    async with web(tmp_path, **routed(tmp_path, "{fast: {targets: [fake/one], fallbacks: [fake/two]}}")) as parts:
        seat(parts[1], Talking(breaks={1: 0}, silent=silent))
        found = await events(parts[2], {**body, "model": "fast", "stream": True}, path)
    named = [
        each for each in found if isinstance(each, dict) and ("model" in each or {"message", "response"} & {*each})
    ]
    assert {model(each) for each in named} == {"fake/two"}


async def test_a_client_who_reads_nothing_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "SLOW_S", 0.2)
    async with web(tmp_path) as (_, spine, api):
        double = seat(spine, Talking(pieces=[Delta("x" * 1_000_000)] * 200, pause_s=0.01))
        _reader, writer = await asyncio.open_connection(api.base_url.host, api.base_url.port, limit=1024)
        body = orjson.dumps(chat())
        head = (
            f"POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        await until(lambda: double.left == 1)
        writer.transport.abort()
    assert double.told < 200


async def test_many_streams_at_once_do_not_mix(tmp_path: Path) -> None:
    async with web(tmp_path, fake_slots=8) as (_, spine, api):
        found = await asyncio.gather(*(events(api, chat(f"Number {n}. Nothing else.")) for n in range(24)))
        ids = {each[0]["id"] for each in found}
        kept = {each[0]["id"]: text(each) for each in found}
        recorded = {id_: (await api.get(f"/v1/requests/{id_}")).json()["output"]["content"] for id_ in ids}
    assert (len(ids), kept) == (24, recorded)
    assert not spine.engine.readers
