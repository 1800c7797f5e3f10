"""Requests and calls as they are shown over HTTP, by the command line and on the start page; imports nothing heavy."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from schemas.money import to_usd
from schemas.request import LANE_NAMES
from streams import requested


def item(row: Any) -> dict[str, Any]:
    """One request as lists show it."""
    state = row.state
    return {
        "request_id": row.id,
        "tenant": row.tenant,
        "operation": row.operation,
        "status": "unfinished" if state in requested.UNFINISHED else state,
        "state": state,
        "lane": LANE_NAMES[row.lane],
        "provider": row.provider or None,
        "model": row.model or None,
        "attempts": row.attempts,
        "generation": row.generation,
        "run_id": row.run_id,
        "key_id": row.key_id,
        "error_type": row.error_type,
        "requested_at": moment(row.requested_at),
        "accepted_at": moment(row.accepted_at),
        "completed_at": moment(row.completed_at),
        "took_s": round(max(0.0, row.completed_at - row.accepted_at), 3) if row.completed_at is not None else None,
        "status_url": status_url(row.tenant, row.operation, row.id),
    }


def unfinished(row: Any, now: float, far: Any | None = None) -> dict[str, Any]:
    """Where a request stands; `progress` is null unless a call of it takes long."""
    return {
        "request_id": row.id,
        "tenant": row.tenant,
        "operation": row.operation,
        "status": "unfinished",
        "state": row.state,
        "lane": LANE_NAMES[row.lane],
        "provider": row.provider,
        "model": row.model,
        "attempts": row.attempts,
        "generation": row.generation,
        "age_s": round(max(0.0, now - row.accepted_at), 3),
        "requested_at": datetime.fromtimestamp(row.requested_at, UTC).isoformat(),
        "progress": None if far is None else progress(far),
    }


def progress(far: Any) -> dict[str, Any]:
    """Tokens of all answers so far, in `calls` calls; the running one was begun `since`; told `at`."""
    since, at = (datetime.fromtimestamp(moment, UTC).isoformat() for moment in (far.since, far.at))
    return {"tokens": far.tokens, "calls": far.calls, "since": since, "at": at}


def status_url(tenant: str, operation: str, id_: str) -> str:
    """Where a request is asked for again; tenant and operation are named, as an id alone may stand for several."""
    return f"/v1/requests/{quote(id_, safe='/')}?{urlencode({'tenant': tenant, 'operation': operation})}"


def ended(id_: str, state: str) -> str:
    """What is said to who asks when something will be answered that was."""
    return f"The request {id_!r} has ended ({state}): it waits for nothing and has no ETA. Ask for its result instead."


def call(row: Any) -> dict[str, Any]:
    """One call of a request, as its journal has it; `open` until it is known how it ended."""
    return {
        "id": row.id,
        "generation": row.generation,
        "number": row.number,
        "attempt": row.attempt,
        "kind": row.kind,
        "provider": row.provider,
        "node": row.node,
        "model": row.model,
        "prompt": row.prompt,
        "prompt_version": row.prompt_version,
        "outcome": row.outcome or "open",
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "cached_tokens": row.cached_tokens,
        "cache_write_tokens": row.cache_write_tokens,
        "reasoning_tokens": row.reasoning_tokens,
        "estimated": bool(row.estimated),
        "gpu_seconds": row.gpu_seconds,
        "cost_usd": to_usd(row.cost_nano),
        "latency_ms": row.latency_ms,
        "error": {"type": row.error_type, "message": row.error} if row.error_type else None,
        "opened_at": moment(row.opened_at),
        "closed_at": moment(row.closed_at),
    }


def with_calls(result: bytes, calls: list[dict[str, Any]]) -> bytes:
    """A published result, byte for byte, with its calls behind it."""
    return result.rstrip()[:-1] + b',"calls":' + orjson.dumps(calls) + b"}"


def moment(at: float | None) -> str | None:
    """RFC 3339."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
