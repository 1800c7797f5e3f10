"""The routes of `GENAI_ROUTES`, read again whenever the file changes.

A new file that is broken is told in the log, at /ready and by a metric; the old one goes on. What was accepted keeps the
targets that it was accepted with.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import structlog

from agents.engine.metrics import Metrics
from providers.routes import Model
from store.database import Database
from store.errors import StoreError
from store.ledger import queries
from store.ledger.types.claims import Pool
from streams.choosing import Router
from streams.errors import SpineError
from streams.naming import load
from streams.settings import Settings

log = structlog.get_logger(__name__)
EVERY_S = 1.0
_Seen = tuple[int, int, int]


class Named:
    """Keeps a router's table as its file is, and knows how targets are. `ok` and `why` are of the file as it is now."""

    def __init__(
        self, settings: Settings, router: Router, metrics: Metrics, database: Database, closed: Callable[[Pool], bool]
    ) -> None:
        self.path = Path(settings.routes).expanduser() if settings.routes else None
        self.router, self._settings, self._metrics, self._database = router, settings, metrics, database
        self._closed = closed
        self.ok, self.why, self.since = True, "", time.time()
        self._seen = self._look()
        self._waiting: Counter[Pool] = Counter()
        self._task: asyncio.Task[None] | None = None
        router.unwell = self._unwell
        router.skipped = lambda route, told: metrics.route_skipped.labels(route, str(told.model)).inc()
        metrics.routes_ok.set(1)

    def start(self) -> None:
        """Begin to watch; without a file there is nothing to do."""
        if self.path is not None:
            self._task = asyncio.create_task(self._watch(), name="routes")

    async def aclose(self) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            seen = await asyncio.to_thread(self._look)
            if seen != self._seen:
                self._seen = seen
                self.reload()
            with contextlib.suppress(StoreError):
                await self._count()

    def _look(self) -> _Seen | None:
        """What changes with the file, also where a link to it is turned; None: it is not there."""
        try:
            found = self.path.stat() if self.path is not None else None
        except OSError:
            return None
        return None if found is None else (found.st_ino, found.st_mtime_ns, found.st_size)

    def reload(self) -> None:
        """The file as it is now, if it can be used."""
        try:
            self.router.table = load(self._settings, self.router.providers)
        except SpineError as error:
            log.error("the routes stay as they were", why=str(error))  # noqa: TRY400 - the sentence says all
            self._now(False, f"{error} The routes before it go on.")
        else:
            log.info("routes were read again", file=str(self.path), routes=len(self.router.table.routes))
            self._now(True, "")

    def _now(self, ok: bool, why: str) -> None:
        self.since = self.since if ok == self.ok else time.time()
        self.ok, self.why = ok, why
        self._metrics.routes_ok.set(ok)
        self._metrics.routes_read.labels("ok" if ok else "broken").inc()

    async def _count(self) -> None:
        """How many wait for each model, where a route asks."""
        if any(route.max_waiting for route in self.router.table.routes.values()):
            self._waiting = Counter(await self._database.read(queries.waiting_by_pool))

    def _unwell(self, model: Model, most: int | None) -> str:
        pool = (model.provider, model.model)
        if self._closed(pool):
            return "its provider has refused calls and is left alone for a moment"
        if most is not None and self._waiting[pool] >= most:
            return f"{self._waiting[pool]} requests wait for it, and `max_waiting` is {most}"
        return ""
