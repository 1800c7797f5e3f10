"""`/v1/prompts…`: the registry over HTTP. A prompt's `ETag` is its revision; `If-Match` refuses a change of what was changed since."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection, Row
from starlette.requests import Request
from starlette.responses import Response

from prompts import PromptError, Wish
from schemas.prompts import Edit, Move, NewPrompt, Render, Rollback, Stand
from store.database import Work
from store.database import now as clock
from store.errors import StoreError
from store.registry import errors, read
from streams import days, requested
from streams.decode import sentence
from streams.prompting import arms as trials
from streams.prompting import changing, looking
from streams.prompting.changing import By
from streams.prompting.registry import BadPrompt
from streams.spine import Spine
from streams.web import cursors, heads, queries
from streams.web.bodies import read_object
from streams.web.front import Front
from streams.web.looking import read as look_up
from streams.web.looking import report
from streams.web.orders import spine_of
from streams.web.principal import principal_of
from streams.web.problems import Problem, unavailable
from streams.web.replies import json, tagged

MOST, USUAL = 200, 50
LISTED = ("tenant", "q", "category", "tag", "archived", "limit", "cursor")
_DAYS_30 = 30 * 86_400.0
_M = TypeVar("_M", bound=BaseModel)
Change = Callable[[Connection, Spine, By], dict[str, Any]]


async def listed(front: Front, request: Request) -> Response:
    """Prompts, lately changed first: `?q=&category=&tag=&archived=&limit=&cursor=`."""
    told = queries.told(request, LISTED)
    limit = queries.whole("limit", told.pop("limit", None), USUAL, MOST)
    given = told.pop("cursor", None)
    list_ = f"prompts {orjson.dumps(sorted(told.items())).decode()}"
    wanted = read.Wanted(
        _tenant(front, request, told.get("tenant")),
        told.get("q", ""),
        told.get("category"),
        told.get("tag"),
        _flag("archived", told.get("archived", "false")),
    )
    try:
        after = None if given is None else cursors.named(list_, given)
    except cursors.Foreign as error:
        raise Problem(400, str(error)) from None
    rows, end = await look_up(front.parts(), lambda conn: read.page(conn, wanted, after, limit))
    next_ = None if end is None else cursors.cursor_named(list_, *end)
    return tagged(request, orjson.dumps({"items": [looking.item(row) for row in rows], "next": next_}))


async def create(front: Front, request: Request) -> Response:
    """A new prompt and its first version."""
    new = _read(NewPrompt, await _body(front, request))
    return await _change(front, request, lambda conn, spine, by: changing.create(conn, spine.routes, by, new), 201)


async def one(front: Front, request: Request) -> Response:
    """A prompt with its newest version and its labels."""
    return _marked(await _seen(front, request, looking.whole))


async def edit(front: Front, request: Request) -> Response:
    """Change a prompt: what it says becomes a new version, what it is for does not."""
    name, change = request.path_params["prompt"], _read(Edit, await _body(front, request))
    return await _change(front, request, lambda conn, spine, by: changing.edit(conn, spine.routes, by, name, change))


async def archive(front: Front, request: Request) -> Response:
    """Put a prompt away; requests that were accepted with it run all the same."""
    name = request.path_params["prompt"]
    return await _change(front, request, lambda conn, _, by: changing.archive(conn, by, name, archived=True))


async def restore(front: Front, request: Request) -> Response:
    """Take a prompt out of the archive."""
    name = request.path_params["prompt"]
    return await _change(front, request, lambda conn, _, by: changing.archive(conn, by, name, archived=False))


async def versions(front: Front, request: Request) -> Response:
    """All versions, newest first."""
    return tagged(request, orjson.dumps({"items": await _seen(front, request, looking.versions)}))


async def one_version(front: Front, request: Request) -> Response:
    """One version, as it was written."""
    number = _number("version", request.path_params["version"])
    return json(await _seen(front, request, lambda conn, prompt: looking.one_version(conn, prompt, number)))


async def diff(front: Front, request: Request) -> Response:
    """What differs between two versions: `?from=&to=`."""
    told = queries.told(request, ("tenant", "from", "to"))
    if "from" not in told or "to" not in told:
        raise Problem(422, "Name both versions: ?from=1&to=2.")
    before, after = _number("from", told["from"]), _number("to", told["to"])
    return json(await _seen(front, request, lambda conn, p: looking.difference(conn, p, before, after), told))


async def labels(front: Front, request: Request) -> Response:
    """What each label stands for, now or `?at=` a moment, and who moved it when and why."""
    told = queries.told(request, ("tenant", "at"))
    at = _moment("at", told.get("at"))
    return json(await _seen(front, request, lambda conn, prompt: looking.labels(conn, prompt, at), told))


async def move(front: Front, request: Request) -> Response:
    """Let a label stand for a version, or for several by weight."""
    name, moved = request.path_params["prompt"], _read(Move, await _body(front, request))
    return await _change(front, request, lambda conn, spine, by: changing.move(conn, spine.routes, by, name, moved))


async def stand(front: Front, request: Request) -> Response:
    """The same of the label in the path: `version`, or several by `weights`."""
    name, told = request.path_params["prompt"], _read(Stand, await _body(front, request))
    try:
        moved = told.move(request.path_params["label"])
    except ValidationError as error:
        raise Problem(422, f"{sentence(error)}.") from None
    return await _change(front, request, lambda conn, spine, by: changing.move(conn, spine.routes, by, name, moved))


async def arms(front: Front, request: Request) -> Response:
    """What each arm of a label did, `?from=&to=`, with intervals, and whether they differ by more than chance."""
    told = queries.told(request, ("tenant", "from", "to"))
    try:
        since, until = days.moments(told.get("from"), told.get("to"))
    except ValueError as error:
        raise Problem(422, str(error)) from None
    tenant, label = _tenant(front, request, told.get("tenant")), request.path_params["label"]
    look = partial(trials.seen, label=label, tenant=tenant, since=since, until=until)
    seen = await _seen(front, request, look, told, report)
    return json(await asyncio.to_thread(trials.report, seen))


async def unlabel(front: Front, request: Request) -> Response:
    """Take a label away."""
    name, label = request.path_params["prompt"], request.path_params["label"]
    return await _change(
        front, request, lambda conn, spine, by: changing.unlabel(conn, spine.routes, by, name, label, "taken away")
    )


async def rollback(front: Front, request: Request) -> Response:
    """Let a label stand for what it stood for before."""
    name, asked = request.path_params["prompt"], _read(Rollback, await _body(front, request))
    return await _change(front, request, lambda conn, spine, by: changing.rollback(conn, spine.routes, by, name, asked))


async def render(front: Front, request: Request) -> Response:
    """What a model would be sent; nothing is called."""
    spine = front.parts()
    name, asked = request.path_params["prompt"], _read(Render, await _body(front, request))
    if asked.version is not None and asked.label is not None:
        raise Problem(422, "Give either `version` or `label`: a label stands for a version.")
    tenant = _tenant(front, request, queries.told(request, ("tenant",)).get("tenant"))
    await spine.registry.refreshed()
    choose = partial(spine.decoder.library.chosen, name, Wish(asked.version, asked.label, tenant))
    try:
        wording, found = await spine.registry.decoded(choose)
        wording.check(asked.variables)
        made = wording.render(asked.variables)
    except PromptError as error:
        raise Problem(422, f"{error}.") from error
    except StoreError as error:
        raise unavailable(f"The database is away ({error}); ask again.") from error
    told = {"slug": made.slug, "version": made.version, "label": found.label or None}
    return json(told | {"system": made.system, "user": made.user})


async def executions(front: Front, request: Request) -> Response:
    """What its versions did: calls, failures, cost, latency; `?from=` a day or a moment, the last 30 days if not said."""
    told = queries.told(request, ("tenant", "from"))
    since = _moment("from", told.get("from"))
    tenant = _tenant(front, request, told.get("tenant"))

    def seen(conn: Connection, prompt: Row[Any]) -> dict[str, Any]:
        at = clock(conn) - _DAYS_30 if since is None else since
        return looking.executions(conn, prompt, tenant, at)

    return json(await _seen(front, request, seen, told, report))


async def _seen(
    front: Front,
    request: Request,
    see: Callable[[Connection, Row[Any]], Any],
    told: dict[str, str] | None = None,
    ask: Callable[[Spine, Work[Any]], Awaitable[Any]] = look_up,
) -> Any:
    """A look at the prompt of the path. Raises `Problem`: 404, 503."""
    told = queries.told(request, ("tenant",)) if told is None else told
    name, tenant = request.path_params["prompt"], _tenant(front, request, told.get("tenant"))

    def look(conn: Connection) -> Any:
        try:
            return see(conn, looking.find(conn, name, tenant))
        except errors.RegistryError as error:
            return error

    return _or_raise(await ask(front.parts(), look))


async def _change(front: Front, request: Request, change: Change, status: int = 200) -> Response:
    spine = spine_of(front, request)
    told = queries.told(request, ("tenant",))
    by = By(
        _tenant(front, request, told.get("tenant")),
        _who(request),
        _expected(request.headers.get("if-match")),
        everybody=principal_of(request).scopes.admin,
    )
    try:
        found = await spine.database.write(lambda conn: change(conn, spine, by))
    except StoreError as error:
        raise unavailable(f"The database is away ({error}); ask again.") from error
    except (errors.RegistryError, BadPrompt) as error:
        raise _problem(error) from error
    await spine.registry.refreshed()
    return _marked(found, status)


def _marked(told: dict[str, Any], status: int = 200) -> Response:
    made = json(told, status)
    made.headers["ETag"] = f'"{told["revision"]}"'
    return made


_STATUS: dict[type[Exception], int] = {
    errors.Missing: 404,
    errors.Taken: 409,
    errors.Stale: 412,
    errors.Archived: 409,
    changing.Refused: 409,
    BadPrompt: 422,
}


def _problem(error: Exception) -> Problem:
    words = str(error)
    return Problem(_STATUS.get(type(error), 409), f"{words[:1].upper()}{words[1:]}.")


def _or_raise(found: Any) -> Any:
    if isinstance(found, Exception):
        raise _problem(found)
    return found


def _tenant(front: Front, request: Request, given: str | None) -> str:
    try:
        named = requested.named("tenant", given)
    except ValueError as error:
        raise Problem(422, str(error)) from None
    return principal_of(request).tenant_of(named, front.settings.default_tenant)


def _who(request: Request) -> str:
    """Whom the history names: who the caller says it is, and its key."""
    key = principal_of(request).key_id
    said = (heads.text(request, "x-genai-user") or "")[:200]
    return said if key is None else f"{said} ({key})".strip()


def _expected(given: str | None) -> int | None:
    if given is None or given.strip() == "*":
        return None
    tag = given.strip().removeprefix("W/").strip('"')
    if not (tag.isascii() and tag.isdigit()):
        raise Problem(400, "If-Match names no revision; hand back what ETag said.")
    return int(tag)


async def _body(front: Front, request: Request) -> dict[str, Any]:
    return await read_object(request, front.parts().settings.request_max_bytes)


def _read(model: type[_M], body: dict[str, Any]) -> _M:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise Problem(422, f"{sentence(error)}.") from None


def _number(name: str, given: str) -> int:
    return queries.whole(name, given, 1, 10**8)


def _flag(name: str, given: str) -> bool:
    if given not in {"true", "false"}:
        raise Problem(422, f"{name}={given[:100]!r} is neither true nor false.")
    return given == "true"


def _moment(name: str, given: str | None) -> float | None:
    try:
        return None if given is None else days.moment(name, given)
    except ValueError as error:
        raise Problem(422, str(error)) from None
