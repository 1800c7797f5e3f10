"""A short seed set of the full stack: a real broker, real workers on either database, the double as a server."""

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


@pytest.mark.parametrize(("seed", "sqlite", "workers"), [(3, False, 2), (9, True, 1)])
async def test_workers_killed_again_and_again(
    seed: int,
    sqlite: bool,
    workers: int,
    nursery: Nursery,
    fake: Double,
    tmp_path: Path,
    kept: Callable[[Report, str], None],
    postgres_database: str,
    spine_bootstrap: str,
) -> None:
    await fresh_topics(spine_bootstrap, make_settings(data_dir=tmp_path, partitions=PARTITIONS))
    ground = Kafka(spine_bootstrap, f"chaos-{uuid.uuid4().hex[:8]}")
    database = "" if sqlite else postgres_database
    plan = Plan(seed, database, kills=6, workers=workers, lease_s=FULL_LEASE_S, pace=3.0)
    report = await Run(plan, ground, nursery, fake, tmp_path).run()
    word = "sqlite" if sqlite else "postgres"
    kept(report, f"make chaos SEED={seed} GROUND=kafka DATABASE={word} KILLS=6")
    assert report.kills >= 6
