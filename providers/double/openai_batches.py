"""OpenAI's files and batches at the double: `/v1/files`, `/v1/batches`, as strict as the real ones about what a file may hold."""

import re
from typing import Any

import orjson

from providers.double.batching import Batch, Room
from providers.double.http1 import Request, Response

_PATH = re.compile(r"/v1/(files|batches)(?:/([^/]+)(?:/(content|cancel))?)?")
_ENDPOINTS = ("/v1/chat/completions", "/v1/embeddings")
_PART = re.compile(rb'name="([^"]+)"(?:; filename="([^"]*)")?')
_UNRUN = {
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "cancelled": ("batch_cancelled", "This request was not executed because the batch was cancelled."),
    "failed": ("server_error", "The server had an error while processing your request."),
}


def page(request: Request, room: Room) -> Response | None:
    """None: this is none of their paths."""
    match = _PATH.fullmatch(request.path)
    if match is None:
        return None
    kind, id_, verb = match[1], match[2], match[3]
    if kind == "files":
        return _file(request, room, id_, content=verb == "content")
    if request.method == "POST" and id_ is None:
        return _made(request, room)
    if id_ is None:
        return _listed(request, room)
    batch = room.batches.get(id_)
    if batch is None or batch.format != "openai":
        return _error(404, f"No batch found with id '{id_}'.")
    if verb == "cancel" and request.method == "POST":
        room.stop(batch)
    return _json(_told(batch, room))


def _file(request: Request, room: Room, id_: str | None, *, content: bool) -> Response:
    if id_ is None:
        return _uploaded(request, room)
    if id_ not in room.files:
        return _error(404, f"No such File object: {id_}")
    if content:
        return Response(room.files[id_], kind="application/octet-stream")
    if request.method == "DELETE":
        del room.files[id_]
        return _json({"id": id_, "object": "file", "deleted": True})
    return _json({"id": id_, "object": "file", "purpose": "batch", "bytes": len(room.files[id_])})


def _uploaded(request: Request, room: Room) -> Response:
    edge = request.headers.get("content-type", "").partition("boundary=")[2].encode()
    if request.method != "POST" or not edge:
        return _error(400, "Expected a multipart upload.")
    fields: dict[str, bytes] = {}
    for part in request.body.split(b"--" + edge)[1:-1]:
        head, _, body = part.partition(b"\r\n\r\n")
        if (found := _PART.search(head)) is not None:
            fields[found[1].decode()] = body.removesuffix(b"\r\n")
    if fields.get("purpose") != b"batch" or "file" not in fields:
        return _error(400, "'purpose' must be batch and 'file' must be there.")
    id_ = room.name("file-")
    room.files[id_] = fields["file"]
    return _json({"id": id_, "object": "file", "purpose": "batch", "bytes": len(fields["file"])})


def _made(request: Request, room: Room) -> Response:
    told = orjson.loads(request.body)
    file, endpoint = told.get("input_file_id"), told.get("endpoint")
    if file not in room.files or endpoint not in _ENDPOINTS or told.get("completion_window") != "24h":
        return _error(400, "Invalid value for 'input_file_id', 'endpoint' or 'completion_window'.")
    metadata = told.get("metadata") or {}
    if not all(isinstance(value, str) for value in metadata.values()):
        return _error(400, "Invalid type for 'metadata': expected strings.")
    lines = [orjson.loads(line) for line in room.files[file].splitlines() if line]
    batch = room.make(
        room.name("batch_"),
        "openai",
        endpoint,
        [(line["custom_id"], orjson.dumps(line["body"])) for line in lines],
        {"metadata": metadata, "input_file_id": file, "endpoint": endpoint},
    )
    if wrong := _wrong(lines, endpoint):
        room.fail(batch, wrong)
    return _json(_told(batch, room))


def _wrong(lines: list[dict[str, Any]], endpoint: str) -> str:
    ids = [line.get("custom_id") for line in lines]
    if len(set(ids)) < len(ids):
        return "The custom_id must be unique."
    if len({line["body"].get("model") for line in lines}) > 1:
        return "The model must be the same for all requests of a batch."
    if any(line.get("url") != endpoint or line.get("method") != "POST" for line in lines):
        return "The URL provided for this request does not match the batch endpoint."
    if any(line["body"].get("stream") for line in lines):
        return "Streaming is not supported in a batch."
    return ""


def _listed(request: Request, room: Room) -> Response:
    """The newest first, in pages."""
    query = dict(part.partition("=")[::2] for part in request.query.split("&") if part)
    found = [batch for batch in reversed(room.batches.values()) if batch.format == "openai"]
    names = [batch.id for batch in found]
    first = names.index(query["after"]) + 1 if query.get("after") in names else 0
    most = int(query.get("limit", 20))
    data = [_told(batch, room) for batch in found[first : first + most]]
    return _json({"object": "list", "data": data, "has_more": first + most < len(found)})


def _told(batch: Batch, room: Room) -> dict[str, Any]:
    answered = batch.count(lambda each: isinstance(each, Response) and each.status == 200)
    status = batch.how or ("cancelling" if batch.stopping else "in_progress")
    output, errors = f"{batch.id}-output", f"{batch.id}-error"
    if batch.how is not None and batch.how != "failed":
        _write(batch, room, output, errors)
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.path,
        "errors": {"object": "list", "data": [{"message": batch.why}]} if batch.how == "failed" else None,
        "input_file_id": batch.told["input_file_id"],
        "completion_window": "24h",
        "status": status,
        "output_file_id": output if output in room.files else None,
        "error_file_id": errors if errors in room.files else None,
        "created_at": int(batch.made_at),
        "metadata": batch.told["metadata"],
        "request_counts": {
            "total": len(batch.items),
            "completed": answered,
            "failed": len(batch.outcomes) - answered,
        },
    }


def _write(batch: Batch, room: Room, output: str, errors: str) -> None:
    """Its files, once."""
    if batch.id in room.written:
        return
    room.written.add(batch.id)
    good: list[dict[str, Any]] = []
    bad: list[dict[str, Any]] = []
    for id_, each in batch.outcomes.items():
        line: dict[str, Any] = {"id": f"batch_req_{id_}", "custom_id": id_, "response": None, "error": None}
        if isinstance(each, Response):
            line["response"] = {"status_code": each.status, "request_id": id_, "body": orjson.loads(each.body)}
            (good if each.status == 200 else bad).append(line)
        else:
            code, message = _UNRUN[each]
            bad.append(line | {"error": {"code": code, "message": message}})
    for name, lines in ((output, good), (errors, bad)):
        if lines:
            room.files[name] = b"\n".join(map(orjson.dumps, reversed(lines)))  # the order is nobody's promise


def _json(told: dict[str, Any]) -> Response:
    return Response(orjson.dumps(told))


def _error(status: int, words: str) -> Response:
    error = {"message": words, "type": "invalid_request_error", "param": None, "code": None}
    return Response(orjson.dumps({"error": error}), status)
