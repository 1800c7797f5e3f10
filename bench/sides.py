"""The two things that are held against each other: the bare loop, and our worker on either database."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psutil

from bench import ground, load
from bench.ground import SLOTS, Ground
from streams import topics

_BUSY = 20.0  # per cent of all cores
BARE = "bare"
DATABASES = ("sqlite", "postgres")


@dataclass(frozen=True)
class Size:
    """How long each measure takes."""

    rounds: int
    records: int
    seconds: float
    many: int


FULL = Size(rounds=5, records=8_000, seconds=8.0, many=100_000)
SHORT = Size(rounds=2, records=3_000, seconds=5.0, many=10_000)


@dataclass(frozen=True)
class Running:
    """One side at work. `since`: where its results topic ended before it began."""

    process: psutil.Process
    run: str
    requests: str
    results: str
    since: load.Mark

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


@asynccontextmanager
async def started(
    where: Ground,
    side: str,
    model: str,
    *,
    backlog: int = 0,
    paid: bool = True,
    settings: Mapping[str, str] = {},
) -> AsyncIterator[Running]:
    """A fresh process with a fresh group and database, that reads; `backlog` records wait for it when it begins.
    `settings`: more of the worker's environment.
    """
    group, run = f"bench-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex[:8]
    environment = where.environment()
    if side == BARE:
        requests, results, also = ground.REQUESTS, ground.RESULTS, ground.USAGE
        arguments = ["-m", "bench.bare", where.bootstrap, model, group]
    else:
        requests, results, also = topics.request_topic("summarize"), topics.RESULTS, topics.USAGE
        arguments = ["-m", "bench.worker"]
        environment |= _settings(where, await ground.fresh_database(where, side), model, group)
        environment |= {"GENAI_FAKE_PAID": str(int(paid)), **settings}
    await _quiet()
    await load.skip_to_end(where.bootstrap, group, [requests, also])
    since = await load.mark(where.bootstrap, results)
    await load.produce(where.bootstrap, requests, run, backlog)
    with ground.process(arguments, environment, where.folder / "side.log") as (process, _):
        yield Running(process, run, requests, results, since)


async def _quiet(limit_s: float = 8.0) -> None:
    """Others work on this machine too: wait for them, for a while, before a round begins."""
    until = time.monotonic() + limit_s
    while await asyncio.to_thread(psutil.cpu_percent, 1.0) > _BUSY and time.monotonic() < until:
        pass


def _settings(where: Ground, database: str, model: str, group: str) -> dict[str, str]:
    return {
        "GENAI_DATABASE_URL": database,
        "GENAI_DATA_DIR": str(where.folder),
        "GENAI_DEFAULT_PROVIDER": "fake",
        "GENAI_FAKE_URL": model,
        "GENAI_FAKE_SLOTS": str(SLOTS),
        "GENAI_KAFKA_GROUP": group,
        "GENAI_WORKER_PORT": "0",
    }


def interleaved(rounds: int, databases: Sequence[str]) -> list[str]:
    """A-B-A-B: a slow minute of the machine meets every side alike."""
    return [BARE, *databases] * rounds
