# Made by `python -m scripts.client` from schemas/errors.py; change it there.
"""The one list of words for what went wrong: the same in results, HTTP errors and dead-letter headers."""

from enum import StrEnum
from typing import Any

from pydantic import BaseModel


class ErrorType(StrEnum):
    """One word per cause; consumers switch on it, so words are added and never renamed."""

    INVALID_REQUEST = "invalid_request"
    MODEL_NOT_FOUND = "model_not_found"
    CONTEXT_TOO_LONG = "context_too_long"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    REFUSED = "refused"
    INVALID_ANSWER = "invalid_answer"
    IDEMPOTENCY_CONFLICT = "idempotency_conflict"
    AMBIGUOUS = "ambiguous"
    POISON = "poison"
    RESULT_TOO_LARGE = "result_too_large"
    BUDGET_EXCEEDED = "budget_exceeded"
    RECORDED_ANSWER_EXPIRED = "recorded_answer_expired"
    INTERNAL = "internal"


class Failure(BaseModel):
    """Why a request has no answer: a sentence for a person, a word for a program."""

    type: ErrorType
    message: str
    retryable: bool = False
    details: dict[str, Any] = {}
