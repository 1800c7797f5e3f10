"""OpenAI's paths: through the same ledger, and out of the same engine, as every other request."""

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

import orjson
import uuid_utils
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Send

from providers.vocabulary import encoding_of
from schemas.errors import ErrorType, Failure
from schemas.request import MAX_NAME, Lane
from store.ledger import queries
from store.ledger.types.arrivals import Accepted, Ask
from streams.decode import TOO_DEEP, Headers
from streams.web import again, asking, heads, leaving
from streams.web.bodies import read_object
from streams.web.front import Front
from streams.web.looking import read
from streams.web.openai import answers, chat, completions, embeddings, moderations, naming, shape, sse, token_ids
from streams.web.openai.fields import Asked, refused, wrong
from streams.web.principal import principal_of
from streams.web.problems import Problem, unavailable

LANE, TENANT = "x-genai-lane", "x-genai-tenant"
REQUEST_ID, COST, CACHE, WARNINGS = "x-genai-request-id", "x-genai-cost-usd", "x-genai-cache", "x-genai-warnings"
_PARAMS = {"image_url": "messages", "chat": "model", "embed": "model"}
"""Where a wish stands in the body."""
_TRACES = ("traceparent", "tracestate")
Words = Callable[[str, str, int, bool], sse.Chunks]
_ONCE = {"x-should-retry": "false"}
"""OpenAI's clients ask again by themselves; what was tried and failed here has been tried as often as it may."""


@dataclass(frozen=True, slots=True)
class Taking:
    """One call of one of these paths, on its way into the ledger."""

    front: Front
    request: Request
    body: Mapping[str, Any]
    asked: Asked
    operation: str
    id: str
    tenant: str
    lane: Lane
    keyed: bool
    """It came with an idempotency key: the same body gets the same answer."""

    @property
    def alone(self) -> bool:
        """Nobody but this caller waits for it."""
        return not (self.keyed or self.asked.background)


async def chat_completions(front: Front, request: Request) -> Response:
    """A chat, as OpenAI's clients ask for it."""
    body = await body_of(front, request)
    taking = taking_of(front, request, body, chat.read(body), "complete", "chatcmpl-")
    if taking.asked.stream:
        return sse.Streaming(lambda send: stream(taking, answers.ChatChunks, send))
    result = await result_of(taking)
    return reply(answers.chat(result, model_of(taking, result), created_of(result)), [result])


async def old_completions(front: Front, request: Request) -> Response:
    """A bare prompt, as OpenAI's old clients ask for it."""
    body = await body_of(front, request)
    await token_ids.ready(body, "prompt", encoding_of(str(body.get("model"))))
    each = completions.read(body)
    first = taking_of(front, request, body, each[0], "complete", "cmpl-")
    if first.asked.stream:
        return sse.Streaming(lambda send: stream(first, answers.TextChunks, send))
    more = [replace(first, asked=asked, id=f"{first.id}-{i}") for i, asked in enumerate(each[1:], 1)]
    results = await _results([first, *more])
    return reply(answers.text(results, first.id, model_of(first, results[0]), created_of(results[0])), results)


async def embed(front: Front, request: Request) -> Response:
    """Embeddings, as OpenAI's clients ask for them."""
    body = await body_of(front, request)
    await token_ids.ready(body, "input", embeddings.vocabulary_of(str(body.get("model"))))
    asked, packed = embeddings.read(body)
    taking = taking_of(front, request, body, asked, "embed", "embd-")
    result = await result_of(taking)
    return reply(embeddings.answered(result, model_of(taking, result), packed=packed), [result])


async def moderate(front: Front, request: Request) -> Response:
    """Whether texts hold what should not be said, as OpenAI's clients ask it."""
    body = await body_of(front, request)
    taking = taking_of(front, request, body, moderations.read(body), "moderate", "modr-")
    result = await result_of(taking)
    return reply(moderations.answered(result, taking.id, model_of(taking, result)), [result])


async def body_of(front: Front, request: Request) -> dict[str, Any]:
    """What was sent. Raises `Problem`: 400, 413, 415, 503."""
    spine = front.parts()
    if front.leaving:
        raise unavailable("This process is ending; ask again in a moment.")
    return await read_object(request, spine.settings.request_max_bytes)


def taking_of(
    front: Front, request: Request, body: Mapping[str, Any], asked: Asked, operation: str, prefix: str
) -> Taking:
    """Who asks for it, how urgently, and under which id."""
    key = _key(request)
    id_ = uuid_utils.uuid7().hex if key is None else hashlib.blake2b(key.encode(), digest_size=16).hexdigest()
    return Taking(
        front,
        request,
        body,
        asked,
        operation,
        f"{prefix}{id_}",
        tenant_of(front, request),
        _lane(request, asked),
        key is not None,
    )


def _key(request: Request) -> str | None:
    """The request's id derives from it: the same key is the same request."""
    given = heads.text(request, asking.IDEMPOTENCY_KEY)
    if given is not None and len(given) > 1 and given[0] == given[-1] == '"':  # as the IETF's draft writes it
        given = given[1:-1]
    if given is not None and not (0 < len(given) <= MAX_NAME and given.isprintable()):
        raise wrong(None, f"The header Idempotency-Key must have 1 to {MAX_NAME} printable characters.")
    return given


def tenant_of(front: Front, request: Request) -> str:
    """Whose request it is: of the caller's key, else as the header says, else the default one. Raises `Problem` 403."""
    return principal_of(request).tenant_of(heads.text(request, TENANT), front.parts().settings.default_tenant)


def _lane(request: Request, asked: Asked) -> Lane:
    """People wait at these paths, so it is realtime where nothing is said, unless it is for the background."""
    told = heads.text(request, LANE)
    given = ("normal" if asked.background else "realtime") if told is None else told.lower()
    if given not in asking.LANES:
        raise wrong(LANE, f"The header {LANE} says {given[:100]!r}; it is one of {', '.join(asking.LANES)}.")
    return asking.LANES[given]


async def accept(taking: Taking) -> tuple[Ask, Accepted]:
    """Into the ledger. Raises `Problem`."""
    spine, asked = taking.front.parts(), taking.asked
    options = {**taking.asked.record["options"], "model": taking.asked.model or None}
    options["timeout_s"] = spine.settings.chat_timeout_s
    record = {**taking.asked.record, "options": options, "id": taking.id, "tenant": taking.tenant}
    if taking.keyed:
        record["body_digest"] = _digest(taking.body)

    def settled(what: Ask) -> Ask:
        if what.failure is not None:
            raise refusal(taking, what.failure)
        quiet = not spine.settings.chat_results
        here = replace(what, alone=taking.alone, caller=spine.worker, streamed=asked.stream)
        return replace(here, quiet=quiet, response=asked.kept)

    return await asking.accept(
        taking.front, taking.request, taking.operation, taking.lane, record, _trace(taking.request), settle=settled
    )


_DELIVERY = frozenset({"stream", "stream_options"})
"""How an answer is told, which is no part of what it is: who has lost a stream may ask for it whole."""


def _digest(body: Mapping[str, Any]) -> str:
    asked = {name: value for name, value in body.items() if name not in _DELIVERY}
    try:
        told = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # orjson reads deeper than it writes
        raise Problem(400, f"The body cannot be kept: {TOO_DEEP}.") from None
    return hashlib.blake2b(told, digest_size=16).hexdigest()


def refusal(taking: Taking, failure: Failure) -> Problem:
    """Why what was sent cannot be run."""
    if failure.type == ErrorType.INVALID_REQUEST and not failure.details:
        return refused(failure.message, taking.body, taking.asked.names)
    return _told(taking, failure.type, failure.message, failure.details or {})


def _trace(request: Request) -> Headers:
    return [(name, request.headers[name].encode("latin-1")) for name in _TRACES if name in request.headers]


async def _results(several: list[Taking]) -> list[dict[str, Any]]:
    """All of them; a refusal of one is the answer, once the others have ended too. What the first one's key refuses is refused
    before any other is taken.
    """
    taken = await accept(several[0])
    if taken[1].decision == "conflict":
        return [await _ended(several[0], *taken)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_caught(_ended(several[0], *taken)))]
        tasks += [group.create_task(_caught(result_of(taking))) for taking in several[1:]]
    found = [task.result() for task in tasks]
    for each in found:
        if isinstance(each, Problem):
            raise each
    return [each for each in found if not isinstance(each, Problem)]


async def _caught(result: Awaitable[dict[str, Any]]) -> dict[str, Any] | Problem:
    try:
        return await result
    except Problem as problem:
        return problem


async def result_of(taking: Taking) -> dict[str, Any]:
    """The result of a request that succeeded. Raises `Problem`."""
    return await _ended(taking, *await accept(taking))


async def _ended(taking: Taking, what: Ask, found: Accepted) -> dict[str, Any]:
    async with leaving.watched(taking.front, taking.request, what, found):
        body = await asking.ended(taking.front, found, taking.front.parts().settings.chat_timeout_s)
    if body is None:
        raise await _late(taking, found)
    return await succeeded(taking, found, body)


async def _late(taking: Taking, found: Accepted) -> Problem:
    """Nobody waits any longer, so it is given up, unless it has a key under which it can be asked for again."""
    if taking.front.leaving:
        return unavailable("This process is ending; ask again in a moment.")
    seconds = taking.front.settings.chat_timeout_s
    words = f"No answer within {seconds:g} s (GENAI_CHAT_TIMEOUT_S)"
    if taking.alone and found.pk is not None:
        await leaving.give_up(taking.front, found.pk, found.generation)
        words = f"{words}; the request was given up."
    else:
        words = f"{words}; it goes on: ask again with the same Idempotency-Key."
    return Problem(504, words, error=ErrorType.TIMEOUT, headers={REQUEST_ID: taking.id, **_ONCE})


async def succeeded(taking: Taking, found: Accepted, body: bytes) -> dict[str, Any]:
    """The result as it was recorded: one that is given again says what it cost when it was made."""
    result: dict[str, Any] = orjson.loads(body)
    if result["status"] != "succeeded":
        raise _failed(taking, result)
    pk, generation = found.pk, found.generation
    if result["replayed"] and found.decision == "replayed" and pk is not None:
        kept = await read(taking.front.parts(), lambda conn: queries.result_of(conn, pk, generation))
        result = result if kept is None else orjson.loads(kept) | {"replayed": True}
    return result


def _failed(taking: Taking, result: Mapping[str, Any]) -> Problem:
    headers = {REQUEST_ID: taking.id, **_ONCE}
    if result["status"] != "failed":
        expired = result["status"] == "expired"
        word = ErrorType.TIMEOUT if expired else ErrorType.INVALID_REQUEST
        words = f"The request {taking.id} was {'not begun in time' if expired else 'cancelled'}."
        return Problem(504 if expired else 409, words, error=word, headers=headers)
    failure = result["error"]
    return _told(taking, failure["type"], failure["message"], failure.get("details") or {})


def _told(taking: Taking, word: str, words: str, details: Mapping[str, Any]) -> Problem:
    """A failure in the words of the body that was sent, whether it was found before the request was taken or after."""
    more: dict[str, Any] = {}
    if word == ErrorType.IDEMPOTENCY_CONFLICT:
        words = "This Idempotency-Key was used before with another body; send this one under a key of its own."
    if fields := details.get("fields"):
        named = taking.asked.names.get(fields[0]) or _PARAMS.get(fields[0], fields[0])
        more = {"param": named, "code": "unsupported_parameter"}
    if details.get("broken_off"):
        more = {"code": "broken_off"}
    headers = {REQUEST_ID: taking.id, **_ONCE, **again.header({"type": word, "details": details}, time.time())}
    return Problem(shape.status_of(word), words, error=ErrorType(word), headers=headers, **more)


def model_of(taking: Taking, result: Mapping[str, Any]) -> str:
    """Who has answered, by a name that asks for the same again."""
    return naming.told(taking.asked.model, result["provider"] or "", result["model"] or "")


def created_of(result: Mapping[str, Any]) -> int:
    """When it was asked for, in seconds since 1970."""
    return int(datetime.fromisoformat(result["requested_at"]).timestamp())


def reply(told: dict[str, Any], results: list[dict[str, Any]]) -> Response:
    """The answer, with what it cost."""
    headers = {REQUEST_ID: ", ".join(result["id"] for result in results)}
    costs = [result["usage"]["cost_usd"] for result in results]
    if None not in costs:  # what nothing prices is not free
        headers[COST] = f"{sum(map(Decimal, costs)):f}"
    if warnings := list(dict.fromkeys(words for result in results for words in result["warnings"])):
        headers[WARNINGS] = json.dumps([words[:300] for words in warnings[:5]])  # in ASCII, and bounded, as headers are
    headers[CACHE] = "hit" if all(result["cached"] or result["replayed"] for result in results) else "miss"
    return Response(orjson.dumps(told), 200, headers, media_type="application/json")


async def stream(taking: Taking, words: Words, send: Send, *named: str) -> None:
    """An answer while it is made. `words`: the chunks of a door, for an id, a model, a time, and whether usage is told. `named`: more
    headers that hold the id.
    """
    front = taking.front
    assert front.alongs is not None
    with front.alongs.reading((taking.tenant, taking.operation, taking.id)) as reader:
        what, found = await accept(taking)
        worded = partial(_worded, taking, words, int(time.time()))
        pen = sse.Pen(send, dict.fromkeys((REQUEST_ID, *named), taking.id), worded(what.provider, what.model))

        async def begins() -> None:
            if what.route is not None and found.pk is not None:
                pen.word(worded(*await _target(front, found.pk, what)))

        if found.pk is not None and found.body is None and found.decision != "duplicate":
            front.alongs.across(reader, found.pk)
        ending = asyncio.ensure_future(asking.ended(front, found, front.settings.chat_timeout_s))
        try:
            async with leaving.watched(front, taking.request, what, found):
                body = await sse.follow(pen, reader, ending, begins)
                await _last(taking, found, pen, worded, body)
        except (sse.BrokenOff, sse.Slow) as why:
            if taking.alone and found.pk is not None:
                await leaving.give_up(front, found.pk, found.generation)
            if isinstance(why, sse.BrokenOff):
                await pen.fail(sse.begun_anew())
        finally:
            ending.cancel()


def _worded(taking: Taking, words: Words, created: int, provider: str, model: str) -> sse.Chunks:
    return words(taking.id, naming.told(taking.asked.model, provider, model), created, taking.asked.usage)


async def _target(front: Front, pk: int, what: Ask) -> tuple[str, str]:
    """The model that a request of a route is at by now; while the ledger is away, the one at which it began."""
    try:
        found: tuple[str, str] = await read(front.parts(), lambda conn: queries.target(conn, pk))
    except Problem:
        return what.provider, what.model
    return found


async def _last(
    taking: Taking, found: Accepted, pen: sse.Pen, worded: Callable[[str, str], sse.Chunks], body: bytes | None
) -> None:
    try:
        if body is None:
            raise await _late(taking, found)
        result = await succeeded(taking, found, body)
    except Problem as problem:
        await pen.fail(problem)
    else:
        if not pen.named:
            pen.word(worded(result["provider"] or "", result["model"] or ""))
        await sse.finish(pen, result)
