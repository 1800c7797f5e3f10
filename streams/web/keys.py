"""`/v1/keys`: what `genai-spine keys` does, for whoever has the scope admin. A key is in the answer that makes it, and nowhere else."""

from collections.abc import Callable
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import Response

from store import keys as rows
from store.errors import StoreError
from streams import keys as making
from streams.web import queries
from streams.web.bodies import read_object
from streams.web.front import Front
from streams.web.looking import read
from streams.web.orders import own_site
from streams.web.principal import principal_of
from streams.web.problems import Problem, unavailable
from streams.web.replies import json

log = structlog.get_logger(__name__)

_MOST_BYTES = 65_536
_NEVER_KEPT = {"Cache-Control": "no-store"}


async def every(front: Front, request: Request) -> Response:
    """Every key, newest first, without its secret, which nobody has."""
    queries.told(request, ())
    found = await read(front.parts(), rows.every)
    return json({"items": [making.told(row) for row in found]})


async def one(front: Front, request: Request) -> Response:
    """One key."""
    queries.told(request, ())
    row = await read(front.parts(), lambda conn: rows.find(conn, _id(request)))
    return json(making.told(_there(request, row)))


async def create(front: Front, request: Request) -> Response:
    """Make a key: `name`, `tenant`, `operations`, `models`, `lanes`, `admin`, `rpm`, `tpm`, `concurrency`, `expires`. Shown once."""
    own_site(front, request)
    queries.told(request, ())
    wish = _worded(making.wish, await read_object(request, _MOST_BYTES))
    id_, key = making.make()
    row = await _write(front, lambda conn: rows.create(conn, id_, making.secret(key), wish))
    _log(request, "a key was made", row)
    return _shown(row, key, 201)


async def rotate(front: Front, request: Request) -> Response:
    """Another key under the same id, shown once; the one before works for `?overlap=` more (24h)."""
    own_site(front, request)
    overlap = queries.told(request, ("overlap",)).get("overlap")
    overlap_s = making.OVERLAP_S if overlap is None else _worded(making.span, overlap)
    key = making.fresh()
    fate, row = await _change(front, request, lambda conn, id_: rows.rotate(conn, id_, making.secret(key), overlap_s))
    if fate == "revoked":
        raise Problem(409, f"The key {row.id} was revoked and cannot be rotated; make another one.")
    _log(request, "a key was rotated", row)
    return _shown(row, key, 200)


async def revoke(front: Front, request: Request) -> Response:
    """End a key, within two seconds on every process; a second time changes nothing."""
    own_site(front, request)
    queries.told(request, ())
    _, row = await _change(front, request, rows.revoke)
    _log(request, "a key was revoked", row)
    return json(making.told(row))


async def _change(front: Front, request: Request, work: Callable[[Any, str], Any]) -> tuple[rows.Fate, Any]:
    def change(conn: Any) -> tuple[rows.Fate, Any]:
        found = rows.find(conn, _id(request))
        outcome: tuple[rows.Fate, Any] = ("unknown", None) if found is None else work(conn, found.id)
        return outcome

    fate, row = await _write(front, change)
    return fate, _there(request, row)


async def _write(front: Front, work: Callable[[Any], Any]) -> Any:
    try:
        return await front.parts().database.write(work)
    except StoreError as error:
        raise unavailable(
            f"The database is away ({error}). Whether anything was changed is not known; look at the keys."
        ) from error


def _log(request: Request, words: str, row: Any) -> None:
    """Whose, and by whom."""
    log.info(words, key_id=row.id, prefix=row.prefix, tenant=row.tenant, by=principal_of(request).key_id or "operator")


def _id(request: Request) -> str:
    return str(request.path_params["key_id"])


def _there(request: Request, row: Any) -> Any:
    if row is None:
        raise Problem(404, f"Nobody has made a key {_id(request)[:100]!r}.")
    return row


def _shown(row: Any, key: str, status: int) -> Response:
    made = json({**making.told(row), "key": key}, status)
    made.headers.update(_NEVER_KEPT)
    return made


def _worded(check: Callable[[Any], Any], given: Any) -> Any:
    """Raises `Problem` 422 with the sentence of a ValueError."""
    try:
        return check(given)
    except ValueError as error:
        raise Problem(422, str(error)) from None
