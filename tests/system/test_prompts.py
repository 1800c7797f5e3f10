"""A library prompt over Kafka, while the library changes under a request that waits."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select

from store.tables import requests
from streams.spine import Spine
from tests.system.conftest import MakeStack

pytestmark = pytest.mark.kafka

TOPIC = "genai.requests.execute_prompt"
FIRST = "{version: 1, user: Say hello., notes: n}"
SECOND = "{version: 2, user: Say ciao., notes: n}"


def library(folder: Path, *versions: str) -> str:
    folder.mkdir()
    (folder / "greet.yaml").write_text(f"slug: greet\nversions: [{', '.join(versions)}]", encoding="utf-8")
    return str(folder)


async def waits(spine: Spine) -> None:
    """Until a request is in the ledger."""
    for _ in range(600):
        if await spine.database.read(lambda conn: conn.execute(select(requests.c.state)).first()):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the request was never taken in")


async def test_a_deployment_that_takes_a_version_away_changes_nothing_for_what_waits(
    sqlite_stack_of: MakeStack, tmp_path: Path
) -> None:
    """The registry has every wording that was ever deployed; what comes later gets the new one."""
    before, after = library(tmp_path / "before", FIRST), library(tmp_path / "after", SECOND)
    stack = await sqlite_stack_of(prompts_dir=before)
    async with stack.spine() as spine:
        spine.engine.draining = True  # taken in, and not run before the deployment
        await stack.produce({"id": "a", "input": {"prompt": "greet"}}, topic=TOPIC)
        await waits(spine)
    async with stack.spine(prompts_dir=after):
        await stack.until(lambda seen: len(seen) == 1)
        await stack.produce({"id": "b", "input": {"prompt": "greet"}}, topic=TOPIC)
        seen = await stack.until(lambda seen: len(seen) == 2)
    told = {record.json()["id"]: record.json()["output"]["prompt"]["version"] for record in seen}
    assert told == {"a": 1, "b": 2}
