"""How much of a pool may be used, and whether a node's door is tried: pure, over times that are given.

A pool is (provider, model): it is paused until its provider's `Retry-After`, and the calls in flight, over all processes,
have a ceiling that is cut when the provider says that it is too much and grows with each answer. A door is one node's: it
is shut after five refusals in a row and tried with one call after ten seconds.
"""

from dataclasses import dataclass, replace
from typing import Literal

CUT = 0.7
CUT_EVERY_S = 0.1
"""One burst of refusals is one word: what was sent together, before the last cut, is refused together."""
PAUSE_S = 1.0
"""For a provider that says 'too many' and not for how long."""
PAUSE_MOST_S = 3600.0
"""Asked to wait for longer, a pool is tried once an hour: a header's mistake must not stop it for ever."""
FAILURES = 5
SHUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Throttle:
    """A pool's state. `ceiling` None: its slots are the only bound."""

    paused_until: float = 0.0
    ceiling: float | None = None
    cut_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Door:
    """A node's state. `shut_until` is of interest from the fifth refusal on."""

    failures: int = 0
    shut_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What one call showed: an answer, or a refusal at the door.

    `fails`: the node's door; `cuts`: too much for the pool; `pause_s`: how long all of the pool must wait; `took_s`: how
    long the call took.
    """

    provider: str
    model: str
    node: str
    answered: bool = False
    fails: bool = False
    cuts: bool = False
    pause_s: float = 0.0
    took_s: float = 0.0


def hear(throttle: Throttle, heard: Heard, now: float, *, busy: int, slots: int) -> Throttle:
    """The pool after one call. `busy`: calls in flight before it ended, over all processes."""
    if heard.answered:
        return _grown(throttle, slots)
    until = now + min(heard.pause_s, PAUSE_MOST_S)
    paused = replace(throttle, paused_until=max(throttle.paused_until, until)) if heard.pause_s > 0 else throttle
    return _cut(paused, heard, now, busy, slots) if heard.cuts else paused


def _cut(throttle: Throttle, heard: Heard, now: float, busy: int, slots: int) -> Throttle:
    if now - max(heard.took_s, CUT_EVERY_S) < throttle.cut_at:  # it was sent before the last cut
        return throttle
    in_use = min(slots if throttle.ceiling is None else throttle.ceiling, float(max(1, busy)))
    return replace(throttle, ceiling=_below(max(1.0, in_use * CUT), slots), cut_at=now)


def _grown(throttle: Throttle, slots: int) -> Throttle:
    if throttle.ceiling is None:
        return throttle
    return replace(throttle, ceiling=_below(throttle.ceiling + 1 / throttle.ceiling, slots))


def _below(ceiling: float, slots: int) -> float | None:
    return ceiling if ceiling < slots else None


def room(throttle: Throttle, now: float, *, busy: int, slots: int) -> int:
    """How many more calls may begin."""
    if throttle.paused_until > now:
        return 0
    most = slots if throttle.ceiling is None else int(throttle.ceiling)
    return max(0, most - busy)


def is_over(throttle: Throttle, now: float) -> bool:
    """Nothing is left to remember."""
    return throttle.ceiling is None and throttle.paused_until <= now


def knock(door: Door, heard: Heard, now: float) -> Door:
    """The door after one call: an answer opens it, a refusal counts, the fifth in a row and each later one shuts it."""
    if heard.answered:
        return Door()
    if not heard.fails:
        return door
    failures = door.failures + 1
    return Door(failures, now + SHUT_S if failures >= FAILURES else 0.0)


def stands(door: Door, now: float) -> Literal["open", "shut", "trial"]:
    """`trial`: one call may go, and only one: whoever sends it shuts the door behind itself (`tried`)."""
    if door.failures < FAILURES:
        return "open"
    return "shut" if door.shut_until > now else "trial"


def tried(door: Door, now: float) -> Door:
    """One call goes to see; nobody else does until it is back, or so long that its sender may be dead."""
    return replace(door, shut_until=now + SHUT_S)
