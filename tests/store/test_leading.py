"""A request that failed with the leader of its idempotency key is sent again: the leader runs again, once, for all of them."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, delete, insert, select, update

from schemas.result import Status
from store import tables
from store.database import Database
from store.ledger import budgets
from store.ledger.accept import accept
from store.ledger.budgeting import Scope
from store.ledger.types.arrivals import Accepted, Arrival
from tests.store.ground import ROUTES, arrived, asked, opened
from tests.store.test_behind import run

_R = tables.requests.c


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = await opened(database_url, "w", slots=20)
    yield found
    await found.aclose()


def sent(id_: str, offset: int, **changes: Any) -> Arrival:
    return arrived(asked(id_, **{"idempotency_key": "k", **changes}), offset)


def failed(conn: Connection, **leads: Any) -> None:
    """`a` and those that follow it, `b` and `c`, at the offsets 0 to 2."""
    accept(conn, ROUTES, [replace(sent("a", 0, **leads), key=b"its own"), sent("b", 1), sent("c", 2)])
    assert run(conn, Status.FAILED) == ["a"]


def again(conn: Connection, *ids: str) -> list[Accepted]:
    return accept(conn, ROUTES, [sent(id_, 10 + i) for i, id_ in enumerate(ids)])


def generations(conn: Connection) -> dict[str, tuple[int, str]]:
    return {row.id: (row.generation, row.state) for row in conn.execute(select(tables.requests))}


@pytest.mark.parametrize(
    ("ids", "decided", "left"),
    [
        ("b", ["again"], {"c"}),
        ("ba", ["again", "duplicate"], {"c"}),
        ("ab", ["again", "again"], {"c"}),
        ("bc", ["again", "again"], set()),
        ("cab", ["again", "duplicate", "again"], set()),
    ],
)
async def test_the_leader_is_run_again_once_for_whoever_is_sent_again(
    database: Database, ids: str, decided: list[str], left: set[str]
) -> None:
    def work(conn: Connection) -> None:
        failed(conn)
        assert [one.decision for one in again(conn, *ids)] == decided
        assert run(conn) == ["a"]
        expected = {id_: (1, "failed") if id_ in left else (2, "succeeded") for id_ in "abc"}
        assert generations(conn) == expected

    await database.write(work)


async def test_each_gets_its_result_where_it_asked(database: Database) -> None:
    def work(conn: Connection) -> list[Any]:
        failed(conn)
        conn.execute(delete(tables.outbox))
        again(conn, "b")
        run(conn)
        return list(conn.execute(select(tables.outbox).where(tables.outbox.c.topic == ROUTES.results)).all())

    found = {orjson.loads(row.value)["id"]: (row.key, orjson.loads(row.value)) for row in await database.write(work)}
    assert {id_: key for id_, (key, _) in found.items()} == {"a": b"its own", "b": b"b"}
    leader, follower = found["a"][1], found["b"][1]
    assert (leader["generation"], leader["replayed"], leader["cached"]) == (2, False, None)
    assert (follower["generation"], follower["replayed"], follower["cached"]["generation"]) == (2, True, 2)
    assert follower["usage"]["calls"] == 0


def _too_late(conn: Connection) -> None:
    conn.execute(update(tables.requests).where(_R.id == "a").values(deadline=1.0))


def _pruned(conn: Connection) -> None:
    pk = select(_R.pk).where(_R.id == "a").scalar_subquery()
    conn.execute(delete(tables.bodies).where(tables.bodies.c.request_pk == pk))


def _replaced(conn: Connection) -> None:
    conn.execute(update(tables.requests).where(_R.id == "a").values(superseded_by="z"))


def _called_off(conn: Connection) -> None:
    conn.execute(update(tables.requests).where(_R.id == "a").values(run_id="r"))
    conn.execute(insert(tables.run_cancels), {"tenant": "t", "run_id": "r", "at": 1.0})


def _of_another_key(conn: Connection) -> None:
    conn.execute(update(tables.requests).where(_R.id == "a").values(key_id="another"))


@pytest.mark.parametrize("happens", [_too_late, _pruned, _replaced, _called_off, _of_another_key])
async def test_one_that_cannot_be_run_again_gives_its_lead_away(
    database: Database, happens: Callable[[Connection], None]
) -> None:
    def work(conn: Connection) -> None:
        failed(conn)
        happens(conn)
        assert [one.decision for one in again(conn, "c", "b")] == ["again", "again"]
        assert run(conn) == ["c"]
        assert generations(conn) == {"a": (1, "failed"), "b": (2, "succeeded"), "c": (2, "succeeded")}

    await database.write(work)


async def test_it_waits_as_it_was_asked_to(database: Database) -> None:
    """In its own turn, behind those that came meanwhile, and in the lane of whoever is in a hurry."""

    def work(conn: Connection) -> tuple[list[str], int]:
        failed(conn, ordered=True, lane=2, run_id="r")
        accept(conn, ROUTES, [replace(arrived(asked("x", ordered=True), 5), key=b"its own")])
        accept(conn, ROUTES, [sent("b", 6, lane=0)])
        row = conn.execute(select(tables.requests).where(_R.id == "a")).one()
        assert (row.run_id, row.source_offset) == ("r", 0)
        return run(conn), row.lane

    assert await database.write(work) == (["x", "a"], 0)


async def test_whoever_is_new_does_not_wait_for_one_that_failed(database: Database) -> None:
    """It was not there when that one failed: it asks for itself, and has the key from then on."""

    def work(conn: Connection) -> None:
        failed(conn)
        assert [one.decision for one in again(conn, "new", "b")] == ["accepted", "again"]
        assert run(conn) == ["new"]
        assert generations(conn)["b"] == (2, "succeeded")

    await database.write(work)


def _sent_with_money(id_: str, offset: int, **changes: Any) -> Arrival:
    return sent(id_, offset, paid=True, **{"estimate_nano": 1_000, **changes})


@pytest.mark.parametrize(
    ("a_in", "limited", "leads"),
    [
        (None, Scope("t"), "a"),  # of both: there is room for one call
        ("r", Scope(run_id="r"), "b"),  # of the leader's run alone: it was not asked, and its budget is not touched
    ],
)
async def test_what_the_leader_may_cost_is_reserved_where_its_follower_has_asked(
    database: Database, a_in: str | None, limited: Scope, leads: str
) -> None:
    def work(conn: Connection) -> tuple[list[str], list[int]]:
        accept(conn, ROUTES, [_sent_with_money("a", 0, run_id=a_in), _sent_with_money("b", 1)])
        run(conn, Status.FAILED)
        budgets.put(conn, budgets.Wanted(limited, "total", 1_000), "test")
        accept(conn, ROUTES, [_sent_with_money("b", 2)])
        held = conn.execute(select(tables.budgets.c.reserved_nano)).scalars().all()
        return run(conn), list(held)

    ran, held = await database.write(work)
    assert (ran, held) == ([leads], [1_000 if leads == "a" else 0])


async def test_without_room_for_its_leader_the_follower_leads_and_is_refused_itself(database: Database) -> None:
    def work(conn: Connection) -> list[str]:
        accept(conn, ROUTES, [_sent_with_money("a", 0), _sent_with_money("b", 1)])
        run(conn, Status.FAILED)
        budgets.put(conn, budgets.Wanted(Scope("t"), "total", 0), "test")
        return [found.decision for found in accept(conn, ROUTES, [_sent_with_money("b", 2)])]

    assert await database.write(work) == ["refused"]
    assert (await database.read(generations))["a"] == (1, "failed")


async def test_its_record_stands_for_its_newer_generation(database: Database) -> None:
    """Offsets that are moved back give the result that it has now."""

    def work(conn: Connection) -> list[tuple[int, str]]:
        failed(conn)
        again(conn, "b")
        run(conn)
        conn.execute(delete(tables.outbox))
        conn.execute(update(tables.intake_progress).values(next_offset=0, replay_until=20))
        accept(conn, ROUTES, [sent("a", 0)])
        body = conn.execute(select(tables.outbox.c.value)).scalar_one()
        return [(orjson.loads(body)["generation"], orjson.loads(body)["status"])]

    assert await database.write(work) == [(2, "succeeded")]


async def test_who_never_followed_it_has_nobody_run_again(database: Database) -> None:
    def work(conn: Connection) -> None:
        failed(conn)
        accept(conn, ROUTES, [arrived(asked("x"), 5)])
        assert run(conn, Status.FAILED) == ["x"]
        assert [one.decision for one in accept(conn, ROUTES, [sent("x", 6)])] == ["again"]
        assert run(conn) == ["x"]
        assert generations(conn)["a"] == (1, "failed")

    await database.write(work)
