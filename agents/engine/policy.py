"""What to do after an error: functions of the error and of what was tried already."""

import random
from dataclasses import dataclass, replace

from providers.errors import Broken, Overloaded, ProviderError, ServerError, TimedOut, Unreachable
from providers.marked import near
from schemas.errors import ErrorType, Failure

TRIES_AFTER_EXECUTION = 3
"""A free call that ran and failed is made this often at most: it costs GPU time, and the same text may break it again."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How often and how long: seconds."""

    max_attempts: int = 8
    base_s: float = 0.5
    cap_s: float = 60.0


@dataclass(frozen=True, slots=True)
class TryAgain:
    """After `delay_s`; `ambiguous`: the last call may have been paid."""

    delay_s: float
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The request fails. `dead_letter`: another try or a human may mend the cause."""

    failure: Failure
    dead_letter: bool


@dataclass(frozen=True, slots=True)
class AskFirst:
    """A human decides whether a call that may have been paid is made once more."""


NOT_DEAD_LETTERS = frozenset(
    {ErrorType.INVALID_REQUEST, ErrorType.IDEMPOTENCY_CONFLICT, ErrorType.RECORDED_ANSWER_EXPIRED}
)


def after(
    error: ProviderError,
    *,
    attempts: int,
    paid: bool,
    on_ambiguous: str,
    ambiguous: int,
    patience: Patience,
    chance: float,
    elsewhere: bool = False,
    begun: bool = False,
) -> TryAgain | GiveUp | AskFirst:
    """Decide. `attempts`: tries made, this one included; `chance`: uniform in [0, 1), for the jitter; `elsewhere`: another
    node may take it, now; `begun`: the only one who waits for the answer has read its beginning, which no other try goes on from.
    """
    if begun and error.another_try_may_help:
        return _broken_off(error, paid=paid)
    if paid and isinstance(error, Broken):
        return _after_ambiguous(error, on_ambiguous, ambiguous, backoff(attempts, patience, chance))
    if not error.another_try_may_help:
        return _give_up(error, retryable=False)
    most = patience.max_attempts
    if isinstance(error, (ServerError, TimedOut)):
        most = min(most, TRIES_AFTER_EXECUTION)
    if attempts >= most:
        return _give_up(error, retryable=True)
    asked_s = None if error.retry_after_s is None else error.retry_after_s * (1 + chance / 10)
    if elsewhere:
        asked_s = 0.0
    return TryAgain(backoff(attempts, patience, chance) if asked_s is None else asked_s)


def goes_elsewhere(error: ProviderError) -> bool:
    """Refused at the door of one node: surely not paid, and nothing is wrong with the request."""
    return isinstance(error, (Unreachable, Overloaded))


def backoff(attempts: int, patience: Patience, chance: float) -> float:
    """Full jitter: anywhere below `base * 2 ** (attempts - 1)`, at most the cap, never zero."""
    top = min(patience.cap_s, patience.base_s * 2.0 ** min(attempts - 1, 30))
    return max(0.01, top * chance)


def _after_ambiguous(error: Broken, on_ambiguous: str, ambiguous: int, delay_s: float) -> TryAgain | GiveUp | AskFirst:
    if on_ambiguous == "hold":
        return AskFirst()
    if on_ambiguous == "retry" and ambiguous == 0:
        return TryAgain(delay_s, ambiguous=True)
    return GiveUp(_ambiguous(error), dead_letter=True)


def _ambiguous(error: ProviderError) -> Failure:
    return Failure(
        type=ErrorType.AMBIGUOUS,
        message=f"a paid call broke off and may have been paid ({error.message}); it was not made again",
        retryable=True,
        details={"cause": error.type.value},
    )


def _broken_off(error: ProviderError, *, paid: bool) -> GiveUp:
    """No dead letter: whoever redrives it makes an answer that nobody waits for."""
    failure = _ambiguous(error) if paid and isinstance(error, Broken) else _give_up(error, retryable=True).failure
    details = {**failure.details, "broken_off": True}
    return GiveUp(failure.model_copy(update={"details": details}), dead_letter=False)


def _give_up(error: ProviderError, *, retryable: bool) -> GiveUp:
    failure = Failure(type=error.type, message=_naming(error), retryable=retryable, details=error.details)
    return GiveUp(failure, dead_letter=error.type not in NOT_DEAD_LETTERS)


def _naming(error: ProviderError) -> str:
    """What it says; of a model that there is not, with the names that may have been meant."""
    details = error.details or {}
    meant = near(details.get("model", ""), details.get("models", ()))
    return f"{error.message} Did you mean {' or '.join(meant)}?" if meant else error.message


def jitter() -> float:
    """The one source of chance."""
    return random.random()  # noqa: S311 - spreads retries, guards nothing


def meaning(give_up: GiveUp, names: list[str]) -> GiveUp:
    """The same, with names that may have been meant."""
    words = f"{give_up.failure.message} Did you mean {' or '.join(f'`{name}`' for name in names)}?"
    details = {**give_up.failure.details, "near": names}
    return replace(give_up, failure=give_up.failure.model_copy(update={"message": words, "details": details}))


def shown(give_up: GiveUp, attempts: int) -> GiveUp:
    """The same, saying how often it was tried."""
    if attempts <= 1 or not give_up.failure.retryable:
        return give_up
    failure = give_up.failure.model_copy(update={"message": f"{give_up.failure.message} (tried {attempts} times)"})
    return replace(give_up, failure=failure)
