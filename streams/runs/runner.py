"""What a process does for the runs that it owns: their items become requests, a window of them at a time; they are counted;
and their end is told. Whoever owned a run and died is followed by another, which goes on where the ledger stands.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import orjson
import structlog
from sqlalchemy import Connection, Row

from agents.engine.engine import Engine
from store import killpoint
from store.database import Database, now
from store.errors import StoreError
from store.ledger.types.records import Routes
from store.ledger.writer import Writer
from store.runs import money, read, write
from streams.decode import Decoder
from streams.prompting.registry import Registry
from streams.runs import asking, kinds, owning, pacing, parts, pipelines, thrift
from streams.runs.metering import Meters
from streams.runs.pace import Pace
from streams.runs.sending import Item, send
from streams.runs.states import ended_as

log = structlog.get_logger(__name__)

WINDOW = 4_000
"""Items of one run that wait in the ledger at a time: more would only make other people's requests wait for the claim."""
_REFUSED = 100
"""Items that a run's budget refused which are looked at together."""
_DUTY = 20
"""Counting may take one part in so many of the time: the larger a run, the rarer it is counted."""
_ADOPT_EVERY_S = 5.0


Caring = Callable[[str, str], Coroutine[Any, Any, None]]
"""Brings the run of a tenant and an id on until it has ended, or is another's."""


@dataclass(frozen=True, slots=True)
class Others:
    """Who brings on runs that are no list of items."""

    jobs: Caring
    pipelines: Caring

    def of(self, row: Row[Any]) -> Caring | None:
        """None: the runner itself."""
        if row.kind == pipelines.KIND:
            return self.pipelines
        return self.jobs if kinds.is_job(row) else None


class Runner:
    """One process's part in runs."""

    def __init__(
        self,
        database: Database,
        writer: Writer,
        engine: Engine,
        decoder: Decoder,
        registry: Registry,
        turns: pacing.Turns,
        routes: Routes,
        worker: str,
        poll_s: float,
        meters: Meters,
        told: Callable[[], None],
        others: Others,
    ) -> None:
        self.database, self.writer, self.engine, self.decoder = database, writer, engine, decoder
        self.registry = registry
        self.routes, self.worker, self.poll_s = routes, worker, poll_s
        self.meters, self._told, self._others = meters, told, others
        self.turns = turns
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
                care = self._others.of(row) or self._care
                self._tasks[key] = asyncio.create_task(care(*key), name=f"run-{row.id}")
        for key in [key for key, task in self._tasks.items() if task.done()]:
            del self._tasks[key]
        self.meters.cared.set(len(self._tasks))

    async def _care(self, tenant: str, id_: str) -> None:
        """Feed and count one run until it has ended."""
        care = _Care()
        while True:
            wait_s, fed = self.poll_s / 4, False
            try:
                row = await owning.looked(self.database, self.worker, tenant, id_)
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
                held = row.budget_nano is not None and await self._fitted(row, care)
                # what was fed into a cancelled run stands in no count yet
                if not (fed and row.cancelled) and await self._count(row, counts, care, held=held):
                    return
            except StoreError as error:
                log.debug("the ledger does not answer", error=str(error), run=id_)
                wait_s = self.poll_s
            except Exception:
                log.exception("a run could not be gone on with; it is tried again", run=id_)
                wait_s = 10 * self.poll_s
            await asyncio.sleep(max(wait_s, care.rest_s))

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
            said = orjson.loads(row.said)
            free = cancelled or self.turns.are_free(row, said)
            asked = await self._fitting(row, part.first, lines if free else lines[: pacing.AT_ONCE], known)
            count = len(asked) if free else await self.turns.taken(row, said, [each and each[0] for each in asked])
            if count == 0:
                return fed
            new = [each for each in asked[:count] if each is not None]
            await send(self.engine, self.writer, new)
            killpoint.passing("fed")
            size = parts.MOST if free else pacing.AT_ONCE
            rest = list(parts.packed(part.first + count, lines[count:], size))
            await self.database.write(partial(write.fed, tenant=row.tenant, id_=row.id, part=part, rest=rest))
            self.meters.fed.inc(len(new))
            fed, room = True, room - count
            if rest:  # until its key's minute has room, or others have ended and leave it some of the run's budget
                return fed

    async def _stop(self, row: Row[Any]) -> int:
        """What waits of a cancelled run, some hundred at a time."""
        return await self.database.write(
            partial(write.stop_waiting, routes=self.routes, tenant=row.tenant, id_=row.id, most=parts.MOST)
        )

    async def _fitting(self, row: Row[Any], first: int, lines: list[bytes], known: set[str]) -> list[Item | None]:
        """These items as requests, None for what is one already: all of them, unless the run's budget has no room at the moment."""
        found: list[Item | None] = []
        said = orjson.loads(row.said)
        key_id, quiet = said.get("key_id"), said.get("quiet", False)
        room = None if row.cancelled else await self._room(row)
        decoder = await asking.as_accepted(row, self.decoder, self.registry)
        for number, line, value in asking.values(row, lines, first):
            if f"{row.id}/{number}" in known:
                found.append(None)
                continue
            what = asking.ask(row, line, number, decoder)
            if self.registry.missed():
                what = await self.registry.decoded(partial(asking.ask, row, line, number, decoder))
            if room is not None and not room.take(what.estimate_nano):
                break
            found.append((replace(what, run_id=row.id, key_id=key_id, quiet=quiet), value))
            if number % 50 == 0:
                await asyncio.sleep(0)
        return found

    async def _room(self, row: Row[Any]) -> thrift.Room | None:
        """Under the run's own budget; None: it has none."""
        return None if row.budget_nano is None else await thrift.room(self.database, row.tenant, row.id)

    async def _fitted(self, row: Row[Any], care: "_Care") -> bool:
        """Items that the run's budget refused and has room for by now are asked again; whether there are any that it has room for,
        or will have once others have ended.
        """
        room = None if row.fed < row.total or row.cancelled else await self._room(row)
        while room is not None and care.behind is not None:
            found, behind = await self.database.read(
                partial(money.refused, tenant=row.tenant, id_=row.id, after=care.behind, limit=_REFUSED)
            )
            again = [each for each in await self._again(row, found) if room.ever(each[0].estimate_nano)]
            if again:
                await send(self.engine, self.writer, [each for each in again if room.take(each[0].estimate_nano)])
                return True
            care.behind = behind
        return False

    async def _again(self, row: Row[Any], found: Sequence[Row[Any]]) -> list[Item]:
        said, made = orjson.loads(row.said), []
        decoder = await asking.as_accepted(row, self.decoder, self.registry)
        for each in found:
            if (what := await self.registry.decoded(partial(asking.again, each, decoder, self.decoder))) is not None:
                own = replace(what, key_id=said.get("key_id"), quiet=said.get("quiet", False))
                made.append((own, bytes(each.value)))
        return made

    async def _count(self, row: Row[Any], counts: read.Counts, care: "_Care", *, held: bool = False) -> bool:
        """Tell what is new of it; whether it has ended. `held`: some of its items are asked again."""
        now_ = await self.database.read(lambda conn: _fresh(conn, row.tenant, row.id))
        # by what was known before the items were counted: what was fed since stands in no count
        whole = row.sealed and counts.open == 0 and (row.fed == now_.total or row.cancelled) and not held
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
        changed = await self.database.write(lambda conn: owning.tell(conn, self.routes, row, values))
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
    behind: int | None = read.FIRST
    """Behind which items that the run's budget refused may fit by now; None: none of them ever will."""
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
