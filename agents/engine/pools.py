"""The pools of this process: the shelf of each, what limits its calls, and which nodes may serve it now."""

from collections.abc import Callable
from dataclasses import replace

from agents.engine.gates import Gates
from agents.engine.hedging import Hedging
from agents.engine.later import later
from agents.engine.metrics import Metrics
from agents.engine.placer import LOADED_AFTER_S, Placer
from agents.engine.quotas import Bounds, Quotas, spread
from agents.engine.shelf import Shelf
from providers.base import Provider
from providers.calls import Spent
from providers.errors import ProviderError
from store.database import Database
from store.ledger.claim import ensure_slots
from store.ledger.order import Rules
from store.ledger.quotas import Lent, Most, borrow
from store.ledger.transaction import Wants
from store.ledger.types.claims import Claimed, Pool, Want
from store.ledger.writer import Writer


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
        self.hedging = Hedging(
            database, writer.worker, providers, self.shelves, self.gates, lambda slot: later(writer.free([slot]))
        )
        self.quotas = Quotas(bounds, self._borrow)
        self.placer = Placer(
            database, providers, writer.worker, models=self._models, is_needed=self._is_at_work, look=look
        )

    async def ensure(self, pool: Pool) -> None:
        """Make a pool's slots before its first row is accepted. Unknown providers are refused earlier."""
        if pool in self.shelves:
            return
        provider = self._providers[pool[0]]
        nodes = provider.nodes()
        counts = spread([provider.slots(node, pool[1]) for node in nodes], self.bounds.of(pool).concurrency)
        wanted = [(pool, node, count) for node, count in zip(nodes, counts, strict=True)]
        placed = pool[0] in self.placer.providers
        await self._database.write(lambda conn: ensure_slots(conn, wanted, placed=placed))
        if placed:
            await self.placer.settle(pool[0])
        total = sum(count for _, _, count in wanted)
        self.shelves.setdefault(pool, Shelf(pool, total, lambda: self.gates.closed(pool, nodes), rules=self._rules))
        self._metrics.slots.labels(*pool).set(total)

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
