"""Bad connections while a run goes on: one fault after another, each for a while, with fair spells between."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

from sqlalchemy import make_url

from streams.broker import config, control, jars, ports, process, storage
from streams.broker.config import HOST, Ports
from streams.broker.process import Home
from streams.settings import Settings
from tests.parts.toxiproxy import Proxy, Toxiproxy

Fault = Callable[[Proxy], Awaitable[None]]


async def _slow(way: Proxy) -> None:
    await way.spoil("latency", latency=400, jitter=300)


async def _drip(way: Proxy) -> None:
    await way.spoil("bandwidth", rate=1)


async def _reset(way: Proxy) -> None:
    await way.spoil("reset_peer", timeout=20)


async def _half_open(way: Proxy) -> None:
    """Connections stand and nothing comes through any more."""
    await way.spoil("timeout", timeout=0)


async def _truncated(way: Proxy) -> None:
    await way.spoil("limit_data", bytes=200)


async def _cut(way: Proxy) -> None:
    await way.cut()


FAULTS: Mapping[str, Fault] = {
    "slow": _slow,
    "slow drip": _drip,
    "reset": _reset,
    "half-open": _half_open,
    "truncated": _truncated,
    "cut": _cut,
}


async def storm(way: Proxy, chance: random.Random, met: list[str], *, spell_s: float = 1.5) -> None:
    """Every fault once, in a seeded order; `met` is told of each. At the end the way is whole again."""
    order = list(FAULTS)
    chance.shuffle(order)
    try:
        for name in order:
            await FAULTS[name](way)
            met.append(name)
            await asyncio.sleep(spell_s * chance.uniform(0.5, 1.5))
            await way.heal()
            await asyncio.sleep(spell_s * chance.uniform(0.2, 0.6))
    finally:
        await way.heal()


@contextlib.asynccontextmanager
async def before_database(proxies: Toxiproxy, url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A way to PostgreSQL that can be spoiled, and the URL that leads over it. The packaged server listens on a Unix socket
    alone, which toxiproxy does not speak: a small bridge does.
    """
    parsed = make_url(url)
    async with contextlib.AsyncExitStack() as stack:
        if folder := parsed.query.get("host"):
            address = await stack.enter_async_context(_bridge(f"{folder}/.s.PGSQL.{parsed.port or 5432}"))
        else:
            address = f"{parsed.host}:{parsed.port or 5432}"
        way = await proxies.before("database", address)
        over = parsed.difference_update_query(["host"]).set(host="127.0.0.1", port=way.port)
        yield way, over.render_as_string(hide_password=False)


@contextlib.asynccontextmanager
async def before_broker(proxies: Toxiproxy, settings: Settings) -> AsyncIterator[tuple[Proxy, str, str]]:
    """A broker of its own, the way to it that can be spoiled, its address over that way and straight. It has two doors, because
    a broker tells its clients where to come back to: whoever came by the proxy is sent to the proxy again.
    """
    home = Home(settings.data())
    home.path.mkdir(parents=True)
    straight, behind = Ports(ports._any_free(), ports._any_free()), ports._any_free()
    way = await proxies.before("broker", f"{HOST}:{behind}")
    try:
        await asyncio.to_thread(_start, home, settings, straight, _two_doors(straight, behind, way.port))
        yield way, f"{HOST}:{way.port}", straight.bootstrap
    finally:
        await asyncio.to_thread(control.stop, settings, timeout_s=5)


def _start(home: Home, settings: Settings, straight: Ports, more: str) -> None:
    jar_folder = jars.fetch(settings.cache())
    cluster = storage.format_once(home, jar_folder)
    usual = config.server_properties(straight, Path(home.logs.name), 16 * 1024 * 1024)
    home.properties.write_text(usual + more)  # of two lines with one name Java takes the last
    control.await_ready(home, process.launch(home, jar_folder), straight, cluster, 90)


def _two_doors(straight: Ports, behind: int, proxy: int) -> str:
    plain = f"PLAINTEXT://{straight.bootstrap}"
    return (
        f"listeners={plain},DETOUR://{HOST}:{behind},CONTROLLER://{HOST}:{straight.controller}\n"
        f"advertised.listeners={plain},DETOUR://{HOST}:{proxy}\n"
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,DETOUR:PLAINTEXT,CONTROLLER:PLAINTEXT\n"
    )


@contextlib.asynccontextmanager
async def _bridge(path: str) -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(_pour(reader, to_writer), _pour(to_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def _pour(source: asyncio.StreamReader, into: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(65536):
            into.write(data)
            await into.drain()
    finally:
        into.close()
