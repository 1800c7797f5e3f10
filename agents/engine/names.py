"""Which models have series of their own: those that have answered, and no more than `MOST`. A name is whatever a producer writes."""

from collections.abc import Collection, Iterable

from store.ledger.types.claims import Pool

MOST = 100
OTHER = "other"


def named(pool: Pool, own: Collection[Pool]) -> Pool:
    """The labels `provider` and `model`: its own, or those that it shares with others of its provider."""
    return pool if pool in own else (pool[0], OTHER)


class Names:
    """A model that has answered keeps its name while it is used, and afterwards until another one needs its place."""

    def __init__(self) -> None:
        self._own: set[Pool] = set()
        self._unused: dict[Pool, None] = {}
        """Of those, in the order in which their pools went."""

    def has(self, pool: Pool) -> bool:
        """Whether it has answered here and is counted by its name."""
        return pool in self._own

    def all(self) -> frozenset[Pool]:
        """That have names."""
        return frozenset(self._own)

    def of(self, pool: Pool) -> Pool:
        """The labels `provider` and `model`."""
        return named(pool, self._own)

    def answered(self, pool: Pool) -> Pool | None:
        """A call of it was answered. The one that has lost its name to it."""
        self._unused.pop(pool, None)
        if pool in self._own:
            return None
        lost = next(iter(self._unused), None) if len(self._own) >= MOST else None
        if lost is not None:
            del self._unused[lost]
            self._own.discard(lost)
        if len(self._own) < MOST:
            self._own.add(pool)
        return lost

    def leave(self, pool: Pool) -> None:
        """Its pool has gone."""
        if pool in self._own:
            self._unused[pool] = None


def own(pools: Iterable[Pool], answered: Collection[Pool]) -> frozenset[Pool]:
    """The same of pools that the ledger shows, the more important ones first."""
    return frozenset([pool for pool in pools if pool in answered][:MOST])
