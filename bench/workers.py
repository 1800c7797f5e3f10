"""How much more is done by four workers than by one: each brings a node, all of them share the ledger and the nodes."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence

from bench import ground, load
from bench.ground import Ground
from bench.measures import CALL_S, WARM_S, mean_in_flight
from bench.report import Line, Report, at_least, ratios
from bench.sides import Size, prepared

SLOTS = 16
"""Of each node."""
_COUNTS = (1, 4)


async def workers(where: Ground, size: Size, databases: Sequence[str]) -> Report:
    """Calls under way at all nodes together, with a backlog in Kafka, on PostgreSQL whatever `databases` says of others."""
    if "postgres" not in databases:
        return Report("workers", "left out: several machines share a PostgreSQL, never a SQLite", [])
    busy: dict[int, list[float]] = defaultdict(list)
    for count in _COUNTS * size.rounds:
        busy[count].append(await _busy(where, count, size.seconds))
    lines = [Line(f"{count} workers", f"calls under way, of {count * SLOTS}", "", busy[count]) for count in _COUNTS]
    one, four = (busy[count] for count in _COUNTS)
    lines.append(at_least("4 workers", "times the calls of one", ratios(four, one), 3.8))
    return Report("workers", f"1 and 4 workers on PostgreSQL, {SLOTS} slots and a node each, calls of 0.2 s", lines)


async def _busy(where: Ground, count: int, seconds: float) -> float:
    backlog = int((2 * WARM_S + seconds + 2) * count * SLOTS / CALL_S)
    with contextlib.ExitStack() as stack:
        nodes = [stack.enter_context(ground.double(where, CALL_S, slots=SLOTS)) for _ in range(count)]
        settings = {
            "GENAI_DEFAULT_PROVIDER": "ollama",
            "GENAI_OLLAMA_URL": ",".join(nodes),
            "GENAI_OLLAMA_SLOTS": str(SLOTS),
        }
        at = await prepared(where, "postgres", nodes[0], more=settings)
        # together: Faust gives one that joins later no partition until all four are there
        await asyncio.gather(*(asyncio.to_thread(stack.enter_context, at.process()) for _ in range(count)))
        await load.produce(where.bootstrap, at.requests, at.run, backlog)
        await asyncio.sleep(2 * WARM_S)
        return sum(await asyncio.gather(*(mean_in_flight(node, seconds) for node in nodes)))
