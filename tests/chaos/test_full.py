"""A short seed set of the full stack: a real broker, real workers on one PostgreSQL, the double as a server."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.double import Double
from tests.chaos.grounds import Kafka
from tests.chaos.nursery import Nursery
from tests.chaos.run import FULL_LEASE_S, PARTITIONS, Plan, Report, Run
from tests.parts.kafka import make_settings
from tests.system.stack import fresh_topics

pytestmark = [pytest.mark.chaos, pytest.mark.kafka, pytest.mark.postgres]


@pytest.mark.parametrize("seed", [3])
async def test_two_workers_killed_again_and_again(
    seed: int,
    nursery: Nursery,
    fake: Double,
    tmp_path: Path,
    kept: Callable[[Report, str], None],
    postgres_database: str,
    spine_bootstrap: str,
) -> None:
    await fresh_topics(spine_bootstrap, make_settings(data_dir=tmp_path, partitions=PARTITIONS))
    ground = Kafka(spine_bootstrap, f"chaos-{uuid.uuid4().hex[:8]}")
    plan = Plan(seed, postgres_database, kills=8, workers=2, lease_s=FULL_LEASE_S, pace=3.0)
    report = await Run(plan, ground, nursery, fake, tmp_path).run()
    kept(report, f"make chaos SEED={seed} GROUND=kafka KILLS=8")
    assert report.kills >= 8
