"""Items of runs become requests, whatever the run is made of and whoever sends them."""

from collections.abc import Sequence

from agents.engine.engine import Engine
from store.ledger.types.arrivals import Arrival, Ask
from store.ledger.writer import Writer

Item = tuple[Ask, bytes]
"""What is asked, and the record by which it is known."""


async def send(engine: Engine, writer: Writer, items: Sequence[Item]) -> None:
    """All of them, in one accept. Raises StoreError."""
    for pool in sorted({(what.provider, what.model) for what, _ in items if what.failure is None}):
        await engine.pools.ensure(pool)
    if items:
        await writer.accept([Arrival(what, None, None, value, b"[]") for what, value in items])
