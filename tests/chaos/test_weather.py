"""Bad connections to the provider and to the database, with kills meanwhile: all resumes by itself and every promise is kept."""

import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.chaos import weather
from tests.chaos.double import Double
from tests.chaos.grounds import Files
from tests.chaos.nursery import Nursery
from tests.chaos.run import Plan, Report, Run
from tests.parts import toxiproxy
from tests.parts.toxiproxy import Toxiproxy

pytestmark = [pytest.mark.chaos, pytest.mark.postgres]

Kept = Callable[[Report, str], None]


@pytest.fixture
async def proxies() -> AsyncIterator[Toxiproxy]:
    async with toxiproxy.running() as found:
        yield found


async def test_the_way_to_the_provider(
    proxies: Toxiproxy, nursery: Nursery, fake: Double, tmp_path: Path, kept: Kept, postgres_database: str
) -> None:
    """Expected: a call that broke after its first byte is booked as wasted and made once more or failed, as its request asks."""
    way = await proxies.before("provider", fake.url.removeprefix("http://"))
    plan = Plan(4, postgres_database, kills=0, workers=2)
    run = Run(plan, Files(tmp_path), nursery, fake, tmp_path)
    run.provider_url = f"http://127.0.0.1:{way.port}"
    met: list[str] = []
    kept(
        await run.run(while_=weather.storm(way, random.Random(4), met)),
        "pytest tests/chaos/test_weather.py -k provider",
    )
    assert set(met) == set(weather.FAULTS)


async def test_the_way_to_the_database(
    proxies: Toxiproxy, nursery: Nursery, fake: Double, tmp_path: Path, kept: Kept, postgres_database: str
) -> None:
    """Expected: nobody is told 'done' while it is away; what was under way is ambiguous where a worker was missed meanwhile."""
    async with weather.before_database(proxies, postgres_database) as (way, over):
        plan = Plan(5, postgres_database, kills=0, workers=2)
        run = Run(plan, Files(tmp_path), nursery, fake, tmp_path)
        run.workers_url = over
        met: list[str] = []
        kept(
            await run.run(while_=weather.storm(way, random.Random(5), met)),
            "pytest tests/chaos/test_weather.py -k database",
        )
    assert set(met) == set(weather.FAULTS)
