"""How far long calls are: told only while it is true, and never in the way of anything."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, func, select

from store import tables
from store.ledger import generating
from store.ledger.accept import accept
from store.ledger.claim import claim
from store.ledger.step import take_steps
from store.ledger.types.claims import Claimed, Want
from store.ledger.types.steps import Generating, Retry, Step
from tests.store.ground import POOL, ROUTES, Ledger, arrived, asked, call, opened


@pytest.fixture
def ledger(database_url: str) -> Iterator[Ledger]:
    made = Ledger(database_url)
    made.runner.run(_joined(database_url))
    yield made
    made.close()


async def _joined(url: str) -> None:
    await (await opened(url, "w")).aclose()


def calling(conn: Connection, **changes: Any) -> Claimed:
    """A row whose call has begun."""
    accept(conn, ROUTES, [arrived(asked(**changes))])
    [row] = claim(conn, ROUTES, "w", [Want(POOL, 5, (0, 0, 0))]).rows
    take_steps(conn, ROUTES, "w", [Step(row, opens=call(row))])
    return row


def told(conn: Connection, row: Claimed) -> tuple[int, int, float] | None:
    found = generating.of(conn, row.pk)
    return None if found is None else (found.tokens, found.calls, found.since)


def test_what_was_said_last_is_told(ledger: Ledger) -> None:
    row = ledger.write(calling)
    for tokens in (3, 9):
        ledger.write(lambda conn, tokens=tokens: generating.say(conn, ROUTES, [Generating(row, tokens, 2, 7.5)], []))
    assert ledger.read(lambda conn: told(conn, row)) == (9, 2, 7.5)


def test_what_another_lease_said_is_not_told_and_not_taken_back(ledger: Ledger) -> None:
    """A worker that was taken for dead and says something late, or takes back what it once said."""
    row = ledger.write(calling)
    zombie = replace(row, fence=row.fence - 1)
    ledger.write(lambda conn: generating.say(conn, ROUTES, [Generating(row, 3, 1, 7.5)], [zombie]))
    assert ledger.read(lambda conn: told(conn, row)) == (3, 1, 7.5)
    ledger.write(lambda conn: generating.say(conn, ROUTES, [Generating(zombie, 99, 1, 7.5)], []))
    assert ledger.read(lambda conn: told(conn, row)) is None


def test_a_request_that_waits_again_tells_nothing_and_what_is_left_is_swept(ledger: Ledger) -> None:
    stays, goes = ledger.write(calling), ledger.write(lambda conn: calling(conn, id_="b"))
    ledger.write(lambda conn: generating.say(conn, ROUTES, [Generating(x, 3, 1, 7.5) for x in (goes, stays)], []))
    ledger.write(lambda conn: take_steps(conn, ROUTES, "w", [Step(goes, then=Retry(3_600))]))
    assert ledger.read(lambda conn: (told(conn, goes), told(conn, stays))) == (None, (3, 1, 7.5))
    ledger.write(generating.sweep)
    left = select(tables.generating.c.request_pk)
    assert ledger.read(lambda conn: list(conn.execute(left).scalars())) == [stays.pk]


def test_what_was_said_of_an_ended_call_is_taken_back(ledger: Ledger) -> None:
    row = ledger.write(calling)
    ledger.write(lambda conn: generating.say(conn, ROUTES, [Generating(row, 3, 1, 7.5)], []))
    ledger.write(lambda conn: generating.say(conn, ROUTES, [], [row]))
    count = select(func.count()).select_from(tables.generating)
    assert ledger.read(lambda conn: conn.execute(count).scalar_one()) == 0


@pytest.mark.parametrize(("run", "key"), [("nightly", b"nightly"), (None, b"a")])
def test_it_is_published_under_the_run_where_a_topic_is_named(ledger: Ledger, run: str | None, key: bytes) -> None:
    row = ledger.write(lambda conn: calling(conn, run_id=run))
    far = [Generating(row, 3, 1, 7.5)]
    ledger.write(lambda conn: generating.say(conn, ROUTES, far, []))
    ledger.write(lambda conn: generating.say(conn, replace(ROUTES, runs="genai.runs"), far, []))
    [record] = ledger.read(lambda conn: conn.execute(select(tables.outbox)).all())
    value = orjson.loads(record.value)
    assert (record.topic, record.key, record.headers) == ("genai.runs", key, b"[]")
    assert value == {
        "run_id": run,
        "request_id": "a",
        "operation": "summarize",
        "tenant": "t",
        "generation": 1,
        "tokens": 3,
        "calls": 1,
        "since": "1970-01-01T00:00:07.500000+00:00",
        "at": value["at"],
    }
