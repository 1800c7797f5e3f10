"""A worker dies by `kill -9` with calls under way, beside a second one on the same machine, both with the default settings."""

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import Sequence

import aiohttp
import aiokafka
import orjson

from bench import ground, load, sides
from bench.ground import SLOTS, Ground
from bench.report import Line, Report
from streams import topics

_CALL_S = 0.2
_LIMIT_S = 120.0
_HELD_S = 55
"""The first call of each request takes so long, which is less than it may: it is under way when its worker dies."""


async def measure(where: Ground, rounds: int, databases: Sequence[str]) -> Report:
    """By the double's own count: from the kill until the first and the last of the dead one's calls is made again, and
    until the last of its results is published.
    """
    seen: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    with ground.double(where, _CALL_S) as model:
        for side in list(databases) * rounds:
            seen[side].append(await _one(where, side, model))
    lines = []
    for side in databases:
        first, last, done = zip(*seen[side], strict=True)
        lines.append(Line(side, "the first is called again", "s", first))
        lines.append(_goal(Line(side, "the last is called again", "s", last), 15))
        lines.append(_goal(Line(side, "all are answered", "s", done), 20))
    return Report("takeover", f"kill -9 of a worker with {SLOTS} calls under way, a second one beside it", lines)


def _goal(line: Line, seconds: float) -> Line:
    return Line(line.side, line.figure, line.unit, line.values, f"<= {seconds:g} s", line.median() <= seconds)


async def _one(where: Ground, side: str, model: str) -> tuple[float, float, float]:
    run, group = uuid.uuid4().hex[:8], f"bench-{uuid.uuid4().hex[:8]}"
    environment = where.environment() | sides.settings(where, await ground.fresh_database(where, side), model, group)
    requests = topics.request_topic("summarize")
    await load.skip_to_end(where.bootstrap, group, [requests, topics.USAGE])
    since = await load.mark(where.bootstrap, topics.RESULTS)
    log = where.folder / "takeover.log"
    with ground.process(["-m", "bench.worker"], environment, log) as (victim, _):
        await _produce(where.bootstrap, requests, run)
        async with aiohttp.ClientSession() as session:
            await _called(session, model, run, times=1)
            with ground.process(["-m", "bench.worker"], environment, log):
                victim.kill()
                killed = time.monotonic()
                first, last = await _called(session, model, run, times=2)
                await load.wait_for(where.bootstrap, since, SLOTS, _LIMIT_S)
                return first - killed, last - killed, time.monotonic() - killed


async def _produce(bootstrap: str, topic: str, run: str) -> None:
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()
    try:
        for i in range(SLOTS):
            content = f"[fake:sleep:{_HELD_S}*1] Acme sold {i} pumps. It was a good year."
            body = {"id": f"{run}-{i}", "input": {"content": content}}
            await producer.send(topic, orjson.dumps(body), b"key-%d" % i)
    finally:
        await producer.stop()


async def _called(session: aiohttp.ClientSession, model: str, run: str, times: int) -> tuple[float, float]:
    """When the first and the last request of this run had been called so often."""
    first, until = None, time.monotonic() + _LIMIT_S
    while True:
        reply = await session.get(f"{model}/_counts")
        counted = (await reply.json())["requests"]
        there = sum(1 for tag, tally in counted.items() if tag.startswith(run) and tally["started"] >= times)
        now = time.monotonic()
        first = now if first is None and there else first
        if first is not None and there >= SLOTS:
            return first, now
        if now > until:
            raise TimeoutError(f"{there} of {SLOTS} requests were called {times} times in {_LIMIT_S:g} s")
        await asyncio.sleep(0.05)
