"""Many requests, made where they stand: from here they would be a million times 38 values."""

from typing import Any

from sqlalchemy import Connection, insert, text

from store import tables
from tests.store.ground import POOL

FIRST = 1_700_000_000.0
"""When the oldest was accepted; a tenth of a second lies between two."""

# name of a state, and how many of 10,000 requests are in it
STATES = {"succeeded": 9700, "waiting": 200, "failed": 80, "expired": 10, "cancelled": 9, "calling": 1}


def requests(conn: Connection, many: int) -> None:
    """`many` rows: 1,000 tenants of very different sizes, five operations, three lanes, runs of 500."""
    same: dict[str, Any] = {column.name: 0 for column in tables.requests.c if not column.nullable}
    same |= {"tenant": "t", "operation": "summarize", "id": "", "provider": POOL[0], "model": POOL[1], "state": "x"}
    same |= {"on_ambiguous": "retry", "paid": False, "cancel": False, "ordered": False, "generation": 1}
    same |= {"payload_hash": b"h", "pk": -1, "identity": b"-1"}
    conn.execute(insert(tables.requests), same)
    lite = conn.dialect.name == "sqlite"
    made = {
        "pk": "n",
        "identity": "CAST(n AS BLOB)" if lite else "convert_to(CAST(n AS text), 'UTF8')",
        "id": "'r' || n",
        "accepted_at": f"{FIRST} + n * 0.1",
        "requested_at": f"{FIRST} + n * 0.1",
        "state": _choice(STATES),
        # the bigger its number, the smaller the tenant; the last ones have a few requests
        "tenant": "'t' || (CASE WHEN (n * 7919) % 1000 < 500 THEN 0 ELSE (n * 7919) % 1000 END)",
        "operation": "CASE n % 1000 WHEN 0 THEN 'embed' WHEN 1 THEN 'extract' ELSE 'summarize' END",
        "lane": "CASE WHEN n % 5000 = 0 THEN 0 WHEN n % 3 = 0 THEN 2 ELSE 1 END",
        "run_id": "CASE WHEN n % 2 = 0 THEN 'run' || (n / 1000) END",
        "completed_at": "NULL",
    }
    copied = [name for name in same if name not in made]
    conn.execute(
        text(
            f"INSERT INTO requests ({', '.join((*made, *copied))}) "
            "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < :many) "
            f"SELECT {', '.join((*made.values(), *copied_from(copied)))} FROM requests, s WHERE pk = -1"
        ),
        {"many": many},
    )
    conn.execute(text("DELETE FROM requests WHERE pk = -1"))


def copied_from(names: list[str]) -> list[str]:
    return [f"requests.{name}" for name in names]


def results(conn: Connection) -> None:
    """One for each request that has ended, as it was accepted."""
    body = 'CAST(\'{"status": "succeeded"}\' AS BLOB)' if conn.dialect.name == "sqlite" else "'{}'::bytea"
    conn.execute(
        text(
            "INSERT INTO results (request_pk, generation, status, body, completed_at) "
            f"SELECT pk, 1, state, {body}, accepted_at FROM requests WHERE state NOT IN ('waiting', 'calling')"
        )
    )


def _choice(shares: dict[str, int]) -> str:
    parts, below = [], 0
    for name, share in shares.items():
        below += share
        parts.append(f"WHEN (n * 7907) % 10000 < {below} THEN '{name}'")
    return f"CASE {' '.join(parts)} END"
