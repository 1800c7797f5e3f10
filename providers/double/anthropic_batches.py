"""Anthropic's Message Batches at the double: `/v1/messages/batches`. Like the real ones they have no room for a marker."""

import re
from datetime import UTC, datetime
from typing import Any

import orjson

from providers.double.batching import Batch, Room
from providers.double.http1 import Request, Response

_PATH = re.compile(r"/v1/messages/batches(?:/([^/]+)(?:/(results|cancel))?)?")
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def page(request: Request, room: Room) -> Response | None:
    """None: this is none of their paths."""
    match = _PATH.fullmatch(request.path)
    if match is None:
        return None
    if "x-api-key" not in request.headers or "anthropic-version" not in request.headers:
        return _error(401, "authentication_error", "x-api-key header is required")
    id_, verb = match[1], match[2]
    if id_ is None:
        return _made(request, room) if request.method == "POST" else _listed(request, room)
    batch = room.batches.get(id_)
    if batch is None or batch.format != "anthropic":
        return _error(404, "not_found_error", f"Batch not found: {id_}")
    return _one(request, room, batch, verb)


def _one(request: Request, room: Room, batch: Batch, verb: str | None) -> Response:
    if request.method == "DELETE":
        del room.batches[batch.id]
        return _json({"id": batch.id, "type": "message_batch_deleted"})
    if verb == "cancel":
        room.stop(batch)
    if verb != "results":
        return _json(_told(batch))
    if batch.how is None:
        return _error(400, "invalid_request_error", "Results are not available until the batch has ended.")
    lines = [{"custom_id": id_, "result": _result(each)} for id_, each in batch.outcomes.items()]
    return Response(b"\n".join(map(orjson.dumps, reversed(lines))), kind="application/x-jsonl")


def _made(request: Request, room: Room) -> Response:
    calls = orjson.loads(request.body).get("requests")
    if not isinstance(calls, list) or not calls:
        return _error(400, "invalid_request_error", "requests: at least one request is required")
    ids = [str(call.get("custom_id")) for call in calls]
    if len(set(ids)) < len(ids) or not all(map(_ID.fullmatch, ids)):
        return _error(400, "invalid_request_error", "requests: custom_id must be unique and match its pattern")
    items = [(id_, orjson.dumps(call["params"])) for id_, call in zip(ids, calls, strict=True)]
    return _json(_told(room.make(room.name("msgbatch_"), "anthropic", "/v1/messages", items, {})))


def _listed(request: Request, room: Room) -> Response:
    """The newest first, in pages."""
    query = dict(part.partition("=")[::2] for part in request.query.split("&") if part)
    found = [batch for batch in reversed(room.batches.values()) if batch.format == "anthropic"]
    names = [batch.id for batch in found]
    first = names.index(query["after_id"]) + 1 if query.get("after_id") in names else 0
    most = int(query.get("limit", 20))
    data = [_told(batch) for batch in found[first : first + most]]
    last = data[-1]["id"] if data else None
    return _json({"data": data, "has_more": first + most < len(found), "last_id": last})


def _told(batch: Batch) -> dict[str, Any]:
    good = batch.count(lambda each: isinstance(each, Response) and each.status == 200)
    counts = {
        "processing": 0 if batch.how else len(batch.items),
        "succeeded": good,
        "errored": batch.count(lambda each: each == "failed" or (isinstance(each, Response) and each.status != 200)),
        "canceled": batch.count(lambda each: each == "cancelled"),
        "expired": batch.count(lambda each: each == "expired"),
    }
    return {
        "id": batch.id,
        "type": "message_batch",
        "processing_status": "ended" if batch.how else "canceling" if batch.stopping else "in_progress",
        "request_counts": counts,
        "created_at": datetime.fromtimestamp(batch.made_at, UTC).isoformat(),
        "ended_at": None if batch.ended_at is None else datetime.fromtimestamp(batch.ended_at, UTC).isoformat(),
        "results_url": f"/v1/messages/batches/{batch.id}/results" if batch.how else None,
    }


def _result(each: Response | str) -> dict[str, Any]:
    if isinstance(each, Response):
        told = orjson.loads(each.body)
        if each.status != 200:
            return {"type": "errored", "error": told}
        return {"type": "succeeded", "message": told | {"usage": told["usage"] | {"service_tier": "batch"}}}
    if each == "failed":
        error = {"type": "api_error", "message": "Internal server error"}
        return {"type": "errored", "error": {"type": "error", "error": error}}
    return {"type": "canceled" if each == "cancelled" else "expired"}


def _json(told: dict[str, Any]) -> Response:
    return Response(orjson.dumps(told), kind="application/json")


def _error(status: int, kind: str, words: str) -> Response:
    told = {"type": "error", "error": {"type": kind, "message": words}}
    return Response(orjson.dumps(told), status, "application/json")
