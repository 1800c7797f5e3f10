"""Where a slot is idle, a request begins while it is accepted: one commit less before its call, and nothing else changes."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from providers.fake import FakeProvider
from schemas.request import Lane
from store import tables
from store.database import Database, parse_url
from store.ledger import queries
from store.ledger.transaction import Committed
from store.ledger.types.arrivals import Arrival
from streams.app import running
from streams.settings import Settings
from streams.spine import Spine
from streams.where import ledger_url
from tests.parts.ledgers import migrate

SLOTS = 3

pytestmark = pytest.mark.fast


def arrival(spine: Spine, name: str, content: str = "Apple shipped phones. It was a record.") -> Arrival:
    value = json.dumps({"id": name, "input": {"content": content}}).encode()
    ask = spine.decoder.ask("summarize", Lane.NORMAL, value, [], place=name, tenant="t")
    return Arrival(ask, None, b"k", value, b"[]")


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    found = Settings(
        data_dir=tmp_path,
        default_provider="fake",
        fake_slots=SLOTS,
        fake_latency_s=0.02,
        fake_tail=0.0,
        cache_ttl_s=0.0,
        _env_file=None,
    )
    database = Database(parse_url(ledger_url(found)))
    await migrate(database)
    await database.aclose()
    return found


@pytest.fixture
async def spine(settings: Settings) -> AsyncIterator[Spine]:
    async with running(settings, bootstrap=None) as found:
        await found.engine.pools.ensure(("fake", "fake"))
        yield found


async def _ended(spine: Spine, count: int) -> None:
    async with asyncio.timeout(20):
        while (await spine.database.read(_rows)).get("succeeded", 0) < count or spine.engine.tasks:
            await asyncio.sleep(0.01)


def _rows(conn: Connection) -> dict[str, int]:
    state = tables.requests.c.state
    return {row[0]: row[1] for row in conn.execute(select(state, func.count()).group_by(state))}


def _open_calls(conn: Connection) -> int:
    wanted = select(func.count()).select_from(tables.executions).where(tables.executions.c.outcome.is_(None))
    return int(conn.execute(wanted).scalar_one())


def _model(spine: Spine) -> FakeProvider:
    found = spine.providers["fake"]
    assert isinstance(found, FakeProvider)
    return found


async def test_its_intent_stands_with_its_acceptance(spine: Spine) -> None:
    commits: list[Committed] = []
    spine.writer.listeners.append(commits.append)
    await spine.engine.accept([arrival(spine, "a")])
    await _ended(spine, 1)
    begun = [len(done.claims.begun) for done in commits if done.claims and done.claims.rows]
    assert (begun, sum(len(done.ended) for done in commits), _model(spine).counts.total.finished) == ([1], 1, 1)


async def test_more_than_there_are_slots_for_wait_as_ever(spine: Spine) -> None:
    await asyncio.gather(*(spine.engine.accept([arrival(spine, f"{i}-{j}") for j in range(3)]) for i in range(12)))
    await _ended(spine, 36)
    counts = _model(spine).counts
    assert (counts.max_in_flight, counts.total.finished, await spine.database.read(_open_calls)) == (SLOTS, 36, 0)
    assert [tuple(pool) for pool in await spine.database.read(queries.running)] == [("fake", "fake", SLOTS, 0)]


async def test_an_id_that_comes_twice_at_once_is_called_once(spine: Spine) -> None:
    found = await asyncio.gather(*(spine.engine.accept([arrival(spine, "a")]) for _ in range(3)))
    await _ended(spine, 1)
    assert sorted(x.decision for (x,) in found) == ["accepted", "duplicate", "duplicate"]
    assert (_model(spine).counts.total.finished, await spine.database.read(_open_calls)) == (1, 0)


async def test_whoever_brings_it_may_be_stopped_meanwhile(spine: Spine) -> None:
    """The row goes on without what had begun of it, and its call is made once."""
    bringing = asyncio.create_task(spine.engine.accept([arrival(spine, "a")]))
    for _ in range(4):
        await asyncio.sleep(0)
    bringing.cancel()
    await asyncio.gather(bringing, return_exceptions=True)
    await _ended(spine, 1)
    assert (_model(spine).counts.total.finished, await spine.database.read(_open_calls)) == (1, 0)


async def test_a_request_that_ends_without_a_call_does_so(spine: Spine) -> None:
    """Longer than the model's context: found while the call is built."""
    await spine.engine.accept([arrival(spine, "a", "[fake:context_too_long]")])
    async with asyncio.timeout(20):
        while "failed" not in await spine.database.read(_rows):
            await asyncio.sleep(0.01)
    assert await spine.database.read(_open_calls) == 0


async def test_what_was_just_accepted_when_the_process_ends_is_left_to_others(settings: Settings) -> None:
    async with running(settings, bootstrap=None) as spine:
        await spine.engine.pools.ensure(("fake", "fake"))
        bringing = asyncio.create_task(spine.engine.accept([arrival(spine, "a")]))
        for _ in range(4):
            await asyncio.sleep(0)
        await spine.engine.drain(5.0)
        await bringing
    database = Database(parse_url(ledger_url(settings)))
    states, open_calls = await database.read(_rows), await database.read(_open_calls)
    await database.aclose()
    assert (sum(states.values()), set(states) <= {"waiting", "succeeded"}, open_calls) == (1, True, 0)
