"""What the port to a model may raise.

ProviderError
├── NotRun                  surely not executed, surely not paid
│   ├── Unreachable         no connection: another node, now
│   ├── Overloaded          the server's queue is full: another node, now
│   ├── RateLimited         asked to wait: after `retry_after_s`
│   └── Rejected            will be refused again: never retried
│       ├── ModelNotFound
│       ├── ContextTooLong
│       ├── Unsupported     the model cannot do this (tools, embeddings)
│       └── Refused         no key, a wrong key, a policy
└── Broken                  may have been executed, may have been paid
    ├── TimedOut            no (whole) answer in time
    ├── Disconnected        the connection ended inside the answer
    ├── ServerError         the server says that it failed (5xx)
    └── Unreadable          an answer that is not what the protocol promises

An error says two things to whoever decides: `maybe_paid`, and `another_try_may_help`. Its message is shown to users.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from providers.calls import Spent
from schemas.errors import ErrorType


@dataclass(eq=False)
class ProviderError(Exception):
    """The model gave no usable answer."""

    message: str
    details: dict[str, Any] = field(default_factory=dict)
    retry_after_s: float | None = None
    spent: Spent | None = None
    """What is known to have been used all the same; None: nothing is known."""

    type: ClassVar[ErrorType] = ErrorType.INTERNAL
    maybe_paid: ClassVar[bool] = True
    another_try_may_help: ClassVar[bool] = True

    def __str__(self) -> str:
        return self.message


class NotRun(ProviderError):
    """The call was surely not executed."""

    maybe_paid = False


class Unreachable(NotRun):
    """No connection to the model server. Check that it runs and that its address is right."""

    type = ErrorType.UNREACHABLE


class Overloaded(NotRun):
    """The model server's queue is full."""

    type = ErrorType.OVERLOADED


class RateLimited(NotRun):
    """The provider asks to wait."""

    type = ErrorType.RATE_LIMITED


class Rejected(NotRun):
    """The same call would be refused again."""

    type = ErrorType.INVALID_REQUEST
    another_try_may_help = False


class ModelNotFound(Rejected):
    """The server does not have this model; the message names those that it has."""

    type = ErrorType.MODEL_NOT_FOUND


class ContextTooLong(Rejected):
    """`details` holds `prompt_tokens` and `context_tokens`."""

    type = ErrorType.CONTEXT_TOO_LONG


class Unsupported(Rejected):
    """This model cannot do what was asked of it."""


class Refused(Rejected):
    """The provider refused: a missing or wrong key, or its policy."""

    type = ErrorType.REFUSED


class Broken(ProviderError):
    """The call may have been executed."""


class TimedOut(Broken):
    """No whole answer within `timeout_s`."""

    type = ErrorType.TIMEOUT


class Disconnected(Broken):
    """The connection ended inside the answer."""

    type = ErrorType.UNREACHABLE


class ServerError(Broken):
    """The server says that it failed. Ollama answers so to some calls that it has refused: those are `Rejected`."""

    type = ErrorType.OVERLOADED


class Unreadable(Broken):
    """An answer that is not what the protocol promises."""

    type = ErrorType.INVALID_ANSWER
