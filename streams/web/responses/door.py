"""`POST /v1/responses`: OpenAI's clients, whoever answers; at once, while it is made, or in the background."""

from collections.abc import Sequence

import orjson
from starlette.requests import Request
from starlette.responses import Response

from store.ledger import responses
from streams.web import asking
from streams.web.front import Front
from streams.web.looking import read
from streams.web.openai import door, sse
from streams.web.openai.answers import choices
from streams.web.openai.door import Taking
from streams.web.openai.fields import wrong
from streams.web.problems import Problem
from streams.web.replies import json
from streams.web.responses import events, items, stored, telling, wire
from streams.web.responses.answers import PREFIX, Opened
from streams.web.responses.items import Turn
from streams.web.responses.stored import Standing


async def create(front: Front, request: Request) -> Response:
    """A response, as OpenAI's clients ask for it."""
    body = await door.body_of(front, request)
    wanted = wire.read(body)
    tenant = door.tenant_of(front, request)
    before = [] if wanted.previous is None else await _before(front, tenant, wanted.previous)
    taking = door.taking_of(front, request, body, wanted.asked(before), responses.OPERATION, PREFIX)
    if taking.asked.background:
        return await _background(taking, stream=wanted.stream)
    if wanted.stream:
        return sse.Streaming(lambda send: door.stream(taking, _words(taking), send))
    result = await door.result_of(taking)
    opened = Opened(taking.id, taking.asked.record, door.model_of(taking, result), door.created_of(result))
    return door.reply(opened.ended(result), [result])


def _words(taking: Taking) -> door.Words:
    def words(id_: str, model: str, created: int, _usage: bool) -> events.Chunks:
        return events.Chunks(Opened(id_, taking.asked.record, model, created))

    return words


async def _background(taking: Taking, *, stream: bool) -> Response:
    """It goes on without its caller, who is told where it stands."""
    front = taking.front
    _, found = await door.accept(taking)
    if found.pk is None or found.body is not None:  # it has ended already: well, or it was never taken
        body = await asking.ended(front, found, 0.0)
        assert body is not None
        await door.succeeded(taking, found, body)
    standing = await stored.standing(front, taking.tenant, taking.id)
    if stream:
        chunks = events.Chunks(standing.opened, queued=True)
        return sse.Streaming(lambda send: telling.tell(front, taking.request, standing, chunks, send))
    new = found.body is None and found.decision != "duplicate"
    return json(standing.opened.told("queued") if new else standing.told())


async def _before(front: Front, tenant: str, previous: str) -> Sequence[Turn]:
    """The chat up to the answer that is gone on from; without its instructions, which were for that answer. Raises `Problem` 400."""
    row = await read(front.parts(), lambda conn: responses.find(conn, tenant, previous))
    if row is None:
        raise _refused(f"Previous response with id {previous[:200]!r} not found.", "previous_response_not_found")
    standing = Standing(tenant, row)
    if standing.is_pruned:
        words = (
            f"The texts of {previous!r} are no longer kept (GENAI_KEEP_BODIES_DAYS); send the conversation in `input`."
        )
        raise _refused(words, "recorded_answer_expired")
    result = standing.result
    if result is None:
        words = f"The response {previous!r} has not ended; go on from it when its status is completed."
        raise _refused(words, "previous_response_not_ended")
    if result["status"] != "succeeded":
        words = f"The response {previous!r} ended as {result['status']}, without an answer to go on from."
        raise _refused(words, "previous_response_failed")
    if len(row.value) > front.settings.request_max_bytes:
        words = f"The conversation up to {previous!r} has {len(row.value)} bytes, more than a request may have (GENAI_REQUEST_MAX_BYTES)."
        raise _refused(words, "conversation_too_long")
    record = orjson.loads(row.value)
    first = 1 if record["response"]["instructed"] else 0
    return [*record["input"]["messages"][first:], items.said(choices(result)[0])]


def _refused(words: str, code: str) -> Problem:
    return wrong("previous_response_id", words, code)
