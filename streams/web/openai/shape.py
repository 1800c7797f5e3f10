"""Errors as OpenAI's clients read them: `{"error": {"message", "type", "param", "code"}}`, under the status that they act on."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from schemas.errors import ErrorType

PATHS = frozenset(
    {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/files",
        "/v1/batches",
        "/v1/responses",
        "/v1/moderations",
        "/v1/models",
    }
)
BELOW = ("/v1/files/", "/v1/batches/", "/v1/responses/", "/v1/models/")
"""And all paths below these."""

_BY_WORD: Mapping[str, tuple[int, str, str | None]] = {
    ErrorType.INVALID_REQUEST: (400, "invalid_request_error", None),
    ErrorType.MODEL_NOT_FOUND: (404, "invalid_request_error", "model_not_found"),
    ErrorType.CONTEXT_TOO_LONG: (400, "invalid_request_error", "context_length_exceeded"),
    ErrorType.RATE_LIMITED: (429, "requests", "rate_limit_exceeded"),
    ErrorType.BUDGET_EXCEEDED: (429, "insufficient_quota", "insufficient_quota"),
    ErrorType.IDEMPOTENCY_CONFLICT: (422, "invalid_request_error", "idempotency_conflict"),
    ErrorType.RECORDED_ANSWER_EXPIRED: (410, "invalid_request_error", "recorded_answer_expired"),
    ErrorType.OVERLOADED: (503, "server_error", "overloaded"),
    ErrorType.TIMEOUT: (504, "server_error", "timeout"),
    ErrorType.UNREACHABLE: (502, "server_error", "unreachable"),
    ErrorType.REFUSED: (502, "server_error", "refused"),
    ErrorType.INVALID_ANSWER: (502, "server_error", "invalid_answer"),
    ErrorType.AMBIGUOUS: (502, "server_error", "ambiguous"),
}
"""Our word for what went wrong: its status where none is given, OpenAI's type, its code."""

_BY_STATUS: Mapping[int, tuple[str, str | None]] = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "insufficient_permissions"),
    404: ("invalid_request_error", "not_found"),
    405: ("invalid_request_error", "method_not_allowed"),
    409: ("invalid_request_error", "cancelled"),
    413: ("invalid_request_error", "request_too_large"),
    415: ("invalid_request_error", "unsupported_media_type"),
}
"""Statuses that say more than the word `invalid_request`."""


def error(message: str, word: str, status: int | None = None, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The object under `error`. `more` may name `param` and `code`, and of a limit what it counts."""
    told = more or {}
    _, type_, code = _BY_WORD.get(word, (500, "server_error", "internal"))
    if word in {ErrorType.INVALID_REQUEST, ErrorType.REFUSED}:
        type_, code = _BY_STATUS.get(status or 0, (type_, code))
    type_ = told.get("limit", type_)
    param = "model" if word == ErrorType.MODEL_NOT_FOUND else None
    return {"message": message, "type": type_, "param": told.get("param", param), "code": told.get("code", code)}


def status_of(word: str) -> int:
    """The status of a request that was taken and failed so."""
    return _BY_WORD.get(word, (500,))[0]


def refusal(
    message: str,
    word: str,
    status: int,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """What our other doors call 422 their clients know as 400; what a budget refuses they must not try again."""
    real = status_of(word) if status in {402, 422} and word in _BY_WORD else status
    told = dict(headers or {})
    if word == ErrorType.BUDGET_EXCEEDED:
        told["x-should-retry"] = "false"
    body = {"error": error(message, word, real, more)}
    return Response(orjson.dumps(body), real, told, media_type="application/json")
