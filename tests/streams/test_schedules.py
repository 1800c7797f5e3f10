"""Who fires schedules, when workers die and clocks change: on both databases, by a clock of the test's own."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Connection, Row, select, update

from agents.pipelines.defining import Shelf
from schemas.schedules import NewSchedule
from store.database import Database, parse_url
from store.ledger import life
from store.migrate import migrate
from store.runs.tables import runs
from store.schedules import read, write
from streams import library
from streams.configured import make_decoder
from streams.decode import Decoder
from streams.prompting.registry import Registry
from streams.providing import make_providers
from streams.schedules import filling, scheduler
from streams.schedules.file import Watched
from streams.schedules.metering import Meters
from streams.schedules.scheduler import Scheduler
from streams.settings import Settings
from tests.store.ground import ROUTES
from tests.streams.webs import web_settings

CHECK: dict[str, Any] = {"kind": "task", "name": "check_prices"}
ON_BOTH = pytest.mark.parametrize("on", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])


def at(told: str) -> float:
    """A moment in UTC."""
    return datetime.fromisoformat(f"{told}+00:00").timestamp()


@dataclass
class World:
    """A database, a clock, and workers that come and go."""

    settings: Settings
    url: str
    decoder: Decoder
    now: float
    databases: list[Database] = field(default_factory=list)
    count: int = 0

    async def joins(self) -> Scheduler:
        """One more worker, with connections of its own."""
        database = Database(parse_url(self.url))
        self.databases.append(database)
        self.count += 1
        worker = f"w{self.count}"
        await database.write(lambda conn: life.register(conn, worker, "host", 1))
        shelf, registry = Shelf(), Registry(database, self.decoder.library, ROUTES, 1.0, 0)
        meters, file = Meters(CollectorRegistry()), Watched(self.settings, self.decoder, shelf)
        return Scheduler(
            database,
            self.decoder,
            shelf,
            registry,
            worker,
            "default",
            file,
            meters,
            _nothing,
            1.0,
            lambda _: self.now,
        )

    async def dies(self, who: Scheduler) -> None:
        """Without a word; the others find out."""
        await self.databases[0].write(lambda conn: life.bury(conn, ROUTES, [who.worker]))

    async def put(self, name: str, cron: str, **said: Any) -> None:
        new = NewSchedule.model_validate({"cron": cron, "run": CHECK, **said})
        values = scheduler.state(new, self.now)
        await self.databases[0].write(lambda conn: write.put(conn, name, "api", scheduler.packed(new), values))

    async def row(self, name: str) -> Row[Any]:
        row = await self.databases[0].read(lambda conn: read.one(conn, name))
        assert row is not None
        return row

    async def keys(self) -> list[str]:
        """Of all runs that were submitted."""
        asked = select(runs.c.idempotency_key).order_by(runs.c.idempotency_key)
        return await self.databases[0].read(lambda conn: list(conn.execute(asked).scalars()))

    async def end_runs(self) -> None:
        done = update(runs).values(ended_at=1.0, status="succeeded")
        await self.databases[0].write(lambda conn: _run(conn, done))


def _nothing() -> None:
    pass


def _run(conn: Connection, statement: Any) -> None:
    conn.execute(statement)


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Decoder:
    settings = web_settings(tmp_path_factory.mktemp("decoder"))
    return make_decoder(settings, make_providers(settings), library.load(settings))


@pytest.fixture
async def world(on: str, tmp_path: Path, request: pytest.FixtureRequest, decoder: Decoder) -> AsyncIterator[World]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}" if on == "sqlite" else str(request.getfixturevalue("postgres_database"))
    made = World(web_settings(tmp_path, database_url=url), url, decoder, at("2026-10-24 21:00"))
    made.databases.append(Database(parse_url(url)))
    await migrate(made.databases[0])
    yield made
    for database in made.databases:
        await database.aclose()


@ON_BOTH
@pytest.mark.parametrize(
    ("start", "nightly"),
    [
        ("2026-10-24 21:00", "2026-10-25T00:30:00Z"),  # 02:30 comes twice: the first one
        ("2026-03-28 21:00", "2026-03-29T01:00:00Z"),  # 02:30 is left out: 03:00
    ],
)
async def test_three_workers_that_die_fire_everything_once_while_the_clocks_change(
    world: World, start: str, nightly: str
) -> None:
    """Whoever leads is cut off anywhere in its work, and one that was buried goes on as if it had not been."""
    chance = random.Random(start)
    world.now = begin = at(start)
    await world.put("nightly", "30 2 * * *", timezone="Europe/Vienna")
    await world.put("hourly", "15 * * * *", timezone="Europe/Vienna")
    workers = [await world.joins() for _ in range(3)]
    while world.now < begin + 6 * 3600:
        world.now += chance.randint(60, 2400)
        steps = [asyncio.create_task(each.step()) for each in workers]
        if chance.random() < 0.4:
            await asyncio.sleep(chance.random() * 0.02)
            steps[0].cancel()
            await asyncio.gather(*steps, return_exceptions=True)
            await world.dies(workers[0])
            await workers[0].step()  # it does not know yet
            workers = [*workers[1:], await world.joins()]
        await asyncio.gather(*steps, return_exceptions=True)
        await workers[0].step()
        await world.end_runs()
    due = [begin + 900 + n * 3600 for n in range(12)]  # it begins at a full hour
    expected = [f"schedule/hourly/{filling.moment(each)}" for each in due if each <= world.now] + [
        f"schedule/nightly/{nightly}"
    ]
    assert await world.keys() == expected
    counts = [await world.row(name) for name in ("hourly", "nightly")]
    assert [(each.fired, each.skipped, each.missed, each.failed) for each in counts] == [
        (len(expected) - 1, 0, 0, 0),
        (1, 0, 0, 0),
    ]
    assert world.count > 4  # some have died


@ON_BOTH
async def test_two_who_both_lead_for_a_moment_fire_once(world: World) -> None:
    await world.put("hourly", "0 * * * *")
    workers = [await world.joins() for _ in range(4)]
    row, world.now = await world.row("hourly"), world.now + 3600
    await asyncio.gather(*(each._one(row, world.now) for each in workers))
    assert (await world.keys(), (await world.row("hourly")).fired) == (["schedule/hourly/2026-10-24T22:00:00Z"], 1)


@pytest.mark.parametrize("on", ["sqlite"])
async def test_what_was_missed_while_nobody_ran_is_made_up_for_once_or_not_at_all(world: World) -> None:
    await world.put("once", "0 * * * *")
    await world.put("never", "0 * * * *", catch_up=False)
    worker = await world.joins()
    world.now += 72.5 * 3600
    for _ in range(3):
        await worker.step()
        await world.end_runs()
    assert await world.keys() == ["schedule/once/2026-10-27T21:00:00Z"]
    counts = [await world.row(name) for name in ("once", "never")]
    assert [(each.fired, each.missed) for each in counts] == [(1, 71), (0, 72)]
    assert {each.next_at for each in counts} == {at("2026-10-27 22:00")}


@pytest.mark.parametrize("on", ["sqlite"])
async def test_while_a_run_goes_on_the_next_is_left_out_or_one_waits_for_it(world: World) -> None:
    await world.put("skips", "0 * * * *")
    await world.put("queues", "0 * * * *", overlap="queue")
    worker = await world.joins()
    for _ in range(4):  # 22:00 fires, 23:00 is left out or waits, 00:00 and 01:00 are left out
        world.now += 3600
        await worker.step()
    before = await world.keys()
    await world.end_runs()
    world.now += 60
    await worker.step()
    after = await world.keys()
    assert before == ["schedule/queues/2026-10-24T22:00:00Z", "schedule/skips/2026-10-24T22:00:00Z"]
    assert set(after) - set(before) == {"schedule/queues/2026-10-24T23:00:00Z"}
    counts = [await world.row(name) for name in ("skips", "queues")]
    assert [(each.fired, each.skipped) for each in counts] == [(1, 3), (2, 2)]


@pytest.mark.parametrize("on", ["sqlite"])
async def test_what_cannot_be_submitted_any_more_says_why_and_the_next_one_is_tried(world: World) -> None:
    run = {"kind": "task", "name": "check_prices", "idempotency_key": "k_${date}"}
    await world.put("one", "0 * * * *", run=run)
    await world.put("other", "0 * * * *", run=run | {"params": {"days": 2}})  # the same key, another run
    worker = await world.joins()
    world.now += 3600
    await worker.step()
    row = await world.row("other")
    assert (row.fired, row.failed, "stands for another run" in row.error) == (0, 1, True)
    assert (row.next_at, await world.keys()) == (at("2026-10-24 23:00"), ["k_2026-10-24"])


FILE = """schedules:
  a: {cron: "0 * * * *", run: {kind: task, name: check_prices}}
  b: {cron: "0 * * * *", run: {kind: task, name: check_prices}}
"""


@pytest.mark.parametrize("on", ["sqlite"])
async def test_the_file_is_what_there_is_and_a_broken_one_changes_nothing(world: World, tmp_path: Path) -> None:
    path = tmp_path / "schedules.yaml"
    path.write_text(FILE)
    world.settings = world.settings.model_copy(update={"schedules_file": str(path)})
    await world.put("b", "5 5 * * *")
    worker = await world.joins()

    async def seen(text: str | None = None) -> dict[str, tuple[str, bool]]:
        if text is not None:
            path.write_text(text)
        await worker.step()
        rows = await worker.database.read(read.every)
        return {row.name: (row.source, row.paused) for row in rows}

    assert await seen() == {"a": ("file", False), "b": ("api", False)}
    assert "b were made over HTTP too" in worker.file.why
    await worker.database.write(lambda conn: write.change(conn, "a", 1, {"paused": True, "next_at": None}))
    assert await seen(FILE + "\n") == {"a": ("file", True), "b": ("api", False)}  # nothing of `a` was said anew
    await worker.database.write(lambda conn: write.remove(conn, "b", "api"))
    assert await seen() == {"a": ("file", True), "b": ("file", False)}
    assert (worker.file.ok, worker.file.why) == (True, "")
    assert await seen(FILE.replace("0 * *", "99 * *")) == {"a": ("file", True), "b": ("file", False)}
    assert (worker.file.ok, "schedules.yaml:2:7: `a`" in worker.file.why) == (False, True)
    assert await seen("schedules: {}\n") == {}
