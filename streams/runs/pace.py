"""How fast items of a run end, and when the last one will: pure."""

from collections import deque

LOOKS_BACK_S = 120.0
LEAST = 5
"""Items that must have ended before a pace is told: what the first ones took says little."""


class Pace:
    """Moments and how many items had ended by then, oldest first."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def saw(self, at: float, done: int) -> float | None:
        """Items per second lately, or None where too few have ended to say. Starts anew when there are fewer than before."""
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()
        if not self._seen or at - self._seen[-1][0] >= LOOKS_BACK_S / 100:
            self._seen.append((at, done))
        while len(self._seen) > 2 and at - self._seen[1][0] >= LOOKS_BACK_S:
            self._seen.popleft()
        since, before = self._seen[0]
        return (done - before) / (at - since) if done - before >= LEAST and at > since else None


def left_s(total: int | None, done: int, per_s: float | None) -> float | None:
    """Until the last item has ended; None while more may come, or nothing is known of the pace."""
    if total is None or not per_s or done >= total:
        return None
    return round((total - done) / per_s, 1)
