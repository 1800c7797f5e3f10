"""The books by group: days are whole UTC days, and the journal agrees with what was added up."""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert

from store import tables
from store.database import Database
from store.ledger import books
from store.ledger.accept import accept
from tests.store.ground import ROUTES, arrived, asked, opened
from tests.store.plans import plans

FIRST, LAST = date(2026, 1, 1), date(2026, 1, 2)
_MIDNIGHT = 1_767_225_600.0
"""The beginning of 2026-01-01 UTC."""

# request's run, operation, outcome, dollars in nano, seconds after midnight
CALLS = [
    ("r", "summarize", "ok", 5, 0.0),
    ("r", "summarize", "wasted", 7, 86_399.9),
    (None, "embed", "ok", None, 86_400.0),
    (None, "embed", "error", 0, 90_000.0),
    (None, "embed", "ok", 11, -0.1),
    ("r", "summarize", "ok", 13, 172_800.0),
]


@pytest.fixture
async def booked(database_url: str) -> AsyncIterator[Database]:
    database = await opened(database_url)
    await database.write(_book)
    yield database
    await database.aclose()


def _book(conn: Connection) -> None:
    asks = [asked("in a run", run_id="r"), asked("alone", operation="embed")]
    pks = {
        ask.run_id: found.pk for ask, found in zip(asks, accept(conn, ROUTES, [arrived(a) for a in asks]), strict=True)
    }
    same: dict[str, Any] = {column.name: 0 for column in tables.executions.c if not column.nullable}
    same |= {"tenant": "t", "kind": "chat", "provider": "p", "node": "n", "model": "m", "input_hash": b"h"}
    same |= {"estimated": False, "generation": 1}
    conn.execute(
        insert(tables.executions),
        [
            same
            | {"id": str(number), "request_pk": pks[run], "operation": operation, "outcome": outcome, "cost_nano": nano}
            | {"opened_at": 0.0, "closed_at": _MIDNIGHT + after}
            for number, (run, operation, outcome, nano, after) in enumerate(CALLS)
        ],
    )
    day = {"provider": "p", "model": "m", "tenant": "t", "input_tokens": 0, "output_tokens": 0, "cached_tokens": 0}
    conn.execute(
        insert(tables.daily_costs),
        [
            day | {"date": "2025-12-31", "calls": 1, "cost_nano": 11, "unpriced_calls": 0},
            day | {"date": "2026-01-01", "calls": 2, "cost_nano": 12, "unpriced_calls": 0},
            day | {"date": "2026-01-02", "calls": 1, "cost_nano": 0, "unpriced_calls": 1},
        ],
    )


def _sums(rows: list[Any], *names: str) -> list[tuple[Any, ...]]:
    return [
        (*(getattr(row, name) for name in names), int(row.calls), int(row.cost_nano), int(row.unpriced_calls))
        for row in rows
    ]


async def test_days_from_the_journal_are_those_that_were_added_up(booked: Database) -> None:
    added = await booked.read(lambda conn: books.costs_by(conn, ("day",), FIRST, LAST, 9))
    read = await booked.read(lambda conn: books.costs_by(conn, ("day", "operation"), FIRST, LAST, 9))
    assert _sums(added, "day") == [("2026-01-01", 2, 12, 0), ("2026-01-02", 1, 0, 1)]
    assert _sums(read, "day") == _sums(added, "day")


async def test_by_run_and_operation(booked: Database) -> None:
    by_run = await booked.read(lambda conn: books.costs_by(conn, ("run", "operation"), FIRST, LAST, 9))
    assert sorted(_sums(by_run, "run", "operation"), key=str) == [
        ("r", "summarize", 2, 12, 0),
        (None, "embed", 1, 0, 1),
    ]


async def test_usage_has_the_errors_and_what_was_wasted(booked: Database) -> None:
    used = await booked.read(lambda conn: books.usage_by(conn, ("operation",), FIRST, LAST, 9))
    assert [(row.operation, row.calls, row.wasted, row.errors) for row in used] == [
        ("embed", 2, 0, 1),
        ("summarize", 2, 1, 0),
    ]


@pytest.mark.parametrize("by", [("day",), ("provider",), ("model",), ("tenant",), ("day", "model", "tenant")])
async def test_usage_of_the_days_sums_is_the_journals(booked: Database, by: tuple[str, ...]) -> None:
    """By operation too the journal is read, call by call; here they are all of one group but for the day."""
    added = await booked.read(lambda conn: books.usage_by(conn, by, FIRST, LAST, 9, "t"))
    read = await booked.read(lambda conn: books.usage_by(conn, (*by, "operation"), FIRST, LAST, 9, "t"))
    assert _folded(added, by) == _folded(read, by)
    assert added[0]._fields[len(by) :] == read[0]._fields[len(by) + 1 :]


def _folded(rows: list[Any], by: tuple[str, ...]) -> dict[tuple[str, ...], Counter[str]]:
    found: dict[tuple[str, ...], Counter[str]] = {}
    for row in rows:
        told = {str(name): value for name, value in row._mapping.items()}
        key = tuple(told.pop(name) for name in by)
        told.pop("operation", None)
        found.setdefault(key, Counter()).update({name: int(value) for name, value in told.items()})
    return found


async def test_usage_by_what_is_added_up_reads_no_call_that_went_well(tmp_path: Path) -> None:
    database = await opened(f"sqlite:///{tmp_path / 'ledger.db'}")
    ask = partial(books.usage_by, by=("day", "provider", "model", "tenant"), first=FIRST, last=LAST, limit=9)
    (plan,) = (await database.read(lambda conn: plans(conn, lambda: ask(conn)))).values()
    assert "executions USING COVERING INDEX executions_failed" in plan
    assert "executions_closed" not in plan
    await database.aclose()


async def test_no_more_groups_than_asked_for(booked: Database) -> None:
    assert len(await booked.read(lambda conn: books.costs_by(conn, ("day",), FIRST, LAST, 1))) == 1
    assert len(await booked.read(lambda conn: books.usage_by(conn, ("operation",), FIRST, LAST, 1))) == 1
