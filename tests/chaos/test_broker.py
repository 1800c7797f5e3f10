"""The broker dies and comes back while workers die too. Expected: results wait in the ledger, intake goes on where it stood."""

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from streams.broker import control, process
from streams.broker.process import Home
from streams.settings import Settings
from tests.chaos.double import Double
from tests.chaos.grounds import Kafka
from tests.chaos.nursery import Nursery
from tests.chaos.run import FULL_LEASE_S, PARTITIONS, Plan, Report, Run
from tests.parts.kafka import make_settings
from tests.system.stack import fresh_topics

pytestmark = [pytest.mark.chaos, pytest.mark.kafka, pytest.mark.postgres]

AWAY_S = 4.0


async def test_a_broker_that_is_killed_and_comes_back(
    nursery: Nursery, fake: Double, tmp_path: Path, kept: Callable[[Report, str], None], postgres_database: str
) -> None:
    settings = make_settings(data_dir=tmp_path / "own", kafka_port=0, kafka_brokers="", partitions=PARTITIONS)
    bootstrap = await asyncio.to_thread(control.bootstrap, settings, start_it=True)
    try:
        await fresh_topics(bootstrap, settings)
        ground = Kafka(bootstrap, f"chaos-{uuid.uuid4().hex[:8]}")
        plan = Plan(6, postgres_database, kills=2, workers=2, lease_s=FULL_LEASE_S, pace=3.0)
        run = Run(plan, ground, nursery, fake, tmp_path)
        kept(await run.run(while_=_outage(run, settings)), "pytest tests/chaos/test_broker.py")
    finally:
        await asyncio.to_thread(control.stop, settings, timeout_s=5)


async def _outage(run: Run, settings: Settings) -> None:
    """Once there is work. Meanwhile nobody produces: what a producer was not told of is no record of ours."""
    while run.report.kills < 2 or len(run.sent) < 100:
        await asyncio.sleep(0.2)
    async with run.quiet:
        broker = process.holder(Home(settings.data()))
        assert broker is not None
        broker.kill()
        broker.wait(10)
        await asyncio.sleep(AWAY_S)
        await asyncio.to_thread(control.start, settings)
    sent = len(run.sent)
    while len(run.sent) < sent + 20:
        await asyncio.sleep(0.2)
