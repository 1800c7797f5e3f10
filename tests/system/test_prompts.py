"""A library prompt over Kafka, while the library changes under a request that waits."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select

from store.tables import requests
from streams.app import Spine
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


async def test_a_deployment_that_takes_a_pinned_version_away_fails_it_and_redriving_it_takes_the_new_one(
    sqlite_stack_of: MakeStack, tmp_path: Path
) -> None:
    before, after = library(tmp_path / "before", FIRST), library(tmp_path / "after", SECOND)
    stack = await sqlite_stack_of(prompts_dir=before)
    async with stack.spine() as spine:
        spine.engine.draining = True  # taken in, and not run before the deployment
        await stack.produce({"id": "a", "input": {"prompt": "greet"}}, topic=TOPIC)
        await waits(spine)
    async with stack.spine(prompts_dir=after):
        [failed] = await stack.until(lambda seen: len(seen) == 1)
        [letter] = await stack.letters()
        headers = [(name, value) for name, value in letter.headers.items() if name in {"genai-id", "genai-tenant"}]
        await stack.produce(letter.value, topic=TOPIC, headers=headers)
        seen = await stack.until(lambda seen: len(seen) == 2)
    error = failed.json()["error"]
    assert (error["type"], error["details"]) == ("internal", {"prompt": "greet", "version": 1})
    again = next(record.json() for record in seen if record.json()["generation"] == 2)
    assert (again["status"], again["output"]["prompt"]["version"]) == ("succeeded", 2)
