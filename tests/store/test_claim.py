"""A claim costs the same in a flood: it reads the small indexes of what waits, and nothing else."""

import pytest
from sqlalchemy import Connection, insert, text

from store import tables
from store.database import Database
from store.ledger.claim import claim
from store.ledger.types import Want
from tests.store.ground import POOL, ROUTES, opened
from tests.store.plans import plans

FLOOD = 100_000


@pytest.fixture
async def flooded(database_url: str) -> Database:
    """As many ended rows of the normal lane as rows that wait in the batch lane, and statistics that know of both."""
    database = await opened(database_url, "w")
    await database.write(_flood)
    await database.write(lambda conn: conn.execute(text("ANALYZE")))
    yield database
    await database.aclose()


def _flood(conn: Connection) -> None:
    """One row of each kind, copied where it stands: from here these would be 200,000 times 38 values."""
    same = {column.name: 0 for column in tables.requests.c if not column.nullable}
    same |= {"tenant": "t", "operation": "summarize", "id": "", "provider": POOL[0], "model": POOL[1]}
    same |= {
        "on_ambiguous": "retry",
        "paid": False,
        "cancel": False,
        "ordered": False,
        "generation": 1,
        "payload_hash": b"h",
    }
    kinds = [{"state": "succeeded", "lane": 1}, {"state": "waiting", "lane": 2}]
    rows = [{**same, **kind, "pk": -i, "identity": b"%d" % i} for i, kind in enumerate(kinds, 1)]
    conn.execute(insert(tables.requests), rows)
    copied = [name for name in rows[0] if name not in {"pk", "identity"}]
    bytes_of = "CAST({} AS BLOB)" if conn.dialect.name == "sqlite" else "convert_to(CAST({} AS text), 'UTF8')"
    names = ", ".join(copied)
    conn.execute(
        text(
            f"INSERT INTO requests (pk, identity, {names}) "
            "WITH RECURSIVE s(n) AS (SELECT 10 UNION ALL SELECT n + 1 FROM s WHERE n < :flood) "
            f"SELECT n - pk * :flood, {bytes_of.format('n - pk * :flood')}, {names} FROM requests, s WHERE pk < 0"
        ),
        {"flood": FLOOD},
    )


def _plans(conn: Connection) -> dict[str, str]:
    """What the claim asks of `requests`, and how the database goes about it."""
    return plans(
        conn,
        lambda: claim(conn, ROUTES, "w", [Want(POOL, 5, (0, 0, 100))]),
        lambda statement: "requests" in statement and statement.startswith(("SELECT", "UPDATE", "WITH")),
    )


async def test_a_claim_reads_only_the_indexes_of_what_waits(flooded: Database) -> None:
    found = await flooded.write(_plans)
    lanes = next(plan for statement, plan in found.items() if statement.startswith("WITH"))
    assert lanes.count("requests_claimable") >= 3, found
    times = next(plan for statement, plan in found.items() if "deadline IS NOT NULL" in statement)
    assert ("requests_delayed" in times, "requests_deadline" in times) == (True, True), found
    assert not any("Seq Scan on requests" in plan or "SCAN requests" in plan for plan in found.values())
