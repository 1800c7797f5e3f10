"""Which items of a run that may spend only so much are asked now.

What may be feared of a call is many times what it costs. So items wait for others to end, and only what could never fit is let
through, to be refused.
"""

from dataclasses import dataclass
from functools import partial

from store.database import Database
from store.runs import money


@dataclass(slots=True)
class Room:
    """`left`: of the budget, less what is spent; `feared`: what those that run may still cost at most."""

    left: int
    feared: int

    def ever(self, estimate: int | None) -> bool:
        """Whether it would fit if nothing else ran. What nothing prices never does."""
        return estimate is not None and estimate <= self.left

    def take(self, estimate: int | None) -> bool:
        """Whether it is asked now; if so, it is feared from now on."""
        if not self.ever(estimate):
            return True
        more = self.feared + (estimate or 0)
        if estimate and more > self.left:
            return False
        self.feared = more
        return True


async def room(database: Database, tenant: str, id_: str) -> Room | None:
    """Under the own budget of a run; None: it has none. Raises StoreError."""
    state = await database.read(partial(money.standing, tenant=tenant, id_=id_))
    return None if state is None else Room(state.limit_nano - state.spent_nano, state.reserved_nano)
