"""Which HTTP client keeps slots busy: httpx's own pool, ours (aiohttp, answers of httpx), bare aiohttp.

    python bench/clients.py [--slots 64] [--latency 0.2] [--rounds 3] [--seconds 3]

A closed loop of `slots` callers against the double in a process of its own. The mean in flight is the double's own figure,
weighted by time, the first second and the end cut off. Interleaved A-B-C-A-B-C; medians, the spread beside them. Prints a
table on standard error and JSON on standard output.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp
import httpx
import orjson

from providers import http

Call = Callable[[bytes], Awaitable[bytes]]

BODY = orjson.dumps(
    {"model": "fake", "messages": [{"role": "user", "content": "The quick brown fox jumps. " * 40}], "stream": False}
)
HEADERS = {"content-type": "application/json"}
SERVER = """
import sys
from providers.double.faults import Behaviour
from providers.fake_process import serve
serve("127.0.0.1", 0, Behaviour(latency_s=float(sys.argv[1])), ready=lambda url: print(url, flush=True))
"""


@asynccontextmanager
async def httpx_pool(url: str) -> AsyncIterator[Call]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as client:

        async def call(body: bytes) -> bytes:
            return (await client.post(url, content=body, headers=HEADERS)).content

        yield call


@asynccontextmanager
async def ours(url: str) -> AsyncIterator[Call]:
    async with http.client() as client:

        async def call(body: bytes) -> bytes:
            return (await http.send(client, "POST", url, timeout_s=60, content=body, headers=HEADERS)).content

        yield call


@asynccontextmanager
async def bare_aiohttp(url: str) -> AsyncIterator[Call]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call(body: bytes) -> bytes:
            async with session.post(url, data=body, headers=HEADERS) as reply:
                return await reply.read()

        yield call


CLIENTS = {"httpx pool": httpx_pool, "ours": ours, "bare aiohttp": bare_aiohttp}


async def measure(name: str, base: str, slots: int, seconds: float) -> tuple[float, float]:
    """(mean in flight / slots, CPU milliseconds of this process per call)."""
    done = 0
    async with CLIENTS[name](f"{base}/api/chat") as call, aiohttp.ClientSession() as control:

        async def caller() -> None:
            nonlocal done
            while True:
                await call(BODY)
                done += 1

        callers = [asyncio.create_task(caller()) for _ in range(slots)]
        await asyncio.sleep(1.0)
        await (await control.post(f"{base}/_reset")).read()
        cpu, calls = time.process_time(), done
        await asyncio.sleep(seconds)
        reply = await control.get(f"{base}/_counts?requests=0")
        figures = await reply.json()
        cpu, calls = time.process_time() - cpu, done - calls
        for task in callers:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*callers, return_exceptions=True)
    return figures["mean_in_flight"] / slots, 1000 * cpu / max(1, calls)


async def main(slots: int, latency_s: float, rounds: int, seconds: float) -> None:
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(latency_s)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in CLIENTS}
    try:
        base = server.stdout.readline().strip()
        for _ in range(rounds):
            for name in CLIENTS:
                taken[name].append(await measure(name, base, slots, seconds))
    finally:
        server.terminate()
        server.wait()
    print(f"{slots} slots x {latency_s * 1000:g} ms, {rounds} rounds of {seconds:g} s", file=sys.stderr)
    print(f"{'client':20} {'busy':>6} {'(spread)':>15} {'CPU ms/call':>12} {'(spread)':>15}", file=sys.stderr)
    rows = []
    for name, figures in taken.items():
        busy, cpu = zip(*figures, strict=True)
        row = {"client": name, "busy": statistics.median(busy), "cpu_ms": statistics.median(cpu), "all": figures}
        rows.append(row)
        spreads = (f"({min(busy):.3f}-{max(busy):.3f})", f"({min(cpu):.2f}-{max(cpu):.2f})")
        print(f"{name:20} {row['busy']:6.3f} {spreads[0]:>15} {row['cpu_ms']:12.2f} {spreads[1]:>15}", file=sys.stderr)
    print(json.dumps({"bench": "clients", "slots": slots, "latency_s": latency_s, "rows": rows}))


if __name__ == "__main__":
    wishes = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wishes.add_argument("--slots", type=int, default=64)
    wishes.add_argument("--latency", type=float, default=0.2)
    wishes.add_argument("--rounds", type=int, default=3)
    wishes.add_argument("--seconds", type=float, default=3.0)
    given = wishes.parse_args()
    asyncio.run(main(given.slots, given.latency, given.rounds, given.seconds))
