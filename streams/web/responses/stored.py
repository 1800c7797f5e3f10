"""`/v1/responses/{id}` and below: where a response stands, its stream again, its input; cancelled, or let go of."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
from sqlalchemy import Row
from starlette.requests import Request
from starlette.responses import Response

from store.ledger import responses
from store.ledger.types.arrivals import CancelAsk
from store.ledger.types.steps import UNFINISHED
from streams.web import looking, orders, queries
from streams.web.front import Front
from streams.web.openai import door, naming, sse
from streams.web.openai.fields import wrong
from streams.web.problems import Problem, answering
from streams.web.replies import json
from streams.web.responses import events, items, telling, wire
from streams.web.responses.answers import Opened, status_of

_FLAGS = {"true": True, "false": False}
_MOST_ITEMS, _USUAL_ITEMS = 100, 20
MOST_NUMBER = 2**31


@dataclass(frozen=True)
class Standing:
    """A response's row."""

    tenant: str
    row: Row[Any]

    @property
    def is_pruned(self) -> bool:
        """Whether its texts have gone."""
        return self.row.value is None or (self.row.body is None and self.row.state not in UNFINISHED)

    @cached_property
    def record(self) -> dict[str, Any]:
        """As it was asked for."""
        found: dict[str, Any] = orjson.loads(self.row.value)
        return found

    @cached_property
    def result(self) -> dict[str, Any] | None:
        """None: it has not ended."""
        return None if self.row.body is None else orjson.loads(self.row.body)

    @property
    def opened(self) -> Opened:
        """Without its answer."""
        result = self.result or {}
        provider, model = (result.get(name) or getattr(self.row, name) for name in ("provider", "model"))
        named = naming.told(self.record["options"]["model"], provider, model)
        return Opened(self.row.id, self.record, named, self.row.requested_at)

    def told(self) -> dict[str, Any]:
        """As it stands."""
        return self.opened.told(status_of(self.row.state)) if self.result is None else self.opened.ended(self.result)


async def standing(front: Front, tenant: str, id_: str) -> Standing:
    """Raises `Problem`: 404, 410, 503."""
    row = await looking.read(front.parts(), lambda conn: responses.find(conn, tenant, id_))
    if row is None:
        raise Problem(404, f"Response with id {id_[:200]!r} not found.")
    found = Standing(tenant, row)
    if found.is_pruned:
        raise looking.gone(row)
    return found


async def _named(front: Front, request: Request) -> Standing:
    return await standing(front, door.tenant_of(front, request), request.path_params["response_id"])


async def one(front: Front, request: Request) -> Response:
    """Where a response stands, with its answer; `?stream=true` tells its events, those behind `&starting_after=`."""
    given = queries.told(request, ("stream", "starting_after", "include", "include[]", "include_obfuscation"))
    stream, after = _flag(given, "stream"), _number(given)
    _flag(given, "include_obfuscation")
    for name in ("include", "include[]"):
        if given.get(name, wire.LOGPROBS) != wire.LOGPROBS:
            raise wrong("include", f"`include` can only be {wire.LOGPROBS}.", "unsupported_parameter")
    if after is not None and not stream:
        raise wrong("starting_after", "`starting_after` needs `stream=true`.")
    found = await _named(front, request)
    if not stream:
        return json(found.told())
    if not found.record["response"]["background"]:
        raise wrong("stream", "Only a response that was made with `background: true` can be streamed again.")
    if after is not None and telling.is_old(found.row):
        words = "The events of this response are no longer kept; ask for it without `stream`."
        raise Problem(410, words, code="stream_expired", param="starting_after")
    chunks = events.Chunks(found.opened, queued=True, after=-1 if after is None else after)
    return sse.Streaming(lambda send: telling.tell(front, request, found, chunks, send))


def _flag(given: dict[str, str], name: str) -> bool:
    found = _FLAGS.get(given.get(name, "false").lower())
    if found is None:
        raise wrong(name, f"`{name}` must be true or false.")
    return found


def _number(given: dict[str, str]) -> int | None:
    words = given.get("starting_after")
    if words is None:
        return None
    if not (words.isascii() and words.isdigit() and len(words) < 11 and int(words) < MOST_NUMBER):
        raise wrong("starting_after", f"`starting_after` is {words[:100]!r}; it is the sequence_number of an event.")
    return int(words)


async def cancel(front: Front, request: Request) -> Response:
    """Stop a response of the background; one that has ended is shown as it is."""
    spine = orders.spine_of(front, request)
    found = await _named(front, request)
    if not found.record["response"]["background"]:
        raise wrong(None, "Only a response that was made with `background: true` can be cancelled.")
    if found.result is not None:
        return json(found.told())
    done = await orders.apply(spine, CancelAsk(found.tenant, responses.OPERATION, found.row.id))
    await orders.ended(front, done, orders.USUAL_WAIT_S)
    return json((await standing(front, found.tenant, found.row.id)).told())


async def delete(front: Front, request: Request) -> Response:
    """Let go of a response that has ended: its texts go, what it cost stays."""
    spine = orders.spine_of(front, request)
    found = await _named(front, request)
    with answering():
        gone = await spine.database.write(lambda conn: responses.let_go(conn, found.row.pk))
    if not gone:
        words = f"The response {found.row.id!r} has not ended; cancel it first."
        raise Problem(409, words, code="not_ended")
    return json({"id": found.row.id, "object": "response", "deleted": True})


async def input_items(front: Front, request: Request) -> Response:
    """What a response was asked, without what it went on from: `?limit=&order=&after=`, newest first."""
    given = queries.told(request, ("limit", "order", "after", "include", "include[]"))
    limit = queries.whole("limit", given.get("limit"), _USUAL_ITEMS, _MOST_ITEMS)
    order = given.get("order", "desc")
    if order not in ("asc", "desc"):
        raise wrong("order", "`order` is asc or desc.")
    found = await _named(front, request)
    own = found.record["input"]["messages"][found.record["response"]["own"] :]
    listed = items.listed(own, found.opened.mark)
    ordered = listed if order == "asc" else listed[::-1]
    if (after := given.get("after")) is not None:
        places = [i for i, item in enumerate(ordered) if item["id"] == after]
        if not places:
            raise wrong("after", f"`after` is {after[:100]!r}, which is no item of this response.")
        ordered = ordered[places[0] + 1 :]
    page = ordered[:limit]
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
    return json({"object": "list", "data": page, **ends, "has_more": len(ordered) > limit})
