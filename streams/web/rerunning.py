"""Items of a run that did not succeed, asked for once more by whoever says so: under their scopes, and out of their minute."""

import math
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
from sqlalchemy import Row

from schemas.errors import ErrorType
from store.errors import StoreError
from store.runs import read
from streams.runs import asking, pacing, parts
from streams.runs.sending import Item, send
from streams.spine import Spine
from streams.web import retried
from streams.web.looking import change
from streams.web.looking import read as look_up
from streams.web.principal import Principal
from streams.web.problems import Problem, unavailable


async def failed_items(
    spine: Spine, row: Row[Any], who: Principal, limit: int | None = None, steps: Sequence[str] = ()
) -> tuple[int, float | None]:
    """How many run again; and, where their key may ask for no more of them in this minute, in how many seconds it may.

    `steps`: of a pipeline, only what is below these. Raises `Problem`: 403, 429 when it may ask for none, 503.
    """
    quiet = orjson.loads(row.said).get("quiet", False)
    count, later_s = 0, None
    async for page in _pages(spine, row, steps or ("",)):
        # whoever owns the run asks them when there is room
        waiting = await look_up(spine, partial(retried.waiting, row=row, after=page[0].pk - 1, limit=limit))
        page_asks = await _asks(spine, row, [each for each in page if each.pk not in waiting], who)
        asks, later_s = await _allowed(spine, page_asks, who)
        if later_s is not None and not asks and not count:
            raise _spent(later_s)
        count += len(waiting) + await _accept(spine, row, asks, who, limit, quiet=quiet)
        if later_s is not None:
            break
    if count == 0:  # what was never sent goes on
        await change(spine, lambda conn: retried.allow(conn, row, limit))
    return count, later_s


def header(later_s: float) -> dict[str, str]:
    """When to come again."""
    return {"Retry-After": str(math.ceil(later_s))}


async def _pages(spine: Spine, row: Row[Any], below: Sequence[str]) -> AsyncIterator[Sequence[Any]]:
    for each in below:
        asked = partial(read.failed_bodies, id_=row.id, tenant=row.tenant, limit=parts.MOST, below=each)
        after = read.FIRST
        while page := await look_up(spine, partial(asked, after=after)):
            yield page
            after = page[-1].pk


async def _asks(spine: Spine, row: Row[Any], page: Iterable[Any], who: Principal) -> list[Item]:
    """As they were accepted with their run; what could not be asked then, as things are now."""
    found = []
    for each in page:
        value = bytes(each.value)
        try:
            accepted = await asking.as_accepted(row, spine.decoder, spine.registry)
            what = await spine.registry.decoded(partial(asking.again, each, accepted, spine.decoder))
        except StoreError as error:
            raise unavailable(f"The database is away ({error}); nothing runs again. Ask again.") from error
        if what is not None:
            who.check(what)
            found.append((what, value))
    return found


async def _allowed(spine: Spine, asks: list[Item], who: Principal) -> tuple[list[Item], float | None]:
    most = who.limits.minute()
    if not asks or who.key_id is None or not most.bounds:
        return asks, None
    try:
        turn = await pacing.at_once(spine.lending, who.key_id, most, [what for what, _ in asks])
    except StoreError as error:
        raise unavailable(f"The database is away ({error}); nothing runs again. Ask again.") from error
    return asks[: turn.count], turn.wait_s if turn.count < len(asks) else None


async def _accept(
    spine: Spine, row: Row[Any], asks: list[Item], who: Principal, limit: int | None, *, quiet: bool
) -> int:
    """First the run is cancelled no more, and may spend what it may: else a claim would end what comes."""
    await change(spine, lambda conn: retried.allow(conn, row, limit))
    try:
        own = [(replace(what, key_id=who.key_id, quiet=quiet), value) for what, value in asks]
        await send(spine.engine, spine.writer, own)
    except StoreError as error:
        raise unavailable(f"The database is away ({error}); retry again, it does nothing twice.") from error
    return len(own)


def _spent(later_s: float) -> Problem:
    words = f"This key may ask no more in this minute. Nothing runs again; come again in {math.ceil(later_s)} s."
    return Problem(429, words, error=ErrorType.RATE_LIMITED, headers=header(later_s))
