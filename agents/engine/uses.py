"""What this process has said to the ledger of the pools that it uses. Pure: pools that nobody speaks of are dropped by anybody."""

import time
from collections.abc import Callable, Iterable

from store.ledger.types.claims import Pool
from store.ledger.unused import SAID_S


class Uses:
    """Times are those of `clock`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._said: dict[Pool, float] = {}
        self._asked: set[Pool] = set()

    def ask(self, pool: Pool) -> bool:
        """A request needs it; False: the ledger must be told before its row is accepted."""
        self._asked.add(pool)
        return self.is_said(pool)

    def is_said(self, pool: Pool) -> bool:
        """Whether a row of it may be accepted now: nobody drops it so soon."""
        said = self._said.get(pool)
        return said is not None and self.clock() - said < SAID_S

    def say(self, pools: Iterable[Pool], at: float) -> None:
        """The ledger was told, in a transaction that began at `at`."""
        self._said |= dict.fromkeys(pools, at)

    def asked(self) -> set[Pool]:
        """What was needed since this was asked last."""
        found, self._asked = self._asked, set()
        return found

    def forget(self, pools: Iterable[Pool]) -> None:
        """They are not there any more."""
        for pool in pools:
            self._said.pop(pool, None)
