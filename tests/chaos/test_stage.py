"""A short seed set of the stage without Kafka, on both databases."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.chaos.double import Double
from tests.chaos.grounds import Files
from tests.chaos.nursery import Nursery
from tests.chaos.run import Plan, Report, Run

pytestmark = pytest.mark.chaos

Kept = Callable[[Report, str], None]


@pytest.mark.parametrize("seed", [1])
async def test_killed_again_and_again_on_sqlite(
    seed: int, nursery: Nursery, fake: Double, tmp_path: Path, kept: Kept
) -> None:
    report = await Run(Plan(seed, kills=16), Files(tmp_path), nursery, fake, tmp_path).run()
    kept(report, f"make chaos SEED={seed} DATABASE=sqlite KILLS=16")
    assert report.kills >= 16


@pytest.mark.postgres
@pytest.mark.parametrize("seed", [2])
async def test_killed_again_and_again_on_postgresql(
    seed: int, nursery: Nursery, fake: Double, tmp_path: Path, kept: Kept, postgres_database: str
) -> None:
    report = await Run(Plan(seed, postgres_database, kills=20), Files(tmp_path), nursery, fake, tmp_path).run()
    kept(report, f"make chaos SEED={seed} KILLS=20")
    assert report.kills >= 20
