from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.chaos.double import Double, double
from tests.chaos.nursery import Nursery
from tests.chaos.run import Report
from tests.system.conftest import sqlite_stack_of  # noqa: F401 - a fixture


@pytest.fixture
async def nursery() -> AsyncIterator[Nursery]:
    async with Nursery() as made:
        yield made


@pytest.fixture
async def fake() -> AsyncIterator[Double]:
    async with double(0.03, 1) as made:
        yield made


@pytest.fixture
def kept(tmp_path: Path) -> Callable[[Report, str], None]:
    """Asserts that every promise was kept, and says how to repeat the run where one was not."""

    def check(report: Report, repeat: str) -> None:
        assert not report.findings, f"{report.told()}\nlogs: {tmp_path}\nrepeat: {repeat}"
        print(report)

    return check
