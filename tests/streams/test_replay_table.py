"""The costs table after a replay is the ledger's, whatever it had lost and whatever was published between and behind."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, select

from store import rows
from store.ledger import chosen, recorded
from store.ledger.accept import accept
from store.ledger.chosen import Chosen
from store.ledger.claim import claim
from store.ledger.step import take_steps
from store.ledger.types.claims import Want
from store.ledger.types.steps import Step
from store.tables import daily_costs, outbox
from streams import tables
from tests.store.ground import POOL, ROUTES, answered, arrived, asked, call, ending, opened


def answer(conn: Connection, n: int, tenant: str) -> None:
    accept(conn, ROUTES, [arrived(asked(f"r{n}", tenant=tenant))])
    claims = claim(conn, ROUTES, "w", [Want(POOL, 5, (0, 0, 0))])
    for row, slot in zip(claims.rows, claims.slots, strict=True):
        opens = call(row)
        take_steps(conn, ROUTES, "w", [Step(row, opens=opens)])
        take_steps(conn, ROUTES, "w", [Step(row, (answered(opens, n + 1),), then=ending(), free=slot)])


def replay(conn: Connection) -> int:
    """Batches of a few; where the first one begins in the outbox."""
    first = len(published(conn))
    cursor = 0
    while pks := chosen.after(conn, Chosen(), cursor, 3):
        cursor = recorded.publish(conn, ROUTES, pks, 2).cursor
    return first


def published(conn: Connection) -> list[Any]:
    wanted = select(outbox).where(outbox.c.topic == "genai.usage").order_by(outbox.c.pk)
    return list(conn.execute(wanted))


def folded(log: Sequence[Any]) -> dict[str, tuple[int, str]]:
    """As the agent folds it, from an empty table on; every third record comes twice, as after a crash of a relay."""
    table: dict[str, Any] = {}
    for offset, row in enumerate(log):
        for _ in range(1 + (offset % 3 == 0)):
            event, headers = orjson.loads(row.value), dict(rows.unpack_headers(row.headers))
            key, place = tables.key_of(event), f"l/{row.partition}"
            if tables.REPLAYED not in headers:
                total = tables.fold(table.get(key), event, place, row.number, (row.partition, offset))
            elif tables.TOTALS in headers:
                told = orjson.loads(headers[tables.TOTALS])
                total = tables.restated(table.get(key), told, place, row.number, (row.partition, offset))
            else:
                continue
            table[key] = total or table[key]
    return {key: (total["calls"], total["cost_usd"]) for key, total in table.items()}


@pytest.mark.parametrize("seed", range(4))
async def test_the_table_ends_as_the_ledger_whatever_it_had_lost(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    database = await opened(f"sqlite:///{tmp_path / 'l.db'}", "w")
    begins = 0
    for n in range(14):
        await database.write(lambda conn, n=n: answer(conn, n, chance.choice("ab")))
        if n == 10 or chance.random() < 0.2:
            begins = await database.write(replay)
    log = await database.read(published)
    days = await database.read(lambda conn: list(conn.execute(select(daily_costs))))
    await database.aclose()
    books = {
        f"{day.date}|{day.provider}|{day.model}|{day.tenant}": (day.calls, f"0.{day.cost_nano:09d}") for day in days
    }
    assert sum(calls for calls, _ in books.values()) == 14
    for lost in range(begins + 1):  # wiped at any moment before the last replay
        assert folded(log[lost:]) == books
