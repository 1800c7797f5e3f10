"""Who owns a pipeline's run brings it on until it has ended; see `walking`."""

import asyncio
from collections.abc import Callable

import structlog
from sqlalchemy import Row

from store.errors import StoreError
from store.runs import steps
from streams.runs import owning
from streams.runs.metering import Meters
from streams.runs.walking import NotOurs, Parts, Walk

log = structlog.get_logger(__name__)

_SOON_S = 0.02
_SLOWER = 1.5
"""Between two looks at requests that run: soon at first, as many take a moment only."""


class Stepper:
    """One process's part in pipelines. `care` runs as a task of the runner, which owns it."""

    def __init__(self, own: Parts, poll_s: float, meters: Meters, told: Callable[[], None]) -> None:
        self.own, self.poll_s, self.meters, self._told = own, poll_s, meters, told

    async def care(self, tenant: str, id_: str) -> None:
        """Bring one run on until it has ended, or is another's."""
        walk: Walk | None = None
        rest_s = _SOON_S
        try:
            while True:
                try:
                    row = await owning.looked(self.own.database, self.own.worker, tenant, id_)
                    if row is None:
                        return
                    walk = walk or await self._begun(row)
                    moved, ended = await walk.on(row)
                    if ended is not None:
                        self.meters.ended.labels(ended).inc()
                        self._told()
                        return
                    rest_s = _SOON_S if moved else min(rest_s * _SLOWER, max(_SOON_S, self.poll_s / 4))
                except NotOurs:
                    return
                except StoreError as error:
                    log.debug("the ledger does not answer", error=str(error), run=id_)
                    rest_s = self.poll_s
                except Exception:
                    log.exception("a run could not be gone on with; it is tried again", run=id_)
                    rest_s = 10 * self.poll_s
                await asyncio.sleep(rest_s)
        finally:
            if walk is not None:
                await walk.aclose()

    async def _begun(self, row: Row[object]) -> Walk:
        plan = await self.own.database.read(lambda conn: steps.plan(conn, row.tenant, row.id))
        return Walk(self.own, row, plan)
