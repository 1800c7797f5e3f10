"""Refusals as RFC 9457 says, and which HTTP status stands for which of our words.

A problem is for what never became a request. A request that ran and failed is answered with its result, and the same table.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from schemas.errors import ErrorType
from store.errors import BadData, StoreError, TooLong
from streams.web import ids, shapes

STATUS: Mapping[str, int] = {
    ErrorType.INVALID_REQUEST: 422,
    ErrorType.MODEL_NOT_FOUND: 404,
    ErrorType.CONTEXT_TOO_LONG: 413,
    ErrorType.RATE_LIMITED: 429,
    ErrorType.OVERLOADED: 503,
    ErrorType.TIMEOUT: 504,
    ErrorType.UNREACHABLE: 502,
    ErrorType.REFUSED: 502,  # the provider refused us; 401 and 403 would be about the caller's own key
    ErrorType.INVALID_ANSWER: 502,
    ErrorType.IDEMPOTENCY_CONFLICT: 409,
    ErrorType.AMBIGUOUS: 502,
    ErrorType.POISON: 500,
    ErrorType.RESULT_TOO_LARGE: 500,
    ErrorType.BUDGET_EXCEEDED: 402,
    ErrorType.RECORDED_ANSWER_EXPIRED: 410,
    ErrorType.INTERNAL: 500,
}

_ENDED: Mapping[str, int] = {"succeeded": 200, "cancelled": 409, "expired": 504}


class Problem(Exception):
    """A refusal: a status, a sentence, and one of our words for programs."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        error: ErrorType = ErrorType.INVALID_REQUEST,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.error, self.headers, self.more = status, detail, error, headers, more

    def response(self) -> Response:
        """As `application/problem+json`, or as the clients of its path read errors."""
        body = {
            "type": f"urn:genai-spine:error:{self.error.value}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "error": {"type": self.error.value, "message": self.detail, "retryable": self.status in {429, 503}},
            **self.more,
        }
        return _Refusal(self, orjson.dumps(body))


class _Refusal(Response):
    """Takes its shape where it goes: what lies around the routes refuses too, and knows no more than the path."""

    def __init__(self, problem: Problem, body: bytes) -> None:
        super().__init__(body, problem.status, problem.headers, media_type="application/problem+json")
        self._problem = problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        shape, p = shapes.of(scope.get("path", "")), self._problem
        if shape is None:
            await super().__call__(scope, receive, send)
        else:
            headers = {ids.HEADER: scope[ids.KEY], **(p.headers or {})} if ids.KEY in scope else p.headers
            await shape(p.detail, p.error.value, p.status, headers, p.more)(scope, receive, send)


def unavailable(detail: str, retry_after_s: int = 2) -> Problem:
    """503: something that we need is away; the caller may come again."""
    return Problem(503, detail, error=ErrorType.UNREACHABLE, headers={"Retry-After": str(retry_after_s)})


@contextmanager
def answering() -> Iterator[None]:
    """Around what asks the ledger and may be done once more. Raises `Problem`: 503 while it is away, 422 for a report that is
    too large.
    """
    try:
        yield
    except TooLong as error:
        raise Problem(422, f"This takes longer than {error} to add up; ask for fewer days.") from error
    except StoreError as error:
        raise unavailable(f"The database is away ({error}); ask again.") from error


def status_of(result: Mapping[str, Any]) -> int:
    """The HTTP status of a terminal result."""
    if result["status"] == "failed":
        return STATUS.get((result.get("error") or {}).get("type", ""), 500)
    return _ENDED[result["status"]]


async def on_problem(_request: Request, error: Exception) -> Response:
    """The handler of `Problem`. Whatever the database cannot keep is the caller's mistake, wherever that is found out."""
    assert isinstance(error, Problem)
    if isinstance(error.__cause__, BadData):
        error = Problem(422, f"There is a value that the database cannot keep: {error.__cause__}.")
    return error.response()


async def on_http(request: Request, error: Exception) -> Response:
    """What the framework refuses: unknown paths, wrong methods."""
    assert isinstance(error, HTTPException)
    words = {
        404: f"There is nothing at {request.url.path}. The paths are listed at /docs.",
        405: f"{request.method} does not work at {request.url.path}. What does is listed at /docs.",
    }
    told = words.get(error.status_code, str(error.detail))
    headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
    return Problem(error.status_code, told, headers=headers).response()


_PARAMETER = re.compile(r"{[^}]*}")


def _shape(route: Any) -> str:
    return _PARAMETER.sub("{}", route.path)


def _allowed(request: Request) -> str:
    """The methods of every route of that path; the framework knows those of the first one. A route whose parameter would take in
    the end of this path too is another one.
    """
    matching = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    there = [route for route in matching if _shape(route) == _shape(matching[0])]
    methods = {method for route in there for method in getattr(route, "methods", None) or ()}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))


async def on_defect(request: Request, error: Exception) -> Response:
    """A defect of ours; what it says stays in the log, since it may name what nobody outside should know."""
    words = f"A defect: {type(error).__name__}. The log says more."
    id_ = request.scope.get("x_request_id")  # this handler stands outside of all layers
    headers = {"x-request-id": id_} if id_ else None
    return Problem(500, words, error=ErrorType.INTERNAL, headers=headers).response()
