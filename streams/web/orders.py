"""`POST /v1/requests/{id}/cancel` and `/v1/runs/{id}/cancel`: what a person may say about a request that was sent.

They take no body, so a page of another site could make a browser send them; one that is not among the origins is refused.
"""

import asyncio
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from agents import OPERATIONS
from store.errors import StoreError
from store.ledger import cancels, queries
from store.ledger.types.arrivals import Accepted, Arrival, CancelAsk
from streams import cancelling, deciding, requested
from streams.spine import Spine
from streams.web import asking
from streams.web.front import Front
from streams.web.looking import read
from streams.web.principal import principal_of
from streams.web.problems import Problem, answering, unavailable
from streams.web.queries import told
from streams.web.replies import json
from streams.web.showing import status_url

_ACCEPT_S = 10.0
USUAL_WAIT_S = 2.0
"""So long an abort is waited for: it takes a second at most where its holder lives."""


async def cancel_request(front: Front, request: Request) -> Response:
    """Cancel one request. 200: cancelled; 202: its call is being aborted, or it is kept for an unknown id; 409: it has ended."""
    spine = spine_of(front, request)
    given = told(request, ("tenant", "operation", "wait"))
    wait = asking.seconds(given.get("wait"))
    ask = CancelAsk(*await _named(spine, request, given, kept=True))
    found = await apply(spine, ask)
    body = await ended(front, found, USUAL_WAIT_S if wait is None else wait)
    state = found.state if body is None else orjson.loads(body)["status"]
    return _answer(ask, Accepted(found.decision, found.pk, found.generation, state=state))


async def cancel_run(front: Front, request: Request) -> Response:
    """Cancel every unfinished request of a run, and whatever of it comes later. 202: they end as workers come to them."""
    spine = spine_of(front, request)
    given = told(request, ("tenant",))
    who = principal_of(request)
    tenant = _checked("tenant", given.get("tenant") or who.tenant_of(None, spine.settings.default_tenant))
    run_id = _checked("run_id", request.path_params["run_id"])
    if not who.sees(tenant):
        raise Problem(404, f"Nobody knows a run {run_id!r} of the tenant {tenant!r}.")
    unfinished = await read(spine, lambda conn: cancels.of_run(conn, tenant, run_id))
    await apply(spine, CancelAsk(tenant, run_id=run_id))
    return json(cancelling.told_run(run_id, tenant, unfinished, "cancelled"), 202)


async def retry(front: Front, request: Request) -> Response:
    """Let a held request be tried again; the call that may have been paid is made once more. 409: it is not held."""
    return await _decide(front, request, "retry")


async def drop(front: Front, request: Request) -> Response:
    """End a held request as `failed`, `ambiguous`; what it cost stays booked. 409: it is not held."""
    return await _decide(front, request, "drop")


async def _decide(front: Front, request: Request, word: deciding.Word) -> Response:
    spine = spine_of(front, request)
    named = await _named(spine, request, told(request, ("tenant", "operation")), kept=False)
    principal_of(request).check_operation(named[1])
    with answering():
        (said,) = await spine.database.write(
            lambda conn: deciding.decide(conn, spine.routes, word, [named], spine.worker)
        )
    spine.engine.look()
    if not said["done"]:
        raise Problem(
            404 if said["state"] is None else 409, f"The request {named[2]!r}: {said['why']}.", state=said["state"]
        )
    return json(said | {"status_url": status_url(*named)})


def spine_of(front: Front, request: Request) -> Spine:
    """Raises `Problem`: 403 for a page of another site, 503 while there are no parts."""
    own_site(front, request)
    return front.parts()


def own_site(front: Front, request: Request) -> None:
    """Raises `Problem` 403 for a page of another site."""
    origin = request.headers.get("origin")
    allowed = front.settings.origins()
    if (
        origin is not None
        and origin not in (f"{request.url.scheme}://{request.url.netloc}", *allowed)
        and "*" not in allowed
    ):
        raise Problem(403, f"A page of {origin[:200]!r} may not do this; name it in GENAI_CORS_ORIGINS if it may.")


async def _named(spine: Spine, request: Request, given: dict[str, str], *, kept: bool) -> tuple[str, str, str]:
    """Whose request is meant: of the tenant that is said, or the caller's, or the default one. Raises `Problem`: 404, 409, 422."""
    id_ = _checked("id", request.path_params["request_id"])
    who = principal_of(request)
    tenant = _checked("tenant", given.get("tenant") or who.tenant_of(None, spine.settings.default_tenant))
    operation = given.get("operation", "").replace("-", "_")
    if operation and operation not in OPERATIONS:
        raise asking.unknown(operation[:100])
    if not who.sees(tenant):
        raise Problem(404, cancelling.unclear(id_, tenant, [], "?operation=", "?tenant=", kept=False))
    if operation:
        return tenant, operation, id_
    known = await read(spine, lambda conn: cancelling.operation_of(conn, spine.settings, id_, tenant))
    if len(known) != 1:
        words = cancelling.unclear(id_, tenant, known, "?operation=", "?tenant=", kept=kept)
        raise Problem(409 if known else 404, words, operations=known)
    return tenant, known[0], id_


def _checked(name: str, value: str) -> str:
    try:
        found = requested.named(name, value)
    except ValueError as error:
        raise Problem(422, str(error)) from None
    assert found is not None
    return found


async def apply(spine: Spine, ask: CancelAsk) -> Accepted:
    """Cancel, in the ledger. Raises `Problem` 503."""
    if not spine.writer.health.ok:
        raise unavailable(f"The database is away ({spine.writer.health.why}); nothing was cancelled. Ask again.")
    try:
        async with asyncio.timeout(_ACCEPT_S):
            (found,) = await spine.writer.accept([Arrival(ask, None, None, None, b"[]")])
    except (TimeoutError, StoreError) as error:
        raise unavailable(
            "The database is away. Whether it was cancelled is not known; asking again is harmless."
        ) from error
    return found


async def ended(front: Front, found: Accepted, wait: float) -> bytes | None:
    """The result of a call that is being aborted, if its end comes in time."""
    if found.state != "calling" or found.pk is None:
        return None
    assert front.waiters is not None
    body = await front.waiters.wait((found.pk, found.generation), wait)
    pk, generation = found.pk, found.generation
    return body or await read(front.parts(), lambda conn: queries.result_of(conn, pk, generation))


def _answer(ask: CancelAsk, found: Accepted) -> Response:
    assert ask.operation is not None and ask.id is not None
    said: dict[str, Any] = cancelling.told(ask, found)
    url = status_url(ask.tenant, ask.operation, ask.id)
    if said["cancel"] == "ended":
        words = f"The request {ask.id!r} has ended before ({found.state}); nothing was cancelled."
        raise Problem(409, words, ended=found.state, operation=ask.operation, status_url=url)
    status = 200 if said["cancel"] == "cancelled" else 202
    return json(said | {"status_url": None if said["cancel"] == "kept" else url}, status)
