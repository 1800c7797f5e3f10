"""`/v1/schedules…`: which run is submitted when. For the operator: a schedule runs in anybody's name."""

from collections.abc import Coroutine
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from schemas.errors import ErrorType
from schemas.schedules import NewSchedule, ScheduleName
from store import leading
from store.errors import StoreError
from store.schedules import read
from streams.decode import sentence
from streams.schedules import changing, filling, telling
from streams.schedules.changing import Refused, Unknown
from streams.schedules.checking import World, Wrong
from streams.schedules.scheduler import ROLE
from streams.spine import Spine
from streams.web.bodies import read_object
from streams.web.front import Front
from streams.web.looking import read as look_up
from streams.web.problems import Problem, unavailable
from streams.web.queries import told, whole
from streams.web.replies import json

_NAME: TypeAdapter[str] = TypeAdapter(ScheduleName)
_NEXT = 5


async def listed(front: Front, request: Request) -> Response:
    """Every schedule as it stands, who fires them, and whether their file is in order."""
    told(request, ())
    spine = front.parts()
    rows, leader, at = await look_up(
        spine, lambda conn: (read.every(conn), leading.leader(conn, ROLE), spine.schedules.clock(conn))
    )
    led = None if leader is None else {"worker": leader.worker, "since": filling.moment(round(leader.since, 3))}
    file = {"ok": spine.schedules.file.ok, "why": spine.schedules.file.why}
    items = [telling.shown(row, at).model_dump(mode="json") for row in rows]
    return json({"items": items, "leader": led, "file": file})


async def one(front: Front, request: Request) -> Response:
    """One schedule with its next firings: `?next=` how many."""
    most = whole("next", told(request, ("next",)).get("next"), _NEXT, 100)
    return await _shown(front.parts(), request.path_params["schedule"], most)


async def put(front: Front, request: Request) -> Response:
    """Make a schedule, or say it anew; it is checked as a whole, its run too. 409: it is one of the file."""
    told(request, ())
    spine = front.parts()
    try:
        name = _NAME.validate_python(request.path_params["schedule"])
    except ValidationError:
        words = (
            "A schedule's name has small letters, digits and `_.-`, at most 100, and begins with a letter or a digit."
        )
        raise Problem(422, words) from None
    try:
        said = NewSchedule.model_validate(await read_object(request, spine.settings.run_max_bytes))
    except ValidationError as error:
        raise Problem(422, f"{sentence(error)}.") from None
    world = World(spine.settings.default_tenant, spine.settings.outbound(), spine.decoder, spine.pipelines)
    await _done(changing.put(spine.schedules, name, said, world))
    return await _shown(spine, name)


async def remove(front: Front, request: Request) -> Response:
    """Remove a schedule; its runs stay."""
    told(request, ())
    name = request.path_params["schedule"]
    await _done(changing.remove(front.parts().schedules, name))
    return json({"name": name, "removed": True})


async def pause(front: Front, request: Request) -> Response:
    """Nothing fires until it is resumed, and what falls due meanwhile is left out."""
    told(request, ())
    name = request.path_params["schedule"]
    await _done(changing.pause(front.parts().schedules, name, paused=True))
    return await _shown(front.parts(), name)


async def resume(front: Front, request: Request) -> Response:
    """It fires again, from its next planned time on."""
    told(request, ())
    name = request.path_params["schedule"]
    await _done(changing.pause(front.parts().schedules, name, paused=False))
    return await _shown(front.parts(), name)


async def run(front: Front, request: Request) -> Response:
    """Submit its run now, out of turn. 409: its last run goes on."""
    told(request, ())
    name = request.path_params["schedule"]
    await _done(changing.run(front.parts().schedules, name))
    return await _shown(front.parts(), name)


async def _shown(spine: Spine, name: str, most: int = _NEXT) -> Response:
    row, at = await look_up(spine, lambda conn: (read.one(conn, name), spine.schedules.clock(conn)))
    if row is None:
        raise Problem(404, str(changing.missing(name)))
    return json(telling.shown(row, at, most).model_dump(mode="json"))


async def _done(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Wrong as error:
        words = f"`{'.'.join(map(str, error.path))}`: {error}"
        raise Problem(422, words if words.endswith("?") else f"{words}.") from None
    except Unknown as error:
        raise Problem(404, str(error)) from None
    except Refused as error:
        raise Problem(409, str(error), error=ErrorType.INVALID_REQUEST) from None
    except StoreError as error:
        raise unavailable(f"The database is away ({error}); ask again.") from error
