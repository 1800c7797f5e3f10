"""Rows that wait for rows, where a walk of single events does not come: two writers at once, bounds, bytes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, select, update

from schemas.result import Cached, Status
from store import tables
from store.database import Database
from store.ledger import answers, behind, cache
from store.ledger.accept import accept
from store.ledger.claim import claim
from store.ledger.step import take_steps
from store.ledger.types.arrivals import Accepted, Arrival
from store.ledger.types.claims import Claimed, Want
from store.ledger.types.steps import Step, Stepped
from store.ledger.writer import Writer
from tests.store.ground import POOL, ROUTES, answered, arrived, asked, call, ending, opened
from tests.store.plans import plans

_R = tables.requests.c


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = await opened(database_url, "w", "v", slots=20)
    yield found
    await found.aclose()


def keyed(id_: str, offset: int, key: bytes = b"k", **changes: Any) -> Arrival:
    return replace(arrived(asked(id_, **{"ordered": True, **changes}), offset), key=key)


def run(conn: Connection, status: Status = Status.SUCCEEDED) -> list[str]:
    """Everything that can be claimed, to its end; the ids in their order."""
    done = []
    while rows := claim(conn, ROUTES, "w", [Want(POOL, 20, (0, 0, 0))]).rows:
        for row in rows:
            take_steps(conn, ROUTES, "w", [Step(row, opens=call(row))])
            take_steps(conn, ROUTES, "w", [Step(row, (answered(call(row)),), then=ending(status))])
            done.append(row.id)
    return done


async def test_a_leader_that_comes_again_without_its_key_leaves_it_to_another_of_the_same_batch(
    database: Database,
) -> None:
    def work(conn: Connection) -> list[str]:
        accept(conn, ROUTES, [arrived(asked("a", idempotency_key="k"), 0)])
        run(conn, Status.CANCELLED)
        again = [arrived(asked("a"), 1), arrived(asked("b", idempotency_key="k"), 2)]
        return [found.decision for found in accept(conn, ROUTES, again)]

    assert await database.write(work) == ["again", "accepted"]


async def test_records_of_one_key_run_one_after_another_and_other_keys_pass(database: Database) -> None:
    def work(conn: Connection) -> list[list[str]]:
        accept(conn, ROUTES, [keyed(f"a{i}", i, b"a") for i in range(3)] + [keyed("b0", 3, b"b")])
        accept(conn, ROUTES, [keyed("free", 4, ordered=False), replace(keyed("keyless", 5), key=None)])
        seen = []
        while rows := claim(conn, ROUTES, "w", [Want(POOL, 20, (0, 0, 0))]).rows:
            seen.append([row.id for row in rows])
            take_steps(conn, ROUTES, "w", [Step(row, then=ending()) for row in rows])
        return seen

    assert await database.write(work) == [["a0", "b0", "free", "keyless"], ["a1"], ["a2"]]


async def test_a_failing_head_ends_and_the_next_one_goes(database: Database) -> None:
    def work(conn: Connection) -> list[str]:
        accept(conn, ROUTES, [keyed(f"a{i}", i) for i in range(3)])
        return run(conn, Status.FAILED)

    assert await database.write(work) == ["a0", "a1", "a2"]


async def test_a_request_sent_again_goes_behind_those_that_came_meanwhile(database: Database) -> None:
    def work(conn: Connection) -> list[str]:
        accept(conn, ROUTES, [keyed("a0", 0)])
        run(conn, Status.FAILED)
        accept(conn, ROUTES, [keyed("a1", 1), keyed("a0", 2), keyed("a2", 3)])
        return run(conn)

    assert await database.write(work) == ["a1", "a0", "a2"]


async def test_a_key_whose_head_an_older_program_ended_goes_on_with_the_next_record(database: Database) -> None:
    def work(conn: Connection) -> list[str]:
        accept(conn, ROUTES, [keyed("a0", 0), keyed("a1", 1)])
        conn.execute(update(tables.requests).where(_R.id == "a0").values(state="succeeded", completed_at=1.0))
        accept(conn, ROUTES, [keyed("a2", 2)])
        return run(conn)

    assert await database.write(work) == ["a1", "a2"]


@pytest.mark.parametrize("followers", [True, False])
@pytest.mark.postgres
async def test_whoever_comes_while_the_head_ends_is_not_forgotten(postgres_database: str, followers: bool) -> None:
    """One writer ends rows while another accepts those that wait for them; in the end nobody waits for nobody."""
    database = await opened(postgres_database, "w", "v", slots=50)
    here, there = Writer(database, ROUTES, "w"), Writer(database, ROUTES, "v")
    n, key = 90, ({"idempotency_key": "k", "ordered": False} if followers else {})
    running = asyncio.Event()

    def arrives(i: int) -> Arrival:
        mine = {**key, "idempotency_key": f"k{i // 10}"} if followers else {}
        return replace(keyed(f"a{i}", i, b"%d" % (i % 3), **{**key, **mine}), position=None)

    async def ends() -> None:
        while not running.is_set():
            found = await database.write(lambda conn: claim(conn, ROUTES, "w", [Want(POOL, 50, (0, 0, 0))]))
            await asyncio.gather(*(here.step(Step(row, then=ending())) for row in found.rows))

    here.start()
    there.start()
    ending_ = asyncio.create_task(ends())
    await asyncio.gather(*(there.accept([arrives(i)]) for i in range(n)))
    for _ in range(400):
        left = await database.read(lambda conn: list(conn.execute(select(_R.id).where(_R.completed_at.is_(None)))))
        if not left:
            break
        await asyncio.sleep(0.05)
    running.set()
    await ending_
    assert left == []
    await asyncio.gather(here.aclose(), there.aclose())
    await database.aclose()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("kind", "changes", "decision"),
    [
        ("order", {"ordered": True}, "accepted"),  # and claimable: the one before it has ended
        ("key", {"ordered": False, "idempotency_key": "k"}, "replayed"),
        ("flight", {"ordered": False, "fingerprint": b"f", "fresh_s": 60.0}, "cached"),
    ],
)
async def test_an_end_that_is_not_committed_yet_is_waited_for(
    postgres_database: str, kind: str, changes: dict[str, Any], decision: str
) -> None:
    database = await opened(postgres_database, "w")
    await database.write(lambda conn: accept(conn, ROUTES, [keyed("a", 0, **changes)]))
    (row,) = (await database.write(lambda conn: claim(conn, ROUTES, "w", [Want(POOL, 5, (0, 0, 0))]))).rows
    assert database.asynchronous is not None
    async with database.asynchronous.begin() as conn:
        await conn.run_sync(lambda sync: take_steps(sync, ROUTES, "w", [Step(row, then=ending())]))
        newcomer = [replace(keyed("b", 1, **changes), position=None)]
        coming = asyncio.create_task(database.write(lambda conn: accept(conn, ROUTES, newcomer)))
        await asyncio.sleep(0.3)
        assert not coming.done()
    (found,) = await asyncio.wait_for(coming, 10)
    behind_ = await database.read(lambda conn: conn.execute(select(_R.behind).where(_R.id == "b")).scalar_one())
    assert (kind, found.decision, behind_) == (kind, decision, behind.NONE)
    await database.aclose()


def shared(id_: str, offset: int, **changes: Any) -> Arrival:
    return arrived(asked(id_, **{"fingerprint": b"f", "fresh_s": 60.0, **changes}), offset)


def _outputs(conn: Connection) -> dict[str, Any]:
    found = conn.execute(select(tables.outbox.c.value).where(tables.outbox.c.topic == ROUTES.results)).scalars()
    return {result["id"]: result for result in map(orjson.loads, found)}


async def test_an_equal_question_gets_the_answer_that_is_there_and_its_origin(database: Database) -> None:
    def work(conn: Connection) -> tuple[list[str], list[Accepted], dict[str, Any]]:
        accept(conn, ROUTES, [shared("a", 0)])
        ran = run(conn)
        found = accept(conn, ROUTES, [shared("b", 1), shared("c", 2, fingerprint=b"g"), shared("d", 3, fresh_s=0.0)])
        return ran + run(conn), found, _outputs(conn)

    ran, found, results = await database.write(work)
    assert (ran, [one.decision for one in found]) == (["a", "c", "d"], ["cached", "accepted", "accepted"])
    assert (results["b"]["cached"]["id"], results["b"]["cached"]["completed_at"], results["a"]["cached"]) == (
        "a",
        results["a"]["completed_at"],
        None,
    )
    assert results["b"]["output"] == results["a"]["output"]
    assert (results["b"]["usage"]["calls"], results["b"]["usage"]["cost_usd"]) == (0, "0.000000")


async def test_an_answer_that_is_too_old_is_not_given(database: Database) -> None:
    def work(conn: Connection) -> list[str]:
        accept(conn, ROUTES, [shared("a", 0)])
        run(conn)
        conn.execute(update(tables.requests).values(completed_at=_R.completed_at - 100))
        return [one.decision for one in accept(conn, ROUTES, [shared("b", 1), shared("c", 2, fresh_s=200.0)])]

    # c is like b, which runs now; but c may have the old answer at once
    assert await database.write(work) == ["accepted", "cached"]


@pytest.mark.parametrize(
    ("bounds", "left"),
    [
        (cache.Bounds(60.0, 10**9), {"b", "c"}),  # a is 100 s old
        (cache.Bounds(10**6, 10**9), {"a", "b", "c"}),
        (cache.Bounds(10**6, 1500), {"b", "c"}),  # an answer has 500 to 700 bytes
        (cache.Bounds(10**6, 0), set()),
    ],
)
async def test_old_answers_go_and_then_the_oldest_of_too_many(
    database: Database, bounds: cache.Bounds, left: set[str]
) -> None:
    def work(conn: Connection) -> set[str]:
        accept(conn, ROUTES, [shared(each, i, fingerprint=each.encode()) for i, each in enumerate("abc")])
        run(conn)
        for i, each in enumerate("cba"):
            conn.execute(update(tables.requests).where(_R.id == each).values(completed_at=_R.completed_at - 50 * i))
        assert not cache.sweep(conn, bounds)
        while cache.sweep(conn, bounds):
            pass
        assert len(conn.execute(select(tables.results)).all()) == 3
        return set(conn.execute(select(_R.id).where(_R.fingerprint.is_not(None))).scalars())

    assert await database.write(work) == left


async def test_followers_of_a_flight_end_with_it_and_what_they_saved_is_told(database: Database) -> None:
    def work(conn: Connection) -> tuple[Claimed, Stepped]:
        accept(conn, ROUTES, [shared("a", 0, lane=2), shared("b", 1, lane=0)])
        (row,) = claim(conn, ROUTES, "w", [Want(POOL, 20, (0, 0, 0))]).rows
        totals = ending().totals.model_copy(update={"cost_usd": "0.000017"})
        return row, take_steps(conn, ROUTES, "w", [Step(row, then=replace(ending(), totals=totals))])[0]

    row, stepped = await database.write(work)
    (one,) = stepped.shared
    assert (row.id, row.lane) == ("a", 0)  # lifted into its follower's lane
    assert (one.claim.id, one.kind, one.saved_nano, orjson.loads(one.body)["replayed"]) == (
        "b",
        "flight",
        17_000,
        False,
    )


async def test_a_flight_holds_so_many_and_no_more(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behind, "MAX_FOLLOWERS", 2)

    def work(conn: Connection) -> list[str]:
        accept(conn, ROUTES, [shared("a", 0), shared("b", 1)])
        accept(conn, ROUTES, [shared(each, 2 + i) for i, each in enumerate("cdef")])
        return [row.id for row in claim(conn, ROUTES, "w", [Want(POOL, 20, (0, 0, 0))]).rows]

    assert await database.write(work) == ["a", "d"]


@pytest.mark.fast
def test_a_copied_output_is_the_same_byte_for_byte() -> None:
    """Numbers that another writer would spell in another way, and the marker itself inside a text."""
    output = b'{"a":1e-7,"b":10000000000000000000000,"c":"\\u00e9,\\"output\\":{}","d":[1.0,1.10]}'
    body = (
        b'{"id":",\\"output\\":7","status":"succeeded","output":%b,"error":null,"warnings":["late: x","kept"]}' % output
    )
    origin = Cached(id="a", generation=1, completed_at=answers.moment(0))
    copied = answers.copied(body, {"id": "b"}, origin)
    assert b'"output":' + output + b"," in copied
    assert orjson.loads(copied)["warnings"] == ["kept"]


async def test_what_waits_is_found_by_its_indexes(database: Database) -> None:
    def work(conn: Connection) -> dict[str, str]:
        accept(
            conn, ROUTES, [keyed("a", 0), keyed("b", 1), shared("c", 2), arrived(asked("d", idempotency_key="k"), 3)]
        )
        rows = claim(conn, ROUTES, "w", [Want(POOL, 20, (0, 0, 0))]).rows
        more = [keyed("e", 4), shared("f", 5), arrived(asked("g", idempotency_key="k"), 6)]
        found = plans(conn, lambda: accept(conn, ROUTES, more), lambda statement: statement.startswith("SELECT"))
        steps = [Step(row, then=ending()) for row in rows]
        return found | plans(conn, lambda: take_steps(conn, ROUTES, "w", steps), lambda told: told.startswith("SELECT"))

    found = await database.write(work)
    if not database.is_sqlite:  # so few rows are read whole there
        return
    named = "\n".join(found.values())
    for index in ("requests_head", "requests_queued", "requests_idem", "requests_live", "requests_follows"):
        assert index in named, index
    assert "SCAN requests" not in named
