"""How far a long call is, seen at the door of any process, and as events."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import event, func, select

from providers import fake_server
from store.tables import generating
from streams.app import running
from streams.spine import Spine
from streams.web import events
from streams.web.app import make_api
from streams.web.front import Front
from tests.streams.webs import client, opened, web_settings


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Front, Spine]]:
    async with opened(web_settings(tmp_path)) as made:
        yield made


@pytest.fixture
async def api(parts: tuple[Front, Spine]) -> AsyncIterator[httpx.AsyncClient]:
    async with client(parts[0]) as made:
        yield made


async def begun(api: httpx.AsyncClient, seconds: float, id_: str = "a") -> str:
    body = {"prompt": f"[fake:sleep:{seconds}] a story about foxes", "id": id_}
    return str((await api.post("/v1/complete?wait=0", json=body)).headers["location"])


async def watched(api: httpx.AsyncClient, url: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Every progress that was told, and the result."""
    seen: list[dict[str, Any]] = []
    while (told := (await api.get(url)).json())["status"] == "unfinished":
        if told["progress"] and told["progress"] not in seen:
            seen.append(told["progress"])
        await asyncio.sleep(0.02)
    return seen, told


async def test_tokens_grow_while_the_call_runs_and_nothing_is_left_of_them(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    began = time.time()
    seen, result = await watched(api, await begun(api, 1.0))
    tokens = [told["tokens"] for told in seen]
    assert (tokens == sorted(tokens), len(set(tokens)) >= 3, {told["calls"] for told in seen}) == (True, True, {1})
    assert 0 < tokens[-1] <= result["usage"]["output_tokens"]
    assert result["status"] == "succeeded"
    assert all(_epoch(told["since"]) >= began - 0.1 for told in seen)
    assert await _empty(parts[1])


async def _empty(spine: Spine) -> bool:
    count = select(func.count()).select_from(generating)
    for _ in range(100):
        if not await spine.database.read(lambda conn: conn.execute(count).scalar_one()):
            return True
        await asyncio.sleep(0.02)
    return False


def _epoch(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


async def test_the_progress_of_another_process_is_told_here(tmp_path: Path) -> None:
    async with await fake_server.start() as server:
        settings = web_settings(tmp_path, fake_url=server.url)
        async with opened(settings) as (front, spine):
            spine.engine.draining = True  # this one takes the request and runs nothing
            async with running(settings, bootstrap=None), client(front) as api:
                seen, result = await watched(api, await begun(api, 1.0))
    assert (len({told["tokens"] for told in seen}) >= 3, result["status"]) == (True, "succeeded")


async def test_short_calls_write_nothing_of_it(tmp_path: Path) -> None:
    """Neither a statement nor a commit more than without."""
    async with opened(web_settings(tmp_path, poll_s=0.5)) as (front, spine), client(front) as api:
        written: list[str] = []

        def seen(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
            if "generating" in statement and not statement.startswith("SELECT"):
                written.append(statement)

        event.listen(spine.database.sync, "before_cursor_execute", seen)
        until = time.monotonic() + 1.2
        while time.monotonic() < until:
            assert (await api.post("/v1/complete", json={"prompt": "hi"})).json()["status"] == "succeeded"
        assert written == []
        await watched(api, await begun(api, 1.5))
        assert written != []


def parsed(text: str) -> list[tuple[str, str, Any]]:
    """(event, id, data)."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith((":", "retry")))
        if fields and fields["event"] != "queue":  # an estimate has no id, and is told beside the others
            found.append((fields["event"], fields["id"], orjson.loads(fields["data"])))
    return found


def events_of(url: str) -> str:
    path, query = url.split("?")
    return f"{path}/events?{query}"


async def test_events_tell_states_progress_and_the_result_then_end(api: httpx.AsyncClient) -> None:
    url = await begun(api, 1.0)
    reply = await api.get(events_of(url))
    found = parsed(reply.text)
    kinds = [kind for kind, _, _ in found]
    states = [data["state"] for kind, _, data in found if kind == "state"]
    tokens = [data["tokens"] for kind, _, data in found if kind == "progress"]
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert (states[-1], kinds[-1], kinds.count("result"), tokens == sorted(tokens), len(tokens) >= 2) == (
        "calling",
        "result",
        1,
        True,
        True,
    )
    shown = (await api.get(url)).json()
    assert found[-1][2] == {name: value for name, value in shown.items() if name != "calls"}
    assert len({id_ for _, id_, _ in found}) == len(found)


async def test_whoever_comes_back_gets_what_is_new_and_204_once_they_have_the_result(api: httpx.AsyncClient) -> None:
    url = events_of(await begun(api, 0.2))
    *_, (kind, last, _) = parsed((await api.get(url)).text)
    [again] = parsed((await api.get(url)).text)
    assert (kind, again[0]) == ("result", "result")
    assert (await api.get(url, headers={"last-event-id": last})).status_code == 204
    [other] = parsed((await api.get(url, headers={"last-event-id": "nonsense"})).text)
    assert other == again


async def test_a_state_that_the_client_has_is_not_told_again(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    parts[1].engine.draining = True
    url = await begun(api, 0.0)
    first = await _first_events(parts[0], url, {})
    [(kind, name, data)] = parsed(first)
    assert (kind, data["state"], data["progress"]) == ("state", "waiting", None)
    assert parsed(await _first_events(parts[0], url, {"last-event-id": name})) == []


async def test_a_comment_keeps_an_idle_stream_alive(
    api: httpx.AsyncClient, parts: tuple[Front, Spine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.1)
    parts[1].engine.draining = True
    assert ": still here\n\n" in await _first_events(parts[0], await begun(api, 0.0), {})


async def _first_events(front: Front, url: str, headers: dict[str, str], seconds: float = 0.4) -> str:
    """What comes in so many seconds; then the client leaves, and the server must let go at once."""
    path, query = events_of(url).split("?")
    left, sent = asyncio.Event(), bytearray()

    async def receive() -> dict[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.extend(message.get("body", b""))

    packed = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": packed,
        "scheme": "http",
        "server": ("test", 80),
        "client": ("test", 1),
    }
    serving = asyncio.create_task(make_api(front)(scope, receive, send))
    await asyncio.sleep(seconds)
    left.set()
    await asyncio.wait_for(serving, 1)
    return sent.decode()


async def test_a_stream_ends_when_its_process_ends(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path)) as (front, spine), client(front) as api:
        spine.engine.draining = True
        url = events_of(await begun(api, 0.0))
        asking = asyncio.create_task(api.get(url))
        await asyncio.sleep(0.2)
        front.close()
        reply = await asyncio.wait_for(asking, 2)
    assert [kind for kind, _, _ in parsed(reply.text)] == ["state"]


@pytest.mark.parametrize(("url", "status"), [("/v1/requests/nope/events", 404), ("/v1/requests/a/events", 409)])
async def test_events_of_what_is_not_there_or_not_one_are_refused(
    api: httpx.AsyncClient, url: str, status: int
) -> None:
    for path in ("summarize", "complete"):
        body = {"id": "a", "content": "One."} if path == "summarize" else {"id": "a", "prompt": "One."}
        await api.post(f"/v1/{path}", json=body)
    reply = await api.get(url)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")
