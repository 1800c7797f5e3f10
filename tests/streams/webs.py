"""The API over one process's parts, without a socket."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx

from streams import waiting
from streams.app import running
from streams.settings import Settings
from streams.spine import Spine
from streams.web.app import make_api
from streams.web.front import Front
from tests.parts import ledgers
from tests.parts.kafka import make_settings


def web_settings(folder: Path, **changes: Any) -> Settings:
    usual = {"data_dir": folder, "default_provider": "fake", "fake_latency_s": 0.0, "fake_tail": 0.0, "poll_s": 0.05}
    usual["cache_ttl_s"] = 0.0  # tests count calls of equal texts
    return make_settings(**{**usual, **changes})


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[tuple[Front, Spine]]:
    front = Front(settings, "web")
    if not settings.database_url:
        ledgers.place(settings.data() / "genai.db")
    await waiting.for_schema(settings, front.wait_for, may_migrate=True)
    async with running(settings, bootstrap=None) as spine, front.open(spine):
        yield front, spine
    front.close()


def client(front: Front) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(make_api(front), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")
