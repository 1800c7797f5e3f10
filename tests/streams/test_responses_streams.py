"""Responses told while they are made: cut, read in another process, and gone on with where somebody had stopped reading."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import func, select

from providers.calls import Delta
from store.tables import pieces
from streams.app import running
from tests.streams.talking import WORDS, Talking, seat
from tests.streams.test_openai_streams import BOTH, database, until, web
from tests.streams.webs import web_settings

PATH = "/v1/responses"
Event = dict[str, Any]


def body(**more: Any) -> dict[str, Any]:
    return {"model": "fake", "input": "One.", "stream": True, **more}


async def events(api: httpx.AsyncClient, most: int | None = None, **asked: Any) -> list[Event]:
    """Of a new response, or behind a place of one; not more than so many."""
    method, path = ("POST", PATH) if "json" in asked else ("GET", f"{PATH}/{asked.pop('id')}")
    found: list[Event] = []
    async with api.stream(method, path, **asked) as reply:
        assert reply.status_code == 200, await reply.aread()
        async for line in reply.aiter_lines():
            if line.startswith("data: "):
                found.append(orjson.loads(line[6:]))
            if len(found) == most:
                break
    return found


def resumed(id_: str, after: int | None) -> dict[str, Any]:
    params = {"stream": "true"} | ({} if after is None else {"starting_after": str(after)})
    return {"id": id_, "params": params}


def words(found: list[Event]) -> str:
    return "".join(each["delta"] for each in found if each["type"] == "response.output_text.delta")


@BOTH
async def test_a_stream_is_gone_on_with_in_another_process(
    tmp_path: Path, request: pytest.FixtureRequest, on: str
) -> None:
    where = database(request, on)
    async with web(tmp_path, **where) as (_, spine, api):
        spine.engine.draining = True  # this one takes the request and runs nothing
        async with running(web_settings(tmp_path, **where), bootstrap=None) as other, web(tmp_path, **where) as third:
            third[1].engine.draining = True
            double = seat(other, Talking(pieces=WORDS * 3, pause_s=0.1))
            first = await events(api, 6, json=body(background=True))  # then its caller leaves
            id_ = first[0]["response"]["id"]
            rest = await events(third[2], **resumed(id_, first[-1]["sequence_number"]))
            whole = await events(api, **resumed(id_, None))
            last = await events(third[2], **resumed(id_, whole[-1]["sequence_number"]))
            beyond = await events(third[2], **resumed(id_, 99))
            shown = (await api.get(f"{PATH}/{id_}")).json()
        left = await spine.database.read(
            lambda conn: conn.execute(select(func.count()).select_from(pieces)).scalar_one()
        )
    assert first + rest == whole
    assert [each["sequence_number"] for each in whole] == list(range(len(whole)))
    assert [each["type"].removeprefix("response.") for each in whole[:5]] == [
        *("created", "queued", "in_progress", "output_item.added", "content_part.added")
    ]
    assert (words(whole), whole[-1]["type"], whole[-1]["response"]) == (
        "Fog in Bergen." * 3,
        "response.completed",
        shown,
    )
    assert (
        sum(each["type"] == "response.output_text.delta" for each in whole) == 9
    )  # as it was made, and not at its end
    assert (last, [(each["type"], each["param"]) for each in beyond]) == ([], [("error", "starting_after")])
    assert (len(double.calls), double.left, left > 1) == (1, 0, True)  # who leaves stops nothing; the pieces stay


async def test_what_broke_off_and_began_anew_ends_a_stream_of_the_background_each_time_it_is_told(
    tmp_path: Path,
) -> None:
    async with web(tmp_path) as (_, spine, api):
        double = seat(spine, Talking(breaks={1: 2}, pause_s=0.05))
        first = await events(api, json=body(background=True))
        id_ = first[0]["response"]["id"]
        await until(lambda: len(double.calls) == 2 and not spine.engine.tasks)
        again = await events(api, **resumed(id_, None))
        shown = (await api.get(f"{PATH}/{id_}")).json()
    assert (words(first), first[-1]["type"], first[-1]["code"]) == ("Fog in ", "error", "broken_off")
    assert again == first
    assert (shown["status"], shown["output"][0]["content"][0]["text"]) == ("completed", "Fog in Bergen.")


@pytest.mark.parametrize(
    ("breaks", "ends"),
    [
        ({1: 0}, ("response.completed", None)),  # nothing was told: another try
        ({1: 2}, ("response.failed", "server_error")),
    ],
)
async def test_a_cut_upstream(tmp_path: Path, breaks: dict[int, int], ends: tuple[str, str | None]) -> None:
    async with web(tmp_path) as (_, spine, api):
        seat(spine, Talking(breaks=breaks, pause_s=0.02))
        found = await events(api, json=body())
        await until(lambda: not spine.engine.tasks)
    response = found[-1]["response"]
    assert (found[-1]["type"], (response["error"] or {}).get("code")) == ends
    assert [each["sequence_number"] for each in found] == list(range(len(found)))


async def test_a_caller_who_leaves_stops_what_was_not_for_the_background(tmp_path: Path) -> None:
    async with web(tmp_path) as (_, spine, api):
        double = seat(spine, Talking(pause_s=30.0))
        asking = asyncio.create_task(events(api, json=body()))
        await until(lambda: double.told == 1)
        asking.cancel()
        await until(lambda: double.left == 1)


async def test_what_one_reader_sees_late_comers_see_too(tmp_path: Path) -> None:
    async with web(tmp_path) as (_, spine, api):
        seat(spine, Talking(pieces=[Delta(f"{n} ") for n in range(20)], pause_s=0.03))
        first = asyncio.create_task(events(api, json=body(background=True)))
        await asyncio.sleep(0.3)
        (known,) = (await api.get("/v1/requests")).json()["items"]
        many = await asyncio.gather(*(events(api, **resumed(known["request_id"], after)) for after in (0, 5, 9)))
        whole = await first
    assert many == [whole[1:], whole[6:], whole[10:]]
    assert not spine.engine.readers
