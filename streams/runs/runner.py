"""What a process does for the runs that it owns: their items become requests, a window of them at a time; they are counted;
and their end is told. Whoever owned a run and died is followed by another, which goes on where the ledger stands.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import orjson
import structlog
from sqlalchemy import Connection, Row

from agents.engine import Engine
from store import killpoint
from store.database import Database, now
from store.errors import StoreError
from store.ledger.types import Arrival, Routes
from store.ledger.writer import Writer
from store.runs import read, write
from streams.decode import Decoder
from streams.lending import Lending
from streams.runs import asking, delivering, pacing, parts, telling
from streams.runs.metering import Meters
from streams.runs.pace import Pace
from streams.runs.states import ended_as

log = structlog.get_logger(__name__)

WINDOW = 4_000
"""Items of one run that wait in the ledger at a time: more would only make other people's requests wait for the claim."""
_DUTY = 20
"""Counting may take one part in so many of the time: the larger a run, the rarer it is counted."""
_ADOPT_EVERY_S = 5.0


class Runner:
    """One process's part in runs."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        engine: Engine,
        decoder: Decoder,
        routes: Routes,
        worker: str,
        poll_s: float,
        meters: Meters,
        told: Callable[[], None],
        lending: Lending,
    ) -> None:
        self.database, self.writer, self.engine, self.decoder = database, writer, engine, decoder
        self.routes, self.worker, self.poll_s = routes, worker, poll_s
        self.meters, self._told = meters, told
        self.turns = pacing.Turns(lending)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._adopted_at = 0.0

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="runs")

    async def aclose(self) -> None:
        """What is being accepted is finished or not; either way another process goes on with it."""
        for task in (self._task, *self._tasks.values()):
            if task is not None:
                task.cancel()
        await asyncio.gather(*self._tasks.values(), *([self._task] if self._task else []), return_exceptions=True)
        with contextlib.suppress(StoreError):
            await self.database.write(lambda conn: write.release(conn, self.worker))

    def look(self) -> None:
        """There is something to do."""
        self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._round()
            except StoreError as error:
                log.debug("the ledger does not answer", error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.poll_s):
                    await self._wake.wait()
            self._wake.clear()

    async def _round(self) -> None:
        if time.monotonic() - self._adopted_at > min(_ADOPT_EVERY_S, 5 * self.poll_s):
            self._adopted_at = time.monotonic()
            if await self.database.read(read.orphaned):
                await self.database.write(lambda conn: write.adopt(conn, self.worker))
        for row in await self.database.read(lambda conn: read.owned(conn, self.worker)):
            key = (row.tenant, row.id)
            if key not in self._tasks or self._tasks[key].done():
                self._tasks[key] = asyncio.create_task(self._care(*key), name=f"run-{row.id}")
        for key in [key for key, task in self._tasks.items() if task.done()]:
            del self._tasks[key]
        self.meters.cared.set(len(self._tasks))

    async def _care(self, tenant: str, id_: str) -> None:
        """Feed and count one run until it has ended."""
        care = _Care()
        while True:
            wait_s, fed = self.poll_s / 4, False
            try:
                row = await self._looked(tenant, id_)
                if row is None:
                    return
                began = time.monotonic()
                counts = await self.database.read(lambda conn: read.counts(conn, id_, tenant))
                care.took(time.monotonic() - began)
                if row.fed < row.total and (counts.open < WINDOW or row.cancelled):
                    fed = await self._feed(row, WINDOW - counts.open)
                    wait_s = 0.02 if fed else wait_s
                if row.cancelled and counts.open and await self._stop(row):
                    wait_s = 0.02
                # what was fed into a cancelled run stands in no count yet
                if not (fed and row.cancelled) and await self._count(row, counts, care):
                    return
            except StoreError as error:
                log.debug("the ledger does not answer", error=str(error), run=id_)
                wait_s = self.poll_s
            except Exception:
                log.exception("a run could not be gone on with; it is tried again", run=id_)
                wait_s = 10 * self.poll_s
            await asyncio.sleep(max(wait_s, care.rest_s))

    async def _looked(self, tenant: str, id_: str) -> Row[Any] | None:
        """The run, if it is ours and goes on. Who cancels by its name alone cancels the run too."""
        row, called_off = await self.database.read(
            lambda conn: (read.one(conn, tenant, id_), read.is_called_off(conn, tenant, id_))
        )
        if row is None or row.ended_at is not None or row.owner != self.worker:
            return None
        if called_off and not row.cancelled:
            await self.database.write(lambda conn: write.cancel(conn, tenant, id_))
            return await self.database.read(lambda conn: read.one(conn, tenant, id_))
        return row

    async def _feed(self, row: Row[Any], room: int) -> bool:
        """Parts, as long as there is room; whether there were any. What of a part its owner had made requests before it died
        is left as it stands, and the rest follows even if the run is cancelled: so each part counts whole or not at all.
        """
        fed = False
        while True:
            part, cancelled = await self.database.read(partial(_next, tenant=row.tenant, id_=row.id))
            if part is None or (room <= 0 and not cancelled):
                return fed
            ids = [f"{row.id}/{number}" for number in range(part.first, part.first + part.size)]
            known = await self.database.read(partial(read.known, tenant=row.tenant, operation=row.operation, ids=ids))
            if cancelled and not known:
                return fed
            lines = parts.lines_of(part.body)
            count = len(lines) if cancelled else await self._allowed(row, part.first, lines, known)
            if count == 0:
                return fed
            await self._accept(row, part.first, lines[:count], known)
            killpoint.passing("fed")
            rest = list(parts.packed(part.first + count, lines[count:], pacing.AT_ONCE))
            await self.database.write(partial(write.fed, tenant=row.tenant, id_=row.id, part=part, rest=rest))
            self.meters.fed.inc(count - len(known.intersection(ids[:count])))
            fed, room = True, room - count

    async def _allowed(self, row: Row[Any], first: int, lines: list[bytes], known: set[str]) -> int:
        """How many of these may become requests now, by what its key may ask in a minute."""
        said = orjson.loads(row.said)
        if self.turns.are_free(row, said):
            return len(lines)
        asks = [
            asking.ask(row, line, number, self.decoder) for number, line in enumerate(lines[: pacing.AT_ONCE], first)
        ]
        return await self.turns.taken(row, said, asks, known)

    async def _stop(self, row: Row[Any]) -> int:
        """What waits of a cancelled run, some hundred at a time."""
        return await self.database.write(
            partial(write.stop_waiting, routes=self.routes, tenant=row.tenant, id_=row.id, most=parts.MOST)
        )

    async def _accept(self, row: Row[Any], first: int, lines: list[bytes], known: set[str]) -> None:
        arrivals, said = [], orjson.loads(row.said)
        key_id, quiet = said.get("key_id"), said.get("quiet", False)
        for number, line, value in asking.values(row, lines, first):
            if f"{row.id}/{number}" in known:
                continue
            what = asking.ask(row, line, number, self.decoder)
            arrivals.append(Arrival(replace(what, run_id=row.id, key_id=key_id, quiet=quiet), None, None, value, b"[]"))
            if number % 50 == 0:
                await asyncio.sleep(0)
        pools = {(a.what.provider, a.what.model) for a in arrivals if a.what.failure is None}  # type: ignore[union-attr]
        for pool in pools:
            await self.engine.ensure_pool(pool)
        if arrivals:
            await self.writer.accept(arrivals)

    async def _count(self, row: Row[Any], counts: read.Counts, care: "_Care") -> bool:
        """Tell what is new of it; whether it has ended."""
        now_ = await self.database.read(lambda conn: _fresh(conn, row.tenant, row.id))
        # by what was known before the items were counted: what was fed since stands in no count
        whole = row.sealed and counts.open == 0 and (row.fed == now_.total or row.cancelled)
        if whole or time.monotonic() >= care.spent_due:
            began = time.monotonic()
            care.spent = await self.database.read(lambda conn: read.spent(conn, row.id, row.tenant))
            care.spent_due = time.monotonic() + _DUTY * (time.monotonic() - began)
        values = _values(row, now_, counts, care.spent, whole=whole)
        done = values["succeeded"] + values["failed"] + values["stopped"]
        if (per_s := care.pace.saw(time.monotonic(), done)) is not None:
            values["per_s"] = round(per_s, 3)
        if care.told is not None and values | {"per_s": 0} == care.told | {"per_s": 0}:
            return False  # a pace alone is no news
        changed = await self.database.write(lambda conn: _tell(conn, self.routes, row, values))
        care.told = values
        if whole:
            self.turns.forget(row)
        if whole and changed:
            self.meters.ended.labels(values["status"]).inc()
            self._told()
        return whole or not changed


@dataclass(slots=True)
class _Care:
    """What the owner of a run remembers of it: nothing that could not be counted again."""

    told: dict[str, Any] | None = None
    spent: tuple[int, int] = (0, 0)
    spent_due: float = 0.0
    rest_s: float = 0.0
    pace: Pace = field(default_factory=Pace)

    def took(self, seconds: float) -> None:
        """Counting takes its part of the time and no more."""
        self.rest_s = min(30.0, _DUTY * seconds if seconds > 0.01 else 0.0)


@dataclass(frozen=True, slots=True)
class _Now:
    """A run's row after its items were counted: what came in between is not taken for ended."""

    total: int
    begun: bool
    at: float


def _next(conn: Connection, tenant: str, id_: str) -> tuple[Row[Any] | None, bool]:
    return read.next_part(conn, tenant, id_), read.is_called_off(conn, tenant, id_)


def _values(row: Row[Any], seen: _Now, counts: read.Counts, spent: tuple[int, int], *, whole: bool) -> dict[str, Any]:
    succeeded = max(0, row.fed - counts.open - counts.failed - counts.stopped)
    stopped = counts.stopped + (seen.total - row.fed if whole else 0)
    values: dict[str, Any] = {
        "succeeded": succeeded,
        "failed": counts.failed,
        "stopped": stopped,
        "cost_nano": spent[0],
        "tokens": spent[1],
    }
    if seen.begun and row.started_at is None:
        values["started_at"] = seen.at
    if whole:
        late = row.deadline is not None and seen.at > row.deadline
        status = ended_as(succeeded, counts.failed, stopped, cancelled=row.cancelled, late=late)
        return values | {"status": status, "ended_at": seen.at, "owner": None}
    return values | ({"status": "running"} if seen.begun else {})


def _fresh(conn: Connection, tenant: str, id_: str) -> _Now:
    row = read.one(conn, tenant, id_)
    assert row is not None  # a run is never taken away while somebody owns it
    begun = row.started_at is not None or read.has_begun(conn, id_, tenant)
    return _Now(row.total, begun, now(conn))


def _tell(conn: Connection, routes: Routes, row: Row[Any], values: dict[str, Any]) -> bool:
    changed = write.counted(conn, row.tenant, row.id, values)
    if changed:
        now_ = read.one(conn, row.tenant, row.id)
        telling.progress(conn, routes, now_)
        if "ended_at" in values:
            delivering.put(conn, now_)
    return changed
