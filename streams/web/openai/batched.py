"""Batches and the lines of their files in OpenAI's words. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Row

from streams.web.openai import answers, embeddings, naming, shape

OUTPUT, ERRORS = "output", "errors"
_WHY = {
    "batch_expired": "The time of the batch was over before this request was begun.",
    "batch_cancelled": "The batch was cancelled before this request had ended.",
}


def status(row: Row[Any]) -> str:
    """Of a batch, by its run."""
    if row.ended_at is None:
        return "cancelling" if row.cancelled else "in_progress"
    if row.total == 0 and not row.cancelled:
        return "failed"
    if row.cancelled:
        return "cancelled"
    return "expired" if row.stopped and row.deadline is not None and row.ended_at > row.deadline else "completed"


def file_id(row: Row[Any], what: str) -> str:
    """Of a file that is made of its answers whenever it is read."""
    return f"file-{row.id}-{what}"


def made_of(id_: str) -> tuple[str, str] | None:
    """The batch and which of its files; None: it was uploaded."""
    batch, _, what = id_.removeprefix("file-").rpartition("-")
    return (batch, what) if batch.startswith("batch_") and what in (OUTPUT, ERRORS) else None


def batch(row: Row[Any]) -> dict[str, Any]:
    """The object `batch`."""
    said, now_ = orjson.loads(row.said), status(row)
    ended = None if row.ended_at is None else int(row.ended_at)
    errors = said.get("errors")
    moments = {
        name: ended if now_ == name.removesuffix("_at") else None
        for name in ("completed_at", "failed_at", "expired_at", "cancelled_at")
    }
    return {
        "id": row.id,
        "object": "batch",
        "endpoint": row.name,
        "errors": {"object": "list", "data": errors} if errors else None,
        "input_file_id": said["input_file_id"],
        "completion_window": said["completion_window"],
        "status": now_,
        "output_file_id": file_id(row, OUTPUT) if ended and row.succeeded else None,
        "error_file_id": file_id(row, ERRORS) if ended and row.failed + row.stopped else None,
        "created_at": int(row.created_at),
        "in_progress_at": None if row.started_at is None else int(row.started_at),
        "expires_at": None if row.deadline is None else int(row.deadline),
        "finalizing_at": moments["completed_at"],
        "cancelling_at": ended if now_ == "cancelled" else None,
        **moments,
        "request_counts": {"total": row.total, "completed": row.succeeded, "failed": row.failed + row.stopped},
        "metadata": said["metadata"] or None,
    }


def line(item: Mapping[str, Any], result: Mapping[str, Any], endpoint: str) -> dict[str, Any]:
    """Of an item that ended; one whose line was no request has no response. `result`: the whole of it, as it was recorded."""
    response: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    if result["status"] == "succeeded":
        response = {"status_code": 200, "request_id": item["id"], "body": _answer(result, endpoint)}
    elif result["status"] == "failed" and "line" in result["error"]["details"]:
        error = {"message": result["error"]["message"], **result["error"]["details"]}
    elif result["status"] == "failed":
        failure = result["error"]
        words = shape.error(failure["message"], failure["type"])
        code = shape.status_of(failure["type"])
        response = {"status_code": code, "request_id": item["id"], "body": {"error": words}}
    else:
        error = stopped("batch_expired" if result["status"] == "expired" else "batch_cancelled")
    return {
        "id": f"batch_req_{item['index']}",
        "custom_id": result["metadata"].get("custom_id"),
        "response": response,
        "error": error,
    }


def stopped(code: str) -> dict[str, Any]:
    """Why nothing came of it."""
    return {"code": code, "message": _WHY[code]}


def never(index: int, kept: bytes, code: str) -> dict[str, Any]:
    """Of an item that never was a request."""
    meta = orjson.loads(kept).get("metadata") or {}
    return {
        "id": f"batch_req_{index}",
        "custom_id": meta.get("custom_id"),
        "response": None,
        "error": stopped(code),
    }


def _answer(result: Mapping[str, Any], endpoint: str) -> dict[str, Any]:
    model = naming.told(result["model"] or "", result["provider"] or "", result["model"] or "")
    created = int(datetime.fromisoformat(result["requested_at"]).timestamp())
    if endpoint == "/v1/embeddings":
        return embeddings.answered(result, model, packed=result["metadata"].get("encoding_format") == "base64")
    if endpoint == "/v1/completions":
        return answers.text([result], result["id"], model, created)
    return answers.chat(result, model, created)


def file(row: Row[Any]) -> dict[str, Any]:
    """The object `file`, of one that was uploaded."""
    return told_file(row.id, row.name, row.purpose, row.bytes, row.created_at)


def told_file(id_: str, name: str, purpose: str, size: int, created_at: float) -> dict[str, Any]:
    """The object `file`."""
    return {
        "id": id_,
        "object": "file",
        "bytes": size,
        "created_at": int(created_at),
        "expires_at": None,
        "filename": name,
        "purpose": purpose,
        "status": "processed",
        "status_details": None,
    }
