"""Results and dead letters as rows of the outbox: copies, never references."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from schemas.errors import ErrorType, Failure
from schemas.letter import LetterHeaders
from schemas.money import from_usd, to_usd
from schemas.pin import prompted
from schemas.request import REPLAYS
from schemas.result import Cached, Result, Source, Status, Totals
from schemas.routes import Fell, Pinned, Routed
from store.ledger.types.arrivals import Arrival, Ask
from store.ledger.types.claims import Claimed
from store.ledger.types.records import Routes
from store.ledger.types.steps import End
from store.rows import pack_headers, unpack_headers

OutRow = dict[str, Any]

RETRYABLE = frozenset(
    {
        ErrorType.RATE_LIMITED,
        ErrorType.OVERLOADED,
        ErrorType.TIMEOUT,
        ErrorType.UNREACHABLE,
        ErrorType.AMBIGUOUS,
        ErrorType.INVALID_ANSWER,
        ErrorType.BUDGET_EXCEEDED,
        ErrorType.MODEL_NOT_FOUND,
    }
)
"""Causes that another try, later or after a human has mended something, may overcome."""


def moment(at: float) -> datetime:
    """A time of the ledger as RFC 3339 wants it."""
    return datetime.fromtimestamp(at, UTC)


def finished(claim: Claimed, end: End, at: float) -> Result:
    """The terminal result of a leased row."""
    source = None
    if claim.source_topic is not None:
        source = Source(
            topic=claim.source_topic, partition=claim.source_partition or 0, offset=claim.source_offset or 0
        )
    return Result(
        id=claim.id,
        operation=claim.operation,
        status=end.status,
        output=end.output,
        error=end.failure,
        warnings=list(end.warnings),
        provider=end.provider or claim.provider or None,
        model=end.model or claim.model or None,
        route=None if claim.route is None else routed(claim.route, claim.provider, claim.model, end),
        prompts=prompted(claim.pinned),
        tier=end.tier,
        usage=end.totals,
        latency_ms=end.latency_ms,
        queue_ms=max(0, round((claim.leased_at - claim.accepted_at) * 1000)),
        attempts=end.attempts,
        generation=claim.generation,
        tenant=claim.tenant,
        run_id=claim.run_id,
        metadata=end.metadata,
        source=source,
        requested_at=moment(claim.requested_at),
        completed_at=moment(at),
    )


def routed(route: str, provider: str, model: str, end: End | None = None) -> Routed:
    """What a result says of the route by which its request came."""
    saved_nano, hedged = (None, None) if end is None else (end.saved_nano, end.hedged)
    pinned = Pinned.model_validate_json(route)
    fell = [Fell(target=tried.target, error=tried.error, waited=tried.waited) for tried in pinned.tried]
    target, saved = f"{provider}/{model}", None if saved_nano is None else to_usd(saved_nano)
    return Routed(name=pinned.name, arm=pinned.arm, target=target, fallbacks=fell, saved_usd=saved, hedged=hedged)


def at_once(arrival: Arrival, ask: Ask, failure: Failure, generation: int, at: float) -> Result:
    """The failed result of a record that is answered without ever being run."""
    position = arrival.position
    return Result(
        id=ask.id,
        operation=ask.operation,
        status=Status.FAILED,
        error=failure,
        provider=ask.provider or None,
        model=ask.model or None,
        route=None if ask.route is None else routed(ask.route, ask.provider, ask.model),
        prompts=prompted(ask.pinned),
        generation=generation,
        tenant=ask.tenant,
        run_id=ask.run_id,
        metadata=ask.metadata,
        source=None
        if position is None
        else Source(topic=position.topic, partition=position.partition, offset=position.offset),
        requested_at=moment(at if position is None else position.timestamp / 1000),
        completed_at=moment(at),
    )


def replayed(body: bytes, arrival: Arrival, ask: Ask) -> bytes:
    """A recorded result for another record: that record's place and metadata, no cost."""
    result = orjson.loads(body)
    position = arrival.position
    if position is not None:
        result["source"] = {"topic": position.topic, "partition": position.partition, "offset": position.offset}
    result["metadata"] = ask.metadata
    result["replayed"] = True
    result["usage"] = Totals().model_dump()
    return orjson.dumps(result)


def is_replay(run_id: str | None) -> bool:
    """Whether a replay asked this request anew: its answer goes aside, and no dead letter tells of it."""
    return run_id is not None and run_id.startswith(REPLAYS)


def metadata_of(value: bytes) -> dict[str, Any]:
    """A request's metadata out of its untouched value."""
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return {}
    metadata = found.get("metadata") if isinstance(found, dict) else None
    return metadata if isinstance(metadata, dict) else {}


_OUTPUT = b',"output":'
_NOT_SHARED = ("late:", "paid without an answer:")
"""How warnings begin that are about the request and not about its answer."""


def conflict(ask: Ask, *, by_id: bool) -> Failure:
    """Its id, or its idempotency key, stands for another payload."""
    used, own, article = ("id", ask.id, "an id") if by_id else ("idempotency_key", ask.idempotency_key, "a key")
    words = f"{used} {own!r} was used before with another payload; send this one under {article} of its own"
    return Failure(type=ErrorType.IDEMPOTENCY_CONFLICT, message=words)


def origin(id_: str | None, generation: int, completed_at: float | None) -> Cached:
    """Whose answer is copied; the id is not shown to another tenant."""
    return Cached(id=id_, generation=generation, completed_at=moment(completed_at or time.time()))


def copied(body: bytes, told: Mapping[str, Any], origin: Cached, *, attempts: int = 0, replayed: bool = False) -> bytes:
    """One request's result for another one: its output byte for byte, no cost; `told`: the other's own fields."""
    result = orjson.loads(body)
    result |= told
    result |= {
        "usage": Totals().model_dump(),
        "latency_ms": 0,
        "attempts": attempts,
        "replayed": replayed,
        "cached": origin.model_dump(mode="json"),
        "warnings": [words for words in result["warnings"] if not words.startswith(_NOT_SHARED)],
        "output": orjson.Fragment(_raw_output(body)),
    }
    return orjson.dumps(result)


def cost_of(body: bytes) -> int:
    """What a result's calls cost, in nano-dollars; unpriced ones nothing."""
    return from_usd(orjson.loads(body)["usage"]["cost_usd"]) or 0


def _raw_output(body: bytes) -> bytes:
    """The output as it stands there: to read it and write it again may spell a number in another way.

    In a text the quote of these bytes would have a backslash before it, so they are found where they are meant.
    """
    text = body[body.index(_OUTPUT) + len(_OUTPUT) :].decode()
    return text[: json.JSONDecoder().raw_decode(text)[1]].encode()


def told_of(claim: Claimed, at: float) -> dict[str, Any]:
    """What a result says of a row that was ended without being run."""
    result = finished(
        claim,
        End(Status.SUCCEEDED, None, None, (), Totals(), metadata_of(claim.value), 0, dead_letter=False, attempts=0),
        at,
    )
    return {name: value for name, value in result.model_dump(mode="json").items() if name in _OWN}


def told_of_arrival(arrival: Arrival, ask: Ask, generation: int, at: float) -> dict[str, Any]:
    """The same of a record that is answered as it comes."""
    result = at_once(arrival, ask, Failure(type=ErrorType.INTERNAL, message=""), generation, at)
    return {name: value for name, value in result.model_dump(mode="json").items() if name in _OWN}


_OWN = frozenset(
    {
        "id",
        "operation",
        "queue_ms",
        "route",
        "generation",
        "tenant",
        "run_id",
        "metadata",
        "source",
        "requested_at",
        "completed_at",
    }
)
"""What a result says of its request, whoever's answer it is."""


def to_results(
    routes: Routes,
    key: bytes | None,
    id_: str,
    partition: int | None,
    body: bytes,
    headers: bytes,
    run_id: str | None = None,
) -> OutRow:
    """A result's row: the request's key byte for byte, the request's partition where it had one."""
    real = id_.encode() if key is None else key
    aside = is_replay(run_id) and routes.replays
    topic = routes.replays if aside else routes.results
    where = routes.partition(topic, real) if partition is None or aside else partition
    return {"topic": topic, "partition": where, "number": None, "key": real, "value": body, "headers": headers}


def letters(routes: Routes, claim: Claimed, body: bytes, dead: Failure | None, attempts: int) -> list[OutRow]:
    """What is published of a row's end: its result, and where `dead` says why a dead letter. Of a quiet one nothing: its
    caller has been told, and nobody else may be.
    """
    if claim.quiet:
        return []
    told = [to_results(routes, claim.key, claim.id, claim.partition, body, claim.headers, claim.run_id)]
    if dead is not None and not is_replay(claim.run_id):
        told.append(dead_claim(routes, claim, dead, attempts))
    return told


def to_dlq(
    routes: Routes,
    *,
    key: bytes | None,
    value: bytes | None,
    headers: bytes,
    failure: Failure,
    source: str,
    attempts: int,
    identity: Mapping[str, str],
) -> OutRow:
    """The untouched record with our headers; those of an earlier stay among the dead letters give way."""
    ours = LetterHeaders(
        error_type=failure.type,
        error=failure.message[:2000],
        source=source,
        attempts=str(attempts),
        failed_at=moment(time.time()),
        original_topic=source.rsplit("/", 2)[0],
        id=identity.get("genai-id"),
        tenant=identity.get("genai-tenant"),
    ).on_the_wire()
    kept = [(name, content) for name, content in unpack_headers(headers) if name not in ours]
    packed = pack_headers(kept + [(name, content.encode()) for name, content in ours.items()])
    return {
        "topic": routes.dlq,
        "partition": routes.partition(routes.dlq, key or source.encode()),
        "number": None,
        "key": source.encode() if key is None and value is None else key,  # a producer refuses a record of neither
        "value": value,
        "headers": packed,
    }


def dead_claim(routes: Routes, claim: Claimed, failure: Failure, attempts: int) -> OutRow:
    """The dead letter of a leased row; it keeps its identity, so that producing it again redrives it."""
    source = (
        f"{claim.source_topic}/{claim.source_partition}/{claim.source_offset}"
        if claim.source_topic
        else f"http/{claim.operation}/0"
    )
    return to_dlq(
        routes,
        key=claim.key,
        value=claim.value,
        headers=claim.headers,
        failure=failure,
        source=source,
        attempts=attempts,
        identity={"genai-id": claim.id, "genai-tenant": claim.tenant},
    )
