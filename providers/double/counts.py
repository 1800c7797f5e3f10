"""How often a double was called, request by request: what a kill test compares with the ledger."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

End = Literal["finished", "refused", "broken", "aborted"]


@dataclass(slots=True)
class Tally:
    """`started` = `finished` + `refused` + `broken` + `aborted` + those in flight.

    `finished`: answered whole. `refused`: surely not run. `broken`: run, and its answer spoiled. `aborted`: the caller left.
    """

    started: int = 0
    finished: int = 0
    refused: int = 0
    broken: int = 0
    aborted: int = 0


@dataclass(slots=True)
class Counts:
    """`clock` gives seconds. In flight is a call that was received whole and not answered yet, queued ones included."""

    clock: Callable[[], float] = time.perf_counter
    total: Tally = field(default_factory=Tally)
    requests: dict[str, Tally] = field(default_factory=dict)
    in_flight: int = 0
    max_in_flight: int = 0
    _area: float = 0.0
    _since: float | None = None
    _last: float = 0.0

    def start(self, tag: str) -> int:
        """The number of this call among its request's, from 1."""
        self._move(+1)
        self.total.started += 1
        tally = self.requests.get(tag)
        if tally is None:
            tally = self.requests[tag] = Tally()
        tally.started += 1
        return tally.started

    def end(self, tag: str, how: End) -> None:
        self._move(-1)
        for tally in (self.total, self.requests.setdefault(tag, Tally())):
            setattr(tally, how, getattr(tally, how) + 1)

    def _move(self, by: int) -> None:
        now = self.clock()
        if self._since is None:
            self._since = self._last = now
        self._area += self.in_flight * (now - self._last)
        self._last = now
        self.in_flight += by
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def reset(self) -> None:
        """Forget everything but the calls in flight: their ends are still counted, the mean starts from here."""
        now = self.clock()
        self.total, self.requests = Tally(), {}
        self._area, self._since, self._last, self.max_in_flight = 0.0, now, now, self.in_flight

    def snapshot(self, *, requests: bool = True) -> dict[str, Any]:
        """As JSON values; `mean_in_flight` is over the time since the first call or the reset, in `seconds`."""
        if self._since is not None:
            self._move(0)
        seconds = self._last - (self._last if self._since is None else self._since)
        figures: dict[str, Any] = {
            **asdict(self.total),
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "mean_in_flight": self._area / seconds if seconds > 0 else 0.0,
            "seconds": seconds,
        }
        return figures | ({"requests": {tag: asdict(each) for tag, each in self.requests.items()}} if requests else {})
