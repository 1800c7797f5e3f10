"""One writer per process: what waits goes together; what cannot be kept hurts nobody else; what is away is waited for."""

import asyncio
import functools
import random
import sqlite3
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, TypeVar

import asyncpg
import pytest
from sqlalchemy import event, func, make_url, select

from schemas.result import Status
from store import keys, tables
from store.database import Database, Work, parse_url
from store.errors import Away, BadData
from store.keys import Secret, Wish
from store.ledger import life, queries
from store.ledger.claim import claim
from store.ledger.transaction import Committed, Wants
from store.ledger.types.arrivals import Accepted, Ask, CancelAsk
from store.ledger.types.claims import Claimed, Slot, Want
from store.ledger.types.steps import Retry, Step
from store.ledger.writer import Writer
from tests.store.ground import POOL, ROUTES, answered, arrived, asked, call, ending, opened

T = TypeVar("T")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    found = await opened(database_url, "w", "v")
    yield found
    await found.aclose()


@pytest.fixture
async def postgres(postgres_database: str) -> AsyncIterator[Database]:
    found = await opened(postgres_database, "w", "v")
    yield found
    await found.aclose()


@pytest.fixture
async def sqlite(sqlite_url: str) -> AsyncIterator[Database]:
    found = await opened(sqlite_url, "w", "v")
    yield found
    await found.aclose()


@pytest.fixture
async def writer(database: Database) -> AsyncIterator[Writer]:
    async with _writing(database) as found:
        yield found


class _writing:  # noqa: N801 - reads as `async with _writing(database)`
    """A writer that runs."""

    def __init__(self, database: Database, worker: str = "w") -> None:
        self.writer = Writer(database, ROUTES, worker)

    async def __aenter__(self) -> Writer:
        self.writer.start()
        return self.writer

    async def __aexit__(self, *_: object) -> None:
        await self.writer.aclose()


async def _count(database: Database, table: Any) -> int:
    wanted = select(func.count()).select_from(table)
    return int(await database.read(lambda conn: conn.execute(wanted).scalar_one()))


async def _leased(writer: Writer, n: int = 1) -> list[Claimed]:
    """Rows that were accepted and claimed."""
    await writer.accept([arrived(asked(f"leased-{i}")) for i in range(n)])
    wants = [Want(POOL, n, (0, 0, 0))]
    return list((await writer.database.write(lambda conn: claim(conn, ROUTES, "w", wants))).rows)


async def _until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


# ---- what waits goes together


async def test_what_waits_meanwhile_goes_into_one_transaction(writer: Writer) -> None:
    commits: list[Committed] = []
    writer.listeners.append(commits.append)
    await asyncio.gather(*(writer.accept([arrived(asked(str(i)))]) for i in range(50)))
    assert sum(commit.items for commit in commits) == 50
    assert len(commits) <= 2


async def test_answers_come_to_whom_they_belong(writer: Writer) -> None:
    mine, other = await _leased(writer, 2)
    found = await asyncio.gather(
        writer.accept([arrived(asked("a")), arrived(asked("b"))]),
        writer.step(Step(mine, opens=call(mine))),
        writer.mark([1, 2, 3]),
        writer.accept([arrived(asked("a"))]),
        writer.step(Step(replace(other, fence=99), then=ending())),
        writer.audit(),
    )
    accepted, stepped, _, again, stale, audited = found
    assert [x.decision for x in accepted + again] == ["accepted", "accepted", "duplicate"]
    assert (stepped.held, stale.held, audited) == (True, False, 3)  # `other` and two slots, which nobody here knows of


async def test_more_marks_than_a_statement_takes_values(writer: Writer) -> None:
    await asyncio.wait_for(asyncio.gather(*(writer.mark(range(40_000)) for _ in range(3))), 10)


async def test_closing_commits_what_waits(database: Database) -> None:
    async with _writing(database) as writer:
        waiting = [asyncio.create_task(writer.accept([arrived(asked(str(i)))])) for i in range(20)]
        await asyncio.sleep(0)
    assert [(await task)[0].decision for task in waiting] == ["accepted"] * 20


async def test_closing_while_the_database_is_away_keeps_nobody_waiting(postgres_database: str) -> None:
    database = await opened(postgres_database)
    async with _writing(database) as writer:
        await _refuse(postgres_database)
        waiting = asyncio.create_task(writer.accept([arrived(asked())]))
        await _until(lambda: not writer.health.ok)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(waiting, 5)
    await database.aclose()


# ---- what cannot be kept

LONE = "\ud800"
_anywhere = [
    pytest.param(asked("x", run_id=f"r{LONE}"), "invalid", id="surrogate in a column"),
    pytest.param(asked("x", metadata={"a": LONE}, run_id=LONE), "invalid", id="surrogate in the metadata too"),
    pytest.param(asked("x", lane=2**70), "invalid", id="a number that no column holds"),
    pytest.param(asked(f"x{LONE}"), "unreadable", id="surrogate in the id"),
    pytest.param(asked("x", tenant=LONE), "unreadable", id="surrogate in the tenant"),
]


async def _in_the_middle(writer: Writer, culprit: Ask) -> tuple[list[Accepted], list[Accepted]]:
    """Its own answer apart, and its neighbours', of its own command and of others."""
    others = [
        [asked("n0")],
        [asked("n1"), asked("n2"), culprit, asked("n3"), asked("n4")],
        [asked("n5")],
        [asked("n6")],
    ]
    offsets = iter(range(100))
    commands = [writer.accept([arrived(what, next(offsets)) for what in command]) for command in others]
    found = [x for answers in await asyncio.wait_for(asyncio.gather(*commands), 20) for x in answers]
    return [found.pop(3)], found


@pytest.mark.parametrize(("culprit", "decision"), _anywhere)
async def test_a_value_that_no_database_takes_is_answered_and_its_neighbours_go_in_in_order(
    writer: Writer, culprit: Ask, decision: str
) -> None:
    (answer,), neighbours = await _in_the_middle(writer, culprit)
    assert answer.decision == decision
    assert [x.decision for x in neighbours] == ["accepted"] * 7
    pks = [x.pk for x in neighbours]
    assert pks == sorted(pks, key=lambda pk: pk or 0)
    assert await _count(writer.database, tables.positions) == 8


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("culprit", "decision"),
    [(asked("x", run_id="a\0b"), "invalid"), (asked("x\0"), "unreadable"), (asked("x", lane=40_000), "invalid")],
)
async def test_what_only_postgres_refuses(postgres: Database, culprit: Ask, decision: str) -> None:
    async with _writing(postgres) as writer:
        (answer,), neighbours = await _in_the_middle(writer, culprit)
    assert [x.decision for x in (answer, *neighbours)] == [decision, *["accepted"] * 7]


async def test_a_step_that_cannot_be_kept_is_told_to_its_caller_alone(writer: Writer) -> None:
    first, second, third = await _leased(writer, 3)
    bad = replace(ending(), output={"summary": LONE})
    found = await asyncio.gather(
        writer.step(Step(first, then=ending())),
        writer.step(Step(second, then=bad)),
        writer.step(Step(third, then=ending())),
        return_exceptions=True,
    )
    assert [type(x) if isinstance(x, Exception) else x.held for x in found] == [True, BadData, True]
    assert (await writer.step(Step(second, then=ending(Status.FAILED)))).held


async def test_a_caller_that_has_gone_does_not_stop_the_search_for_a_culprit(writer: Writer) -> None:
    gone = asyncio.create_task(writer.accept([arrived(asked("a")), arrived(asked("x", run_id=LONE))]))
    await asyncio.sleep(0)
    gone.cancel()
    assert [x.decision for x in await writer.accept([arrived(asked("b"))])] == ["accepted"]
    assert await _count(writer.database, tables.requests) == 3


async def test_a_claim_that_cannot_be_made_is_nobody_elses_fault(writer: Writer) -> None:
    writer.wants = lambda: Wants([Want((LONE, "m"), 5, (0, 0, 0))])
    assert [x.decision for x in await writer.accept([arrived(asked())])] == ["accepted"]
    writer.claim_soon()
    await asyncio.sleep(0.1)
    writer.wants = Wants
    assert [x.decision for x in await writer.accept([arrived(asked())])] == ["duplicate"]


async def test_a_defect_in_what_is_asked_of_the_engine_does_not_stop_the_writer(writer: Writer) -> None:
    def broken() -> Wants:
        raise KeyError("a defect")

    def deaf(_: Committed) -> None:
        raise KeyError("another")

    writer.wants = broken
    writer.listeners.append(deaf)
    assert [x.decision for x in await writer.accept([arrived(asked())])] == ["accepted"]


# ---- what is away


def _patient_for(database: Database, seconds: float) -> None:
    """SQLite's own patience, scaled down from five seconds."""

    @event.listens_for(database.sync, "begin", insert=True)
    def _shorter(conn: Any) -> None:
        conn.exec_driver_sql(f"PRAGMA busy_timeout = {int(seconds * 1000)}")


async def test_a_locked_file_is_waited_for_and_told(sqlite: Database) -> None:
    _patient_for(sqlite, 0.2)
    async with _writing(sqlite) as writer:
        other = sqlite3.connect(str(sqlite.url.database), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = [asyncio.create_task(writer.accept([arrived(asked(str(i)), i)])) for i in range(3)]
        await _until(lambda: not writer.health.ok)
        assert "locked" in writer.health.why
        await asyncio.sleep(2)
        assert not any(task.done() for task in waiting)
        other.execute("ROLLBACK")
        other.close()
        decided = await asyncio.wait_for(asyncio.gather(*waiting), 5)
        assert ([x.decision for (x,) in decided], writer.health.ok) == (["accepted"] * 3, True)


async def test_a_full_disk_is_waited_for_and_told(sqlite: Database) -> None:
    room = [-1]

    @event.listens_for(sqlite.sync, "begin")
    def _limit(conn: Any) -> None:
        conn.exec_driver_sql(f"PRAGMA max_page_count = {room[0] if room[0] > 0 else 1_000_000}")

    def pages(conn: Any) -> int:
        return int(conn.exec_driver_sql("PRAGMA page_count").scalar_one())

    room[0] = await sqlite.read(pages) + 4
    async with _writing(sqlite) as writer:
        large = [replace(arrived(asked(str(i)), i), value=b"x" * 10_000) for i in range(20)]
        waiting = asyncio.create_task(writer.accept(large))
        await _until(lambda: not writer.health.ok)
        assert "full" in writer.health.why
        await asyncio.sleep(0.3)
        assert not waiting.done()
        room[0] = -1
        assert [x.decision for x in await asyncio.wait_for(waiting, 5)] == ["accepted"] * 20
        assert writer.health.ok


async def _administer(url: str, *statements: str) -> None:
    conn = await asyncpg.connect(str(make_url(url).set(database="postgres").render_as_string(hide_password=False)))
    for statement in statements:
        await conn.execute(statement)
    await conn.close()


async def _refuse(url: str) -> None:
    """Nobody gets in, and who is in goes."""
    name = make_url(url).database
    await _administer(url, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    await _terminate(url)


async def _terminate(url: str) -> None:
    name = make_url(url).database
    await _administer(url, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")


@pytest.mark.postgres
async def test_broken_connections_lose_nothing(postgres: Database, postgres_database: str) -> None:
    async with _writing(postgres) as writer:
        waiting = []
        for i in range(30):
            waiting += [asyncio.create_task(writer.accept([arrived(asked(str(i)), i)]))]
            await asyncio.sleep(0.01)
            if i % 10 == 5:
                await _terminate(postgres_database)
        decided = await asyncio.wait_for(asyncio.gather(*waiting), 20)
    # a commit whose answer was cut off shows as a redelivery of the same position
    assert {x.decision for (x,) in decided} <= {"accepted", "redelivered"}
    assert await _count(postgres, tables.requests) == 30


@pytest.mark.postgres
async def test_an_unreachable_server_is_waited_for_and_told(postgres: Database, postgres_database: str) -> None:
    async with _writing(postgres) as writer:
        await writer.accept([arrived(asked("before"), 0)])
        await _refuse(postgres_database)
        waiting = asyncio.create_task(writer.accept([arrived(asked("meanwhile"), 1)]))
        await _until(lambda: not writer.health.ok)
        await asyncio.sleep(0.5)
        assert (waiting.done(), "not currently accepting connections" in writer.health.why) == (False, True)
        await _administer(postgres_database, f'ALTER DATABASE "{postgres.url.database}" ALLOW_CONNECTIONS true')
        assert [x.decision for x in await asyncio.wait_for(waiting, 5)] == ["accepted"]
        assert writer.health.ok


class Uncertain(Database):
    """Commits, and then loses the line before it can say so; once for each time it is told to."""

    lose = 0

    async def write(self, work: Work[T]) -> T:
        done = await super().write(work)
        if self.lose:
            self.lose -= 1
            raise Away("the line broke behind the commit")
        return done


async def test_a_commit_whose_outcome_is_unknown_is_not_done_twice(database_url: str) -> None:
    await (await opened(database_url, "w")).aclose()
    database = Uncertain(parse_url(database_url))
    async with _writing(database) as writer:
        database.lose = 1
        batch = [arrived(asked("a"), 0), arrived(asked("b"), 1), arrived(asked("a", payload_hash=b"two"), 2)]
        assert {x.decision for x in await writer.accept(batch)} == {"redelivered"}
        (mine, _) = await _leased_of(database)
        database.lose = 1
        assert (await writer.step(Step(mine, opens=call(mine)))).held
        database.lose = 2
        done = await writer.step(Step(mine, (answered(call(mine)),), then=ending()))
        assert (done.held, done.body is not None) == (True, True)
        rows = await database.read(lambda conn: conn.execute(select(tables.outbox.c.pk)).scalars().all())
        database.lose = 1
        await writer.mark(rows)
        assert len(rows) == 3  # the conflict, the usage, the result
    counts = [await _count(database, t) for t in (tables.requests, tables.results, tables.outbox)]
    assert (counts, await database.read(queries.journal_days)) == ([2, 1, 0], {(*POOL, "t"): (1, 17)})
    await database.aclose()


async def _leased_of(database: Database) -> list[Claimed]:
    wants = [Want(POOL, 5, (0, 0, 0))]
    return list((await database.write(lambda conn: claim(conn, ROUTES, "w", wants))).rows)


async def test_a_claim_whose_outcome_is_unknown_is_given_back_by_the_audit(database_url: str) -> None:
    await (await opened(database_url, "w")).aclose()
    database = Uncertain(parse_url(database_url))
    async with _writing(database) as writer:
        known: set[int] = set()
        slots: set[Slot] = set()

        def learn(done: Committed) -> None:
            if done.claims:
                known.update(row.pk for row in done.claims.rows)
                slots.update(done.claims.slots)

        writer.listeners.append(learn)
        writer.holds = lambda: (known, slots)
        await writer.accept([arrived(asked("a"))])
        writer.wants = lambda: Wants([Want(POOL, 5, (0, len(known), 0))])
        database.lose = 1
        writer.claim_soon()
        await _until(lambda: not database.lose and writer.health.ok)
        assert (await writer.audit(), await writer.audit()) == (2, 0)  # a row and its slot
        await _until(lambda: len(known) == 1)
    await database.aclose()


# ---- two writers


async def test_two_writers_bring_the_same_identities_at_once(database: Database, database_url: str) -> None:
    other = Database(parse_url(database_url))
    async with _writing(database) as first, _writing(other, "v") as second:
        names = [str(i) for i in range(200)]
        decided: list[str] = []

        async def bring(writer: Writer, order: list[str]) -> None:
            for start in range(0, len(order), 20):
                found = await writer.accept([arrived(asked(name)) for name in order[start : start + 20]])
                decided.extend(x.decision for x in found)

        backwards = list(reversed(names))
        await asyncio.wait_for(asyncio.gather(bring(first, names), bring(second, backwards)), 30)
    assert (decided.count("accepted"), decided.count("duplicate")) == (200, 200)
    assert await _count(database, tables.requests) == 200
    await other.aclose()


_KEYS: list[dict[str, Any]] = [{}, *({"key_id": f"key-{i}", "most_at_once": 50} for i in range(3))]
"""Whose requests are counted before they are taken, and whose are not."""


class Busy:
    """As little of an engine as uses a writer fully: whatever is claimed is called and answered at once."""

    def __init__(self, writer: Writer, seed: int) -> None:
        self.writer, self.random = writer, random.Random(seed)
        self.tasks: set[asyncio.Task[None]] = set()
        self.slots: list[Slot] = []
        self.steps = 0
        writer.wants = lambda: Wants([Want(POOL, 5, (0, len(self.tasks), 0))])
        writer.listeners.append(self.hear)

    def hear(self, done: Committed) -> None:
        if done.claims:
            self.slots += done.claims.slots
            for row in done.claims.rows:
                task = asyncio.create_task(self.run(row))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    async def run(self, row: Claimed) -> None:
        row.attempts += 1
        free = self.slots.pop() if self.slots else None
        first = call(row, 1, attempt=f"-{row.attempts}")
        if not (await self.writer.step(Step(row, opens=first))).held:
            return
        then = Retry(0) if self.random.random() < 0.2 else ending()
        await self.writer.step(Step(row, (answered(first),), then=then, free=free))
        self.steps += 2

    async def commands(self, n: int, names: list[str]) -> None:
        """Half of them are about the same identities as the other writer's."""
        for _ in range(n):
            name = self.random.choice(names)
            match self.random.randrange(10):
                case 0:
                    await self.writer.accept([arrived(CancelAsk("t", "summarize", name))])
                case 1:
                    await self.writer.mark(await self.writer.database.read(_some_pending))
                case _:
                    several = [
                        asked(self.random.choice(names), **self.random.choice(_KEYS))
                        for _ in range(self.random.randrange(1, 6))
                    ]
                    await self.writer.accept([arrived(ask) for ask in several])
            self.writer.claim_soon()


def _some_pending(conn: Any) -> list[int]:
    return list(conn.execute(select(tables.outbox.c.pk).limit(50)).scalars())


@pytest.mark.parametrize("n", [2_000])
async def test_two_busy_writers_never_wait_for_each_other_in_a_ring(
    database: Database, database_url: str, n: int
) -> None:
    other = Database(parse_url(database_url))
    await database.write(_make_keys)
    n = n if not database.is_sqlite else n // 4  # one process writes at a time there: nothing to meet in
    failures: list[str] = []
    async with _writing(database) as first, _writing(other, "v") as second:
        busy = [Busy(first, 1), Busy(second, 2)]
        names = [str(i) for i in range(500)]

        async def bury() -> None:
            for i in range(n // 20):
                await database.write(functools.partial(_mayfly, name=f"mayfly{i}"))
                await database.write(lambda conn, i=i: life.bury(conn, ROUTES, [f"mayfly{i}"]))
                failures.extend(writer.health.why for writer in (first, second) if not writer.health.ok)
                await asyncio.sleep(0.01)

        several = [one.commands(n // 4, names) for one in busy for _ in range(4)]
        async with asyncio.timeout(120):
            await asyncio.gather(*several, bury())
            await asyncio.gather(*busy[0].tasks, *busy[1].tasks)
    assert failures == []
    assert min(one.steps for one in busy) > 0
    await other.aclose()
    await _books_agree(database)
    if not database.is_sqlite:
        assert await database.read(_deadlocks) == 0


def _make_keys(conn: Any) -> None:
    for told in _KEYS[1:]:
        keys.create(conn, told["key_id"], Secret(told["key_id"], b"digest"), Wish("n", None, {}))


def _mayfly(conn: Any, name: str) -> None:
    """Joins, claims, and is never heard of again."""
    life.register(conn, name, "h", 1)
    claim(conn, ROUTES, name, [Want(POOL, 5, (0, 4, 0))])


def _deadlocks(conn: Any) -> int:
    wanted = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    return int(conn.exec_driver_sql(wanted).scalar_one())


async def _books_agree(database: Database) -> None:
    """No row with two results; the journal and the days say the same; the events are numbered without a gap."""
    journal = await database.read(queries.journal_days)
    days = await database.read(lambda conn: queries.days(conn, "0", "9"))
    assert {(d.provider, d.model, d.tenant): (d.calls, d.cost_nano) for d in days} == journal
    last = await database.read(lambda conn: sum(conn.execute(select(tables.numbers.c.last)).scalars()))
    assert last == sum(calls for calls, _ in journal.values())
    assert not await database.read(_ended_otherwise)


def _ended_otherwise(conn: Any) -> bool:
    ended = tables.requests.c.state.in_(["succeeded", "failed", "cancelled", "expired"])
    rows = select(func.count()).select_from(tables.requests).where(ended)
    joined = rows.join(
        tables.results,
        (tables.results.c.request_pk == tables.requests.c.pk)
        & (tables.results.c.generation == tables.requests.c.generation),
    )
    return conn.execute(rows).scalar_one() != conn.execute(joined).scalar_one()
