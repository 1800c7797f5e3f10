"""A second call beside one that takes long, over one process's parts and a double over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from agents.engine import hedging
from providers import fake_server
from providers.fake_server import FakeServer
from store.tables import executions, slots
from streams.settings import Settings
from streams.spine import Spine
from tests.streams.webs import client, opened, web_settings

ROUTES = """
routes:
  quick: {targets: [ours/fake], hedge: {percentile: 90}}
  dear: {targets: [theirs/fake], hedge: {}}
  allowed: {targets: [theirs/fake], hedge: {paid: true}}
  narrow: {targets: [one/fake], hedge: {}}
"""
PRICES = {"theirs/*": {"input_per_million": "10", "output_per_million": "20"}}


@pytest.fixture
async def double() -> AsyncIterator[FakeServer]:
    async with await fake_server.start() as server:
        yield server


@pytest.fixture
def settings(double: FakeServer, tmp_path: Path) -> Settings:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    server = {"base_url": f"{double.url}/v1", "slots": 4, "default_model": "fake"}
    compatible = {
        "ours": server | {"paid": False},
        "theirs": server | {"paid": True},
        "one": server | {"paid": False, "slots": 1},
    }
    told = {"routes": str(tmp_path / "routes.yaml"), "compatible": compatible, "prices": PRICES, "cache_ttl_s": 0}
    return web_settings(tmp_path, default_provider="ours", default_model="fake", **told)


async def asked(api: httpx.AsyncClient, route: str, text: str, id_: str) -> dict[str, Any]:
    body = {"id": id_, "prompt": text, "options": {"model": route}}
    found: dict[str, Any] = (await api.post("/v1/complete?wait=30", json=body)).json()
    return found


async def learn(api: httpx.AsyncClient, route: str) -> None:
    """How long calls take of the model behind it."""
    told = [asked(api, route, "Hi.", f"learn-{route}-{n}") for n in range(hedging.LEAST)]
    assert {each["route"]["hedged"] for each in await asyncio.gather(*told)} == {None}


async def calls(spine: Spine) -> list[tuple[str, bool]]:
    """Of the last request: outcomes, and whether they cost anything."""
    found = await spine.database.read(lambda conn: conn.execute(select(executions).order_by(executions.c.id)).all())
    return sorted((each.outcome, bool(each.cost_nano)) for each in found if each.request_pk == found[-1].request_pk)


async def slots_in_use(spine: Spine) -> int:
    taken = select(slots).where(slots.c.owner.is_not(None))
    for _ in range(100):
        if not await spine.database.read(lambda conn: conn.execute(taken).all()):
            return 0
        await asyncio.sleep(0.02)
    return len(await spine.database.read(lambda conn: conn.execute(taken).all()))


async def test_the_second_call_answers_when_the_first_takes_long(settings: Settings, double: FakeServer) -> None:
    async with opened(settings) as (front, spine), client(front) as api:
        await learn(api, "quick")
        found = await asked(api, "quick", "[fake:sleep:30*1] Hi.", "slow")
        told = (await api.get("/metrics")).text
        booked, used = await calls(spine), await slots_in_use(spine)
    assert (found["status"], found["route"]["hedged"], found["warnings"]) == ("succeeded", "second", [])
    assert booked == [("error", False), ("ok", False)]
    assert (found["usage"]["calls"], used) == (1, 0)
    assert 'genai_route_hedges_total{answered="second",route="quick",target="ours/fake"} 1.0' in told
    assert double.counts.requests["slow"].started == 2


async def test_the_first_call_may_still_answer_first(settings: Settings, double: FakeServer) -> None:
    async with opened(settings) as (front, spine), client(front) as api:
        await learn(api, "quick")
        found = await asked(api, "quick", "[fake:sleep:0.8] Hi.", "slow")
        booked, used = await calls(spine), await slots_in_use(spine)
    assert (found["status"], found["route"]["hedged"]) == ("succeeded", "first")
    # the other one is ended, unless its answer is there by then too
    assert used == 0
    assert booked in ([("error", False), ("ok", False)], [("ok", False), ("wasted", False)])
    assert double.counts.requests["slow"].started == 2


async def test_the_second_call_of_a_paid_model_is_made_only_where_the_route_allows_it(
    settings: Settings, double: FakeServer
) -> None:
    async with opened(settings) as (front, spine), client(front) as api:
        await learn(api, "dear")
        dear = await asked(api, "dear", "[fake:sleep:0.5*1] Hi.", "dear")
        assert await calls(spine) == [("ok", True)]
        allowed = await asked(api, "allowed", "[fake:sleep:30*1] Hi.", "allowed")
        booked = await calls(spine)
    assert (dear["route"]["hedged"], allowed["route"]["hedged"]) == (None, "second")
    assert (booked, allowed["usage"]["calls"]) == ([("ok", True), ("wasted", True)], 2)
    assert allowed["warnings"] == [
        "a second paid call was made beside one that took long, as its route allows; both are booked"
    ]
    assert {id_: double.counts.requests[id_].started for id_ in ("dear", "allowed")} == {"dear": 1, "allowed": 2}


async def test_without_a_free_slot_there_is_no_second_call(settings: Settings, double: FakeServer) -> None:
    async with opened(settings) as (front, spine), client(front) as api:
        await learn(api, "narrow")
        found = await asked(api, "narrow", "[fake:sleep:0.5*1] Hi.", "slow")
        assert await slots_in_use(spine) == 0
    assert (found["status"], found["route"]["hedged"]) == ("succeeded", None)
    assert double.counts.requests["slow"].started == 1


async def test_a_cancel_ends_both(settings: Settings, double: FakeServer) -> None:
    async with opened(settings) as (front, spine), client(front) as api:
        await learn(api, "quick")
        waiting = asyncio.create_task(asked(api, "quick", "[fake:sleep:30] Hi.", "slow"))
        while double.counts.requests.get("slow") is None or double.counts.requests["slow"].started < 2:
            await asyncio.sleep(0.01)
        await api.post("/v1/requests/slow/cancel")
        found = await waiting
        booked, used = await calls(spine), await slots_in_use(spine)
    assert (found["status"], booked, used) == ("cancelled", [("error", False), ("error", False)], 0)


Told = str | Exception | None


async def one(after_s: float, what: Told, ended: list[Told]) -> Any:
    try:
        await asyncio.sleep(after_s)
    finally:
        ended.append(what)
    if isinstance(what, Exception):
        raise what
    return what


BROKEN, ALSO = ValueError("first"), ValueError("second")


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [  # seconds and what comes then; the second one begins after 0.05
        ((0.0, "a"), (0.0, "b"), "a"),  # it never begins
        ((30.0, "a"), (0.0, "b"), "b"),
        ((0.1, "a"), (30.0, "b"), "a"),
        ((0.1, BROKEN), (0.15, "b"), "b"),
        ((0.1, "a"), (0.0, ALSO), "a"),
        ((0.1, "a"), (0.0, None), "a"),
        ((0.1, BROKEN), (0.0, ALSO), BROKEN),
        ((0.0, BROKEN), (0.0, "b"), BROKEN),  # what fails early is no long call
    ],
)
async def test_of_two_calls_the_first_answer_counts_and_none_goes_on(
    first: tuple[float, Told], second: tuple[float, Told], expected: Told
) -> None:
    ended: list[Told] = []
    try:
        found: Told = await hedging.race(lambda: one(*first, ended), 0.05, lambda: one(*second, ended))
    except ValueError as error:
        found = error
    begun = 1 if first[0] == 0.0 else 2
    assert (found, len(ended)) == (expected, begun)


@pytest.mark.parametrize(
    ("took", "share", "expected"),
    [
        ([1.0] * 19, 95, None),  # too few
        ([float(n) for n in range(1, 101)], 95, 95.0),
        ([float(n) for n in range(1, 101)], 99.9, 100.0),  # the longest
        ([float(n) for n in range(20, 0, -1)], 50, 10.0),
    ],
)
def test_a_percentile_is_what_so_many_calls_did_not_exceed(
    took: list[float], share: float, expected: float | None
) -> None:
    assert hedging.percentile(took, share) == expected
