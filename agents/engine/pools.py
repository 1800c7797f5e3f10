"""The pools of this process: the shelf of each, what limits its calls, and which nodes may serve it now."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from weakref import WeakValueDictionary

from agents.engine.gates import Gates
from agents.engine.hedging import Hedging
from agents.engine.later import later
from agents.engine.metrics import Metrics
from agents.engine.placer import LOADED_AFTER_S, Placer
from agents.engine.quotas import Bounds, Quotas, spread
from agents.engine.shelf import Shelf
from agents.engine.uses import Uses
from providers.base import Provider
from providers.calls import Spent
from providers.errors import ProviderError
from store.database import Database
from store.ledger import unused
from store.ledger.claim import ensure_slots, known_pools
from store.ledger.order import Rules
from store.ledger.quotas import Lent, Most, borrow
from store.ledger.transaction import Wants
from store.ledger.types.claims import Claimed, Pool, Want
from store.ledger.writer import Writer

_TOGETHER = 50
"""Pools that are dropped in one transaction."""


class Pools:
    """`look`: claim again, since nodes were given to models."""

    def __init__(
        self,
        writer: Writer,
        database: Database,
        providers: dict[str, Provider],
        metrics: Metrics,
        *,
        bounds: Bounds,
        rules: Rules,
        look: Callable[[], None],
    ) -> None:
        self._writer, self._database, self._providers, self._metrics = writer, database, providers, metrics
        self.bounds, self._rules = bounds, rules
        self.gates = Gates()
        self.shelves: dict[Pool, Shelf] = {}
        self._left: WeakValueDictionary[Pool, Shelf] = WeakValueDictionary()
        """Shelves that were let go of: whoever still works with one and whoever comes next have the same."""
        self.uses = Uses()
        self._turn = asyncio.Lock()
        self.hedging = Hedging(
            database, writer.worker, providers, self.shelves, self.gates, lambda slot: later(writer.free([slot]))
        )
        self.quotas = Quotas(bounds, self._borrow)
        self.placer = Placer(
            database, providers, writer.worker, models=self._models, is_needed=self._is_at_work, look=look
        )

    async def ensure(self, pool: Pool) -> None:
        """Make a pool's slots before its first row is accepted, and again after it was not used for long. Unknown providers are
        refused earlier.
        """
        if self.uses.ask(pool):
            return
        async with self._turn:
            if self.uses.is_said(pool):
                return
            began = self.uses.clock()
            if pool not in self.shelves or not await self._touch({pool: self._metrics.names.has(pool)}):
                await self.make(pool)
            self.uses.say([pool], began)
            self.shelf(pool)

    async def learn(self, pool: Pool) -> None:
        """Somebody has made it; here nobody needs it yet."""
        if pool not in self.shelves:
            await self.make(pool, used=False)

    async def make(self, pool: Pool, *, used: bool = True) -> None:
        """Its slots as the settings have them, in the ledger and here."""
        counts = self._counts(pool)
        wanted = [(pool, node, count) for node, count in counts.items()]
        placed = pool[0] in self.placer.providers
        there = await self._database.write(lambda conn: ensure_slots(conn, wanted, placed=placed, used=used))
        if placed:
            await self.placer.settle(pool[0])
        if used or there:
            self.shelf(pool)

    def shelf(self, pool: Pool) -> Shelf:
        """The pool's; a new one, where there is none."""
        found = self.shelves.get(pool) or self._left.get(pool)
        if found is None:
            counts = self._counts(pool)
            found = Shelf(pool, sum(counts.values()), lambda: self.gates.closed(pool, counts.keys()), rules=self._rules)
        self.shelves[pool] = found
        return found

    def _counts(self, pool: Pool) -> dict[str, int]:
        provider = self._providers[pool[0]]
        nodes = provider.nodes()
        slots = [provider.slots(node, pool[1]) for node in nodes]
        return dict(zip(nodes, spread(slots, self.bounds.of(pool).concurrency), strict=True))

    async def _touch(self, used: Mapping[Pool, bool]) -> frozenset[Pool]:
        return await self._database.write(lambda conn: unused.touch(conn, used))

    async def sweep(self) -> None:
        """Tell the ledger what is used here; let go of what nobody uses, there and here."""
        used = self.uses.asked() | {pool for pool, shelf in self.shelves.items() if shelf.is_in_use()}
        if used:
            began = self.uses.clock()
            there = await self._touch({pool: self._metrics.names.has(pool) for pool in used})
            self.uses.say(there, began)
            self.uses.forget(used - there)
        if found := await self._database.read(unused.find):
            parked = await self._database.read(unused.parked)
            if kept := found & parked:  # looked at again only after a while
                await self._touch(dict.fromkeys(kept, False))
            for some in _parts(sorted(found - parked)):
                await self._database.write(partial(unused.drop, found=some))
        self._forget(set(await self._database.read(known_pools)))

    def _forget(self, known: set[Pool]) -> None:
        """Those that are gone from the ledger, and that nobody here is about to use."""
        gone = [
            (pool, shelf)
            for pool, shelf in self.shelves.items()
            if pool not in known and not shelf.is_in_use() and not self.uses.is_said(pool)
        ]
        for pool, shelf in gone:
            self._left[pool] = shelf
            del self.shelves[pool]
            self.hedging.forget(pool)
            self.quotas.forget(pool)
            self._metrics.names.leave(pool)
        self.uses.forget(pool for pool, _ in gone)

    def heard(self, claim: Claimed, node: str, ended: ProviderError | Spent, took_s: float) -> None:
        """A call has ended so: what it shows of its provider's limits holds here at once, and everywhere with the next commit."""
        pool = (claim.provider, claim.model)
        load_s = ended.load_s or 0.0 if isinstance(ended, Spent) else 0.0
        self.placer.used(pool, node, load_s)
        if load_s >= LOADED_AFTER_S:
            self._metrics.loads.labels(pool[0], node).inc()
        error = ended if isinstance(ended, ProviderError) else None
        if error is None:
            self.hedging.saw(claim, took_s)
        heard = self.gates.hear(error, pool, node, self._providers[claim.provider].nodes(), took_s)
        if heard is not None:
            self._writer.learn(heard)
            self.shelves[pool].dirty = True

    async def gpu_nodes(self, claim: Claimed) -> dict[str, bool | None]:
        """Whether the nodes of the request's provider have a GPU; None: it is not known."""
        return await self.placer.asked_gpus(claim.provider)

    def wants(self) -> Wants:
        """What a claim could bring to each shelf, and to which it is worth its statements now."""
        wants = {pool: self._want(shelf) for pool, shelf in self.shelves.items()}
        due = [wants[pool] for pool, shelf in self.shelves.items() if shelf.is_due() or shelf.is_dry()]
        return Wants(due, wants)

    def _want(self, shelf: Shelf) -> Want:
        """Nodes that have a GPU go first, so that whoever needs one gets it while there is one."""
        first = self.placer.first.get(shelf.pool[0])
        return shelf.want() if first is None else replace(shelf.want(), first=first)

    def _models(self, provider: str) -> set[str]:
        return {model for name, model in self.shelves if name == provider}

    def _is_at_work(self, provider: str) -> bool:
        """Whether rows of this provider wait, here or in the ledger, or are called."""
        ours = (shelf for pool, shelf in self.shelves.items() if pool[0] == provider)
        return any(shelf.busy or shelf.rows or shelf.more for shelf in ours)

    async def allowed(self, claim: Claimed, tokens: int) -> None:
        """Returns when the call may leave, by what its pool may be asked for in a minute."""
        await self.quotas.take((claim.provider, claim.model), tokens)

    async def _borrow(self, pool: Pool, most: Most, calls: int, tokens: int) -> Lent:
        return await self._database.write(lambda conn: borrow(conn, pool, most, calls, tokens))

    def is_closed(self, pool: Pool) -> bool:
        """Whether no call of this pool may begin now: its provider asked to wait, or refused again and again."""
        nodes = self._providers[pool[0]].nodes()
        return self.gates.closed(pool, nodes) >= frozenset(nodes)

    def elsewhere(self, claim: Claimed, node: str) -> bool:
        """Whether another node than this one may be asked now."""
        nodes = self._providers[claim.provider].nodes()
        return bool(frozenset(nodes) - self.gates.closed((claim.provider, claim.model), nodes) - {node})


def _parts(pools: Sequence[Pool]) -> Iterator[Sequence[Pool]]:
    """A transaction each: who waits for the database goes between."""
    return (pools[start : start + _TOGETHER] for start in range(0, len(pools), _TOGETHER))
