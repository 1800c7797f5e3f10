"""Items of a run that a key with limits submitted: they wait for their key's minute as whoever asks at the door would have to."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from store.ledger import pacing
from store.ledger.quotas import Most
from store.ledger.types.arrivals import Ask
from store.ledger.types.claims import Pool
from streams.lending import Lending

AT_ONCE = 50
"""Items that are looked at together: a part of a run is cut into pieces of so many when it is taken little by little."""
_POOL = "key"
"""In the ledger's quotas a key stands where a provider does, and its id where a model does."""


def said(most: Most) -> dict[str, Any]:
    """What a run keeps of its key's limits, which never change; nothing where there are none."""
    return {"minute": [most.calls, most.tokens]} if most.bounds else {}


def pool(key_id: str) -> Pool:
    """Where a key's minutes are counted."""
    return (_POOL, key_id)


async def at_once(lending: Lending, key_id: str, most: Most, asks: Sequence[Ask]) -> pacing.Turn:
    """How many of these may go together, out of whatever is left of the minute, and when it ends. Raises StoreError."""
    asking = pacing.Asking(most, [ask.weight for ask in asks], evenly=False)
    return asking.turn(await lending.lend(pool(key_id), most, asking.wish))


class Turns:
    """Whose turn it is, of the runs that one process feeds."""

    def __init__(self, lending: Lending, clock: Callable[[], float] = time.monotonic) -> None:
        self._lending, self._clock = lending, clock
        self._until: dict[tuple[str, str], float] = {}

    def are_free(self, row: Any, told: Mapping[str, Any]) -> bool:
        """Nothing bounds its items; nor those that only wait to expire."""
        return "minute" not in told or (row.deadline is not None and time.time() >= row.deadline)

    async def taken(self, row: Any, told: Mapping[str, Any], asks: Sequence[Ask | None]) -> int:
        """How many of the first ones may become requests now; None is a request already. Raises StoreError."""
        key = (row.tenant, row.id)
        places = [place for place, ask in enumerate(asks) if ask is not None]
        count = 0
        if places and self._until.get(key, 0.0) <= self._clock():
            most = Most(*told["minute"])
            asking = pacing.Asking(
                most, [0 if ask.failure is not None else ask.weight for ask in asks if ask is not None]
            )
            turn = asking.turn(await self._lending.lend(pool(told["key_id"]), most, asking.wish))
            count = turn.count
            self._until[key] = self._clock() + turn.wait_s
        return places[count] if count < len(places) else len(asks)

    def forget(self, row: Row[Any]) -> None:
        """It has ended."""
        self._until.pop((row.tenant, row.id), None)
