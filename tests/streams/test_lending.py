"""The minutes of keys in a real Redis: exact over all processes, and the ledger's again while it is away."""

import asyncio
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import func, select

from store.database import Database
from store.ledger.quotas import Lent, Most
from store.ledger.types.claims import Pool
from store.tables import quotas
from streams.addresses import redis
from streams.lending import REST_S, InLedger, InRedis, lending
from tests.parts.redis import redis_url, serving
from tests.parts.toxiproxy import free_port
from tests.store.ground import opened as opened_database
from tests.streams.commands import run
from tests.streams.test_web_keys import bearing, made
from tests.streams.webs import opened, web_settings

__all__ = ["redis_url"]
MOST = Most(100, 1000)


def some_pool() -> Pool:
    """A server that is named may hold what another run has left there."""
    return ("key", f"key-{uuid.uuid4().hex}")


async def within_a_minute() -> None:
    """Redis goes by its own clock: nothing that follows is to see two minutes."""
    if (passed := time.time() % 60) > 50:
        await asyncio.sleep(60.1 - passed)


@pytest.fixture
async def database(tmp_path: Path) -> Any:
    made_ = await opened_database(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield made_
    await made_.aclose()


async def test_many_who_borrow_at_once_get_what_there_is_and_no_more(redis_url: str, database: Database) -> None:
    await within_a_minute()
    pool, ledger = some_pool(), InLedger(database)
    processes = [InRedis(Redis.from_url(redis_url), ledger) for _ in range(4)]
    asks = [process.lend(pool, MOST, lambda *_: (4, 30)) for process in processes for _ in range(10)]
    lent = await asyncio.gather(*asks)
    rest = await processes[0].lend(pool, MOST, lambda *_: (1, 1))
    for process in processes:
        await process.aclose()
    assert (sum(each.calls for each in lent), sum(each.tokens for each in lent)) == (100, 1000)
    assert (rest.calls, rest.calls_left, rest.tokens_left, 0 < rest.left_s <= 60) == (0, 0, 0, True)
    assert await _rows(database) == 0


async def test_while_it_is_away_the_ledger_counts_and_later_it_is_asked_again(database: Database) -> None:
    await within_a_minute()
    port, clock, pool = free_port(), [0.0], some_pool()

    async def borrow() -> Lent:
        return await process.lend(pool, MOST, lambda *_: (10, 10))

    async with serving(port) as url:
        process = InRedis(Redis.from_url(url), InLedger(database), lambda: clock[0])
        first = await borrow()
    away = [await borrow() for _ in range(2)]
    async with serving(port):
        still = await borrow()  # it is not asked yet
        clock[0] += REST_S
        back = await borrow()
    await process.aclose()
    assert [each.calls_left for each in (first, *away, still, back)] == [90, 90, 80, 70, 90]


async def test_a_key_has_its_minute_over_all_processes(redis_url: str, tmp_path: Path) -> None:
    await within_a_minute()
    settings = web_settings(tmp_path, redis_url=redis_url)
    async with opened(settings) as (front, spine), opened(settings) as (other, _):
        key, _ = await made(spine, tenant="t", rpm=6)
        for each in (front, other):
            await each.keys.look(spine.database)
        async with bearing(front, key) as one, bearing(other, key) as two:
            replies = [
                await api.post("/v1/summarize", json={"content": f"One {number}."})
                for number in range(4)
                for api in (one, two)
            ]
        rows = await _rows(spine.database)
    assert [reply.status_code for reply in replies] == [200] * 6 + [429] * 2
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in replies] == ["5", "4", "3", "2", "1", "0"] + [
        "0"
    ] * 2
    assert (0 < int(replies[-1].headers["retry-after"]) <= 61, rows) == (True, 0)


async def _rows(database: Database) -> int:
    """Minutes that the ledger has counted."""
    return int(await database.read(lambda conn: conn.execute(select(func.count()).select_from(quotas)).scalar_one()))


async def test_without_the_setting_there_is_no_redis(database: Database) -> None:
    assert isinstance(lending(None, database), InLedger)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("told", "is_one"),
    [
        ("redis://cache:6379/0", True),
        (" rediss://me:s3cret@cache.example.org ", True),
        ("redis://[::1]:6379", True),
        ("redis://10.0.0.1:6379/", True),
        ("cache:6379", False),
        ("http://cache:6379", False),
        ("redis://", False),
        ("redis://cache:0", False),
        ("redis://cache:99999", False),
        ("redis://ca che:1", False),
        ("redis://cache:6379/zero", False),
        ("redis://cache\n:6379", False),
    ],
)
def test_what_is_an_address(told: str, is_one: bool) -> None:
    if is_one:
        assert redis(told) == told.strip()
        return
    with pytest.raises(ValueError, match="redis://host:6379/0"):
        redis(told)


def test_a_command_refuses_a_wrong_one_and_does_not_repeat_its_password(tmp_path: Path) -> None:
    found = run(tmp_path, "doctor", GENAI_REDIS_URL="http://me:s3cret@cache")
    said = " ".join(found.stderr.split())
    assert (found.returncode, "GENAI_REDIS_URL" in said, "s3cret" in said + found.stdout) == (1, True, False)
