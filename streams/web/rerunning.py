"""Items of a run that did not succeed, asked for once more by whoever says so: under their scopes, and out of their minute."""

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
from sqlalchemy import Row

from schemas.errors import ErrorType
from schemas.request import Lane
from store.errors import StoreError
from store.ledger.types import Arrival, Ask
from store.runs import read, write
from streams.app import Spine
from streams.runs import pacing, parts
from streams.web.looking import read as look_up
from streams.web.principal import Principal
from streams.web.problems import Problem, unavailable


async def failed_items(spine: Spine, row: Row[Any], who: Principal) -> tuple[int, float | None]:
    """How many run again; and, where their key may ask for no more of them in this minute, in how many seconds it may.

    Raises `Problem`: 403, 429 when it may ask for none, 503.
    """
    quiet = orjson.loads(row.said).get("quiet", False)
    after, count, later_s = read.FIRST, 0, None
    while later_s is None:
        page = await look_up(
            spine, partial(read.failed_bodies, id_=row.id, tenant=row.tenant, after=after, limit=parts.MOST)
        )
        if not page:
            break
        asks, later_s = await _allowed(spine, await _asks(spine, page, who), who)
        if later_s is not None and not asks and not count:
            raise _spent(later_s)
        count += await _accept(spine, row, asks, who, quiet=quiet)
        after = page[-1].pk
    if count == 0:  # what was never sent goes on
        await _write(spine, lambda conn: write.allow(conn, row.tenant, row.id))
    return count, later_s


def header(later_s: float) -> dict[str, str]:
    """When to come again."""
    return {"Retry-After": str(math.ceil(later_s))}


async def _asks(spine: Spine, page: Iterable[Any], who: Principal) -> list[tuple[Ask, bytes]]:
    found = []
    for each in page:
        value = bytes(each.value)
        what = spine.decoder.ask(each.operation, Lane(each.lane), value, (), place=each.id, tenant="")
        if isinstance(what, Ask) and what.failure is None:
            who.check(what)
            found.append((what, value))
    return found


async def _allowed(
    spine: Spine, asks: list[tuple[Ask, bytes]], who: Principal
) -> tuple[list[tuple[Ask, bytes]], float | None]:
    most = who.limits.minute()
    if not asks or who.key_id is None or not most.bounds:
        return asks, None
    try:
        turn = await pacing.at_once(spine.lending, who.key_id, most, [what for what, _ in asks])
    except StoreError as error:
        raise unavailable(f"The database is away ({error}); nothing runs again. Ask again.") from error
    return asks[: turn.count], turn.wait_s if turn.count < len(asks) else None


async def _accept(spine: Spine, row: Row[Any], asks: list[tuple[Ask, bytes]], who: Principal, *, quiet: bool) -> int:
    """First the run is cancelled no more: else a claim would end what comes."""
    await _write(spine, lambda conn: write.allow(conn, row.tenant, row.id))
    for pool in sorted({(what.provider, what.model) for what, _ in asks}):
        await spine.engine.ensure_pool(pool)
    arrivals = [
        Arrival(replace(what, key_id=who.key_id, quiet=quiet), None, None, value, b"[]") for what, value in asks
    ]
    try:
        if arrivals:
            await spine.writer.accept(arrivals)
    except StoreError as error:
        raise unavailable(f"The database is away ({error}); retry again, it does nothing twice.") from error
    return len(arrivals)


async def _write(spine: Spine, work: Any) -> None:
    try:
        await spine.database.write(work)
    except StoreError as error:
        raise unavailable(f"The database is away ({error}); ask again.") from error


def _spent(later_s: float) -> Problem:
    words = f"This key may ask no more in this minute. Nothing runs again; come again in {math.ceil(later_s)} s."
    return Problem(429, words, error=ErrorType.RATE_LIMITED, headers=header(later_s))
