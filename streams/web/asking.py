"""`POST /v1/<operation>`: into the ledger, and the answer when it is there in time."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
import uuid_utils
from starlette.requests import Request
from starlette.responses import Response

from agents import OPERATIONS
from schemas.request import Lane
from store.errors import StoreError
from store.ledger.types.arrivals import Accepted, Arrival, Ask
from store.rows import pack_headers
from streams import aliases
from streams.decode import TOO_DEEP, Headers, envelope
from streams.web import admitting, again, heads, leaving, queries
from streams.web.bodies import read_object
from streams.web.front import Front
from streams.web.principal import principal_of
from streams.web.problems import Problem, status_of, unavailable
from streams.web.showing import status_url

LANES = {lane.name.lower(): lane for lane in Lane}
MOST_WAIT_S = 3600.0
IDEMPOTENCY_KEY = "idempotency-key"
_ACCEPT_S = 10.0
_KEPT = ("traceparent", "tracestate")


def route(front: Front, operation: str) -> Callable[[Request], Awaitable[Response]]:
    """The handler of one operation."""

    async def ask(request: Request) -> Response:
        spine = front.parts()
        if front.leaving:
            raise unavailable("This process is ending; ask again in a moment.")
        told = queries.told(request, ("wait", "lane"))
        lane, wait = lane_of(told.get("lane", "normal")), seconds(told.get("wait"))
        body = _own_names(operation, await read_object(request, spine.settings.request_max_bytes))
        _check_one_shape(operation, body)
        wait = _take_wait(body, wait)
        record = envelope(body)
        if wait is None:
            wait = _usual_wait(record, spine.settings.default_timeout_s)
        _take_key(record, heads.text(request, IDEMPOTENCY_KEY))

        def settled(what: Ask) -> Ask:
            return replace(what, alone=wait > 0 and what.idempotency_key is None, caller=spine.worker)

        what, found = await accept(front, request, operation, lane, record, _headers(request), settle=settled)
        async with leaving.watched(front, request, what, found):
            return await _answer(front, what, found, wait)

    ask.__name__ = operation
    ask.__doc__ = f"Run `{operation}` and answer with its result; see `?wait=` and `?lane=`."
    return ask


def unknown(operation: str) -> Problem:
    """404: names the operations that there are."""
    return Problem(404, f"There is no operation {operation!r}; there are {', '.join(sorted(OPERATIONS))}.")


def _own_names(operation: str, body: dict[str, Any]) -> dict[str, Any]:
    """Raises `Problem` 422 where a field stands there by two names."""
    for other, own in aliases.of(operation).items():
        if other in body and own in body:
            raise Problem(422, f"`{other}` is another name of `{own}`; send one of them.")
    return aliases.own_names(operation, body)


def _check_one_shape(operation: str, body: dict[str, Any]) -> None:
    """Of two texts one would be worked on, and nobody knows which one was meant."""
    if not isinstance(body.get("input"), dict):
        return
    fields = OPERATIONS[operation].input.model_fields.items()
    twice = [name for name in body if any(name in {own, field.alias} for own, field in fields)]
    if twice:
        named = ", ".join(f"`{name}`" for name in twice)
        raise Problem(
            422, f"{named} beside `input`: send what belongs to {operation} either in `input`, or without it."
        )


def lane_of(given: str) -> Lane:
    """By its name. Raises `Problem` 422."""
    if given.lower() not in LANES:
        raise Problem(422, f"lane={given[:100]!r} is not known; choose one of {', '.join(LANES)}.")
    return LANES[given.lower()]


def _take_wait(body: dict[str, Any], asked: float | None) -> float | None:
    """As `?wait=` asks, or the field: as many seconds, or true, as long as usual, or false, not at all."""
    given = body.pop("wait", None)
    if given is None:
        return asked
    if asked is not None:
        raise Problem(422, "`wait` stands in the body and behind the `?` too; send one of them.")
    if isinstance(given, bool):
        return None if given else 0.0
    if not isinstance(given, int | float):
        raise Problem(422, "`wait` is true, false, or seconds as a number.")
    return seconds(str(given))


def seconds(given: str | None) -> float | None:
    """How long a caller waits. Raises `Problem` 422."""
    if given is None:
        return None
    try:
        found = float(given)
    except ValueError:
        found = -1.0
    if not 0 <= found <= MOST_WAIT_S:
        raise Problem(422, f"wait={given[:100]!r} is no number of seconds from 0 to {MOST_WAIT_S:.0f}.")
    return found


def _usual_wait(record: dict[str, Any], otherwise: float) -> float:
    """The time-out of one call; whatever else stands there is the decoder's to refuse."""
    options = record.get("options")
    given = options.get("timeout_s") if isinstance(options, dict) else None
    return min(float(given), MOST_WAIT_S) if isinstance(given, int | float) and given > 0 else otherwise


def _headers(request: Request) -> Headers:
    """Those that come back with the result, and those that stand in for a field; never a key."""
    return [
        (name, value.encode("latin-1"))
        for name, value in request.headers.items()
        if name in _KEPT or name.startswith("genai-")
    ]


def _take_key(record: dict[str, Any], given: str | None) -> None:
    """The header stands in for the field. As the IETF's draft writes it, it may stand between quotes."""
    if given is None:
        return
    key = given[1:-1] if len(given) > 1 and given[0] == given[-1] == '"' else given
    if record.get("idempotency_key") not in {None, key}:
        raise Problem(422, "The header Idempotency-Key and the field idempotency_key name different keys; send one.")
    record["idempotency_key"] = key


async def accept(
    front: Front,
    request: Request,
    operation: str,
    lane: Lane,
    record: dict[str, Any],
    headers: Headers,
    *,
    settle: Callable[[Ask], Ask],
) -> tuple[Ask, Accepted]:
    """Into the ledger. `settle` adds what the door knows of the caller, or refuses. Raises `Problem`."""
    spine = front.parts()
    tenant = principal_of(request).tenant_of(None, spine.settings.default_tenant)
    try:
        raw = orjson.dumps(record)
    except TypeError:
        raise Problem(400, f"The body cannot be kept: {TOO_DEEP}.") from None
    place = str(uuid_utils.uuid7())
    decode = partial(spine.decoder.ask, operation, lane, raw, headers, place=place, tenant=tenant)
    try:
        what = await spine.registry.decoded(decode, spine.decoder.may_know_later)
    except StoreError as error:
        raise unavailable(f"The database is away ({error}); nothing was taken. Ask again.") from error
    if not isinstance(what, Ask):
        raise Problem(422, f"{what.failure.message}.")
    if not spine.writer.health.ok:
        raise unavailable(f"The database is away ({spine.writer.health.why}); nothing was taken. Ask again.")
    what = await admitting.admitted(front, request, settle(what))
    await front.gate.check(spine, what)
    arrival = Arrival(what, None, None, raw, pack_headers(headers))
    try:
        async with asyncio.timeout(_ACCEPT_S):
            if what.failure is None:
                await spine.engine.pools.ensure((what.provider, what.model))
            (found,) = await spine.engine.accept([arrival])
    except (TimeoutError, StoreError) as error:
        why = str(error) or f"no commit within {_ACCEPT_S:.0f} s"
        words = f"The database is away ({why}). Whether the request was taken is not known; ask again with the same id."
        raise unavailable(words) from error
    admitting.check_room(what, found)
    return what, found


async def ended(front: Front, found: Accepted, wait: float) -> bytes | None:
    """The result of what was accepted; None: it takes longer."""
    if found.body is not None:
        return found.body
    if found.pk is None:
        raise Problem(422, "The database cannot keep this request: a text in it holds a character that it refuses.")
    assert front.waiters is not None
    return await front.waiters.wait((found.pk, found.generation), wait)


async def _answer(front: Front, what: Ask, found: Accepted, wait: float) -> Response:
    async with leaving.promised(front, what, found):
        body = await ended(front, found, wait)
        if body is not None:
            return result(body)
        if what.alone and found.pk is not None and not front.leaving:
            await front.stay([(found.pk, found.generation)])
    url = status_url(what.tenant, what.operation, what.id)
    told = {
        "request_id": what.id,
        "status": "unfinished",
        "tenant": what.tenant,
        "operation": what.operation,
        "status_url": url,
    }
    headers = {"Location": url, "Retry-After": "1"}
    return Response(orjson.dumps(told), 202, headers, media_type="application/json")


def result(body: bytes) -> Response:
    """A terminal result under the status that its end stands for."""
    told = orjson.loads(body)
    return Response(body, status_of(told), again.header(told.get("error"), time.time()), media_type="application/json")
