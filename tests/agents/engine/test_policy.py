"""What follows an error: a table."""

import pytest

from agents.engine import policy
from agents.engine.policy import AskFirst, GiveUp, Patience, TryAgain, after, backoff
from providers.errors import (
    Broken,
    ContextTooLong,
    Disconnected,
    ModelNotFound,
    Overloaded,
    ProviderError,
    RateLimited,
    Rejected,
    ServerError,
    TimedOut,
    Unreachable,
)
from schemas.errors import ErrorType

pytestmark = pytest.mark.fast

PATIENCE = Patience(max_attempts=8, base_s=1.0, cap_s=60.0)


def decide(
    error: ProviderError,
    attempts: int = 1,
    paid: bool = False,
    on_ambiguous: str = "retry",
    ambiguous: int = 0,
    elsewhere: bool = False,
    begun: bool = False,
) -> TryAgain | GiveUp | AskFirst:
    return after(
        error,
        attempts=attempts,
        paid=paid,
        on_ambiguous=on_ambiguous,
        ambiguous=ambiguous,
        patience=PATIENCE,
        chance=0.5,
        elsewhere=elsewhere,
        begun=begun,
    )


TRY_AGAIN = [
    # half of base * 2 ** 0, half of base * 2 ** 2
    (Unreachable("x"), {}, TryAgain(0.5)),
    (Overloaded("x"), {"attempts": 3}, TryAgain(2.0)),
    # another node is there: now
    (Overloaded("x"), {"elsewhere": True}, TryAgain(0.0)),
    # the provider says when, and we come a little later, not all at once: 10 * (1 + 0.5 / 10)
    (RateLimited("x", retry_after_s=10), {}, TryAgain(10.5)),
    (RateLimited("x"), {}, TryAgain(0.5)),
    # free and broken: nothing was paid, so it is an ordinary try, three times at most where it was executed
    (Disconnected("x"), {"attempts": 7}, TryAgain(30.0)),  # half of min(cap, 64)
    (ServerError("x"), {"attempts": 2}, TryAgain(1.0)),
    # paid and broken: once more, and it is counted
    (TimedOut("x"), {"paid": True}, TryAgain(0.5, ambiguous=True)),
    # a paid call that was surely not executed is no ambiguity
    (Overloaded("x"), {"paid": True, "on_ambiguous": "fail"}, TryAgain(0.5)),
]

GIVE_UP = [
    # the same call would be refused again
    (ModelNotFound("x"), {}, ErrorType.MODEL_NOT_FOUND, False, True),
    (ContextTooLong("x"), {}, ErrorType.CONTEXT_TOO_LONG, False, True),
    (Rejected("x"), {}, ErrorType.INVALID_REQUEST, False, False),  # its producer knows; no dead letter
    # tries spent
    (Unreachable("x"), {"attempts": 8}, ErrorType.UNREACHABLE, True, True),
    (ServerError("x"), {"attempts": 3}, ErrorType.OVERLOADED, True, True),
    (TimedOut("x"), {"attempts": 3}, ErrorType.TIMEOUT, True, True),
    # paid and broken, and not to be made again: asked so, or made again once already
    (TimedOut("x"), {"paid": True, "on_ambiguous": "fail"}, ErrorType.AMBIGUOUS, True, True),
    (Broken("x"), {"paid": True, "ambiguous": 1}, ErrorType.AMBIGUOUS, True, True),
    # its caller alone has read the beginning: no other try goes on from there, and nobody waits for a redriven one
    (Disconnected("x"), {"paid": True, "begun": True}, ErrorType.AMBIGUOUS, True, False),
    (Disconnected("x"), {"paid": True, "begun": True, "on_ambiguous": "hold"}, ErrorType.AMBIGUOUS, True, False),
    (TimedOut("x"), {"begun": True}, ErrorType.TIMEOUT, True, False),
    (ContextTooLong("x"), {"begun": True}, ErrorType.CONTEXT_TOO_LONG, False, True),
]


@pytest.mark.parametrize(("error", "facts", "expected"), TRY_AGAIN)
def test_tries_again(error: ProviderError, facts: dict, expected: TryAgain) -> None:
    assert decide(error, **facts) == expected


@pytest.mark.parametrize(("error", "facts", "type_", "retryable", "letter"), GIVE_UP)
def test_gives_up(error: ProviderError, facts: dict, type_: ErrorType, retryable: bool, letter: bool) -> None:
    decision = decide(error, **facts)
    assert isinstance(decision, GiveUp)
    assert (decision.failure.type, decision.failure.retryable, decision.dead_letter) == (type_, retryable, letter)


@pytest.mark.parametrize(
    ("error", "facts", "asks"),
    [
        # may have been paid: a human decides, each time anew
        (TimedOut("x"), {}, True),
        (Disconnected("x"), {"ambiguous": 3, "attempts": 9}, True),
        # surely not paid, or free: no question
        (Overloaded("x"), {}, False),
        (TimedOut("x"), {"paid": False}, False),
    ],
)
def test_hold_asks_before_a_call_that_may_have_been_paid(error: ProviderError, facts: dict, asks: bool) -> None:
    assert isinstance(decide(error, **{"paid": True, "on_ambiguous": "hold", **facts}), AskFirst) == asks


@pytest.mark.parametrize("attempts", [1, 2, 5, 10, 1000])
def test_a_backoff_is_never_zero_and_never_above_the_cap(attempts: int) -> None:
    assert all(0 < backoff(attempts, PATIENCE, chance) <= PATIENCE.cap_s for chance in (0.0, 0.3, 0.999))


def test_a_failure_after_several_tries_says_how_many() -> None:
    decision = decide(Unreachable("no server"), attempts=8)
    assert isinstance(decision, GiveUp)
    assert policy.shown(decision, 8).failure.message == "no server (tried 8 times)"


@pytest.mark.parametrize(
    ("model", "models", "says"),
    [
        ("lama3.2", ["llama3.2:latest", "nomic-embed-text"], "None. Did you mean llama3.2:latest?"),
        ("zzz", ["llama3.2:latest"], "None."),
        ("gpt", [], "None."),
    ],
)
def test_a_model_that_there_is_not_is_told_with_near_names(model: str, models: list[str], says: str) -> None:
    decision = decide(ModelNotFound("None.", {"model": model, "models": models}))
    assert isinstance(decision, GiveUp) and decision.failure.message == says
