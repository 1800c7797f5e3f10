"""Takeover and giving back, where a walk of single events seldom comes."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from store import tables
from store.database import Database
from store.ledger import held, leaving, life, outgoing
from store.ledger.accept import accept
from store.ledger.claim import Claims, claim, ensure_slots
from store.ledger.step import take_steps
from store.ledger.types.arrivals import CancelAsk
from store.ledger.types.claims import Want
from store.ledger.types.steps import Retry, Step
from tests.store.ground import POOL, ROUTES, arrived, asked, call, opened, refusal
from tests.store.plans import plans


@pytest.fixture
async def database(database_url: str) -> Database:
    found = await opened(database_url, "w", "other")
    yield found
    await found.aclose()


def _claim(conn: Connection, worker: str = "w") -> Claims:
    return claim(conn, ROUTES, worker, [Want(POOL, 5, (0, 0, 0))])


async def _states(database: Database) -> list[str]:
    wanted = select(tables.requests.c.state).order_by(tables.requests.c.pk)
    return list(await database.read(lambda conn: conn.execute(wanted).scalars().all()))


async def test_a_cancelled_call_whose_owner_died_is_cancelled_and_no_dead_letter(database: Database) -> None:
    def work(conn: Connection) -> list[str]:
        accept(conn, ROUTES, [arrived(asked(paid=True, on_ambiguous="fail"), 0)])
        (mine,) = _claim(conn).rows
        take_steps(conn, ROUTES, "w", [Step(mine, opens=call(mine))])
        accept(conn, ROUTES, [arrived(CancelAsk("t", "summarize", "a"), 0, topic="control")])
        life.bury(conn, ROUTES, ["w"])
        return list(conn.execute(select(tables.outbox.c.topic).order_by(tables.outbox.c.pk)).scalars())

    assert await database.write(work) == [ROUTES.usage, ROUTES.results]
    assert await _states(database) == ["cancelled"]


async def test_a_slot_in_use_is_not_given_back_when_the_reserve_grew_meanwhile(database: Database) -> None:
    def work(conn: Connection) -> int:
        accept(conn, ROUTES, [arrived(asked(str(i)), i) for i in range(5)])
        found = _claim(conn)
        ensure_slots(conn, [(POOL, "n", 20)])
        return life.give_back(conn, "w", [row.pk for row in found.rows], found.slots)

    assert await database.write(work) == 0


async def test_what_a_worker_does_not_know_of_goes_back_but_never_a_call(database: Database) -> None:
    def work(conn: Connection) -> int:
        accept(conn, ROUTES, [arrived(asked(str(i)), i) for i in range(2)])
        found = _claim(conn)
        take_steps(conn, ROUTES, "w", [Step(found.rows[0], opens=call(found.rows[0]))])
        return life.give_back(conn, "w", (), found.slots)

    assert await database.write(work) == 1
    assert await _states(database) == ["calling", "waiting"]


async def test_a_worker_that_was_declared_dead_claims_nothing(database: Database) -> None:
    """Else its rows would have an owner whom nobody will ever bury."""

    def work(conn: Connection) -> Claims:
        accept(conn, ROUTES, [arrived(asked(), 0)])
        life.bury(conn, ROUTES, ["w"])
        return _claim(conn)

    found = await database.write(work)
    assert (found.rows, found.slots) == ((), ())
    assert await _states(database) == ["waiting"]


async def test_many_rows_of_a_cancelled_run_end_when_they_would_be_claimed(database: Database) -> None:
    def work(conn: Connection) -> int:
        accept(conn, ROUTES, [arrived(asked(str(i), run_id="r" if i < 3 else None), i) for i in range(4)])
        accept(conn, ROUTES, [arrived(CancelAsk("t", run_id="r"), 0, topic="control")])
        return len(_claim(conn).rows)

    assert await database.write(work) == 1
    assert await _states(database) == ["cancelled", "cancelled", "cancelled", "leased"]


async def test_the_silent_are_found_by_their_heartbeat(database: Database) -> None:
    quiet = update(tables.workers).where(tables.workers.c.id == "w").values(heartbeat_at=1.0)
    await database.write(lambda conn: conn.execute(quiet))
    beats, _ = await database.read(life.beats)
    assert beats["w"] == 1.0
    since = {"w": 1.0, "other": beats["other"] - 1}  # `other` has beaten since it was looked at
    assert await database.write(lambda conn: life.bury_silent(conn, ROUTES, since)) == (["w"], 0)
    assert await database.read(life.everyone) == ["other"]
    assert not await database.write(lambda conn: life.beat(conn, "w"))


async def test_cancels_of_unknown_ids_are_kept_a_day(database: Database) -> None:
    def work(conn: Connection) -> int:
        cancels = [replace(CancelAsk("t", "summarize", "a"), id=id_) for id_ in "ab"]
        accept(conn, ROUTES, [arrived(what, i, topic="control") for i, what in enumerate(cancels)])
        first = select(tables.cancels.c.identity).limit(1).scalar_subquery()
        a_day_ago = tables.cancels.c.at - life.CANCEL_KEPT_S - 1
        conn.execute(update(tables.cancels).where(tables.cancels.c.identity == first).values(at=a_day_ago))
        life.forget_cancels(conn)
        return len(conn.execute(select(tables.cancels)).all())

    assert await database.write(work) == 1


async def test_a_worker_that_was_declared_dead_leases_no_destination(database: Database) -> None:
    """Else nobody would ever publish what waits there."""

    def work(conn: Connection) -> list[str]:
        accept(conn, ROUTES, [arrived(asked(failure=refusal()), 0)])
        life.bury(conn, ROUTES, ["w"])
        outgoing.lease_places(conn, "w")
        outgoing.lease_places(conn, "other")
        return list(conn.execute(select(tables.relays.c.owner)).scalars())

    assert await database.write(work) == ["other"]


@pytest.mark.parametrize(("calls", "deaths"), [(True, 2), (False, 5)])
async def test_a_request_that_kills_whoever_touches_it_is_poison(database: Database, calls: bool, deaths: int) -> None:
    def work(conn: Connection) -> list[str]:
        accept(conn, ROUTES, [arrived(asked(), 0)])
        seen = []
        for number in range(deaths):
            name = f"v{number}"
            life.register(conn, name, "host", 1)
            (mine,) = _claim(conn, name).rows
            if calls:
                take_steps(conn, ROUTES, name, [Step(mine, opens=call(mine))])
            life.bury(conn, ROUTES, [name])
            seen.append(conn.execute(select(tables.requests.c.state)).scalar_one())
        return seen

    assert await database.write(work) == ["waiting"] * (deaths - 1) + ["failed"]
    letters = select(tables.outbox.c.topic).where(tables.outbox.c.topic == ROUTES.dlq)
    assert len(await database.read(lambda conn: conn.execute(letters).all())) == 1
    error = select(tables.requests.c.error_type)
    assert await database.read(lambda conn: conn.execute(error).scalar_one()) == "poison"


async def test_a_held_request_outlives_the_death_that_held_it_and_its_retry_is_counted(database: Database) -> None:
    def work(conn: Connection) -> list[object]:
        accept(conn, ROUTES, [arrived(asked(paid=True, on_ambiguous="hold"), 0)])
        (mine,) = _claim(conn).rows
        take_steps(conn, ROUTES, "w", [Step(mine, opens=call(mine))])
        life.bury(conn, ROUTES, ["w"])
        r = tables.requests.c
        name = conn.execute(select(r.identity)).scalar_one()
        seen = [conn.execute(select(r.state, r.owner, r.ambiguous, r.deaths_calling)).one()]
        assert _claim(conn, "other").rows == ()
        held.retry(conn, [name], "cli")
        seen.append(conn.execute(select(r.state, r.owner, r.ambiguous, r.deaths_calling)).one())
        return [tuple(each) for each in seen]

    assert await database.write(work) == [("held", None, 0, 1), ("waiting", None, 1, 1)]


MINE = {"fingerprint": b"f", "fresh_s": 60.0, "paid": True, "alone": True, "caller": "w"}
"""Of a request whose only caller waits at `w`."""


@pytest.mark.parametrize(
    ("changes", "follower", "ended"),
    [
        ({}, None, "cancelled"),
        ({"caller": "other"}, None, "waiting"),  # it waits elsewhere still
        ({"alone": False}, None, "waiting"),  # it has a key, or was told to come back
        ({}, {"alone": False}, "waiting"),  # somebody else wants the answer too
        ({}, {"caller": "other"}, "waiting"),
        ({}, {}, "cancelled"),  # who waited for the same waited there as well
    ],
)
@pytest.mark.parametrize("called", [False, True])
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_caller_at_a_process_that_died_has_left(
    database: Database,
    changes: dict[str, Any],
    follower: dict[str, Any] | None,
    ended: str,
    called: bool,
    streamed: bool,
) -> None:
    """A paid call is not made again for nobody, and nothing is begun."""

    def work(conn: Connection) -> None:
        accept(conn, ROUTES, [arrived(asked(**{**MINE, **changes}, streamed=streamed))])
        if follower is not None:
            accept(conn, ROUTES, [arrived(asked("b", **{**MINE, **follower}, streamed=streamed))])
        if called:
            (mine,) = _claim(conn).rows
            take_steps(conn, ROUTES, "w", [Step(mine, opens=call(mine))])
        life.bury(conn, ROUTES, ["w"])

    await database.write(work)
    left = 0 if follower is None else 1
    assert await _states(database) == [ended, *([ended] if follower == {} else ["waiting"])[:left]]


async def test_a_request_that_waits_for_another_try_ends_with_the_process_of_its_caller(database: Database) -> None:
    def work(conn: Connection) -> None:
        accept(conn, ROUTES, [arrived(asked(**MINE))])
        (mine,) = _claim(conn).rows
        take_steps(conn, ROUTES, "w", [Step(mine, then=Retry(60.0))])
        life.bury(conn, ROUTES, ["w"])

    await database.write(work)
    assert await _states(database) == ["cancelled"]


@pytest.mark.parametrize(("called", "ended", "stops"), [(True, "calling", 1), (False, "cancelled", 0)])
async def test_what_runs_elsewhere_for_a_caller_at_a_process_that_died_is_stopped(
    database: Database, called: bool, ended: str, stops: int
) -> None:
    def work(conn: Connection) -> int:
        accept(conn, ROUTES, [arrived(asked(**MINE))])
        (mine,) = _claim(conn, "other").rows
        if called:
            take_steps(conn, ROUTES, "other", [Step(mine, opens=call(mine))])
        life.bury(conn, ROUTES, ["w"])
        return len(life.told_to_stop(conn, "other"))

    assert await database.write(work) == stops
    assert await _states(database) == [ended]


async def test_a_caller_whose_process_was_buried_before_the_owner_has_left_all_the_same(database: Database) -> None:
    """Its last follower has gone in between."""

    def work(conn: Connection) -> None:
        accept(conn, ROUTES, [arrived(asked(**MINE))])
        accept(conn, ROUTES, [arrived(asked("b", **{**MINE, "caller": "other"}))])
        (mine,) = _claim(conn, "other").rows
        take_steps(conn, ROUTES, "other", [Step(mine, opens=call(mine))])
        life.bury(conn, ROUTES, ["w"])
        life.bury(conn, ROUTES, ["other"])

    await database.write(work)
    assert await _states(database) == ["cancelled", "cancelled"]


async def test_who_was_told_where_to_ask_again_has_not_left(database: Database) -> None:
    def work(conn: Connection) -> None:
        accept(conn, ROUTES, [arrived(asked(**MINE))])
        (mine,) = _claim(conn).rows
        leaving.stay(conn, [(mine.pk, mine.generation)])
        life.bury(conn, ROUTES, ["w"])

    await database.write(work)
    assert await _states(database) == ["waiting"]


async def test_the_callers_of_the_dead_are_found_by_an_index(database: Database) -> None:
    """A ledger has millions of rows that have ended."""
    found = await database.write(lambda conn: plans(conn, lambda: life.bury(conn, ROUTES, ["w"]), _finds_rows))
    (plan,) = found.values()
    assert "requests_owned" in plan and "requests_state" in plan


def _finds_rows(statement: str) -> bool:
    return statement.startswith("SELECT requests.pk") and "caller" in statement and "requests.owner IN" in statement
