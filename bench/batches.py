"""Runs of many items: how fast they are taken and worked off, how busy they keep the slots, and what that takes of memory.

An item is worked off by the very process that takes records from Kafka, with the same text and the same call: what
differs is that it comes out of the ledger's own parts of a run, a window of them at a time.
"""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
import orjson
import psutil

from bench import ground, load
from bench.doors import free_port, serving
from bench.ground import SLOTS, Ground
from bench.measures import CALL_S, WARM_S, Figures, mean_in_flight
from bench.report import Line, Report, at_least, at_most, ratios
from bench.sides import BARE, Running, Size, prepared, settings, started
from schemas.runs import NewRun
from store.database import Database, parse_url
from store.migrate import migrate
from store.runs import write
from streams.runs import asking, parts

_NAME, _NOBODY = "batch_summarize", "nobody"
_CHUNK = 1 << 16
_SAMPLE_S = 0.25
_AHEAD_S = 15.0
"""A run's items are worked off while the worker joins its group: with fewer of them the measure would see their end."""
KAFKA, RUN = "records", "items of a run"


async def accepted(where: Ground, size: Size, databases: Sequence[str]) -> Report:
    """JSON Lines to `web` alone, whose engine works on the items meanwhile; accepted is the 202: all of them are durable."""
    took: Figures = defaultdict(list)
    grown: Figures = defaultdict(list)
    with ground.double(where, CALL_S) as model:
        for side in list(databases) * size.rounds:
            database = await _migrated(where, side)
            with _web(where, database, model) as (process, base):
                found = await _sampled([process], _uploaded(base, "accepted", size.many))
                took[side].append(found.seconds)
                grown[side].append(_grown(found.megabytes[0]))
    lines = []
    for side in databases:
        goal = 30.0 * size.many / 100_000
        lines.append(at_most(side, f"{size.many:,} items accepted", "s", took[side], goal))
        lines.append(at_most(side, "grown, second quarter to last", "MB", grown[side], 10))
    return Report("accepted", f"a run of {size.many:,} items, uploaded as JSON Lines", lines)


async def items(where: Ground, size: Size, databases: Sequence[str]) -> Report:
    """A backlog of records and one of items, a model that answers at once; by the results' own times."""
    rate: dict[tuple[str, str], list[float]] = defaultdict(list)
    cpu: dict[tuple[str, str], list[float]] = defaultdict(list)
    with ground.double(where, 0.0) as model:
        for side in list(databases) * size.rounds:
            for what in (KAFKA, RUN):
                backlog = _of_a_run if what == RUN else _of_records
                async with backlog(where, side, model, size.records) as at:
                    before = at.cpu_s()
                    await load.wait_for(where.bootstrap, at.since, size.records)
                    cpu[side, what].append(1e6 * (at.cpu_s() - before) / size.records)
                answers = await load.read(where.bootstrap, at.since)
                if len(answers.ids) != size.records or answers.failed or answers.repeated:
                    raise RuntimeError(f"{side}, {what}: {len(answers.ids)} of {size.records}, {answers.failed} failed")
                rate[side, what].append(size.records / answers.seconds)
    lines = []
    for side in databases:
        for what in (KAFKA, RUN):
            lines.append(Line(side, f"{what} a second", "", rate[side, what]))
            lines.append(Line(side, f"CPU, {what}", "us each", cpu[side, what]))
        lines.append(at_least(side, "items over records", ratios(rate[side, RUN], rate[side, KAFKA]), 0.8))
    return Report("items", f"items/s of a run, 0 ms model, {size.records} items, {SLOTS} slots", lines)


async def run_slots(where: Ground, size: Size, databases: Sequence[str]) -> Report:
    """As `saturation`, of the items of a run; a slice of one that is long."""
    busy: Figures = defaultdict(list)
    count = int((_AHEAD_S + WARM_S + size.seconds) * SLOTS / CALL_S)
    for side in [BARE, *databases] * size.rounds:
        with ground.double(where, CALL_S) as model:
            backlog = _of_records if side == BARE else _of_a_run
            async with backlog(where, side, model, count):
                await _until_begun(model)
                await asyncio.sleep(WARM_S)
                busy[side].append(await mean_in_flight(model, size.seconds) / SLOTS)
    lines = [Line(BARE, "busy", "", busy[BARE])]
    for side in databases:
        lines.append(Line(side, "busy", "", busy[side]))
        lines.append(at_least(side, "of the bare loop", ratios(busy[side], busy[BARE]), 0.97))
    return Report("run-slots", f"mean in flight / {SLOTS} slots, items of {1000 * CALL_S:.0f} ms", lines)


async def run_memory(where: Ground, size: Size, databases: Sequence[str]) -> Report:
    """A worker and a web process on one database: uploaded to the one, worked off by both, until the run has ended."""
    lines, notes, series = [], [], {}
    with ground.double(where, 0.0) as model:
        for side in databases:
            database = await _migrated(where, side)
            at = await prepared(where, side, model, paid=False, more={"GENAI_DATABASE_URL": database})
            with at.process() as worker, _web(where, database, model) as (web, base):
                found = await _sampled([worker, web], _ended(base, at.run, size.many))
            for name, megabytes in zip(("worker", "web"), found.megabytes, strict=True):
                lines.append(at_most(side, f"most resident memory, {name}", "MB", [max(megabytes)], 300))
                lines.append(at_most(side, f"grown, second quarter to last, {name}", "MB", [_grown(megabytes)], 10))
                told = ", ".join(f"{each:.0f}" for each in megabytes[:: max(1, len(megabytes) // 10)])
                notes.append(f"{side}, {name}: MB over {found.seconds:.0f} s: {told}")
                series[f"{side}, {name}"] = megabytes
            notes.append(f"{side}: {size.many / found.seconds:.0f} items/s, upload included")
    return Report(
        "run-memory", f"memory over a run of {size.many:,} items, 0 ms model", lines, notes, {"series": series}
    )


class _Found:
    """How long something took, and what each process held meanwhile."""

    def __init__(self, processes: Sequence[psutil.Process]) -> None:
        self.seconds, self._processes = 0.0, processes
        self.megabytes: list[list[float]] = [[] for _ in processes]

    def sample(self) -> None:
        for process, found in zip(self._processes, self.megabytes, strict=True):
            found.append(process.memory_info().rss / 1e6)


async def _sampled(processes: Sequence[psutil.Process], work: Coroutine[Any, Any, None]) -> _Found:
    found, began = _Found(processes), time.perf_counter()
    working = asyncio.create_task(work)
    while not working.done():
        found.sample()
        await asyncio.wait([working], timeout=_SAMPLE_S)
    await working
    found.seconds = time.perf_counter() - began
    found.sample()
    return found


def _grown(megabytes: Sequence[float]) -> float:
    quarter = max(1, len(megabytes) // 4)
    return max(megabytes[-quarter:]) - max(megabytes[quarter : 2 * quarter] or megabytes[:1])


def _texts(run: str, count: int) -> Iterator[str]:
    """As the records'."""
    return (orjson.loads(load.request(run, i))["input"]["content"] for i in range(count))


async def _migrated(where: Ground, side: str) -> str:
    """The URL of a fresh ledger."""
    url = await ground.fresh_database(where, side)
    database = Database(parse_url(url))
    await migrate(database)
    await database.aclose()
    return url


@contextmanager
def _web(where: Ground, database: str, model: str) -> Iterator[tuple[psutil.Process, str]]:
    port = free_port()
    environment = where.environment() | settings(where, database, model, "none") | {"GENAI_API_PORT": str(port)}
    with serving([sys.executable, "-m", "streams.cli", "web"], environment, port, "/ready", where.folder) as found:
        yield found


async def _uploaded(base: str, run: str, count: int) -> None:
    """Never more of it in memory than a chunk, on this side too."""

    async def chunks() -> AsyncIterator[bytes]:
        kept = bytearray()
        for text in _texts(run, count):
            kept += orjson.dumps(text) + b"\n"
            if len(kept) > _CHUNK:
                yield bytes(kept)
                kept.clear()
        yield bytes(kept)

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
        asked = {"name": _NAME, "id": run}
        lines = {"content-type": "application/x-ndjson"}
        async with session.post(f"{base}/v1/runs", params=asked, data=chunks(), headers=lines) as reply:
            if reply.status not in {200, 202}:
                raise RuntimeError(f"the run was not taken: {reply.status} {(await reply.text())[:500]}")


async def _ended(base: str, run: str, count: int) -> None:
    await _uploaded(base, run, count)
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{base}/v1/runs/{run}") as reply:
                told = await reply.json()
            if told["ended_at"] is not None:
                break
            await asyncio.sleep(1.0)
    if told["status"] != "succeeded" or told["progress"]["succeeded"] != count:
        raise RuntimeError(f"the run ended as {told['status']}: {told['progress']}")


@asynccontextmanager
async def _of_records(where: Ground, side: str, model: str, count: int) -> AsyncIterator[Running]:
    async with started(where, side, model, backlog=count, paid=False) as at:
        yield at


@asynccontextmanager
async def _of_a_run(where: Ground, side: str, model: str, count: int) -> AsyncIterator[Running]:
    """A fresh worker, and a run that was submitted before it began: whose owner is gone, so that it takes it over."""
    database = await _migrated(where, side)
    at = await prepared(where, side, model, paid=False, more={"GENAI_DATABASE_URL": database})
    await _submitted(database, at.run, count, at.environment)
    with at.process() as process:
        yield Running(process, at.run, at.requests, at.results, at.since)


async def _submitted(url: str, run: str, count: int, environment: Mapping[str, str]) -> None:
    new = NewRun(kind="workflow", name=_NAME, id=run)
    plan = asking.planned(new, environment.get("GENAI_DEFAULT_TENANT", "default"))
    lines = (parts.line({**plan.common, "input": {"content": text}}) for text in _texts(run, count))
    packed = list(parts.packed(0, lines))
    database = Database(parse_url(url))
    await database.write(lambda conn: write.make(conn, plan.new, _NOBODY, packed))
    await database.aclose()


async def _until_begun(model: str, limit_s: float = 60.0) -> None:
    """A run whose owner is gone is looked for every few seconds."""
    until = time.monotonic() + limit_s
    while await mean_in_flight(model, 0.25) < 1:
        if time.monotonic() > until:
            raise TimeoutError(f"nothing was called within {limit_s:g} s")
