"""Whether a request goes on to its route's next model."""

from typing import Any

import pytest

from agents.engine import fallback, policy
from agents.engine.fallback import Onward
from providers.errors import (
    ContextTooLong,
    Disconnected,
    ModelNotFound,
    Overloaded,
    ProviderError,
    RateLimited,
    Refused,
    Rejected,
    ServerError,
    TimedOut,
    Unreachable,
    Unreadable,
    Unsupported,
)
from schemas.errors import ErrorType
from schemas.routes import Next, Pinned, Tried

pytestmark = pytest.mark.fast

SMALL = Next(provider="p", model="small", paid=False, context_tokens=100)
LARGE = Next(provider="p", model="large", paid=True, context_tokens=10_000)
UNKNOWN = Next(provider="q", model="x", paid=True)


def went(error: ProviderError, *, left: tuple[Next, ...] = (SMALL, LARGE), **how: Any) -> Onward | None:
    """With what would be done without a route."""
    told = {"paid": False, "on_ambiguous": "retry", "ambiguous": 0, "tries": 1, "elsewhere": False, "pinned": {}, **how}
    decision = policy.after(
        error,
        attempts=told["tries"],
        paid=told["paid"],
        on_ambiguous=told["on_ambiguous"],
        ambiguous=told["ambiguous"],
        patience=policy.Patience(),
        chance=0.5,
        elsewhere=told["elsewhere"],
    )
    pinned = Pinned(name="r", left=list(left), **told["pinned"])
    return fallback.onward(pinned, error, decision, tries=told["tries"], elsewhere=told["elsewhere"])


NEXT = Onward(SMALL, (LARGE,))
AGAIN = Onward(SMALL, (LARGE,), ambiguous=True)

TABLE: list[tuple[ProviderError, dict[str, Any], Onward | None]] = [
    # never: it would be the same elsewhere
    (Rejected("x"), {}, None),
    (Unsupported("x"), {}, None),
    (Refused("x"), {}, None),
    # surely not run: at once
    (Unreachable("x"), {}, NEXT),
    (Overloaded("x"), {"paid": True}, NEXT),
    (ModelNotFound("x"), {"paid": True}, NEXT),
    (Unreachable("x"), {"elsewhere": True}, None),  # another node of the same model first
    (Unreachable("x"), {"left": ()}, None),
    (Unreachable("x"), {"pinned": {"causes": ["timeout"]}}, None),  # the route says when
    # asked to wait: 1 s if nothing is said, at most 5 s, twice
    (RateLimited("x"), {}, None),
    (RateLimited("x", retry_after_s=5.0), {"tries": 2}, None),
    (RateLimited("x", retry_after_s=5.0), {"tries": 3}, NEXT),
    (RateLimited("x", retry_after_s=5.1), {}, NEXT),
    (RateLimited("x"), {"pinned": {"rate_limited_after_s": 0.5}}, NEXT),
    # broken off: free at once, paid as `on_ambiguous` says
    (TimedOut("x"), {}, NEXT),
    (ServerError("x"), {}, NEXT),
    (Disconnected("x"), {}, NEXT),
    (TimedOut("x"), {"paid": True}, AGAIN),
    (TimedOut("x"), {"paid": True, "ambiguous": 1}, None),
    (TimedOut("x"), {"paid": True, "on_ambiguous": "fail"}, None),
    (TimedOut("x"), {"paid": True, "on_ambiguous": "hold"}, None),
    (Unreadable("x"), {}, None),  # only where the route asks for it
    (Unreadable("x"), {"pinned": {"causes": ["invalid_answer"]}}, NEXT),
    # too long: to whom has room, by what the error says
    (ContextTooLong("x", {"prompt_tokens": 500, "context_tokens": 200}), {}, Onward(LARGE, ())),
    (ContextTooLong("x", {"context_tokens": 200}), {"left": (SMALL, UNKNOWN)}, Onward(UNKNOWN, ())),
    (ContextTooLong("x", {"prompt_tokens": 20_000}), {}, None),
    (ContextTooLong("x"), {}, NEXT),
]


@pytest.mark.parametrize(("error", "how", "expected"), TABLE)
def test_onward(error: ProviderError, how: dict[str, Any], expected: Onward | None) -> None:
    assert went(error, **how) == expected


def test_what_is_kept_of_the_route() -> None:
    pinned = Pinned(name="r", arm="a", left=[SMALL, LARGE])
    kept = fallback.moved(pinned, "p/first", Unreachable("x"), NEXT, 0, 3)
    tried = Tried(target="p/first", error=ErrorType.UNREACHABLE, cost_nano=0)
    assert kept == Pinned(name="r", arm="a", left=[LARGE], tried=[tried], since=3)


def test_paying_twice_is_told_with_what_the_first_cost() -> None:
    def tried(cost: int | None) -> Tried:
        return Tried(target="p/first", error=ErrorType.TIMEOUT, cost_nano=cost)

    assert fallback.paid_before(Pinned(name="r", tried=[tried(0)]), "q/x") == []
    told = [fallback.paid_before(Pinned(name="r", tried=[tried(cost)]), "q/x")[0] for cost in (1_500_000, None)]
    assert told == [
        "paid without an answer: `p/first` (timeout) was booked at 0.001500 USD before `q/x` was asked",
        "paid without an answer: `p/first` (timeout) was booked at an unknown price before `q/x` was asked",
    ]
