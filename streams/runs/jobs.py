"""Runs that call no model: whoever owns one does its work here. If it dies, whoever follows it begins the work anew."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from pydantic import ValidationError
from sqlalchemy import Connection, Row

from agents.engine import policy
from agents.engine.policy import Patience
from schemas.errors import ErrorType, Failure
from store.database import Database, now
from store.errors import StoreError
from store.ledger.types.records import Routes
from store.runs import jobs, read
from streams.decode import sentence
from streams.jobs import JOBS
from streams.jobs.base import Context, Failed
from streams.runs import delivering, telling
from streams.runs.metering import Meters

log = structlog.get_logger(__name__)

_AGAIN = "processes died on it, or had to end, again and again; look into their logs, then run it again (genai-spine runs retry)"


@dataclass(frozen=True, slots=True)
class _End:
    """How a run ends; `counts` are succeeded, failed and stopped."""

    status: str
    counts: tuple[int, int, int]
    result: dict[str, Any] | None = None


_CANCELLED, _EXPIRED = _End("cancelled", (0, 0, 1)), _End("expired", (0, 0, 1))


class Jobs:
    """One process's part in them. `context` makes what a job works with, for a run's id."""

    def __init__(
        self,
        database: Database,
        routes: Routes,
        worker: str,
        poll_s: float,
        patience: Patience,
        context: Callable[[str], Context],
        meters: Meters,
        told: Callable[[], None],
    ) -> None:
        self.database, self.routes, self.worker, self.poll_s = database, routes, worker, poll_s
        self.patience, self._context, self.meters, self._told = patience, context, meters, told

    async def care(self, tenant: str, id_: str) -> None:
        """Until the run has ended, or is somebody else's."""
        while True:
            try:
                row, at, called_off = await self.database.read(lambda conn: _looked(conn, tenant, id_))
                if row is None or row.ended_at is not None or row.owner != self.worker:
                    return
                if (end := await self._next(row, at, called_off)) is not None:
                    await self._end(row, end)
                    return
            except StoreError as error:
                log.debug("the ledger does not answer", error=str(error), run=id_)
            await asyncio.sleep(self.poll_s / 2)

    async def _next(self, row: Row[Any], at: float, called_off: bool) -> _End | None:
        """How it ends now; None: it goes on later."""
        if row.cancelled or called_off:
            return _CANCELLED
        if row.deadline is not None and at > row.deadline and row.tries == 0:
            return _EXPIRED
        if row.tries >= self.patience.max_attempts:
            return _failed(Failure(type=ErrorType.POISON, message=_AGAIN, retryable=True))
        if row.not_before > at:
            return None
        if not await self.database.write(lambda conn: jobs.begun(conn, row, self.worker, at)):
            return None
        return await self._tried(row)

    async def _tried(self, row: Row[Any]) -> _End | None:
        work = asyncio.create_task(self._worked(row), name=f"job-{row.name}")
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=self.poll_s)
                if not work.done() and await self._is_over(row):
                    return None
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        return await self._settled(row, work.result())

    async def _worked(self, row: Row[Any]) -> dict[str, Any] | Failure:
        began = time.monotonic()
        try:
            job = JOBS[row.name]
            params = job.params.model_validate_json(row.params)
            found = await job.work(self._context(row.id), params)
        except ValidationError as error:
            return Failure(type=ErrorType.INVALID_REQUEST, message=sentence(error))
        except Failed as error:
            kind = ErrorType.UNREACHABLE if error.again else ErrorType.INVALID_REQUEST
            return Failure(type=kind, message=str(error), retryable=error.again)
        except StoreError as error:
            return Failure(type=ErrorType.OVERLOADED, message=f"the database is away ({error})", retryable=True)
        except Exception as error:
            log.exception("a job broke; it is tried again", job=row.name, run=row.id)
            words = f"a defect: {type(error).__name__}: {error}; the log of {self.worker} has its traceback"
            return Failure(type=ErrorType.INTERNAL, message=words, retryable=True)
        log.info("a job was done", job=row.name, run=row.id, seconds=round(time.monotonic() - began, 3))
        return found

    async def _is_over(self, row: Row[Any]) -> bool:
        """Whether it was cancelled meanwhile, or is somebody else's; the next look says which."""
        try:
            now_, _, called_off = await self.database.read(lambda conn: _looked(conn, row.tenant, row.id))
        except StoreError:
            return False
        return now_ is None or now_.cancelled or called_off or now_.owner != self.worker

    async def _settled(self, row: Row[Any], found: dict[str, Any] | Failure) -> _End | None:
        if not isinstance(found, Failure):
            return _End("succeeded", (1, 0, 0), found)
        tries = row.tries + 1
        if not found.retryable or tries >= self.patience.max_attempts:
            return _failed(found)
        log.warning("a job could not be done; it is tried again", job=row.name, run=row.id, why=found.message)
        wait_s = policy.backoff(tries, self.patience, policy.jitter())
        await self.database.write(lambda conn: jobs.later(conn, row, now(conn) + wait_s))
        return None

    async def _end(self, row: Row[Any], end: _End) -> None:
        if await self.database.write(lambda conn: self._ended(conn, row, end)):
            self.meters.ended.labels(end.status).inc()
            self._told()

    def _ended(self, conn: Connection, row: Row[Any], end: _End) -> bool:
        counts = dict(zip(("succeeded", "failed", "stopped"), end.counts, strict=True))
        values = {"status": end.status, "ended_at": now(conn), **counts}
        result = None if end.result is None else orjson.dumps(end.result)
        if not jobs.ended(conn, row, self.worker, values, result):
            return False
        now_ = read.one(conn, row.tenant, row.id)
        telling.progress(conn, self.routes, now_)
        delivering.put(conn, now_)
        return True


def _failed(failure: Failure) -> _End:
    return _End("failed", (0, 1, 0), {"error": failure.model_dump(mode="json")})


def _looked(conn: Connection, tenant: str, id_: str) -> tuple[Row[Any] | None, float, bool]:
    return jobs.one(conn, tenant, id_), now(conn), read.is_called_off(conn, tenant, id_)
