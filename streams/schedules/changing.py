"""Schedules made, changed, paused and run by somebody: what may be done, and why not."""

from typing import Any

from sqlalchemy import Connection, Row

from schemas.schedules import NewSchedule
from store.schedules import read, write
from streams.schedules import scheduler
from streams.schedules.checking import World, check
from streams.schedules.scheduler import Scheduler


class Refused(Exception):
    """It cannot be done as things are; the message says what to do."""


class Unknown(Refused):
    """There is no such schedule."""


def missing(name: str) -> Unknown:
    """With the words for it."""
    return Unknown(f"There is no schedule {name[:100]!r}; GET /v1/schedules lists them.")


async def put(here: Scheduler, name: str, said: NewSchedule, world: World) -> None:
    """Make it, or say it anew. Raises `Wrong` and `Refused`."""
    at = await here.database.read(here.clock)
    check(name, said, at, world)
    told, state = scheduler.packed(said), scheduler.state(said, at)
    if not await here.database.write(lambda conn: write.put(conn, name, "api", told, state)):
        raise _from_file(name)
    here.look()


async def remove(here: Scheduler, name: str) -> None:
    """Its runs stay. Raises `Refused`."""
    if await here.database.write(lambda conn: write.remove(conn, name, "api")):
        return
    await _one(here, name)
    raise _from_file(name)


async def pause(here: Scheduler, name: str, *, paused: bool) -> None:
    """What falls due while it is paused is left out, and what waits is. Raises `Refused`."""

    def work(conn: Connection) -> bool:
        row = read.one(conn, name)
        if row is None:
            raise missing(name)
        if row.paused == paused:
            return True
        said = NewSchedule.model_validate_json(row.said).model_copy(update={"paused": paused})
        state = scheduler.state(said, here.clock(conn))
        return write.change(conn, name, row.version, {"queued_at": None, **state})

    while not await here.database.write(work):
        pass
    here.look()


async def run(here: Scheduler, name: str) -> None:
    """Now, out of turn, paused or not; the next firing is as planned. Raises `Refused`."""
    failed: str | None = None
    while failed is None:
        row = await _one(here, name)
        if row.busy:
            words = f"The last run of {name!r} goes on ({row.last_run_id}); wait for its end, or cancel it."
            raise Refused(words)
        failed = await here.submit_now(row, NewSchedule.model_validate_json(row.said))
    if failed:
        raise Refused(f"The run of {name!r} could not be submitted: {failed}.")


async def _one(here: Scheduler, name: str) -> Row[Any]:
    row = await here.database.read(lambda conn: read.one(conn, name))
    if row is None:
        raise missing(name)
    return row


def _from_file(name: str) -> Refused:
    return Refused(f"The schedule {name!r} is one of GENAI_SCHEDULES_FILE; change it there. It can be paused here.")
