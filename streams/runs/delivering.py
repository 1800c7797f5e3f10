"""Ends of runs are told to those who asked for it: signed, again and again until they take it, by whichever process is free."""

import asyncio
import contextlib
import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import structlog
import uuid_utils
from sqlalchemy import Connection, Row

from providers import http
from providers.errors import ProviderError, Unreadable
from providers.outbound import Guard
from store.database import Database
from store.errors import StoreError
from store.runs import deliveries
from streams.runs import signing, telling
from streams.runs.metering import Meters

log = structlog.get_logger(__name__)

STEPS_S: Sequence[float] = (5, 300, 1_800, 7_200, 18_000, 36_000, 36_000)
"""Between the first try and the second, and so on; after 27 hours it is given up. As Standard Webhooks advises."""
_JITTER = 0.2
_TIMEOUT_S = 15.0
_TAKEN_S = 60.0
"""A try whose process died is made again after this."""
_AT_ONCE = 16
_ENOUGH = 64 * 1024
"""Bytes of an answer that nobody reads."""
_GONE = 410


def next_try_s(tries: int, jitter: float, wished_s: float | None = None) -> float | None:
    """After so many tries, with `jitter` between 0 and 1; None: enough. What the receiver wishes is kept to, up to a day."""
    if tries > len(STEPS_S):
        return None
    return max(STEPS_S[tries - 1] * (1 + _JITTER * jitter), min(wished_s or 0.0, 86_400.0))


def put(conn: Connection, run: Row[Any] | None) -> None:
    """The end of a run, if anybody wants to know; in the transaction that ends it."""
    webhook = None if run is None else orjson.loads(run.said).get("webhook")
    if run is None or webhook is None:
        return
    data = telling.shown(run).model_dump(mode="json", exclude=telling.BRIEF)
    body = {"type": f"run.{run.status}", "timestamp": datetime.now(UTC).isoformat(), "data": data}
    deliveries.put(conn, f"msg_{uuid_utils.uuid7().hex}", run, webhook["url"], webhook["secret"], orjson.dumps(body))


class Deliverer:
    """One process's part in telling. `start` and `aclose` belong to whoever made it."""

    def __init__(self, database: Database, guard: Guard, meters: Meters, poll_s: float) -> None:
        self.database, self.guard, self.meters = database, guard, meters
        self.poll_s = poll_s
        self._http = http.client(guard)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="webhooks")

    async def aclose(self) -> None:
        """A try that is cut off is made again, by whoever is there."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._http.aclose()

    def look(self) -> None:
        """There is something to tell."""
        self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                while await self._round():
                    pass
            except StoreError as error:
                log.debug("the ledger does not answer", error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.poll_s):
                    await self._wake.wait()
            self._wake.clear()

    async def _round(self) -> bool:
        """Whether there may be more at once."""
        found = await self.database.read(lambda conn: deliveries.due(conn, _AT_ONCE))
        await asyncio.gather(*map(self._one, found))
        return len(found) == _AT_ONCE

    async def _one(self, row: Row[Any]) -> None:
        if not await self.database.write(lambda conn: deliveries.take(conn, row, _TAKEN_S)):
            return
        said, delivered, again_s = await self._tried(row)
        outcome = "delivered" if delivered else "given_up" if again_s is None else "failed"
        self.meters.webhooks.labels(outcome).inc()
        if outcome == "given_up":
            log.warning("the end of a run could not be told", run=row.run_id, url=http.origin(row.url), why=said)
        await self.database.write(lambda conn: deliveries.settle(conn, row.id, said, again_s, delivered=delivered))

    async def _tried(self, row: Row[Any]) -> tuple[str, bool, float | None]:
        """How it went, whether it was taken, and when it is tried again."""
        wished: float | None = None
        try:
            reply = await self._sent(row)
        except ProviderError as error:
            said = str(error)
        else:
            said = f"{reply.status_code} {reply.reason_phrase}".strip()
            if reply.is_success:
                return said, True, None
            if reply.status_code == _GONE:
                return f"{said}: it wants no more", False, None
            wished = http.retry_after(reply.headers.get("retry-after"), datetime.now(UTC))
        return said[:500], False, next_try_s(row.tries + 1, random.random(), wished)  # noqa: S311 - a wait

    async def _sent(self, row: Row[Any]) -> httpx.Response:
        """Its words are nobody's business; the status is."""
        size = 0

        def heard(piece: bytes) -> None:
            nonlocal size
            size += len(piece)
            if size > _ENOUGH:
                raise Unreadable(f"{http.origin(row.url)} answered with more than {_ENOUGH // 1024} KB.")

        body = bytes(row.body)
        signed = signing.headers(row.secret, row.id, int(time.time()), body)
        return await http.send(
            self._http, "POST", row.url, timeout_s=_TIMEOUT_S, content=body, headers=signed, heard=heard
        )
