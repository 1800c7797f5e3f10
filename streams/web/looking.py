"""`GET /v1/requests/{id}`: one request, with its calls."""

import time
from typing import Any

from sqlalchemy import Row
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from schemas.errors import ErrorType
from store.database import Work
from store.ledger import generating, pages
from store.ledger.backlog import Backlog
from store.ledger.types.steps import UNFINISHED
from streams.budgets import patiently
from streams.finding import named
from streams.spine import Spine
from streams.web import showing
from streams.web.front import Front
from streams.web.principal import principal_of
from streams.web.problems import Problem, answering
from streams.web.queries import told
from streams.web.replies import json, tagged
from streams.web.showing import status_url

_ORDERS = ("/cancel", "/retry", "/drop")
"""What is said about a request stands behind its id, and an id may end so too."""


async def read(spine: Spine, work: Work[Any]) -> Any:
    """A look into the ledger. Raises `Problem` 503 while it is away."""
    with answering():
        return await spine.database.read(work)


async def report(spine: Spine, work: Work[Any]) -> Any:
    """A look that may take long, in a lane of its own. Raises `Problem`: 503, and 422 where too much is asked."""
    with answering():
        return await spine.database.report(work)


async def change(spine: Spine, work: Work[Any]) -> Any:
    """A change of the ledger that may be made again. Raises `Problem` 503 while it is away."""
    with answering():
        return await patiently(spine.database, work)


async def one_request(front: Front, request: Request) -> Response:
    """Unfinished: state, lane, attempts, age, progress. Finished: its result, with 200 whatever the result says. Both with the calls."""
    try:
        row, far = await find(front, request)
    except Problem as problem:
        if problem.status in {404, 422} and request.path_params["request_id"].endswith(_ORDERS):
            raise HTTPException(405) from problem
        raise
    calls = [showing.call(each) for each in await read(front.parts(), lambda conn: pages.calls_of(conn, row.pk))]
    if row.body is not None:
        return tagged(request, showing.with_calls(row.body, calls))
    return json(showing.unfinished(row, time.time(), far) | {"queue": await place(front, row), "calls": calls})


async def backlog_of(front: Front) -> Backlog:
    """What waits. Raises `Problem` 503."""
    with answering():
        return await front.looker.backlog(front.parts().database)


async def place(front: Front, row: Any) -> dict[str, Any]:
    """Position and estimate of an unfinished request. Raises `Problem` 503."""
    with answering():
        return await front.looker.place(front.parts().database, row)


def status_url_of(row: Any) -> str:
    """Where it is asked for again."""
    return status_url(row.tenant, row.operation, row.id)


async def find(front: Front, request: Request) -> tuple[Row[Any], Row[Any] | None]:
    """The one that the path and the query mean, and how far its call is. Raises `Problem`: 404, 409."""
    spine = front.parts()
    id_ = request.path_params["request_id"]
    given = told(request, ("tenant", "operation"))
    tenant, operation = given.get("tenant"), given.get("operation")
    who = principal_of(request)
    seen = tenant if who.tenant is None else who.tenant

    def look(conn: Any) -> tuple[list[Row[Any]], Row[Any] | None]:
        found = named(conn, spine.settings, id_, seen, operation) if tenant in {None, seen} else []
        calling = [row for row in found if row.state == "calling"]
        return found, generating.of(conn, calling[0].pk) if len(calling) == 1 else None

    found, far = await read(spine, look)
    if not found:
        raise Problem(404, f"No request has the id {id_!r}{_narrowed(tenant, operation)}.")
    if len(found) > 1:
        raise Problem(
            409,
            f"{len(found)} requests have the id {id_!r}: add ?tenant= and &operation= to say which one is meant.",
            candidates=[
                {
                    "tenant": row.tenant,
                    "operation": row.operation,
                    "status_url": status_url(row.tenant, row.operation, row.id),
                }
                for row in found
            ],
        )
    if found[0].body is None and found[0].state not in UNFINISHED:
        raise gone(found[0])
    return found[0], far


def gone(row: Any) -> Problem:
    """410: it ended, and its answer was pruned; what is still known stands beside."""
    words = f"{row.id!r} ended as {row.state}; its answer is no longer kept (GENAI_KEEP_BODIES_DAYS)."
    return Problem(410, words, error=ErrorType.RECORDED_ANSWER_EXPIRED, request=showing.item(row))


def _narrowed(tenant: str | None, operation: str | None) -> str:
    told = [f"{name} {value!r}" for name, value in (("tenant", tenant), ("operation", operation)) if value]
    return f" under {' and '.join(told)}" if told else "; if its tenant is a rare one, add ?tenant="
