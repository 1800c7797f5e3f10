"""What can go wrong, with the server's own words.

GenAIError
├── Unreachable             no answer came: no connection, or it was lost; `sent` says whether the request may have arrived
├── TimedOut                it has not ended within `timeout`; it goes on, and `request_id` or `run_id` finds it again
├── Unreadable              what answered is no GenAI Spine, or a newer one
├── BrokenOff               a stream ended with an error, or without its end: `type` and the server's words
├── Closed                  the client was closed while somebody waited
├── Refusal                 it never became a request: `status`, `type`, `message`, `details`, `x_request_id`
│   ├── InvalidRequest      400, 413, 415, 422: mend what the message names
│   ├── NotAllowed          401, 403: the key is missing, wrong, or may not do this
│   ├── BudgetExceeded      402: the money that was set is spent
│   ├── NotFound            404, 405
│   ├── Conflict            409: it has ended, or stands for something else
│   │   └── Stale           412: somebody changed it since; read it again
│   ├── Gone                410: its answer is no longer kept
│   ├── TooManyRequests     429: `retry_after_s` says when there should be room
│   ├── Unavailable         502, 503, 504: something is away; `retry_after_s` says when to come again
│   └── ServerDefect        500: the server's log says more, under `x_request_id`
└── NoAnswer                the request ended without one: `result` has all of it, `type` the word for a program
    ├── Failed              `type` is one of `ErrorType`: `refused`, `timeout`, `invalid_answer` …
    ├── Cancelled           somebody cancelled it
    └── Expired             its deadline passed before it cost anything
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
from pydantic import ValidationError

from genai_spine_client.schemas.errors import ErrorType
from genai_spine_client.schemas.result import Result, Status

NEWER = "newer_type"


class GenAIError(Exception):
    """The root of all."""


class Unreachable(GenAIError):
    """No answer came. `sent`: the request may have arrived all the same."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class TimedOut(GenAIError):
    """It has not ended within `timeout`; it goes on."""

    def __init__(self, message: str, *, request_id: str | None = None, run_id: str | None = None) -> None:
        super().__init__(message)
        self.request_id, self.run_id = request_id, run_id


class Unreadable(GenAIError):
    """What answered is no GenAI Spine, or a newer one."""


class BrokenOff(GenAIError):
    """A stream ended with an error, or without its end."""

    def __init__(self, message: str, type_: str = "unreachable") -> None:
        super().__init__(message)
        self.type = type_


class Closed(GenAIError):
    """The client was closed while somebody waited."""


class Refusal(GenAIError):
    """It never became a request."""

    def __init__(
        self,
        status: int,
        type_: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        x_request_id: str | None = None,
        retry_after_s: float | None = None,
        may_help: bool = True,
    ) -> None:
        super().__init__(message)
        self.status, self.type, self.message = status, type_, message
        self.details: Mapping[str, Any] = details or {}
        self.x_request_id, self.retry_after_s = x_request_id, retry_after_s
        self.may_help = may_help
        """Whether the server leaves it open that asking again helps (`x-should-retry`)."""


class InvalidRequest(Refusal):
    """Mend what the message names."""


class NotAllowed(Refusal):
    """The key is missing, wrong, or may not do this."""


class BudgetExceeded(Refusal):
    """The money that was set is spent."""


class NotFound(Refusal):
    """There is no such thing; the message often names those that there are."""


class Conflict(Refusal):
    """It has ended, or stands for something else."""


class Stale(Conflict):
    """Somebody changed it since; read it again and hand back its new revision."""


class Gone(Refusal):
    """Its answer is no longer kept."""


class TooManyRequests(Refusal):
    """Nothing was taken; `retry_after_s` says when there should be room."""


class Unavailable(Refusal):
    """Something is away; `retry_after_s` says when to come again."""


class ServerDefect(Refusal):
    """The server's log says more, under `x_request_id`."""


class NoAnswer(GenAIError):
    """The request ended without an answer."""

    def __init__(self, result: Result) -> None:
        error = result.error
        super().__init__(f"{result.status}: {error.message}" if error is not None else str(result.status.value))
        self.result = result
        self.message = "" if error is None else error.message
        self.details: Mapping[str, Any] = {} if error is None else error.details
        self.type: str = result.status.value if error is None else self.details.get(NEWER, error.type.value)
        self.request_id = result.id


class Failed(NoAnswer):
    """It was tried, and nothing usable came; `type` says why."""


class Cancelled(NoAnswer):
    """Somebody cancelled it."""


class Expired(NoAnswer):
    """Its deadline passed before it cost anything."""


_REFUSALS: Mapping[int, type[Refusal]] = {
    400: InvalidRequest,
    401: NotAllowed,
    402: BudgetExceeded,
    403: NotAllowed,
    404: NotFound,
    405: NotFound,
    409: Conflict,
    410: Gone,
    412: Stale,
    429: TooManyRequests,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
_ENDS: Mapping[Status, type[NoAnswer]] = {
    Status.FAILED: Failed,
    Status.CANCELLED: Cancelled,
    Status.EXPIRED: Expired,
}


def known(body: Any) -> Any:
    """Error types may be added: one of a newer server is read as `internal`, and stands in `details` as it came."""
    if not isinstance(body, dict):
        return body
    error, items = body.get("error"), body.get("items")
    if isinstance(error, dict) and isinstance(error.get("type"), str) and error["type"] not in set(ErrorType):
        details = {**(error.get("details") or {}), NEWER: error["type"]}
        body = body | {"error": error | {"type": ErrorType.INTERNAL.value, "details": details}}
    return body | {"items": [known(item) for item in items]} if isinstance(items, list) else body


def of_result(result: Result) -> NoAnswer | None:
    """What a result without an answer raises; None: it has one."""
    kind = _ENDS.get(result.status)
    return None if kind is None else kind(result)


def of_reply(reply: httpx.Response) -> GenAIError:
    """What an HTTP answer that is no success means. A result is told by its fields, whatever its status."""
    body = _object(reply)
    if {"operation", "requested_at", "usage"} <= body.keys():
        try:
            ended = of_result(Result.model_validate(known(body)))
        except ValidationError:
            ended = None
        if ended is not None:
            return ended
    found = body.get("error")
    error: Mapping[str, Any] = found if isinstance(found, dict) else {}
    message = error.get("message") or body.get("detail") or _plain(reply)
    return kind_of(reply.status_code)(
        reply.status_code,
        str(error.get("type") or f"http_{reply.status_code}"),
        str(message),
        details=_details(error, body),
        x_request_id=reply.headers.get("x-request-id"),
        retry_after_s=retry_after(reply.headers),
        may_help=reply.headers.get("x-should-retry") != "false",
    )


def _details(error: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """What is told beside the words, wherever it stands."""
    beside = {name: error[name] for name in ("param", "code") if error.get(name) is not None}
    more = {name: value for name, value in body.items() if name not in {"type", "title", "status", "detail", "error"}}
    return {**beside, **(error.get("details") or {}), **more}


def kind_of(status: int) -> type[Refusal]:
    """Which refusal a status stands for."""
    usual: type[Refusal] = ServerDefect if status >= 500 else InvalidRequest if status >= 400 else Refusal
    return _REFUSALS.get(status, usual)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds to wait, from seconds or from a date; a date is held against the server's own clock where it tells it."""
    given = headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(given))
    except ValueError:
        pass
    until = _date(given)
    if until is None:
        return None
    return max(0.0, (until - (_date(headers.get("date", "")) or now or datetime.now(UTC))).total_seconds())


def _date(given: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(given)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _object(reply: httpx.Response) -> dict[str, Any]:
    try:
        found = reply.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _plain(reply: httpx.Response) -> str:
    """Of a proxy or another program: what it said, shortened."""
    text = " ".join(reply.text.split())[:200]
    return f"HTTP {reply.status_code} {reply.reason_phrase}{': ' if text else ''}{text}"
