"""`/v1/runs…`: work that is asked for as one, and told about as one; `streams.web.submitting` takes it."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
from sqlalchemy import Connection, Row
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from schemas.runs import ENDED
from store.database import now as clock
from store.errors import StoreError
from store.ledger.types.arrivals import Arrival, CancelAsk
from store.runs import deliveries, jobs, money, read, steps, write
from streams import requested
from streams.runs import collecting, kinds, telling
from streams.runs.pipelines import KIND
from streams.spine import Spine
from streams.web import cursors, orders, pipelines, queries, rerunning, retried
from streams.web.asking import seconds
from streams.web.events import HEARTBEAT_S
from streams.web.front import Front
from streams.web.looking import change
from streams.web.looking import read as look_up
from streams.web.orders import spine_of
from streams.web.principal import principal_of
from streams.web.problems import Problem, unavailable
from streams.web.replies import json, tagged

LISTED = ("tenant", "status", "name", "limit", "cursor")
_LOOK_S = 0.1


async def one(front: Front, request: Request) -> Response:
    """A run as it stands; `?wait=` so many seconds for its end."""
    told = queries.told(request, ("tenant", "wait"))
    row = await _named(front, request, told)
    wait = seconds(told.get("wait")) or 0.0
    return await answer(front, await until_end(front, row, wait) if wait else row)


async def listed(front: Front, request: Request) -> Response:
    """Runs, newest first: `?status=&name=&limit=&cursor=`."""
    told = queries.told(request, LISTED)
    limit = queries.whole("limit", told.pop("limit", None), 50, 500)
    given, status = told.pop("cursor", None), told.get("status")
    name = kinds.own_name(told["name"]) if "name" in told else None
    if status is not None and status not in {*ENDED, "queued", "running"}:
        raise Problem(
            422, f"status={status[:100]!r} is not known; choose one of queued, running, {', '.join(sorted(ENDED))}."
        )
    list_ = f"runs {orjson.dumps(sorted(told.items())).decode()}"
    try:
        after = None if given is None else cursors.named(list_, given)
    except cursors.Foreign as error:
        raise Problem(400, str(error)) from None
    tenant = tenant_of(front, request, told.get("tenant"))
    rows, end = await look_up(front.parts(), lambda conn: read.page(conn, tenant, status, name, after, limit))
    next_ = None if end is None else cursors.cursor_named(list_, *end)
    shown = [telling.shown(row).model_dump(mode="json", exclude=telling.BRIEF) for row in rows]
    return tagged(request, orjson.dumps({"items": shown, "next": next_}))


async def items(front: Front, request: Request) -> Response:
    """A run's items in the order of the input, a page at a time: `?status=&limit=&cursor=`."""
    told = queries.told(request, ("tenant", "status", "limit", "cursor"))
    row = await _named(front, request, told)
    limit = queries.whole("limit", told.get("limit"), 50, 500)
    list_ = f"items {row.tenant} {row.id} {told.get('status')}"
    try:
        place = _place(list_, told["cursor"]) if "cursor" in told else collecting.Place()
    except cursors.Foreign as error:
        raise Problem(400, str(error)) from None
    state = told.get("status")
    if state is not None and state not in requested.FINISHED:
        raise Problem(422, f"status={state[:100]!r} is not known; choose one of {', '.join(requested.FINISHED)}.")
    found, end = await look_up(front.parts(), lambda conn: collecting.page(conn, row, place, limit, state))
    next_ = None if end is None else cursors.cursor_named(list_, 0.0, f"{end.pk} {end.number}")
    return json({"items": found, "next": next_})


def _place(list_: str, given: str) -> collecting.Place:
    pk, _, number = cursors.named(list_, given)[1].partition(" ")
    return collecting.Place(int(pk), int(number or 0))


async def results(front: Front, request: Request) -> Response:
    """All items with their answers as JSON Lines, in the order of the input."""
    row = await _named(front, request, queries.told(request, ("tenant",)))
    database = front.parts().database

    async def lines() -> AsyncIterator[bytes]:
        async for each in collecting.items(database, row):
            yield orjson.dumps(each) + b"\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


async def events(front: Front, request: Request) -> Response:
    """`progress` whenever it changes and `end` at the end, as server-sent events; `Last-Event-ID` goes on."""
    row = await _named(front, request, queries.told(request, ("tenant",)))
    had = request.headers.get("last-event-id", "")
    if row.ended_at is not None and had == _mark(row):
        return Response(status_code=204)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(front, row, had), media_type="text/event-stream; charset=utf-8", headers=headers)


async def _events(front: Front, row: Row[Any], had: str) -> AsyncIterator[bytes]:
    yield b"retry: 2000\n\n"
    said_at = time.monotonic()
    while True:
        if (mark := _mark(row)) != had:
            kind = b"end" if row.ended_at is not None else b"progress"
            told = telling.shown(row).model_dump_json(exclude=telling.BRIEF).encode()
            yield b"event: %b\nid: %b\ndata: %b\n\n" % (kind, mark.encode(), told)
            had, said_at = mark, time.monotonic()
        elif time.monotonic() - said_at > HEARTBEAT_S:
            yield b": still here\n\n"
            said_at = time.monotonic()
        if row.ended_at is not None or front.spine is None:
            return
        await asyncio.sleep(min(front.settings.poll_s, 1.0) / 2)
        row = await row_of(front, row.tenant, row.id)


def _mark(row: Row[Any]) -> str:
    return f"{row.status}.{row.total}.{row.succeeded}.{row.failed}.{row.stopped}.{row.cost_nano}"


async def cancel(front: Front, request: Request) -> Response:
    """Cancel a run: one flag, which every claim looks at; what is being called is aborted. 409: it has ended."""
    spine = spine_of(front, request)
    id_ = request.path_params["run_id"]
    tenant = _visible(front, request, queries.told(request, ("tenant",)).get("tenant"), id_)
    row = await look_up(spine, lambda conn: read.one(conn, tenant, id_))
    if row is None:  # requests may name a run of their own, which nobody submitted as one
        return await orders.cancel_run(front, request)
    if not await change(spine, lambda conn: write.cancel(conn, tenant, id_)):
        raise Problem(409, f"The run {row.id!r} has ended before ({row.status}); nothing was cancelled.")
    ask = CancelAsk(row.tenant, None, None, row.id)
    try:
        await spine.writer.accept([Arrival(ask, None, None, None, b"[]")])
    except StoreError as error:
        raise unavailable(f"The database is away ({error}); asking again is harmless.") from error
    spine.runs.look()
    return await answer(front, await row_of(front, row.tenant, row.id), 202)


async def retry(front: Front, request: Request) -> Response:
    """Run again the items that did not succeed, and only those; of a pipeline, the steps. `?budget_usd=` is what the whole run may
    cost from now on.
    """
    spine, told = spine_of(front, request), queries.told(request, ("tenant", "budget_usd"))
    row = await _named(front, request, told)
    if row.ended_at is None:
        raise Problem(409, f"The run {row.id!r} has not ended ({row.status}); retry it when it has.")
    if row.broken_off:
        raise Problem(409, f"The upload of the run {row.id!r} broke off, so its last items never came; send it anew.")
    if row.failed + row.stopped == 0:
        raise Problem(409, f"Every item of the run {row.id!r} has succeeded; there is nothing to run again.")
    if kinds.is_job(row):
        return await _job_again(front, spine, request, row)
    if row.fed < row.total and await look_up(spine, lambda conn: read.next_part(conn, row.tenant, row.id)) is None:
        raise Problem(409, f"The last items of the run {row.id!r} are no longer kept (GENAI_KEEP_BODIES_DAYS).")
    limit = retried.limit(row, told.get("budget_usd"))
    names = await pipelines.failed_steps(front, row) if row.kind == KIND else []
    below = [f"{name}/" for name in names]
    count, later_s = await rerunning.failed_items(spine, row, principal_of(request), limit, below)
    # last: whoever counts it must find what runs again
    await change(spine, lambda conn: _reopen(conn, row, spine.worker))
    spine.runs.look()
    shown = telling.shown(await row_of(front, row.tenant, row.id)).model_dump(mode="json")
    made = json(shown | {"retried": count or len(names)}, 202)
    made.headers.update({} if later_s is None else rerunning.header(later_s))
    return made


def _reopen(conn: Connection, row: Row[Any], owner: str) -> None:
    write.reopen(conn, row.tenant, row.id, owner)
    if row.kind == KIND:
        steps.again(conn, row.tenant, row.id)


async def _job_again(front: Front, spine: Spine, request: Request, row: Row[Any]) -> Response:
    principal_of(request).check_admin()

    def work(conn: Connection) -> None:
        write.allow(conn, row.tenant, row.id)
        write.reopen(conn, row.tenant, row.id, spine.worker)
        if not jobs.again(conn, row.tenant, row.id):
            words = f"What the run {row.id!r} was asked for is no longer kept (GENAI_KEEP_BODIES_DAYS); submit another."
            raise Problem(409, words)

    await change(spine, work)
    spine.runs.look()
    shown = telling.shown(await row_of(front, row.tenant, row.id)).model_dump(mode="json")
    return json(shown | {"retried": 1}, 202)


async def answer(front: Front, row: Row[Any], status: int = 200) -> Response:
    """How a run stands, with its results where it has ended; `Location` is its own address."""
    result = await collecting.result(front.parts().database, row)
    sent, found, at, state = await look_up(
        front.parts(),
        lambda conn: (
            deliveries.of_run(conn, row.tenant, row.id),
            steps.of_run(conn, row.tenant, row.id) if row.kind == KIND else (),
            clock(conn),
            money.standing(conn, row.tenant, row.id) if row.budget_nano is not None and row.ended_at is None else None,
        ),
    )
    told = telling.shown(row, result, sent, found, at, state).model_dump(mode="json")
    made = json(told, status)
    made.headers["Location"] = told["items_url"].rpartition("/items?")[0]
    return made


async def until_end(front: Front, row: Row[Any], wait: float) -> Row[Any]:
    """As it is at its end, or after so many seconds."""
    until = time.monotonic() + wait
    while row.ended_at is None and time.monotonic() < until and not front.leaving:
        await asyncio.sleep(min(_LOOK_S, max(0.0, until - time.monotonic())))
        row = await row_of(front, row.tenant, row.id)
    return row


async def _named(front: Front, request: Request, told: dict[str, str]) -> Row[Any]:
    id_ = request.path_params["run_id"]
    return await row_of(front, _visible(front, request, told.get("tenant"), id_), id_)


def _visible(front: Front, request: Request, given: str | None, id_: str) -> str:
    """Whose run is meant; another tenant's is as unknown as one that there is not. Raises `Problem`: 404, 422."""
    if "\0" in id_ or (given is not None and not principal_of(request).sees(given)):  # no database is asked for a NUL
        raise _unknown(id_)
    return tenant_of(front, request, given)


def _unknown(id_: str) -> Problem:
    return Problem(404, f"There is no run {id_[:200]!r}; if it is another tenant's, add ?tenant=.")


async def row_of(front: Front, tenant: str, id_: str) -> Row[Any]:
    """Raises `Problem`: 404, 503."""
    found: Row[Any] | None = await look_up(front.parts(), lambda conn: read.one(conn, tenant, id_))
    if found is None:
        raise _unknown(id_)
    return found


def tenant_of(front: Front, request: Request, given: str | None) -> str:
    """Whose runs are meant. Raises `Problem`: 403, 422."""
    try:
        named = requested.named("tenant", given)
    except ValueError as error:
        raise Problem(422, str(error)) from None
    return principal_of(request).tenant_of(named, front.settings.default_tenant)
