"""A spine with the double as its model, behind a real socket."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from genai_spine_client import AsyncGenAIClient, GenAIClient
from streams.spine import Spine
from streams.web import server
from streams.web.app import make_api
from streams.web.front import Front
from tests.streams.webs import opened, web_settings


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Front, Spine]]:
    async with opened(web_settings(tmp_path, drain_s=0.1)) as made:
        yield made


@pytest.fixture
async def url(parts: tuple[Front, Spine]) -> AsyncIterator[str]:
    sock = server.bind("127.0.0.1", 0, "GENAI_API_PORT")
    async with server.serving(make_api(parts[0]), sock):
        yield server.address(sock)


@pytest.fixture
async def client(url: str) -> AsyncIterator[AsyncGenAIClient]:
    async with AsyncGenAIClient(url, timeout=30) as made:
        yield made


@pytest.fixture
def plain(url: str) -> GenAIClient:
    """The one without `await`: to be used in a thread, since the spine lives in this loop."""
    return GenAIClient(url, timeout=30)
