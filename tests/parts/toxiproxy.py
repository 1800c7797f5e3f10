"""Connections that can be spoiled: toxiproxy before a broker, a database or a provider."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

VERSION = "v2.12.0"


def server() -> Path:
    """The program; skips where nobody has built it."""
    cache = Path(os.environ.get("GENAI_CACHE_DIR") or "~/.cache/genai-spine").expanduser()
    found = cache / f"toxiproxy-{VERSION}" / "server"
    if not found.exists():
        pytest.skip("toxiproxy is not built (with Go installed: `bash scripts/toxiproxy.sh`)")
    return found


@dataclass(frozen=True)
class Proxy:
    """One way to one part; `port` is where clients connect."""

    admin: str
    name: str
    port: int

    async def spoil(self, kind: str, *, stream: str = "downstream", **attributes: Any) -> None:
        """Until `heal`. Kinds: latency, bandwidth, slow_close, timeout, reset_peer, slicer, limit_data."""
        toxic = {"name": f"{kind}-{stream}", "type": kind, "stream": stream, "attributes": attributes}
        await self._ask("POST", f"/proxies/{self.name}/toxics", toxic)

    async def cut(self) -> None:
        """Connections end, new ones are refused."""
        await self._ask("POST", f"/proxies/{self.name}", {"enabled": False})

    async def heal(self) -> None:
        """As if nothing had been."""
        for toxic in await self._ask("GET", f"/proxies/{self.name}/toxics"):
            await self._ask("DELETE", f"/proxies/{self.name}/toxics/{toxic['name']}")
        await self._ask("POST", f"/proxies/{self.name}", {"enabled": True})

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        async with httpx.AsyncClient() as client:
            reply = await client.request(method, f"{self.admin}{path}", json=body)
        reply.raise_for_status()
        return reply.json() if reply.content else None


@dataclass(frozen=True)
class Toxiproxy:
    """The server; `before` makes a way."""

    admin: str

    async def before(self, name: str, address: str) -> Proxy:
        """A proxy before `host:port`."""
        port = free_port()
        body = {"name": name, "listen": f"127.0.0.1:{port}", "upstream": address, "enabled": True}
        async with httpx.AsyncClient() as client:
            (await client.post(f"{self.admin}/proxies", json=body)).raise_for_status()
        return Proxy(self.admin, name, port)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[Toxiproxy]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        server(), "-host", "127.0.0.1", "-port", str(port), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        admin = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(20), httpx.AsyncClient() as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(f"{admin}/version")).is_success:
                        break
                await asyncio.sleep(0.05)
        yield Toxiproxy(admin)
    finally:
        process.kill()
        await process.wait()
