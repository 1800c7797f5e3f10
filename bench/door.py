"""Our HTTP door against the gateways that people use, and against asking the model itself: `python -m bench --only door`.

Every side stands in front of the same 50 ms double and is asked for the same chat; sides take turns, A-B-A-B. What a side
adds is its figure less that of asking directly, round by round.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
from rich.console import Console

from bench import ground, report
from bench.doors import CHAT, DIRECT, LITELLM, Door, installed, opened
from bench.ground import Ground
from bench.ledger import servers
from bench.report import Line, Report, at_least, at_most, percentile, ratios

LATENCY_S, PER_S, TOKENS_PER_S = 0.05, 100.0, 20.0
CLOSED, OPEN_STREAMS, STREAM_S = 64, 200, 8.0
Figures = dict[tuple[str, str], list[float]]


async def asked(door: Door, session: aiohttp.ClientSession, content: str) -> float:
    """Seconds of one whole answer."""
    started = time.perf_counter()
    async with session.post(door.url, data=door.body(content), headers=_headers(door)) as reply:
        body = await reply.read()
        if reply.status != 200:
            raise RuntimeError(f"{door.name} answered {reply.status}: {body[:500]!r}")
    return time.perf_counter() - started


def _headers(door: Door) -> dict[str, str]:
    return {"content-type": "application/json", **door.headers}


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


async def steady(door: Door, seconds: float, found: Figures) -> None:
    """`PER_S` a second, at random as requests come and for every side alike; no answer is waited for before the next one."""
    chance, count = random.Random(3), int(PER_S * seconds)
    async with _session() as session:
        await asyncio.gather(*(asked(door, session, f"warm {i}") for i in range(20)))
        before, due, asking = door.cpu_s(), time.perf_counter(), []
        for i in range(count):
            due += chance.expovariate(PER_S)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            asking.append(asyncio.create_task(asked(door, session, f"steady {i}")))
        took = [1000 * each for each in await asyncio.gather(*asking)]
        found[door.name, "p50"].append(percentile(took, 0.5))
        found[door.name, "p99"].append(percentile(took, 0.99))
        found[door.name, "cpu"].append(1000 * (door.cpu_s() - before) / count)


async def closed(door: Door, seconds: float, found: Figures) -> None:
    """`CLOSED` callers, each asks again as soon as it is answered."""
    until, done = time.perf_counter() + seconds, 0

    async def one(session: aiohttp.ClientSession, name: int) -> None:
        nonlocal done
        while time.perf_counter() < until:
            await asked(door, session, f"closed {name} {done}")
            done += 1

    async with _session() as session:
        await asyncio.gather(*(one(session, i) for i in range(CLOSED)))
    found[door.name, "rate"].append(done / seconds)


async def first(door: Door, count: int, found: Figures) -> None:
    """One after the other: until the first token is here."""
    took = []
    async with _session() as session:
        for i in range(count):
            started = time.perf_counter()
            async with session.post(
                door.url, data=door.body(f"first {i}", tokens=2, stream=True), headers=_headers(door)
            ) as reply:
                came = False
                async for line in reply.content:
                    if not came and _stamp(line) is not None:
                        took.append(1000 * (time.perf_counter() - started))
                        came = True
                if not came:
                    raise RuntimeError(f"{door.name} streamed no token")
    found[door.name, "first"].append(percentile(took, 0.5))


def _stamp(line: bytes) -> float | None:
    """When the double sent this token; None: the line holds none."""
    _, found, rest = line.partition(b'"content":')
    text = rest.lstrip().removeprefix(b'"').partition(b'"')[0].strip() if found else b""
    try:
        return float(text)
    except ValueError:
        return None


async def streams(door: Door, seconds: float, found: Figures) -> None:
    """`OPEN_STREAMS` at a time; how late each token is, and the most memory that the side's processes have meanwhile."""
    late: list[float] = []
    tokens = int(TOKENS_PER_S * seconds)

    async def read(session: aiohttp.ClientSession, i: int) -> None:
        await asyncio.sleep(i / OPEN_STREAMS)  # they do not beat together
        body = door.body(f"stream {i}", tokens=tokens, stream=True)
        async with session.post(door.url, data=body, headers=_headers(door)) as reply:
            own = 0
            async for line in reply.content:
                if (sent := _stamp(line)) is not None:
                    late.append(1000 * (time.monotonic() - sent))
                    own += 1
        if own != tokens:
            raise RuntimeError(f"{door.name} streamed {own} of {tokens} tokens")

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=120)
    ) as session:
        reading = asyncio.gather(*(read(session, i) for i in range(OPEN_STREAMS)))
        most = 0.0
        while not reading.done():
            most = max(most, door.megabytes())
            await asyncio.wait([reading], timeout=0.5)
        await reading
    found[door.name, "late"].append(percentile(late, 0.99))
    found[door.name, "memory"].append(most)


async def measure(where: Ground, databases: Sequence[str], *, rounds: int, seconds: float) -> Report:
    """All rows of the table, every side in every round."""
    sides = (DIRECT, *databases, *installed())
    found: Figures = defaultdict(list)
    arguments = ["-m", "bench.openai_double", str(LATENCY_S), str(TOKENS_PER_S)]
    with ground.process(arguments, where.environment(), where.folder / "openai.log") as (_, double):
        for side in sides * rounds:
            database = await ground.fresh_database(where, side) if side in databases else None
            with opened(side, where.folder, double, database) as door:
                for work in _works(door, seconds):
                    await work(found)
    return Report("door", f"{CHAT} against {LATENCY_S * 1000:.0f} ms", _lines(sides, databases, found), _notes(sides))


def _works(door: Door, seconds: float) -> list[Callable[[Figures], Awaitable[None]]]:
    return [
        lambda found: steady(door, seconds, found),
        lambda found: closed(door, seconds, found),
        lambda found: first(door, int(4 * seconds), found),
        lambda found: streams(door, min(STREAM_S, seconds), found),
    ]


def _lines(sides: Sequence[str], databases: Sequence[str], found: Figures) -> list[Line]:
    lines = []
    for side in sides:
        ours = side in databases
        if side == DIRECT:
            lines += [Line(side, name, "ms", found[side, name]) for name in ("p50", "p99")]
            lines.append(Line(side, "requests/s", "", found[side, "rate"]))
            continue
        lines.append(_added(side, "p50 added at 100/s", found, "p50", 3.0, ours=ours))
        lines.append(_added(side, "p99 added at 100/s", found, "p99", 10.0, ours=ours))
        rate = found[side, "rate"]
        lines.append(at_least(side, "requests/s", rate, 400) if ours else Line(side, "requests/s", "", rate))
        if ours and LITELLM in sides:
            lines.append(at_least(side, "of LiteLLM's", ratios(rate, found[LITELLM, "rate"]), 4))
        cpu = found[side, "cpu"]
        lines.append(at_most(side, "CPU a call", "ms", cpu, 2.5) if ours else Line(side, "CPU a call", "ms", cpu))
        if found[side, "first"]:
            lines.append(_added(side, "first token over direct", found, "first", 3.0, ours=ours))
            lines.append(_added(side, "p99 lateness of a token", found, "late", 50.0, ours=ours))
            memory = found[side, "memory"]
            lines.append(at_most(side, "memory", "MB", memory, 300) if ours else Line(side, "memory", "MB", memory))
    return lines


def _added(side: str, figure: str, found: Figures, name: str, goal: float, *, ours: bool) -> Line:
    added = [a - b for a, b in zip(found[side, name], found[DIRECT, name], strict=True)]
    return at_most(side, figure, "ms", added, goal) if ours else Line(side, figure, "ms", added)


def _notes(sides: Sequence[str]) -> list[str]:
    return [
        "Ours keeps its ledger, asks for a key and reserves of a budget; the peers do none of that.",
        *(f"{name} is not installed: see bench/peers/README.md." for name in (LITELLM, "portkey") if name not in sides),
    ]


async def main(databases: Sequence[str], *, short: bool, console: Console) -> None:
    """Measures, shows and saves."""
    rounds, seconds = (2, 4.0) if short else (5, 10.0)
    with servers(postgres="postgres" in databases) as (folder, postgres):
        found = await measure(Ground(folder, "", postgres), databases, rounds=rounds, seconds=seconds)
    command = "python -m bench --only door" + (" --short" if short else "")
    report.show(found, command, console)
    report.save(found, command)
