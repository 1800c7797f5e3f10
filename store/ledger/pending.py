"""What waits for the writer's next transaction."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from store.ledger.throttle import Heard
from store.ledger.types.arrivals import Arrival
from store.ledger.types.claims import Slot
from store.ledger.types.steps import Step


@dataclass(slots=True)
class Item:
    """One thing that waits: some arrivals, a step, or marks."""

    future: "asyncio.Future[Any]"
    arrivals: Sequence[Arrival] = ()
    step: Step | None = None
    marks: Sequence[int] = ()
    frees: Sequence[Slot] = ()
    audit: bool = False
    heard: Sequence[Heard] = ()

    since: float = field(default_factory=time.monotonic)

    def weight(self) -> int:
        return max(len(self.arrivals), len(self.marks), 1)

    def is_intent(self) -> bool:
        return self.step is not None and self.step.opens is not None

    def settle(self, answer: Any) -> None:
        """Whoever asked may have gone meanwhile."""
        if not self.future.done():
            self.future.set_result(answer)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


def cut(items: Sequence[Item], weight: int) -> int:
    """How many of these, from the first on, have this weight together; all, if they weigh less."""
    total = 0
    for i, item in enumerate(items):
        total += item.weight()
        if total >= weight:
            return i + 1
    return len(items)
