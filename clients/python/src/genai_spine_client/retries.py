"""When a call is made again: a decision about an error, and nothing that touches the world."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from genai_spine_client.errors import GenAIError, Refusal, TooManyRequests, Unavailable, Unreachable


class Again(Enum):
    """`ALWAYS`: the server does it once, however often it is asked. `UNTAKEN`: only when surely nothing was taken."""

    ALWAYS = "always"
    UNTAKEN = "untaken"


@dataclass(frozen=True, slots=True)
class Retries:
    """How often, and how long between. Waits are spread over their whole length, so that callers do not come back together."""

    tries: int = 4
    base_s: float = 0.5
    cap_s: float = 20.0
    most_wait_s: float = 120.0
    """A server that says to wait longer than this is believed: the refusal is raised."""
    share: Callable[[], float] = random.random
    """From 0 to 1: how much of a wait is waited."""

    def pause(self, tried: int, error: GenAIError, again: Again, left_s: float) -> float | None:
        """Seconds until the next try; None: raise."""
        if tried >= self.tries or not may(error, again):
            return None
        spread = self.share() * min(self.cap_s, self.base_s * 2 ** (tried - 1))
        told = error.retry_after_s if isinstance(error, Refusal) else None
        if told is None:
            return spread if spread < left_s else None
        wait = told + spread
        return wait if told <= self.most_wait_s and wait < left_s else None


def may(error: GenAIError, again: Again) -> bool:
    """Whether asking once more can help and does no harm."""
    if isinstance(error, TooManyRequests):
        return error.may_help
    if isinstance(error, Unreachable):
        return again is Again.ALWAYS or not error.sent
    return isinstance(error, Unavailable) and error.may_help and again is Again.ALWAYS
