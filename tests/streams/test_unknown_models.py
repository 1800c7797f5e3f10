"""Names of models that there are not leave nothing behind once time has passed, and few series even before. On both databases."""

import asyncio
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Connection, func, select, update

from agents.engine.names import OTHER
from store.ledger import unused
from store.tables import pools, slots
from streams import queueing
from streams.spine import Spine
from streams.web import looker, page
from tests.streams.webs import client, opened, web_settings

GHOSTS, AT_ONCE = 104, 26


@pytest.fixture(params=["", pytest.param("postgres", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("postgres_database") if request.param else ""


@pytest.fixture(autouse=True)
def _always_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looker, "FRESH_S", 0.0)
    monkeypatch.setattr(page, "_FRESH_S", 0.0)


async def asked(api: httpx.AsyncClient, model: str) -> int:
    body = {"content": "Apple shipped phones.", "options": {"model": model}}
    return (await api.post("/v1/summarize", json=body)).status_code


async def ask_ghosts(api: httpx.AsyncClient) -> None:
    for start in range(0, GHOSTS, AT_ONCE):
        told = await asyncio.gather(*(asked(api, f"ghost-{i}") for i in range(start, start + AT_ONCE)))
        assert set(told) == {404}


async def series(api: httpx.AsyncClient) -> int:
    return sum(not line.startswith("#") for line in (await api.get("/metrics")).text.splitlines())


def _passes(conn: Connection) -> None:
    conn.execute(update(pools).values(used_at=pools.c.used_at - unused.IDLE_S - 1))


async def time_passes(spine: Spine) -> None:
    """In the ledger and here."""
    before = spine.engine.pools.uses.clock
    spine.engine.pools.uses.clock = lambda: before() + unused.IDLE_S + 1
    await spine.database.write(_passes)


def _count(conn: Connection) -> tuple[int, int]:
    pool, slot = (conn.execute(select(func.count()).select_from(table)).scalar_one() for table in (pools, slots))
    return pool, slot


async def test_they_have_no_series_and_are_shown_in_bounded_number(tmp_path: Path, database: str) -> None:
    async with opened(web_settings(tmp_path, database_url=database)) as (front, spine), client(front) as api:
        assert (await asked(api, "fake"), await asked(api, "ghost")) == (200, 404)
        before = await series(api)
        await ask_ghosts(api)
        await spine.engine.pools.sweep()
        queue, shown = (await api.get("/v1/queue")).json(), (await api.get("/")).text
        figures = (await api.get("/metrics")).text
        one = (await api.get("/v1/queue?model=ghost-3")).json()
        assert await series(api) == before
    assert f'genai_slots_total{{model="{OTHER}",provider="fake"}} {4.0 * (GHOSTS + 1)}' in figures
    assert 'genai_slots_total{model="fake",provider="fake"} 4.0' in figures
    assert f'genai_calls_total{{model="{OTHER}",outcome="error",provider="fake"}} {GHOSTS + 1}.0' in figures
    assert (len(queue["pools"]), queue["pools_in_all"]) == (queueing.MOST, GHOSTS + 2)
    assert (shown.count("<meter"), f"And {GHOSTS + 2 - page.POOLS} more" in shown) == (page.POOLS, True)
    assert [pool["model"] for pool in one["pools"]] == ["ghost-3"]


async def test_they_are_gone_in_every_process_when_time_has_passed(tmp_path: Path, database: str) -> None:
    """And what is asked for again comes back, in whichever process."""
    settings = web_settings(tmp_path, database_url=database)
    async with (
        opened(settings) as (front, one),
        client(front) as api,
        opened(settings) as (second, two),
        client(second) as beside,
    ):
        await ask_ghosts(api)
        assert await asked(api, "fake") == await asked(beside, "fake") == 200
        await two.keeper._poll()
        assert len(two.engine.pools.shelves) == GHOSTS + 1
        for spine in (one, two):  # what was asked is said
            await spine.engine.pools.sweep()
        for spine in (one, two):
            await time_passes(spine)
        await one.engine.pools.ensure(("fake", "fake"))
        await one.engine.pools.sweep()
        await two.engine.pools.sweep()
        assert await one.database.read(_count) == (1, 4)
        assert list(one.engine.pools.shelves) == list(two.engine.pools.shelves) == [("fake", "fake")]
        assert await asked(beside, "fake") == await asked(api, "fake") == 200
        assert (await asked(beside, "ghost-3"), await one.database.read(_count)) == (404, (2, 8))


async def test_rows_without_slots_get_some(tmp_path: Path, database: str) -> None:
    """Whoever accepted them knew nothing of what was dropped."""
    async with opened(web_settings(tmp_path, database_url=database)) as (front, spine), client(front) as api:
        assert await asked(api, "fake") == 200
        await spine.database.write(lambda conn: conn.execute(slots.delete()))
        assert await asked(api, "fake") == 200


async def test_a_start_begins_without_what_was_unused(tmp_path: Path) -> None:
    settings = web_settings(tmp_path)
    async with opened(settings) as (front, spine), client(front) as api:
        await ask_ghosts(api)
        await spine.database.write(_passes)
    async with opened(settings) as (_, spine):
        assert (await spine.database.read(_count), spine.engine.pools.shelves) == ((0, 0), {})
