"""What a process does for schedules: one of them leads, and submits the runs that are due.

Who leads only saves the others the work. A firing takes its planned time out of the schedule's row and puts the run into the
ledger in one transaction, and only if the row is still the one that was looked at: so two who both lead for a moment fire once.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
import structlog
from sqlalchemy import Connection, Row

from agents.pipelines.defining import Shelf
from schemas.runs import NewRun
from schemas.schedules import NewSchedule
from store import killpoint, leading
from store.database import Database, now
from store.errors import StoreError
from store.runs.write import Conflict
from store.schedules import read, write
from streams.decode import Decoder
from streams.prompting.registry import Registry
from streams.runs import making
from streams.runs.kinds import BadRun
from streams.schedules import cron as crons
from streams.schedules import filling
from streams.schedules.file import Wanted, Watched
from streams.schedules.metering import Meters
from streams.schedules.planning import Decision, Standing, Timing, decide

log = structlog.get_logger(__name__)

ROLE = "schedules"
_SOON_S = 0.02
Clock = Callable[[Connection], float]


@dataclass(frozen=True, slots=True)
class _Looked:
    rows: list[Row[Any]]
    leader: leading.Leader | None
    at: float


class Scheduler:
    """One process's part. `started` is told of each run that was submitted here; `clock` is the database's."""

    def __init__(
        self,
        database: Database,
        decoder: Decoder,
        shelf: Shelf,
        registry: Registry,
        worker: str,
        tenant: str,
        file: Watched,
        meters: Meters,
        started: Callable[[], None],
        poll_s: float,
        clock: Clock = now,
    ) -> None:
        self.database, self.decoder, self.shelf, self.registry = database, decoder, shelf, registry
        self.worker, self.tenant = worker, tenant
        self.file, self.meters, self._started, self.poll_s, self.clock = file, meters, started, poll_s, clock
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._synced, self._clashes, self._may_lead = file.path is None, list[str](), False
        meters.file_ok.set(1)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="schedules")

    async def aclose(self) -> None:
        """Others may lead at once; a firing is whole or was never begun."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if not self._may_lead:
            return
        with contextlib.suppress(StoreError):
            await self.database.write(lambda conn: leading.resign(conn, ROLE, self.worker))

    def look(self) -> None:
        """Something has changed."""
        self._wake.set()

    async def _run(self) -> None:
        wait_s = 0.0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            self._wake.clear()
            wait_s = self.poll_s
            try:
                wait_s = await self.step()
            except StoreError as error:
                log.debug("the ledger does not answer", error=str(error))
            except Exception:
                log.exception("the schedules could not be looked at; they are again in a moment")

    async def step(self) -> float:
        """What is to be done now; how long until there may be more."""
        if await asyncio.to_thread(self.file.changed):
            self._synced = False  # and it stays so while the ledger is away
        if not self._synced:
            await self._sync()
        self.meters.file_ok.set(self.file.ok)
        looked = await self.database.read(self._looked)
        if not looked.rows or not await self._leads(looked.leader):
            return self.poll_s
        for row in looked.rows:
            if row.queued_at is not None or row.next_at <= looked.at:
                await self._one(row, looked.at)
        soonest = min((row.next_at for row in looked.rows if row.next_at is not None), default=looked.at + self.poll_s)
        return min(self.poll_s, max(_SOON_S, soonest - looked.at))

    def _looked(self, conn: Connection) -> _Looked:
        rows = list(read.active(conn))
        if not rows:
            return _Looked([], None, 0.0)
        return _Looked(rows, leading.leader(conn, ROLE), self.clock(conn))

    async def _leads(self, leader: leading.Leader | None) -> bool:
        leads = leader is not None and leader.worker == self.worker
        if leader is None:
            self._may_lead = True
            leads = await self.database.write(lambda conn: leading.lead(conn, ROLE, self.worker))
            if leads:
                log.info("this process fires the schedules now")
        self.meters.leads.set(leads)
        return leads

    async def _sync(self) -> None:
        """The table has what the file says; who made a schedule of the same name over HTTP keeps it."""
        clashes = await self.database.write(lambda conn: sync(conn, self.file.wanted, self.clock(conn)))
        self._synced = not clashes
        if clashes == self._clashes:
            return
        self._clashes = clashes
        words = f"{', '.join(clashes)} were made over HTTP too, and those are in use: delete them there, or rename here"
        self.file.says(words if clashes else "")
        if clashes:
            log.error("some schedules of the file are not in use", why=words)

    async def _one(self, row: Row[Any], at: float) -> None:
        try:
            said = NewSchedule.model_validate_json(row.said)
            timing = Timing(said.cron, crons.zone_of(said.timezone), said.overlap, said.catch_up)
        except ValueError as error:  # a program before this one has taken it
            why = str(error)
            await self.database.write(lambda conn: _stop(conn, row, why))
            log.error("a schedule cannot be read and is paused", schedule=row.name, why=why)  # noqa: TRY400
            return
        decision = decide(timing, Standing(row.next_at, row.queued_at, bool(row.busy)), at)
        if (decision.fire, decision.next_at, decision.queued_at) != (None, row.next_at, row.queued_at):
            await self._settle(row, said, timing, decision, at)

    async def _settle(self, row: Row[Any], said: NewSchedule, timing: Timing, decision: Decision, at: float) -> None:
        values = {"next_at": decision.next_at, "queued_at": decision.queued_at}
        ready, why = None, ""
        if decision.fire is not None:
            ready, why = await self._ready(row.name, said, timing, decision.fire)

        def work(conn: Connection) -> tuple[bool, str]:
            if not write.change(conn, row.name, row.version, values):
                return False, ""
            write.count(conn, row.name, skipped=decision.skipped, missed=decision.missed)
            return True, "" if decision.fire is None else self._submit(conn, row.name, decision.fire, ready, why)

        first, failed = await self.database.write(work)
        if first:
            self._told(row.name, decision, failed, at)

    async def _ready(
        self, name: str, said: NewSchedule, timing: Timing, planned: float
    ) -> tuple[making.Ready | None, str]:
        """The run, or why there is none."""
        try:
            new = NewRun.model_validate(filling.filled(name, said, planned, timing.zone))
            make = partial(making.ready, new, new.tenant or self.tenant, self.decoder, self.shelf)
            return await self.registry.decoded(make), ""
        except (BadRun, ValueError) as error:
            return None, str(error)

    def _submit(self, conn: Connection, name: str, planned: float, ready: making.Ready | None, why: str) -> str:
        """Why not; empty: it is submitted, or was before under the same key."""
        if ready is not None:
            try:
                run, _ = making.make(conn, ready, self.worker)
            except Conflict as error:
                why = str(error)
            else:
                write.fired(conn, name, planned, run.tenant, run.id)
                return ""
        write.could_not(conn, name, why)
        return why

    def _told(self, name: str, decision: Decision, failed: str, at: float) -> None:
        self.meters.skipped.labels(name).inc(decision.skipped)
        self.meters.missed.labels(name).inc(decision.missed)
        if decision.missed:
            log.warning("firings of a schedule were missed", schedule=name, missed=decision.missed)
        if decision.fire is None:
            return
        if failed:
            self.meters.failed.labels(name).inc()
            log.error("a schedule's run could not be submitted", schedule=name, why=failed)
            return
        killpoint.passing("scheduled")
        self.meters.fired.labels(name).inc()
        if at > decision.fire:
            self.meters.late.observe(at - decision.fire)
        self._started()

    async def submit_now(self, row: Row[Any], said: NewSchedule) -> str | None:
        """Out of turn. Why it could not be submitted; empty: it was; None: somebody else has changed the schedule meanwhile."""
        timing = Timing(said.cron, crons.zone_of(said.timezone), said.overlap, said.catch_up)
        planned = round(await self.database.read(self.clock), 3)
        ready, why = await self._ready(row.name, said, timing, planned)

        def work(conn: Connection) -> str | None:
            if not write.change(conn, row.name, row.version, {}):
                return None
            return self._submit(conn, row.name, planned, ready, why)

        failed = await self.database.write(work)
        if failed is not None:
            self._told(row.name, Decision(planned, None, None), failed, planned)
        return failed


def packed(said: NewSchedule) -> bytes:
    """As it is kept: equal schedules are equal bytes."""
    return orjson.dumps(said.model_dump(mode="json", exclude_unset=True), option=orjson.OPT_SORT_KEYS)


def state(said: NewSchedule, at: float) -> Mapping[str, Any]:
    """Where a schedule is that is made now, or said anew: what was due before is not made up for."""
    next_at = None if said.paused else crons.after(said.cron, crons.zone_of(said.timezone), at)
    return {"paused": said.paused, "next_at": next_at}


def sync(conn: Connection, wanted: Wanted, at: float) -> list[str]:
    """The table's schedules of the file are those of the file; the names that are taken by others."""
    known = {row.name: row for row in read.every(conn)}
    clashes = []
    for name, said in wanted.items():
        row, told = known.get(name), packed(said)
        if row is not None and row.source != "file":
            clashes.append(name)
        elif row is None or bytes(row.said) != told:
            write.put(conn, name, "file", told, state(said, at))
    for name in sorted(known.keys() - wanted.keys()):  # two processes take rows in one order
        write.remove(conn, name, "file")
    return clashes


def _stop(conn: Connection, row: Row[Any], why: str) -> None:
    if write.change(conn, row.name, row.version, {"next_at": None, "queued_at": None, "paused": True}):
        write.could_not(conn, row.name, why)
