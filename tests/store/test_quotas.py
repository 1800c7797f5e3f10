"""A minute's row lends to everybody together what it has, and no more."""

import asyncio

from sqlalchemy import select

from store import tables
from store.ledger import quotas
from store.ledger.quotas import Most, borrow
from tests.store.ground import POOL, opened


async def test_blocks_are_lent_until_the_minute_is_spent(database_url: str, monkeypatch) -> None:
    monkeypatch.setattr(quotas, "now", lambda _: 90.5)
    database = await opened(database_url)
    got = await asyncio.gather(
        *(database.write(lambda conn: borrow(conn, POOL, Most(10, 1000), 4, 300)) for _ in range(4))
    )
    assert sorted((lent.calls, lent.tokens, lent.left_s) for lent in got) == [
        (0, 100, 29.5),
        (2, 300, 29.5),
        (4, 300, 29.5),
        (4, 300, 29.5),
    ]
    monkeypatch.setattr(quotas, "now", lambda _: 120.0)
    assert (await database.write(lambda conn: borrow(conn, POOL, Most(10, None), 4, 300))).calls == 4
    kept = await database.read(lambda conn: conn.execute(select(tables.quotas.c.minute)).scalars().all())
    assert kept == [2]
    await database.aclose()
