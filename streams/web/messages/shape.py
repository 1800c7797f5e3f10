"""Errors as Anthropic's clients read them: `{"type": "error", "error": {"type", "message"}, "request_id"}`."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.responses import Response

from schemas.errors import ErrorType
from streams.web.openai import shape as openai

PATHS = frozenset({"/v1/messages", "/v1/messages/count_tokens"})
OVERLOADED = 529
"""Anthropic's own status; its clients try again then."""

_TYPES: Mapping[int, str] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    OVERLOADED: "overloaded_error",
}


def status_of(word: str, status: int) -> int:
    """Ours in theirs: a spent budget is a bill, a full provider is overloaded."""
    if word == ErrorType.BUDGET_EXCEEDED:
        return 402
    if word == ErrorType.OVERLOADED:
        return OVERLOADED
    return openai.status_of(word) if status == 422 else status


def error(message: str, word: str, status: int, request_id: str | None = None) -> dict[str, Any]:
    """The whole body."""
    kind = "invalid_request_error" if 400 <= status < 500 else "api_error"
    told = {"type": _TYPES.get(status_of(word, status), kind), "message": message}
    return {"type": "error", "error": told, "request_id": request_id}


def refusal(
    message: str,
    word: str,
    status: int,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,  # noqa: ARG001 - they have no place for it; the message names the field
) -> Response:
    """As a response."""
    told, real = dict(headers or {}), status_of(word, status)
    id_ = told.get("x-genai-request-id") or told.get("x-request-id")
    if id_:
        told["request-id"] = id_
    if real == 402:
        told["x-should-retry"] = "false"
    return Response(orjson.dumps(error(message, word, status, id_)), real, told, media_type="application/json")
