"""What is held against each other: the bare loop, its peers from libraries, and our worker on either database."""

import asyncio
import importlib.util
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import psutil

from bench import ground, load
from bench.ground import SLOTS, Ground
from streams import topics

_BUSY = 20.0  # per cent of all cores
BARE = "bare"
LOOPS = {BARE: "bench.bare", "faststream": "bench.peers.with_faststream", "faust": "bench.peers.with_faust"}
"""Those without a ledger, and their modules."""
PEERS = tuple(LOOPS)[1:]
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
class Prepared:
    """One side that could be started, and once more: it finds its group and database again.

    `since`: where its results topic ended before it began.
    """

    where: Ground
    arguments: list[str]
    environment: dict[str, str]
    run: str
    requests: str
    results: str
    since: load.Mark

    @contextmanager
    def process(self) -> Iterator[psutil.Process]:
        """At work from here on; SIGTERM ends it."""
        with ground.process(self.arguments, self.environment, self.where.folder / "side.log") as (process, _):
            yield process


@dataclass(frozen=True)
class Running:
    """One side at work."""

    process: psutil.Process
    run: str
    requests: str
    results: str
    since: load.Mark

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


async def prepared(
    where: Ground,
    side: str,
    model: str,
    *,
    backlog: int = 0,
    paid: bool = True,
    slots: int = SLOTS,
    skip: Sequence[str] = (),
    more: Mapping[str, str] = {},
) -> Prepared:
    """A fresh group and database; `backlog` records wait. What earlier rounds have left in the topics of `skip` is not read
    either. `more`: of the worker's environment.
    """
    group, run = f"bench-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex[:8]
    environment = where.environment()
    if side in LOOPS:
        requests, results, also = ground.REQUESTS, ground.RESULTS, ground.USAGE
        arguments = ["-m", LOOPS[side], where.bootstrap, model, group, str(slots)]
    else:
        requests, results, also = topics.request_topic("summarize"), topics.RESULTS, topics.USAGE
        arguments = ["-m", "bench.worker"]
        environment |= settings(where, await ground.fresh_database(where, side), model, group)
        environment |= {"GENAI_FAKE_PAID": str(int(paid)), "GENAI_FAKE_SLOTS": str(slots), **more}
    await _quiet()
    await load.skip_to_end(where.bootstrap, group, [requests, also, *skip])
    since = await load.mark(where.bootstrap, results)
    await load.produce(where.bootstrap, requests, run, backlog)
    return Prepared(where, arguments, environment, run, requests, results, since)


@asynccontextmanager
async def started(
    where: Ground,
    side: str,
    model: str,
    *,
    backlog: int = 0,
    paid: bool = True,
    slots: int = SLOTS,
    skip: Sequence[str] = (),
    more: Mapping[str, str] = {},
) -> AsyncIterator[Running]:
    """A fresh process with a fresh group and database, that reads; `backlog` records wait for it when it begins."""
    at = await prepared(where, side, model, backlog=backlog, paid=paid, slots=slots, skip=skip, more=more)
    with at.process() as process:
        yield Running(process, at.run, at.requests, at.results, at.since)


async def _quiet(limit_s: float = 8.0) -> None:
    """Others work on this machine too: wait for them, for a while, before a round begins."""
    until = time.monotonic() + limit_s
    while await asyncio.to_thread(psutil.cpu_percent, 1.0) > _BUSY and time.monotonic() < until:
        pass


def settings(where: Ground, database: str, model: str, group: str) -> dict[str, str]:
    return {
        "GENAI_DATABASE_URL": database,
        "GENAI_DATA_DIR": str(where.folder),
        "GENAI_DEFAULT_PROVIDER": "fake",
        "GENAI_FAKE_URL": model,
        "GENAI_FAKE_SLOTS": str(SLOTS),
        "GENAI_KAFKA_GROUP": group,
        "GENAI_WORKER_PORT": "0",
        "GENAI_CACHE_TTL_S": "0",  # equal texts, and every one a call
    }


def interleaved(rounds: int, others: Sequence[str]) -> list[str]:
    """A-B-A-B: a slow minute of the machine meets every side alike."""
    return [BARE, *others] * rounds


def installed() -> tuple[str, ...]:
    """The peers that can be imported; `bench/peers/requirements.txt` pins them."""
    return tuple(name for name in PEERS if importlib.util.find_spec(name) is not None)
