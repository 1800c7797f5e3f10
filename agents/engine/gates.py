"""What this process knows of its providers' limits: what its own calls showed, at once, and what the ledger says with each
claim. The ledger decides who gets a slot; this only says which slots that we hold must not be used now.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

from providers.errors import Overloaded, ProviderError, RateLimited, TimedOut, Unreachable
from store.ledger import throttle
from store.ledger.limits import Limits, Place
from store.ledger.throttle import Door, Heard, Throttle
from store.ledger.types.claims import Pool, Slot

_NONE: frozenset[str] = frozenset()
PATIENT_S = 5.0
"""A time-out speaks against a node only after so long: else one caller's tiny `timeout_s` would shut it for everybody."""


def judged(error: ProviderError | None, pool: Pool, node: str, took_s: float = 0.0, *, elsewhere: bool) -> Heard | None:
    """What a call's end says about limits; None: nothing. `elsewhere`: another node of the pool may be asked now.

    One of many nodes that is full is that node's matter; where there is no other, it is the pool's.
    """
    if error is None:
        return Heard(*pool, node, answered=True)
    if isinstance(error, RateLimited):
        wait_s = throttle.PAUSE_S if error.retry_after_s is None else error.retry_after_s
        return Heard(*pool, node, cuts=True, pause_s=wait_s, took_s=took_s)
    if isinstance(error, Overloaded):
        wait_s = 0.0 if elsewhere else error.retry_after_s or 0.0
        return Heard(*pool, node, fails=True, cuts=not elsewhere, pause_s=wait_s, took_s=took_s)
    if isinstance(error, Unreachable) or (isinstance(error, TimedOut) and took_s >= PATIENT_S):
        return Heard(*pool, node, fails=True, took_s=took_s)
    return None


class Gates:
    """Times in here are those of `clock`. Nothing is kept while nothing is limited."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.pools: dict[Pool, Throttle] = {}
        self.doors: dict[Place, Door] = {}
        self.leaving: frozenset[tuple[Pool, str]] = frozenset()
        """Our slots that were closed: the node is another model's."""
        self._granted: set[Place] = set()
        """Shut doors at which the ledger gave us a slot, to try them."""
        self._heard: dict[object, float] = {}
        """When our own calls last said something that the ledger may not know yet."""

    def hear(
        self, error: ProviderError | None, pool: Pool, node: str, nodes: Iterable[str], took_s: float = 0.0
    ) -> Heard | None:
        """One of our calls has ended so. What the ledger must be told, if it is anything new to it."""
        place = (pool[0], node)
        if error is None and pool not in self.pools and place not in self.doors:
            return None
        elsewhere = bool(frozenset(nodes) - self.closed(pool, nodes) - {node})
        heard = judged(error, pool, node, took_s, elsewhere=elsewhere)
        if heard is None:
            return None
        now = self._clock()
        before = self.pools.get(pool, Throttle())
        # the ceiling is the ledger's: only it knows how many calls are in flight everywhere
        self._keep_pool(pool, throttle.hear(before, replace(heard, cuts=False), now, busy=0, slots=0), now)
        self._keep_door(place, throttle.knock(self.doors.get(place, Door()), heard, now))
        self._granted.discard(place)
        self._heard[pool] = self._heard[place] = now
        return heard

    def _keep_pool(self, pool: Pool, state: Throttle, now: float) -> None:
        if throttle.is_over(state, now):
            self.pools.pop(pool, None)
        else:
            self.pools[pool] = state

    def _keep_door(self, place: Place, door: Door) -> None:
        if door == Door():
            self.doors.pop(place, None)
        else:
            self.doors[place] = door

    def told(self, limits: Limits | None, taken: Iterable[Slot], took_s: float) -> None:
        """What a claim brought whose transaction took so long; what we heard since it began is newer."""
        if limits is None and not self.pools and not self.doors:
            return
        now = self._clock()
        ahead = now - (limits.at if limits is not None else 0.0)
        newer = {what for what, at in self._heard.items() if at > now - took_s}
        kept_pools = {pool: state for pool, state in self.pools.items() if pool in newer}
        kept_doors = {place: door for place, door in self.doors.items() if place in newer}
        found = limits or Limits()
        self.pools = {
            pool: replace(state, paused_until=state.paused_until + ahead) for pool, state in found.pools.items()
        } | kept_pools
        self.doors = {
            place: replace(door, shut_until=door.shut_until + ahead) for place, door in found.doors.items()
        } | kept_doors
        self._heard = {what: at for what, at in self._heard.items() if what in newer}
        self._granted = {place for place in self._granted if place in self.doors}
        self._granted |= {place for slot in taken if (place := (slot.provider, slot.node)) in self.doors}

    def closed(self, pool: Pool, nodes: Iterable[str]) -> frozenset[str]:
        """Nodes at which no call of this pool may begin now."""
        if not self.pools and not self.doors and not self.leaving:
            return _NONE
        now = self._clock()
        state = self.pools.get(pool)
        if state is not None and state.paused_until > now:
            return frozenset(nodes)
        return frozenset(node for node in nodes if (pool, node) in self.leaving or self._is_shut((pool[0], node), now))

    def shut(self) -> list[Place]:
        """Nodes that are left alone but for a call that goes to see, as far as this process knows."""
        now = self._clock()
        return sorted(place for place, door in self.doors.items() if throttle.stands(door, now) != "open")

    def _is_shut(self, place: Place, now: float) -> bool:
        door = self.doors.get(place)
        return door is not None and throttle.stands(door, now) != "open" and place not in self._granted

    def is_shared(self, pool: Pool) -> bool:
        """The calls in flight have a ceiling below the slots: each slot goes back, and the ledger says who gets the next."""
        state = self.pools.get(pool)
        return state is not None and state.ceiling is not None

    def changes_in(self) -> float | None:
        """Seconds until a pause ends or a door may be tried; None: neither is there."""
        now = self._clock()
        times = [state.paused_until for state in self.pools.values()]
        times += [door.shut_until for door in self.doors.values()]
        ahead = [at - now for at in times if at > now]
        return min(ahead) if ahead else None
