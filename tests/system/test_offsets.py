"""Where Kafka and the ledger disagree: each disagreement is made with the tools of who operates them, and mended at the start."""

import asyncio
import contextlib
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from streams import topics
from tests.streams.test_kafka_tools import tool
from tests.system.conftest import MakeStack
from tests.system.stack import Stack, made_anew, request
from tests.system.test_path import committed

pytestmark = pytest.mark.kafka

TOPIC = "genai.requests.summarize"


async def used(stack: Stack, *arguments: str) -> None:
    """A Kafka tool as `genai-spine kafka …` runs it; again for a while, since a group is told late that its members left."""
    until = time.monotonic() + 30
    while (done := await asyncio.to_thread(tool, stack.bootstrap, *arguments)).returncode or "Error" in done.stdout:
        assert time.monotonic() < until, done.stdout + done.stderr


async def produce(stack: Stack, *ids: str) -> None:
    await stack.produce(*[request(id_) for id_ in ids], partition=0)


async def answered(stack: Stack, *ids: str) -> list[dict[str, Any]]:
    """All results there are, once there are some of all these."""
    seen = await stack.until(lambda found: {s.json()["id"] for s in found} >= set(ids), timeout_s=60)
    return [s.json() for s in seen]


async def until(done: Callable[[], bool], within_s: float = 60) -> None:
    end = time.monotonic() + within_s
    while not done():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


async def at_work(stack: Stack, *ids: str) -> None:
    """A worker's life: it answers these, commits their offsets, and ends."""
    async with stack.spine():
        await produce(stack, *ids)
        seen = await answered(stack, *ids)
        await committed(stack, TOPIC, len({result["id"] for result in seen}))
        await asyncio.sleep(1.0)  # and the ledger was told of it


def said(logs: list[Any], why: str) -> list[Any]:
    return [(line.get("why"), line["offset"], line.get("records")) for line in logs if line.get("why") == why]


async def test_a_group_that_has_lost_its_offsets_goes_on_where_the_ledger_stands(sqlite_stack_of: MakeStack) -> None:
    stack = await sqlite_stack_of()
    await at_work(stack, "a", "b", "c")
    await used(stack, "consumer-groups", "--group", stack.settings.kafka_group, "--delete")
    await produce(stack, "d")
    with capture_logs() as logs:
        async with stack.spine():
            found = await answered(stack, "d")
            await asyncio.sleep(0.5)
            assert len(await stack.results()) == 4
    assert Counter(result["id"] for result in found) == Counter("abcd")
    assert said(logs, "lost") == [("lost", 3, None)]


async def test_offsets_moved_forward_skip_nothing(sqlite_stack_of: MakeStack) -> None:
    stack = await sqlite_stack_of()
    await at_work(stack, "a", "b")
    await produce(stack, "c", "d", "e")
    group = ["--group", stack.settings.kafka_group, "--topic", TOPIC]
    await used(stack, "consumer-groups", *group, "--reset-offsets", "--to-latest", "--execute")
    with capture_logs() as logs:
        async with stack.spine():
            found = await answered(stack, "c", "d", "e")
    assert Counter(result["id"] for result in found) == Counter("abcde")
    assert said(logs, "hole") == [("hole", 2, 3)]


async def test_after_an_old_database_was_restored_everything_since_is_taken_in_again_and_its_cost_counted(
    sqlite_stack_of: MakeStack,
) -> None:
    stack = await sqlite_stack_of(fake_paid=True)
    await at_work(stack, "a", "b")
    backup = copied(stack.settings.data() / "genai.db")
    await at_work(stack, "c", "d", "e")
    backup()
    await produce(stack, "f")
    with capture_logs() as logs:
        async with stack.spine() as spine:
            found = await answered(stack, "f")
            events = await stack.until(lambda seen: len(seen) == 9, topic=topics.USAGE)
            await until(lambda: sum(total["calls"] for total in list(spine.costs.table.values())) == 9)
    assert Counter(result["id"] for result in found) == Counter("abcdef") + Counter("cde")
    assert not any(result["replayed"] for result in found)
    assert len({event.json()["id"] for event in events}) == 9  # the second calls of c, d and e are told, too
    assert said(logs, "hole") == [("hole", 2, 3)]


def copied(database: Path) -> Callable[[], None]:
    """A backup, and what restores it."""
    copy = database.with_suffix(".backup")
    with contextlib.closing(sqlite3.connect(database)) as source, contextlib.closing(sqlite3.connect(copy)) as target:
        source.backup(target)

    def restore() -> None:
        for suffix in ("-wal", "-shm"):
            Path(f"{database}{suffix}").unlink(missing_ok=True)
        database.write_bytes(copy.read_bytes())

    return restore


async def test_what_retention_deletes_unread_is_told_and_counted(sqlite_stack_of: MakeStack, tmp_path: Path) -> None:
    stack = await sqlite_stack_of()
    await at_work(stack, "a", "b")
    await produce(stack, "c", "d", "e", "f")
    upto = {"version": 1, "partitions": [{"topic": TOPIC, "partition": 0, "offset": 5}]}
    (tmp_path / "upto.json").write_text(json.dumps(upto))
    await used(stack, "delete-records", "--offset-json-file", str(tmp_path / "upto.json"))
    with capture_logs() as logs:
        async with stack.spine() as spine:
            found = await answered(stack, "f")
            assert spine.metrics.missed._value.get() == 3
    assert Counter(result["id"] for result in found) == Counter("abf")
    assert [line["records"] for line in logs if "retention has deleted" in line["event"]] == [3]


async def test_topics_made_anew_under_a_running_worker_are_read_from_their_start(sqlite_stack_of: MakeStack) -> None:
    stack = await sqlite_stack_of(fake_paid=True)
    async with stack.spine() as spine:
        await produce(stack, *"abcdef")
        await answered(stack, *"abcdef")
        await until(lambda: spine.costs.folded == 6)
        await made_anew(stack.bootstrap, stack.settings, [TOPIC, topics.USAGE])
        await produce(stack, "g", "h")
        await answered(stack, "g", "h")
        await until(lambda: spine.costs.folded == 8)
        assert spine.faust is not None and not spine.faust.should_stop
