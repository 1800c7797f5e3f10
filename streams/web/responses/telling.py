"""The stream of a response that was asked for in the background: told out of the ledger, the first time and again.

What was never recorded is never told, so whoever comes back to another process finds the events that they have seen.
"""

import asyncio
import time
from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request
from starlette.types import Send

from schemas.errors import ErrorType
from store.errors import StoreError
from store.ledger import responses
from store.ledger.pieces import STAY_S
from streams.web import leaving
from streams.web.along import Reader
from streams.web.front import Front
from streams.web.openai import sse
from streams.web.openai.door import REQUEST_ID
from streams.web.problems import Problem, unavailable
from streams.web.responses.events import Chunks

if TYPE_CHECKING:
    from streams.web.responses.stored import Standing

_WAIT_S = 600.0
_FRESH_S = 60.0
"""Pieces are looked for so long before they may go."""


def is_old(row: Any) -> bool:
    """Whether what was recorded of its answer may have gone."""
    return row.completed_at is not None and time.time() - row.completed_at > STAY_S - _FRESH_S


async def tell(front: Front, request: Request, standing: "Standing", chunks: Chunks, send: Send) -> None:
    """Until its end, or until its caller leaves, for whom it does not end."""
    row = standing.row
    assert front.alongs is not None
    pen = sse.Pen(send, {REQUEST_ID: row.id}, chunks)
    with front.alongs.reading((standing.tenant, responses.OPERATION, row.id)) as reader:
        front.alongs.in_ledger(reader, row.pk, row.generation)
        ending = asyncio.ensure_future(_end(front, row))
        gone = asyncio.ensure_future(leaving.gone(request))
        for each in (ending, gone):
            each.add_done_callback(lambda _: reader.along.wake())
        try:
            await pen.begin()
            await _follow(front, pen, reader, ending, gone)
            if not gone.done():
                await _last(pen, standing, chunks, ending.result())
        except sse.BrokenOff:
            await pen.fail(_begun_anew())
        except StoreError as error:
            await pen.fail(
                unavailable(f"The database is away ({error}). Go on from the last event by `starting_after`.")
            )
        except sse.Slow:
            pass
        finally:
            ending.cancel()
            gone.cancel()


async def _end(front: Front, row: Any) -> bytes | None:
    """Its result; None: this process ends before."""
    body: bytes | None = row.body
    assert front.waiters is not None
    while body is None and not front.leaving and front.spine is not None:
        body = await front.waiters.wait((row.pk, row.generation), _WAIT_S)
    return body


async def _follow(
    front: Front, pen: sse.Pen, reader: Reader, ending: "asyncio.Future[bytes | None]", gone: "asyncio.Future[None]"
) -> None:
    """All pieces up to its end. Raises BrokenOff: another try has begun anew."""
    assert front.alongs is not None
    while not gone.done():
        ended = ending.done()
        if ended:
            await front.alongs.catch_up(reader)
        await pen.pieces(reader.new())
        if reader.along.anew:
            raise sse.BrokenOff
        if ended:
            return
        if not await reader.wait(sse.KEEP_ALIVE_S):
            await pen.comment()


async def _last(pen: sse.Pen, standing: "Standing", chunks: Chunks, body: bytes | None) -> None:
    if body is None:
        await pen.fail(unavailable("This process is ending. Go on from the last event by `starting_after`."))
        return
    result = orjson.loads(body)
    if result["status"] == "succeeded":
        await sse.finish(pen, result)
    else:
        await pen.close(chunks.stopped(standing.opened.ended(result)))


def _begun_anew() -> Problem:
    words = "The answer broke off, and another try began anew. This stream ends here; ask for the response without `stream`."
    return Problem(502, words, error=ErrorType.UNREACHABLE, code="broken_off")
