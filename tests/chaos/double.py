"""The double as a process of its own: its count outlives every worker that is killed."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Double:
    """Where it is, and what it counted."""

    url: str

    async def counts(self) -> dict[str, Any]:
        async with httpx.AsyncClient() as client:
            return dict((await client.get(f"{self.url}/_counts")).json())

    async def reset(self) -> None:
        async with httpx.AsyncClient() as client:
            await client.post(f"{self.url}/_reset")


def executed(counts: Mapping[str, Any]) -> dict[str, int]:
    """Calls that ran, by request: a provider that takes money took some for each."""
    return {tag: c["finished"] + c["broken"] + c["aborted"] for tag, c in counts["requests"].items()}


@contextlib.asynccontextmanager
async def double(latency_s: float, seed: int, port: int = 0) -> AsyncIterator[Double]:
    """One call in twenty takes ten times as long: with even latencies a kill test proves nothing."""
    code = (
        "import sys; from providers.fake_process import serve; from providers.double.faults import Behaviour\n"
        f"serve('127.0.0.1', {port}, Behaviour(latency_s={latency_s}, tail=0.05, seed={seed}), "
        "ready=lambda url: print(url, flush=True))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        yield Double((await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip())
    finally:
        process.kill()
        await process.wait()
