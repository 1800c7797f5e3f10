"""The measures of the path, each a function from the ground to a report. `MEASURES` is the table of contents."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import aiohttp
import aiokafka
import orjson
import psutil

from bench import eta as estimates
from bench import ground, load, takeover
from bench.ground import SLOTS, Ground
from bench.kill import kill
from bench.nodes import loads, storm
from bench.report import Line, Report, at_least, at_most, percentile, ratios
from bench.sides import BARE, DATABASES, Running, Size, installed, interleaved, started

PAID = ", paid"
"""The other sides are an Ollama's slots: free, so that the next row's intent may be committed ahead."""
Figures = dict[str, list[float]]
_LOCAL = ("onnxruntime", "xllamacpp", "tokenizers", "numpy")
"""What only the provider `local` needs; a library of theirs that is mapped into a worker was imported."""


async def throughput(where: Ground, size: Size, databases: Sequence[str]) -> Report:
    """A backlog, a model that answers at once; from the first result to the last, by the records' own times."""
    rate: Figures = defaultdict(list)
    cpu: Figures = defaultdict(list)
    with ground.double(where, 0.0) as model:
        for side in interleaved(size.rounds, [*installed(), *databases]):
            async with started(where, side, model, backlog=size.records) as at:
                before = at.cpu_s()
                await load.wait_for(where.bootstrap, at.since, size.records)
                cpu[side].append(1e6 * (at.cpu_s() - before) / size.records)
            answers = await load.read(where.bootstrap, at.since)
            _whole(answers, size.records)
            rate[side].append(size.records / answers.seconds)
    lines = []
    for side in rate:
        lines.append(Line(side, "records/s", "", rate[side]))
        lines.append(Line(side, "CPU of the process", "us/record", cpu[side]))
        if side in databases:
            lines.append(at_least(side, "of the bare loop", ratios(rate[side], rate[BARE]), 0.25))
            lines += [Line(side, f"of {peer}", "", ratios(rate[side], rate[peer])) for peer in installed()]
    return Report("throughput", f"records/s, 0 ms model, {size.records} records, {SLOTS} slots", lines)


SHAPES = ((64, 0.0), (64, 0.05), (256, 0.0), (256, 0.05))
"""Slots, and the share of calls that take ten times as long. The first one is measured with the peers, and in every round."""


async def saturation(where: Ground, size: Size, databases: Sequence[str]) -> Report:
    """The mean in flight is the double's own figure, weighted by time, the start and the end cut off."""
    lines: list[Line] = []
    for slots, tail in SHAPES:
        first = (slots, tail) == SHAPES[0]
        sides = [*(installed() if first else ()), *(f"{name}{kind}" for name in databases for kind in ("", PAID))]
        busy: Figures = defaultdict(list)
        for side in interleaved(size.rounds if first else min(2, size.rounds), sides):
            busy[side].append(await _busy(where, side, slots, tail, size.seconds))
        lines += _saturated(busy, f"{slots} slots{', long tail' if tail else ''}")
    return Report("saturation", f"mean in flight / slots, calls of {1000 * CALL_S:.0f} ms", lines)


CALL_S, WARM_S = 0.2, 3.0


async def _busy(where: Ground, side: str, slots: int, tail: float, seconds: float) -> float:
    backlog = int((WARM_S + seconds + 2) * slots / CALL_S)
    with ground.double(where, CALL_S, tail=tail) as model:
        name, paid = side.removesuffix(PAID), side.endswith(PAID)
        async with started(where, name, model, backlog=backlog, paid=paid, slots=slots):
            await asyncio.sleep(WARM_S)
            return await mean_in_flight(model, seconds) / slots


def _saturated(busy: Figures, shape: str) -> list[Line]:
    lines = []
    for side, values in busy.items():
        lines.append(Line(side, f"{shape}: busy", "", values))
        if side.removesuffix(PAID) in DATABASES:
            lines.append(at_least(side, f"{shape}: of the bare loop", ratios(values, busy[BARE]), 0.97))
    return lines


async def mean_in_flight(model: str, seconds: float) -> float:
    async with aiohttp.ClientSession() as session:
        await (await session.post(f"{model}/_reset")).read()
        await asyncio.sleep(seconds)
        reply = await session.get(f"{model}/_counts?requests=0")
        return float((await reply.json())["mean_in_flight"])


async def latency(where: Ground, size: Size, databases: Sequence[str]) -> Report:
    """From before the record is sent until its result is read, less what the model takes."""
    model_s, per_s = 0.05, 20.0
    middle: Figures = defaultdict(list)
    tail: Figures = defaultdict(list)
    with ground.double(where, model_s) as model:
        for side in interleaved(size.rounds, databases):
            async with started(where, side, model) as at:
                added = [1000 * (took - model_s) for took in await asked(where.bootstrap, at, per_s, 2 * size.seconds)]
            middle[side].append(percentile(added, 0.5))
            tail[side].append(percentile(added, 0.99))
    lines = [Line(BARE, "p50 beyond the model", "ms", middle[BARE]), Line(BARE, "p99", "ms", tail[BARE])]
    for side in databases:
        lines.append(Line(side, "p50 beyond the model", "ms", middle[side]))
        lines.append(Line(side, "p99", "ms", tail[side]))
        lines.append(at_most(side, "p50 over the bare loop", "ms", _over(middle[side], middle[BARE]), 10))
        lines.append(at_most(side, "p99 over the bare loop", "ms", _over(tail[side], tail[BARE]), 50))
    return Report("latency", f"produce to result at {per_s:.0f}/s, {1000 * model_s:.0f} ms model", lines)


def _over(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [a - b for a, b in zip(ours, theirs, strict=True)]


async def asked(
    bootstrap: str, at: Running, per_s: float, seconds: float, queued_ms: list[float] | None = None
) -> list[float]:
    """Seconds of each record, the first twenty left out; `queued_ms` gets what each waited in the ledger."""
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap)
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=500)
    await producer.start()
    await consumer.start()
    consumer.assign(list(at.since.ends))
    for tp, end in at.since.ends.items():
        consumer.seek(tp, end)
    count = int(per_s * seconds) + 20
    sent: dict[str, float] = {}
    got: dict[str, float] = {}
    try:

        async def collect() -> None:
            while len(got) < count:
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    now = time.perf_counter()
                    for record in records:
                        result = orjson.loads(record.value)
                        if not result["id"].startswith(f"{at.run}-"):
                            continue
                        if result["status"] != "succeeded":
                            raise RuntimeError(f"a request failed: {result['error']}")
                        if queued_ms is not None and result["id"] not in got:
                            queued_ms.append(float(result["queue_ms"]))
                        got.setdefault(result["id"], now)

        collecting = asyncio.create_task(collect())
        chance, due = random.Random(7), time.perf_counter()  # at random, as records come; the same for every side
        for i in range(count):
            due += chance.expovariate(per_s)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sent[f"{at.run}-{i}"] = time.perf_counter()
            await producer.send(at.requests, load.request(at.run, i), b"key-%d" % (i % 97))
        await asyncio.wait_for(collecting, 60)
    finally:
        await consumer.stop()
        await producer.stop()
    return [got[name] - sent[name] for name in list(sent)[20:]]


async def memory(where: Ground, size: Size, databases: Sequence[str]) -> Report:
    """The worker's resident set while it works off a backlog."""
    lines, notes, series = [], [], {}
    with ground.double(where, 0.0) as model:
        for side in databases:
            async with started(where, side, model, backlog=size.many) as at:
                found = await _sampled(where, at, size.many)
                loaded = _libraries(at.process)
            answers = await load.read(where.bootstrap, at.since)
            _whole(answers, size.many)
            series[side] = found
            rss = [megabytes for _, megabytes in found]
            quarter = len(rss) // 4
            grown = max(rss[-quarter:]) - max(rss[quarter : 2 * quarter])
            lines.append(at_most(side, "most resident memory", "MB", [max(rss)], 250))
            lines.append(at_most(side, "grown, second quarter to last", "MB", [grown], 10))
            lines.append(at_most(side, "libraries of `local` loaded", "", [float(len(loaded))], 0))
            points = found[:: max(1, len(found) // 10)]
            notes.append(f"{side}: MB at seconds: " + ", ".join(f"{m:.0f} at {s:.0f}" for s, m in points))
            notes.append(
                f"{side}: {size.many / answers.seconds:.0f} records/s; of `local`: {', '.join(loaded) or 'none'}"
            )
    return Report("memory", f"resident memory of a worker over {size.many} records", lines, notes, {"series": series})


async def _sampled(where: Ground, at: Running, count: int) -> list[tuple[float, float]]:
    waiting = asyncio.create_task(load.wait_for(where.bootstrap, at.since, count))
    begun, found = time.monotonic(), []
    while not waiting.done():
        found.append((time.monotonic() - begun, at.process.memory_info().rss / 1e6))
        await asyncio.wait([waiting], timeout=1.0)
    await waiting
    return found


def _libraries(process: psutil.Process) -> list[str]:
    mapped = [entry.path for entry in process.memory_maps()]
    return [name for name in _LOCAL if any(f"/{name}" in path for path in mapped)]


async def takeovers(where: Ground, size: Size, databases: Sequence[str]) -> Report:
    """See `bench.takeover`."""
    return await takeover.measure(where, size.rounds, databases)


async def eta(where: Ground, size: Size, databases: Sequence[str]) -> Report:
    """Estimates against what happened, in `bench/eta.py`."""
    return await estimates.eta(where, size.rounds, databases)


def _whole(answers: load.Answers, count: int) -> None:
    """A fast answer that is wrong is worth nothing."""
    if len(answers.ids) != count or answers.failed or answers.repeated:
        raise RuntimeError(f"{len(answers.ids)} of {count} ids, {answers.failed} failed, {answers.repeated} repeated")


Measure = Callable[[Ground, Size, Sequence[str]], Awaitable[Any]]

MEASURES: dict[str, Measure] = {  # and `ledger`, which has a ground of its own
    "throughput": throughput,
    "saturation": saturation,
    "latency": latency,
    "memory": memory,
    "kill": kill,
    "takeover": takeovers,
    "loads": loads,
    "storm": storm,
    "eta": eta,
}
