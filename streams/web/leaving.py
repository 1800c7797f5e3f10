"""A caller who leaves before the answer: what nobody else waits for is not made any more."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import structlog
from starlette.requests import Request

from store.errors import StoreError
from store.ledger import leaving
from store.ledger.types.arrivals import Accepted, Ask
from streams.web.front import Front
from streams.web.problems import unavailable

log = structlog.get_logger(__name__)
T = TypeVar("T")


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


@contextlib.asynccontextmanager
async def promised(front: Front, what: Ask, found: Accepted) -> AsyncIterator[None]:
    """Inside, the caller waits for an answer, and is told where to ask again when there is none by the end: also when this process
    ends meanwhile.
    """
    if not what.alone or found.body is not None or found.pk is None:
        yield
        return
    place = found.pk, found.generation
    if front.leaving:  # what is promised was written down before
        await front.stay([place])
    front.promised.add(place)
    try:
        yield
    finally:
        front.promised.discard(place)


async def while_here(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What is asked for the caller only, and stands in no ledger: it ends when they leave."""
    asking, left = asyncio.ensure_future(work), asyncio.ensure_future(gone(request))
    try:
        await asyncio.wait((asking, left), return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            raise unavailable("The caller has left.")
        return asking.result()
    finally:
        asking.cancel()
        left.cancel()


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
        spine.engine.recalls.stop([pk])
