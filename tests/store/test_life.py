"""Takeover and giving back, where a walk of single events seldom comes."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from store import tables
from store.database import Database
from store.ledger import held, life, outgoing
from store.ledger.accept import accept
from store.ledger.claim import Claims, claim, ensure_slots
from store.ledger.step import take_steps
from store.ledger.types.arrivals import CancelAsk
from store.ledger.types.claims import Want
from store.ledger.types.steps import Step
from tests.store.ground import POOL, ROUTES, arrived, asked, call, opened, refusal


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


@pytest.mark.parametrize(
    ("changes", "followed", "ended"),
    [
        ({"alone": True, "caller": "w"}, False, "cancelled"),
        ({"alone": True, "caller": "other"}, False, "waiting"),  # it waits elsewhere still
        ({"alone": False, "caller": "w"}, False, "waiting"),  # it has a key, or was told to come back
        ({"alone": True, "caller": "w"}, True, "waiting"),  # somebody else wants the answer too
    ],
)
@pytest.mark.parametrize("called", [False, True])
async def test_a_caller_at_a_process_that_died_has_left(
    database: Database, changes: dict[str, Any], followed: bool, ended: str, called: bool
) -> None:
    """A paid call is not made again for nobody, and nothing is begun."""

    def work(conn: Connection) -> None:
        fields = {"fingerprint": b"f", "fresh_s": 60.0, "paid": True}
        accept(conn, ROUTES, [arrived(asked(**changes, **fields))])
        if followed:
            accept(conn, ROUTES, [arrived(asked("b", **fields), 0)])
        if called:
            (mine,) = _claim(conn).rows
            take_steps(conn, ROUTES, "w", [Step(mine, opens=call(mine))])
        life.bury(conn, ROUTES, ["w"])

    await database.write(work)
    assert (await _states(database))[0] == ended
