"""Real processes on one PostgreSQL: one that was stopped and goes on, and one whose clock is wrong."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from providers import fake_server
from providers.double.faults import Behaviour
from store.database import Database, parse_url
from store.tables import executions, outbox, requests, results, workers
from tests.parts.ledgers import migrate
from tests.streams.commands import Served, ask, served
from tests.system import hooks_folder

pytestmark = pytest.mark.postgres

LEASE_S = 2.5


@pytest.fixture
async def ledger(postgres_database: str) -> AsyncIterator[Database]:
    found = Database(parse_url(postgres_database))
    await migrate(found)
    yield found
    await found.aclose()


@contextlib.asynccontextmanager
async def double() -> AsyncIterator[Any]:
    async with await fake_server.start(how=Behaviour(latency_s=0.02, tail=0)) as made:
        yield made


def environment(database: str, fake_url: str, **changes: str) -> dict[str, str]:
    return {
        "GENAI_DATABASE_URL": database,
        "GENAI_FAKE_URL": fake_url,
        "GENAI_FAKE_SLOTS": "2",
        "GENAI_LEASE_S": str(LEASE_S),
        "GENAI_POLL_S": "0.2",
        "GENAI_RETRY_BASE_S": "0.05",
        **changes,
    }


async def url_of(process: Served) -> str:
    await asyncio.to_thread(process.said, "ready")
    return str(process.said("the API listens")["url"])


async def until(done: Callable[[], bool], within_s: float = 30) -> None:
    end = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def answer(url: str, id_: str, within_s: float = 30) -> dict[str, Any]:
    """The request's result, once it has one."""
    end = time.monotonic() + within_s
    while True:
        _, found = await asyncio.to_thread(ask, f"{url}/v1/requests/{id_}?tenant=default&operation=summarize")
        if found["status"] != "unfinished":
            return found
        assert time.monotonic() < end, found
        await asyncio.sleep(0.1)


async def rows(ledger: Database, wanted: Any) -> list[Any]:
    return await ledger.read(lambda conn: list(conn.execute(wanted).scalars()))


async def test_a_worker_that_was_stopped_beyond_its_lease_writes_nothing_more_and_ends(
    ledger: Database, postgres_database: str, tmp_path: Path
) -> None:
    async with double() as model:
        told = environment(postgres_database, model.url)
        with served(tmp_path / "a", "web", **told) as one, served(tmp_path / "b", "web", **told) as other:
            first, second = await url_of(one), await url_of(other)
            body = {"id": "r", "content": "[fake:sleep:50*1] Acme sold 12 pumps."}
            assert (await asyncio.to_thread(ask, f"{first}/v1/summarize?wait=0", body))[0] == 202
            await until(lambda: model.counts.total.started == 1)
            (owner,) = await rows(
                ledger, select(requests.c.owner)
            )  # on a busy machine it may be the one that was not asked
            holder, left = (one, second) if f"-{one.process.pid}-" in owner else (other, first)
            holder.process.send_signal(signal.SIGSTOP)
            await until(lambda: model.counts.total.started == 2)  # the other one has taken over
            holder.process.send_signal(signal.SIGCONT)
            assert await asyncio.to_thread(holder.process.wait, 30) == 1
            assert sum("declared dead" in event["event"] for event in holder.events()) == 1
            await until(lambda: model.counts.total.aborted == 1)  # its call was given up, whose slot is another's
            found = await answer(left, "r")
    assert await rows(ledger, select(results.c.generation)) == [1]
    assert await rows(ledger, select(executions.c.outcome).order_by(executions.c.outcome)) == ["ok", "wasted"]
    assert (await rows(ledger, select(outbox.c.topic))).count("genai.results") == 1
    assert await rows(ledger, select(workers.c.id)) == []
    assert (found["status"], found["generation"]) == ("succeeded", 1)


def moment(in_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + in_s))


def clocked(clock: Path) -> dict[str, str]:
    """An environment in which the wall clock is wrong by the seconds that stand in `clock`."""
    path = f"{hooks_folder()}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return {"GENAI_TEST_CLOCK": str(clock), "PYTHONPATH": path}


def asked(url: str, body: dict[str, Any]) -> "asyncio.Task[tuple[int, dict[str, Any]]]":
    return asyncio.create_task(asyncio.to_thread(ask, f"{url}/v1/summarize", body))


async def test_a_wrong_clock_changes_nothing_on_postgresql(
    ledger: Database, postgres_database: str, tmp_path: Path
) -> None:
    """Set ten minutes ahead, then back: no lease is lost, no deadline comes early or late, no pause shrinks or grows."""
    clock = tmp_path / "clock"
    clock.write_text("0")
    async with double() as model:
        told = environment(postgres_database, model.url)
        with (
            served(tmp_path / "a", "web", **told, **clocked(clock)) as one,
            served(tmp_path / "b", "web", **told) as other,
        ):
            url, _ = await url_of(one), await url_of(other)
            due = moment(120)
            asking = [asked(url, {"id": "long", "content": f"[fake:sleep:{2 * LEASE_S}] One.", "deadline": due})]
            await until(lambda: model.counts.total.started == 1)
            for minutes in (10, -10):
                clock.write_text(str(60 * minutes))
                again = {"id": f"again {minutes}", "content": "[fake:overloaded*2] Two.", "deadline": due}
                late = {"id": f"late {minutes}", "content": "Three.", "deadline": moment(-60)}
                asking += [asked(url, again), asked(url, late)]
                await asyncio.wait(asking[1:])
            found = {answer["id"]: answer for _, answer in await asyncio.gather(*asking)}
            names = [process.said("ready")["worker"] for process in (one, other)]
            assert sorted(await rows(ledger, select(workers.c.id))) == sorted(names)
            assert [process.stop() for process in (one, other)] == [0, 0]
    assert {id_: (answer["status"], answer["warnings"]) for id_, answer in found.items()} == {
        "long": ("succeeded", []),
        "again 10": ("succeeded", []),
        "late 10": ("expired", []),
        "again -10": ("succeeded", []),
        "late -10": ("expired", []),
    }
    assert await rows(ledger, select(executions.c.id).where(executions.c.outcome == "wasted")) == []


async def test_on_sqlite_a_wrong_clock_costs_no_lease_and_no_call(tmp_path: Path) -> None:
    """A worker's life is a lock there. Deadlines and pauses are wall time: who sets the clock moves them."""
    clock = tmp_path / "clock"
    clock.write_text("0")
    async with double() as model:
        told = environment(f"sqlite:///{tmp_path}/ledger.db", model.url)
        with (
            served(tmp_path / "a", "web", **told, **clocked(clock)) as one,
            served(tmp_path / "b", "web", **told) as other,
        ):
            url, _ = await url_of(one), await url_of(other)
            asking = [asked(url, {"id": "long", "content": f"[fake:sleep:{2 * LEASE_S}] One."})]
            await until(lambda: model.counts.total.started == 1)
            for minutes in (10, -10):
                clock.write_text(str(60 * minutes))
                asking.append(asked(url, {"id": f"short {minutes}", "content": "Two."}))
                await asyncio.wait(asking[1:])
            asking.append(asked(url, {"id": "due", "content": "Three.", "deadline": moment(-60)}))
            found = {
                answer["id"]: (answer["status"], answer["attempts"]) for _, answer in await asyncio.gather(*asking)
            }
            said = [event["event"] for process in (one, other) for event in process.events()]
            assert [process.stop() for process in (one, other)] == [0, 0]
    assert found == {"long": ("succeeded", 1), "short 10": ("succeeded", 1), "short -10": ("succeeded", 1)} | {
        "due": ("succeeded", 1)  # a minute ago it was due; this clock says in nine
    }
    assert [words for words in said if "dead" in words] == []
    assert model.counts.total.started == 4
