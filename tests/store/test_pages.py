"""A list shows each fitting request once, newest first, and a page costs the same whatever is asked for."""

import itertools
import math
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection, select, text

from store import tables
from store.database import Database
from store.ledger import pages
from store.ledger.pages import Wanted
from tests.store import flood
from tests.store.ground import opened
from tests.store.plans import plans

FEW, MANY = 1_200, 100_000

WANTED = [
    Wanted(),
    Wanted(("failed",)),
    Wanted(("succeeded",)),
    Wanted(("waiting", "calling")),
    Wanted(("failed", "expired", "cancelled"), tenant="t0"),
    Wanted(tenant="t700"),
    Wanted(tenant="t0", operation="embed"),
    Wanted(operation="extract"),
    Wanted(lane=0),
    Wanted(("succeeded",), operation="summarize", tenant="t0", lane=2),
    Wanted(run_id="run0"),
    Wanted(("failed",), run_id="run1"),
    Wanted(since=flood.FIRST + 20, until=flood.FIRST + 50),
    Wanted(("waiting",), since=flood.FIRST + 20, until=flood.FIRST + 50),
    Wanted(tenant="nobody"),
]


@pytest.fixture
async def few(database_url: str) -> AsyncIterator[Database]:
    database = await opened(database_url)
    await database.write(lambda conn: flood.requests(conn, FEW))
    yield database
    await database.aclose()


@pytest.fixture
async def many(database_url: str) -> AsyncIterator[Database]:
    database = await opened(database_url)
    await database.write(lambda conn: flood.requests(conn, MANY))
    await database.write(flood.results)
    await database.write(lambda conn: conn.execute(text("ANALYZE")))
    yield database
    await database.aclose()


def _fits(row: Any, wanted: Wanted) -> bool:
    named = {"operation": wanted.operation, "tenant": wanted.tenant, "lane": wanted.lane, "run_id": wanted.run_id}
    return (
        (not wanted.states or row.state in wanted.states)
        and wanted.since <= row.accepted_at < wanted.until
        and all(value is None or getattr(row, name) == value for name, value in named.items())
    )


def _all_pages(conn: Connection, wanted: Wanted, limit: int) -> list[int]:
    """The keys of every page, one after the other."""
    found: list[int] = []
    after = None
    for _ in range(FEW):
        page = pages.page(conn, wanted, after, limit)
        assert len(page.rows) <= limit
        found += [row.pk for row in page.rows]
        after = page.next
        if after is None:
            return found
    raise AssertionError("the pages have no end")


@pytest.mark.parametrize("scan", [13, 2_000])
async def test_pages_together_are_every_fitting_request_once_newest_first(
    few: Database, monkeypatch: pytest.MonkeyPatch, scan: int
) -> None:
    monkeypatch.setattr(pages, "SCAN", scan)
    everything = await few.read(lambda conn: conn.execute(select(tables.requests)).all())
    for wanted, limit in itertools.product(WANTED, (3, 50)):
        expected = [row.pk for row in sorted(everything, key=pages.place_of, reverse=True) if _fits(row, wanted)]
        found = await few.read(lambda conn, wanted=wanted, limit=limit: _all_pages(conn, wanted, limit))
        assert found == expected, (wanted, limit)


async def test_a_page_does_not_move_when_newer_requests_come(few: Database) -> None:
    first = await few.read(lambda conn: pages.page(conn, Wanted(), None, 10))

    def newer(conn: Connection) -> None:
        copied = dict(conn.execute(select(tables.requests).where(tables.requests.c.pk == FEW)).mappings().one())
        at = copied["accepted_at"] + 1
        conn.execute(tables.requests.insert(), copied | {"pk": FEW + 1, "identity": b"new", "accepted_at": at})

    await few.write(newer)
    second = await few.read(lambda conn: pages.page(conn, Wanted(), first.next, 10))
    assert [row.pk for row in second.rows] == list(range(FEW - 10, FEW - 20, -1))


def _ask(conn: Connection) -> None:
    """Each list and each count."""
    for wanted in WANTED:
        pages.page(conn, wanted, None, 50)
        pages.page(conn, wanted, pages.Place(min(wanted.until, flood.FIRST + MANY / 20), 1), 50)
    pages.running(conn)
    pages.ended(conn, flood.FIRST + MANY / 20)
    pages.latest(conn, 10, 100)


async def test_lists_and_counts_read_indexes_in_their_order(many: Database) -> None:
    found = await many.read(lambda conn: plans(conn, lambda: _ask(conn)))
    whole = re.compile(r"Seq Scan on (requests|results)|SCAN (requests|results)(?! USING)")
    assert {statement: plan for statement, plan in found.items() if whole.search(plan)} == {}
    lists = [plan for statement, plan in found.items() if "accepted_at DESC" in statement]
    assert [plan for plan in lists if not re.search(r"(SEARCH|Index).* requests_\w+", plan)] == []


async def test_counts_are_by_state_and_lane_and_end_somewhere(many: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    everything = await many.read(lambda conn: conn.execute(select(tables.requests)).all())
    running = [row for row in everything if row.state == "calling" and row.lane == 2]
    found = await many.read(pages.running)
    assert found["calling", 2] == (len(running), min(row.accepted_at for row in running))
    since = flood.FIRST + MANY / 20
    ended = await many.read(lambda conn: pages.ended(conn, since))
    assert ended["failed"] == sum(row.state == "failed" and row.accepted_at >= since for row in everything)
    monkeypatch.setattr(pages, "MOST", 100)
    assert sum((await many.read(lambda conn: pages.ended(conn, 0.0))).values()) == 100
    monkeypatch.setattr(pages, "_CALLING", pages._CALLING.limit(2))
    assert sum(count for count, _ in (await many.read(pages.running)).values()) == 2


def test_a_list_without_bounds_has_all_of_time() -> None:
    assert (Wanted().since, Wanted().until) == (0.0, math.inf)
