"""A newer request of a key takes the place of the older one, once and for good."""

import asyncio
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, select, text, update

from schemas.errors import ErrorType, Failure
from schemas.result import Status
from store import tables
from store.database import Database
from store.ledger import life, progress, supersede
from store.ledger.accept import accept
from store.ledger.step import take_steps
from store.ledger.types.arrivals import Ask
from store.ledger.types.claims import Claimed
from store.ledger.types.steps import Retry, Step
from tests.store.ground import ROUTES, TOPIC, answered, arrived, asked, call, claim_all, ending, opened, start_call
from tests.store.plans import plans

BUSY = Failure(type=ErrorType.OVERLOADED, message="busy", retryable=True)


def filing(id_: str, **more: Any) -> Ask:
    return asked(id_, supersede_key="filing", **more)


@pytest.fixture
async def database(database_url: str) -> Database:
    found = await opened(database_url, "w", "other")
    yield found
    await found.aclose()


def _end(conn: Connection, mine: Claimed, status: Status = Status.SUCCEEDED) -> None:
    failure = None if status is Status.SUCCEEDED else BUSY
    take_steps(conn, ROUTES, "w", [Step(mine, (answered(call(mine)),), then=ending(status, failure))])


async def _stand(database: Database) -> dict[str, tuple[str, str | None]]:
    wanted = select(tables.requests.c.id, tables.requests.c.state, tables.requests.c.superseded_by)
    return {row.id: (row.state, row.superseded_by) for row in await database.read(lambda c: c.execute(wanted).all())}


async def _results(database: Database) -> list[tuple[str, str, list[str], bool]]:
    wanted = select(tables.outbox.c.value).where(tables.outbox.c.topic == ROUTES.results).order_by(tables.outbox.c.pk)
    found = [orjson.loads(value) for value in await database.read(lambda conn: conn.execute(wanted).scalars().all())]
    return [(each["id"], each["status"], each["warnings"], each["replayed"]) for each in found]


NOTE = "superseded by the request 'new'"


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("state", ["waiting", "leased", "held"])
async def test_what_has_not_begun_is_cancelled_and_says_by_whom(database: Database, state: str, together: bool) -> None:
    def work(conn: Connection) -> None:
        old, new = arrived(filing("old"), 0), arrived(filing("new"), 1)
        if together and state == "waiting":
            accept(conn, ROUTES, [old, new])
            return
        accept(conn, ROUTES, [old])
        if state == "leased":
            claim_all(conn)
        conn.execute(update(tables.requests).values(state=state))
        accept(conn, ROUTES, [new])

    await database.write(work)
    assert await _stand(database) == {"old": ("cancelled", "new"), "new": ("waiting", None)}
    assert await _results(database) == [("old", "cancelled", [NOTE], False)]


async def test_what_runs_is_let_finish_and_its_answer_says_that_it_is_old(database: Database) -> None:
    def work(conn: Connection) -> None:
        accept(conn, ROUTES, [arrived(filing("old"), 0)])
        running = start_call(conn)
        accept(conn, ROUTES, [arrived(filing("new"), 1)])
        _end(conn, running)

    await database.write(work)
    assert await _stand(database) == {"old": ("succeeded", "new"), "new": ("waiting", None)}
    assert await _results(database) == [("old", "succeeded", [NOTE], False)]


@pytest.mark.parametrize("dies", [True, False])
async def test_what_runs_is_not_tried_again(database: Database, dies: bool) -> None:
    def work(conn: Connection) -> None:
        accept(conn, ROUTES, [arrived(filing("old"), 0)])
        running = start_call(conn)
        accept(conn, ROUTES, [arrived(filing("new"), 1)])
        if dies:
            life.bury(conn, ROUTES, ["w"])
        else:
            take_steps(conn, ROUTES, "w", [Step(running, then=Retry(3.0))])

    await database.write(work)
    assert (await _stand(database))["old"] == ("cancelled", "new")
    assert await _results(database) == [("old", "cancelled", [NOTE], False)]


async def test_other_keys_tenants_and_operations_are_left_alone(database: Database) -> None:
    others = [
        asked("plain"),
        asked("key", supersede_key="else"),
        filing("tenant", tenant="u"),
        filing("operation", operation="classify"),
    ]
    arrivals = [arrived(ask, i) for i, ask in enumerate([*others, filing("new")])]
    await database.write(lambda conn: accept(conn, ROUTES, arrivals))
    assert {state for state, _ in (await _stand(database)).values()} == {"waiting"}


async def test_a_request_never_replaces_itself(database: Database) -> None:
    await database.write(lambda conn: accept(conn, ROUTES, [arrived(filing("a"), i) for i in range(3)]))
    assert await _stand(database) == {"a": ("waiting", None)}


async def test_a_loop_ends_with_the_newest(database: Database) -> None:
    """old, new, old again: what was replaced is answered from the records and never comes back."""
    arrivals = [arrived(filing(id_), i) for i, id_ in enumerate(["old", "new", "old"])]
    found = await database.write(lambda conn: accept(conn, ROUTES, arrivals))
    assert [each.decision for each in found] == ["accepted", "accepted", "replayed"]
    assert await _stand(database) == {"old": ("cancelled", "new"), "new": ("waiting", None)}
    assert await _results(database) == [("old", "cancelled", [NOTE], False), ("old", "cancelled", [NOTE], True)]


async def test_an_older_one_that_had_failed_is_not_redriven_over_the_newer(database: Database) -> None:
    def work(conn: Connection) -> str:
        accept(conn, ROUTES, [arrived(filing("old"), 0)])
        _end(conn, start_call(conn), Status.FAILED)
        accept(conn, ROUTES, [arrived(filing("new"), 1)])
        return accept(conn, ROUTES, [arrived(filing("old"), 2)])[0].decision

    assert await database.write(work) == "replayed"
    assert await _stand(database) == {"old": ("failed", "new"), "new": ("waiting", None)}


async def test_the_newest_one_that_failed_is_redriven(database: Database) -> None:
    def work(conn: Connection) -> str:
        accept(conn, ROUTES, [arrived(filing("old"), 0), arrived(filing("new"), 1)])
        _end(conn, start_call(conn), Status.FAILED)
        return accept(conn, ROUTES, [arrived(filing("new"), 2)])[0].decision

    assert await database.write(work) == "again"
    assert (await _stand(database))["new"] == ("waiting", None)


async def test_offsets_moved_back_over_both_change_nothing(database: Database) -> None:
    def work(conn: Connection) -> list[str]:
        arrivals = [arrived(filing("old"), 0), arrived(filing("new"), 1)]
        accept(conn, ROUTES, arrivals)
        progress.saw_commit(conn, {(TOPIC, 0): 2})
        known = progress.load(conn, TOPIC, 0)
        assert known is not None
        start = progress.decide(known, committed=0, begin=0, end=2, timestamp=1_001)
        progress.save(conn, TOPIC, 0, start.progress)
        return [each.decision for each in accept(conn, ROUTES, arrivals)]

    assert await database.write(work) == ["replayed", "redelivered"]
    assert await _stand(database) == {"old": ("cancelled", "new"), "new": ("waiting", None)}


@pytest.mark.postgres
async def test_two_writers_that_bring_one_key_at_once_go_one_after_the_other(postgres_database: str) -> None:
    """Without the lock neither saw the other's row, and both stood."""
    database = await opened(postgres_database, "w")

    def bring(conn: Connection, id_: str) -> None:
        arrivals = [arrived(filing(id_), None)]
        supersede.lock(conn, supersede.keys_of(arrivals))
        accept(conn, ROUTES, arrivals)

    assert database.asynchronous is not None
    async with database.asynchronous.begin() as slow:
        await slow.run_sync(bring, "old")
        second = asyncio.create_task(database.write(lambda conn: bring(conn, "new")))
        await asyncio.sleep(0.3)
        assert not second.done()
    await second
    assert await _stand(database) == {"old": ("cancelled", "new"), "new": ("waiting", None)}
    await database.aclose()


async def test_the_one_that_stands_is_found_by_its_own_index(database: Database) -> None:
    def work(conn: Connection) -> dict[str, str]:
        if conn.dialect.name != "sqlite":
            conn.execute(text("SET LOCAL enable_seqscan = off"))  # an empty table is read whole
        return plans(conn, lambda: supersede.stands(conn, {("t", "summarize", "filing")}))

    (found,) = (await database.write(work)).values()
    assert "requests_standing" in found


async def test_a_batch_without_such_keys_asks_nothing_more(database: Database) -> None:
    arrivals = [arrived(asked("a"), 0)]

    def heard(statement: str) -> bool:
        return "superseded_by=" in statement.replace(" ", "") or "supersede_key IN" in statement

    assert await database.write(lambda conn: plans(conn, lambda: accept(conn, ROUTES, arrivals), heard)) == {}
