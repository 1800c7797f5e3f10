"""Bad connections to the provider, to the database and to the broker: all resumes by itself and every promise is kept."""

import random
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.chaos import weather
from tests.chaos.double import Double
from tests.chaos.grounds import Files, Kafka
from tests.chaos.nursery import Nursery
from tests.chaos.run import FULL_LEASE_S, PARTITIONS, Plan, Report, Run
from tests.parts import toxiproxy
from tests.parts.kafka import make_settings
from tests.parts.toxiproxy import Toxiproxy
from tests.system.stack import fresh_topics

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


@pytest.mark.kafka
async def test_the_way_to_the_broker(
    proxies: Toxiproxy, nursery: Nursery, fake: Double, tmp_path: Path, kept: Kept, postgres_database: str
) -> None:
    """Expected: results wait in the ledger, and intake goes on where it stood; producers have a way of their own."""
    settings = make_settings(data_dir=tmp_path / "own", kafka_brokers="", partitions=PARTITIONS)
    async with weather.before_broker(proxies, settings) as (way, over, straight):
        await fresh_topics(straight, settings)
        ground = Kafka(straight, f"chaos-{uuid.uuid4().hex[:8]}", over)
        plan = Plan(8, postgres_database, kills=0, workers=2, lease_s=FULL_LEASE_S, pace=3.0)
        run = Run(plan, ground, nursery, fake, tmp_path)
        met: list[str] = []
        kept(
            await run.run(while_=weather.storm(way, random.Random(8), met, spell_s=2.0)),
            "pytest tests/chaos/test_weather.py -k broker",
        )
    assert set(met) == set(weather.FAULTS)
