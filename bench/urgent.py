"""What a realtime record waits beyond a free slot while a backlog of batch records is worked off."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from bench import ground, load
from bench.ground import SLOTS, Ground
from bench.measures import Figures, asked, mean_in_flight
from bench.report import Line, Report, at_least, at_most, percentile
from bench.sides import Size, started
from schemas.request import Lane
from streams import topics

MODEL_S = 0.5
PER_S = 10.0
"""Realtime records a second: five slots' worth, of the twelve that are reserved."""
_AT_WORK = 0.25
"""Of all slots; so many are busy once batch is at work, on a slow machine too."""


async def urgent(where: Ground, size: Size, databases: Sequence[str]) -> Report:
    """The same process first idle, then with the backlog: what was realtime's tail before, and how much longer it is."""
    realtime, batch = (topics.request_topic("summarize", lane) for lane in (Lane.REALTIME, Lane.BATCH))
    idle: Figures = defaultdict(list)
    flooded: Figures = defaultdict(list)
    queued: Figures = defaultdict(list)
    share: Figures = defaultdict(list)
    with ground.double(where, MODEL_S) as model:
        for side in list(databases) * size.rounds:
            async with started(where, side, model, skip=[realtime, batch], paid=False) as running:
                at = replace(running, requests=realtime)
                idle[side].append(_tail(await asked(where.bootstrap, at, PER_S, size.seconds)))
                await load.produce(where.bootstrap, batch, f"{at.run}b", size.many)
                await _until_busy(model)
                before, began = await load.mark(where.bootstrap, at.results), time.perf_counter()
                waits: list[float] = []
                found = await asked(where.bootstrap, replace(at, run=f"{at.run}r"), PER_S, size.seconds, waits)
                seconds = time.perf_counter() - began
                answers = (await load.mark(where.bootstrap, at.results)).total() - before.total() - len(found)
                flooded[side].append(_tail(found))
                queued[side].append(percentile(waits, 0.95))
                share[side].append(answers * MODEL_S / (SLOTS * seconds))
    lines = []
    for side in databases:
        lines.append(Line(side, "p95 beyond the model, idle", "ms", idle[side]))
        lines.append(Line(side, "p95 beyond the model, with the backlog", "ms", flooded[side]))
        lines.append(Line(side, "of that from the ledger's door to a slot, p95", "ms", queued[side]))
        over = [a - b for a, b in zip(flooded[side], idle[side], strict=True)]
        lines.append(at_most(side, "p95 over the idle case", "ms", over, 100))
        lines.append(at_least(side, "batch's share of the slots meanwhile", share[side], 0.05))
    return Report("urgent", f"realtime at {PER_S:.0f}/s beside {size.many:,} batch records, {SLOTS} slots", lines)


def _tail(seconds: Sequence[float]) -> float:
    return 1000 * (percentile(seconds, 0.95) - MODEL_S)


async def _until_busy(model: str, limit_s: float = 120.0) -> None:
    until = time.monotonic() + limit_s
    while (busy := await mean_in_flight(model, 1.0)) < _AT_WORK * SLOTS:
        if time.monotonic() > until:
            raise TimeoutError(f"batch did not come to work in {limit_s:g} s; {busy:.1f} slots are busy")
        await asyncio.sleep(0)
