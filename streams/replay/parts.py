"""What a replay works with: the ledger, and the spine's own ways to read a record, to price it and to say where it goes."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

from agents import OPERATIONS
from providers.base import Placing, Provider
from providers.prices import PriceTable
from store.database import Database
from store.ledger.claim import ensure_slots
from store.ledger.types.claims import Pool
from store.ledger.types.records import Routes
from store.ledger.unused import touch
from streams import library, lookup, postgres, topics
from streams.configured import make_decoder
from streams.decode import Decoder
from streams.prompting import memory
from streams.providing import make_prices, make_providers
from streams.routing import make_routes
from streams.settings import Settings


@dataclass
class Parts:
    """Opened by `opened`, which closes them."""

    settings: Settings
    database: Database
    decoder: Decoder
    prices: PriceTable
    providers: dict[str, Provider]
    routes: Routes
    widths: dict[str, int]
    """Topic to its partitions; empty: Kafka was not asked."""

    async def ensure(self, pools: set[Pool]) -> None:
        """Slots for pools that have none: a worker looks for rows only where there are some."""
        there = await self.database.write(partial(touch, used=dict.fromkeys(pools, False)))
        for pool in sorted(pools - there):
            provider = self.providers[pool[0]]
            wanted = [(pool, node, provider.slots(node, pool[1])) for node in provider.nodes()]
            placed = isinstance(provider, Placing) and provider.holds > 0
            await self.database.write(partial(ensure_slots, wanted=wanted, placed=placed))


@contextlib.asynccontextmanager
async def opened(settings: Settings, bootstrap: str | None) -> AsyncIterator[Parts]:
    """`bootstrap` None: Kafka is not needed. Raises SpineError when there is no ledger, or no broker."""
    chosen = postgres.resolved(settings)
    widths = {} if bootstrap is None else await topics.list_topics(bootstrap)
    counts = {name: found.partitions for name, found in widths.items()}
    made = make_providers(chosen)
    async with contextlib.AsyncExitStack() as stack:
        for provider in made.values():
            stack.push_async_callback(provider.aclose)
        database = await stack.enter_async_context(lookup.opened(chosen))
        prompts = library.load(chosen)
        prompts.register(*await database.read(memory.whole))
        yield Parts(
            chosen,
            database,
            make_decoder(chosen, made, prompts),
            make_prices(chosen),
            made,
            make_routes(chosen, counts),
            counts,
        )


OPERATION_NAMES = frozenset(OPERATIONS)
