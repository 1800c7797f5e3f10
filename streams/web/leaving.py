"""A caller who leaves before the answer: what nobody else waits for is not made any more."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog
from starlette.requests import Request

from store.errors import StoreError
from store.ledger import leaving
from store.ledger.types import Accepted, Ask
from streams.web.front import Front

log = structlog.get_logger(__name__)


@contextlib.asynccontextmanager
async def watched(front: Front, request: Request, what: Ask, found: Accepted) -> AsyncIterator[None]:
    """Inside, the caller's leaving ends the request, if it is theirs alone. The body must have been read."""
    if not what.alone or found.body is not None or found.pk is None or found.decision == "duplicate":
        yield
        return
    watch = asyncio.create_task(_watch(front, request, found.pk, found.generation), name=f"caller-{found.pk}")
    try:
        yield
    finally:
        watch.cancel()


async def gone(request: Request) -> None:
    """Returns when the caller has left. The body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _watch(front: Front, request: Request, pk: int, generation: int) -> None:
    await gone(request)
    await give_up(front, pk, generation)


async def give_up(front: Front, pk: int, generation: int) -> None:
    """End a request that was its caller's alone; nobody waits for it any more."""
    spine = front.spine
    if spine is None or front.leaving:  # then it is we who leave
        return
    try:
        aborts = await spine.database.write(lambda conn: leaving.leave(conn, spine.routes, pk, generation))
    except StoreError as error:
        log.warning("a caller has left, and the request goes on: the database is away", error=str(error))
        return
    if aborts:
        spine.engine.stop([pk])
