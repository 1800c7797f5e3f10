"""What of a key's minute work that waits may have now: the minute is used evenly, and what nobody else takes of it is had in the end.

So a run of a million items takes its key's minute as it passes, and whoever asks with that key at the door meanwhile finds room.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from store.ledger.quotas import MINUTE_S, Lent, Most

_SOON_S = 0.05


@dataclass(frozen=True, slots=True)
class Turn:
    """How many may go, in their order, and after how many seconds to ask for more."""

    count: int
    wait_s: float


def turn(most: Most, calls: int, tokens: int, passed_s: float, needs: Sequence[int]) -> Turn:
    """`calls` and `tokens` are taken of a minute of which `passed_s` have passed; `needs` are the tokens of each that waits.

    One may begin as soon as less is taken than is due by now, so that a large one is not kept out; and if all of it fits.
    """
    for count, need in enumerate(needs):
        wait_s = _wait_s(most, calls, tokens, passed_s, bounded(most, need))
        if wait_s > 0:
            return Turn(count, max(_SOON_S, wait_s))
        calls, tokens = calls + 1, tokens + bounded(most, need)
    return Turn(len(needs), 0.0)


def bounded(most: Most, need: int) -> int:
    """Tokens that one takes: a request larger than a whole minute's takes the whole minute."""
    return 0 if most.tokens is None else min(need, most.tokens)


def _wait_s(most: Most, calls: int, tokens: int, passed_s: float, need: int) -> float:
    if most.calls is not None and calls >= most.calls:
        return MINUTE_S - passed_s
    if most.tokens is not None and tokens + need > most.tokens:
        return MINUTE_S - passed_s
    due_s = max((_due_s(most.calls, calls), _due_s(most.tokens, tokens)))
    return max(0.0, due_s - passed_s)


def _due_s(most: int | None, taken: int) -> float:
    """When in the minute so much is due."""
    return 0.0 if most is None else taken * MINUTE_S / most


class Asking:
    """A turn as a wish for a block of the minute. Not `evenly`: whatever is left of it, for somebody who asks just once."""

    def __init__(self, most: Most, needs: Sequence[int], *, evenly: bool = True) -> None:
        self._most, self._needs, self._evenly = most, needs, evenly
        self._found = Turn(0, 0.0)

    def wish(self, calls: int | None, tokens: int | None, passed_s: float) -> tuple[int, int]:
        """Of what is left; it may be asked again, when others were first."""
        most, passed = self._most, passed_s if self._evenly else math.nextafter(MINUTE_S, 0)
        self._found = turn(most, _taken(most.calls, calls), _taken(most.tokens, tokens), passed, self._needs)
        count = self._found.count
        return 0 if most.calls is None else count, sum(bounded(most, each) for each in self._needs[:count])

    def turn(self, lent: Lent) -> Turn:
        """What it came to."""
        return Turn(self._found.count, min(self._found.wait_s, lent.left_s) if self._evenly else lent.left_s)


def _taken(most: int | None, left: int | None) -> int:
    return 0 if most is None or left is None else most - left
