"""What nodes and providers bear, against a loop that does not think of it: models that must be loaded, and a storm of 429."""

import asyncio
import contextlib
import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp
import aiokafka
import orjson

from bench import ground, load
from bench.ground import SLOTS, Ground
from bench.report import Line, Report, at_most, percentile, ratios
from bench.sides import Running, Size, started
from providers.calls import ChatCall, Message
from providers.errors import RateLimited
from providers.ollama import OllamaProvider

NODES, PER_S, CALL_S, LOAD_S = 3, 15.0, 0.05, 0.5
MODELS = tuple(f"model-{i}:latest" for i in range(6))
ROUND_ROBIN, RETRYING = "round-robin loop", "retrying loop"
Figures = dict[str, list[float]]


async def loads(where: Ground, size: Size, databases: Sequence[str]) -> Report:
    """Calls of six models, mixed, to three nodes that hold one model at a time; each node runs two calls at once.

    The wait is from before the record is sent until its answer is there, less what the call itself takes.
    """
    count = min(400, size.records // 10)
    loaded: Figures = defaultdict(list)
    tail: Figures = defaultdict(list)
    for side in [ROUND_ROBIN, *databases] * size.rounds:
        with contextlib.ExitStack() as stack:
            urls = [
                stack.enter_context(ground.double(where, CALL_S, slots=2, models=MODELS, holds=1, load_s=LOAD_S))
                for _ in range(NODES)
            ]
            waits = await (_round_robin(urls, count) if side == ROUND_ROBIN else _placed(where, side, urls, count))
            loaded[side].append(sum([sum((await _counts(url))["loads"].values()) for url in urls]) / count)
            tail[side].append(percentile(waits, 0.95))
    lines = []
    for side in (ROUND_ROBIN, *databases):
        lines.append(Line(side, "loads a call", "", loaded[side]))
        lines.append(Line(side, "p95 wait", "s", tail[side]))
        if side != ROUND_ROBIN:
            lines.append(at_most(side, "loads over round-robin", "", ratios(loaded[side], loaded[ROUND_ROBIN]), 0.2))
            lines.append(at_most(side, "p95 wait over round-robin", "", ratios(tail[side], tail[ROUND_ROBIN]), 1.0))
    what = (
        f"{NODES} nodes, {len(MODELS)} models, {count} calls at {PER_S:.0f}/s, {CALL_S:g} s each, {LOAD_S:g} s to load"
    )
    return Report("loads", what, lines)


def _mixed(count: int) -> list[tuple[float, str]]:
    """When each call comes, and for which model; the same for every side."""
    chance, due, made = random.Random(11), 0.0, []
    for _ in range(count):
        due += chance.expovariate(PER_S)
        made.append((due, chance.choice(MODELS)))
    return made


async def _round_robin(urls: Sequence[str], count: int) -> list[float]:
    provider = OllamaProvider(tuple(urls))
    nodes = provider.nodes()
    began = time.perf_counter()

    async def one(i: int, due: float, model: str) -> float:
        await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
        started_at = time.perf_counter()
        call = ChatCall(model, (Message("user", f"call {i}"),), timeout_s=900.0)
        await provider.chat(call, nodes[i % len(nodes)])
        return time.perf_counter() - started_at - CALL_S

    try:
        return await asyncio.gather(*(one(i, due, model) for i, (due, model) in enumerate(_mixed(count))))
    finally:
        await provider.aclose()


async def _placed(where: Ground, side: str, urls: Sequence[str], count: int) -> list[float]:
    settings = {
        "GENAI_DEFAULT_PROVIDER": "ollama",
        "GENAI_OLLAMA_URL": ",".join(urls),
        "GENAI_OLLAMA_SLOTS": "2",
        "GENAI_OLLAMA_LOADED": "1",
    }
    async with started(where, side, urls[0], more=settings) as at:
        return await _answered(where.bootstrap, at, count)


async def _answered(bootstrap: str, at: Running, count: int) -> list[float]:
    sent: dict[str, float] = {}
    waits: list[float] = []
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap)
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=bootstrap, fetch_max_wait_ms=100)
    await producer.start()
    await consumer.start()
    consumer.assign(list(at.since.ends))
    for tp, end in at.since.ends.items():
        consumer.seek(tp, end)

    async def collect() -> None:
        while len(waits) < count:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    result = orjson.loads(record.value)
                    if result["status"] != "succeeded":
                        raise RuntimeError(f"a request failed: {result['error']}")
                    waits.append(time.perf_counter() - sent[result["id"]] - CALL_S)

    collecting = asyncio.create_task(collect())
    try:
        began = time.perf_counter()
        for i, (due, model) in enumerate(_mixed(count)):
            await asyncio.sleep(max(0.0, began + due - time.perf_counter()))
            sent[f"{at.run}-{i}"] = time.perf_counter()
            await producer.send(at.requests, _asks(at.run, i, model), b"key-%d" % (i % 97))
        await asyncio.wait_for(collecting, 600)
    finally:
        collecting.cancel()
        await consumer.stop()
        await producer.stop()
    return waits


def _asks(run: str, i: int, model: str) -> bytes:
    return orjson.dumps({**orjson.loads(load.request(run, i)), "options": {"model": model}})


async def storm(where: Ground, size: Size, databases: Sequence[str]) -> Report:
    """A provider that runs 16 calls at a time and refuses more with 429 and a `Retry-After` of a second; 64 slots."""
    most = 16
    sent: Figures = defaultdict(list)
    rate: Figures = defaultdict(list)
    for side in [RETRYING, *databases] * size.rounds:
        with ground.double(where, CALL_S, most=most, most_wait_s=1.0) as model:
            began = time.perf_counter()
            if side == RETRYING:
                await _retrying(model, size.records)
            else:
                async with started(where, side, model, backlog=size.records) as at:
                    began = time.perf_counter()
                    await load.wait_for(where.bootstrap, at.since, size.records)
            rate[side].append(size.records / (time.perf_counter() - began))
            counted = await _counts(model)
            sent[side].append(counted["started"] / counted["finished"])
    lines = []
    for side in (RETRYING, *databases):
        lines.append(Line(side, "answers/s", "", rate[side]))
        goal: Callable[..., Line] = Line if side == RETRYING else at_most
        lines.append(goal(side, "sent over answered", "", sent[side], *([] if side == RETRYING else [1.1])))
    what = f"{size.records} calls, {SLOTS} slots, the provider takes {most} at a time, Retry-After 1 s"
    return Report("storm", what, lines)


async def _retrying(model: str, count: int) -> None:
    """What a client library does: each call by itself waits as it was told and tries again."""
    provider = OllamaProvider((model,))
    slots = asyncio.Semaphore(SLOTS)

    async def one(i: int) -> None:
        call = ChatCall("fake:latest", (Message("user", f"call {i}"),), timeout_s=60.0)
        async with slots:
            while True:
                try:
                    await provider.chat(call, provider.nodes()[0])
                except RateLimited as error:
                    await asyncio.sleep(error.retry_after_s or 1.0)
                else:
                    return

    try:
        await asyncio.gather(*(one(i) for i in range(count)))
    finally:
        await provider.aclose()


async def _counts(url: str) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/_counts?requests=0") as reply:
        found: dict[str, Any] = await reply.json()
        return found
