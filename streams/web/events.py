"""`GET /v1/requests/{id}/events`: what happens to one request, as server-sent events, until it has ended.

A request's state is a level, not a log: an event says how things stand. So whoever comes back with `Last-Event-ID` gets
the present state, unless it is the very one that they have; who has the result is told 204, by which browsers stop asking.
"""

import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
from sqlalchemy import Row
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from store.errors import StoreError
from streams.web import looking, showing
from streams.web.front import Front
from streams.web.problems import Problem

HEARTBEAT_S = 15.0
_AGAIN_MS = 2000
_WAITS = frozenset({"waiting", "leased"})
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


async def stream(front: Front, request: Request) -> Response:
    """`state`, `queue`, `progress`, and `result` at the end; a comment when nothing happens for 15 s."""
    row, far = await looking.find(front, request)
    had = request.headers.get("last-event-id", "")
    if row.body is not None and had == _ended(row):
        return Response(status_code=204)
    return StreamingResponse(
        _events(front, request, row, far, had), media_type="text/event-stream; charset=utf-8", headers=_HEADERS
    )


async def _events(
    front: Front, request: Request, row: Row[Any], far: Row[Any] | None, had: str
) -> AsyncIterator[bytes]:
    """The client's leaving cancels it."""
    yield b"retry: %d\n\n" % _AGAIN_MS
    state, said_at = "", time.monotonic()
    stood: int | None = None
    while row.body is None:
        name, now = _name(row, far), _state(row)
        if name != had and now != state:
            yield _event("state", name, showing.unfinished(row, time.time(), far))
        elif name != had and far is not None:
            yield _event("progress", name, showing.progress(far))
        if row.state in _WAITS and (place := await _place(front, row)) is not None and place["position"] != stood:
            stood, said_at = place["position"], time.monotonic()
            yield b"event: queue\ndata: %b\n\n" % orjson.dumps(place)
        if name != had:
            had, state, said_at = name, now, time.monotonic()
        elif time.monotonic() - said_at > HEARTBEAT_S:
            yield b": still here\n\n"
            said_at = time.monotonic()
        found = await _next(front, request, row)
        if found is None:
            return
        row, far = found
    yield b"event: result\nid: %b\ndata: %b\n\n" % (_ended(row).encode(), bytes(row.body))


async def _next(front: Front, request: Request, row: Row[Any]) -> tuple[Row[Any], Row[Any] | None] | None:
    """How things stand when it has ended, or a poll later; None: this process can say no more."""
    if front.waiters is None or front.spine is None:
        return None
    began, poll_s = time.monotonic(), front.settings.poll_s
    body = await front.waiters.wait((row.pk, row.generation), poll_s)
    if body is None and time.monotonic() - began < poll_s / 2:  # everybody is sent home: the process ends
        return None
    try:
        return await looking.find(front, request)
    except (Problem, StoreError):
        return None


async def _place(front: Front, row: Row[Any]) -> dict[str, Any] | None:
    """Where it stands in its queue; None while that cannot be looked up."""
    try:
        return await looking.place(front, row)
    except Problem:
        return None


def _event(kind: str, name: str, data: dict[str, Any]) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (kind.encode(), name.encode(), orjson.dumps(data))


def _state(row: Row[Any]) -> str:
    return f"{row.generation}.{row.fence}.{row.state}"


def _name(row: Row[Any], far: Row[Any] | None) -> str:
    return f"{_state(row)}.{0 if far is None else far.calls}.{0 if far is None else far.tokens}"


def _ended(row: Row[Any]) -> str:
    return f"{row.generation}.end"
