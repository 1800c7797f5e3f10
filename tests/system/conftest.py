import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.stack import Stack, make_stack

MakeStack = Callable[..., Awaitable[Stack]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The topics have fixed names, so these tests take turns."""
    for item in items:
        if "tests/system" in str(item.path):
            item.add_marker(pytest.mark.xdist_group("system"))
            item.add_marker(pytest.mark.kafka)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of either kind; empty means SQLite in the data directory."""
    return "" if request.param == "sqlite" else request.getfixturevalue("postgres_database")


@pytest.fixture
def stack_of(kafka_bootstrap: str, tmp_path: Path, database: str) -> MakeStack:
    async def make(**changes: Any) -> Stack:
        return await make_stack(kafka_bootstrap, tmp_path / "data", database, **changes)

    return make


@pytest.fixture
def sqlite_stack_of(kafka_bootstrap: str, tmp_path: Path) -> MakeStack:
    async def make(**changes: Any) -> Stack:
        return await make_stack(kafka_bootstrap, tmp_path / "data", **changes)

    return make


@pytest.fixture(autouse=True)
def _loop_is_clean() -> Iterator[None]:
    yield
    asyncio.set_event_loop(None)
