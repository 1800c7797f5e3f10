import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.stack import Stack, make_stack

MakeStack = Callable[..., Awaitable[Stack]]


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of either kind; empty means SQLite in the data directory."""
    return "" if request.param == "sqlite" else request.getfixturevalue("postgres_database")


@pytest.fixture
def stack_of(spine_bootstrap: str, tmp_path: Path, database: str) -> MakeStack:
    async def make(**changes: Any) -> Stack:
        return await make_stack(spine_bootstrap, tmp_path / "data", database, **changes)

    return make


@pytest.fixture
def sqlite_stack_of(spine_bootstrap: str, tmp_path: Path) -> MakeStack:
    async def make(**changes: Any) -> Stack:
        return await make_stack(spine_bootstrap, tmp_path / "data", **changes)

    return make


@pytest.fixture(autouse=True)
def _loop_is_clean() -> Iterator[None]:
    yield
    asyncio.set_event_loop(None)
