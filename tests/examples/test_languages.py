"""The examples in other languages, as programs of their own against the real path, where their language is there."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import aiokafka
import pytest

from streams.broker import jars
from tests.parts.kafka import make_settings
from tests.system.stack import Stack, make_stack

EXAMPLES = Path(__file__).parents[2] / "examples"
ITEMS = EXAMPLES / "feedspine/items.jsonl"
ITEM = [json.loads(line) for line in ITEMS.read_text().splitlines()]


def java(_: Path) -> list[str]:
    """The packaged runtime has no compiler, and a single file wants one."""
    found = shutil.which("java")
    modules = subprocess.check_output([found, "--list-modules"], text=True) if found else ""
    if not found or "jdk.compiler@" not in modules:
        pytest.skip("needs a JDK on the PATH")
    settings = make_settings()
    given = os.environ.get("GENAI_CACHE_DIR")
    cache = settings.model_copy(update={"cache_dir": Path(given)}).cache() if given else settings.cache()
    return [found, "-cp", f"{jars.fetch(cache)}/*", str(EXAMPLES / "java/Ask.java")]


def node(_: Path) -> list[str]:
    found = shutil.which("node")
    if not found:
        pytest.skip("needs Node")
    if not (EXAMPLES / "node/node_modules/kafkajs").exists():
        pytest.skip("needs kafkajs: npm install in examples/node")
    return [found, str(EXAMPLES / "node/ask.js")]


def go(folder: Path) -> list[str]:
    found = shutil.which("go")
    if not found:
        pytest.skip("needs Go")
    here = EXAMPLES / "go"
    there = subprocess.run([found, "list", "-deps", "."], cwd=here, env=offline(), capture_output=True, check=False)
    if there.returncode != 0:
        pytest.skip("needs franz-go: go mod download in examples/go")
    subprocess.run([found, "build", "-o", str(folder / "ask"), "."], cwd=here, env=offline(), check=True)
    return [str(folder / "ask")]


def offline() -> dict[str, str]:
    """Nothing is fetched inside a test."""
    return os.environ | {"GOPROXY": "off", "GOFLAGS": "-mod=readonly", "GOTOOLCHAIN": "local"}


async def ran(command: list[str], bootstrap: str) -> list[dict[str, object]]:
    process = await asyncio.create_subprocess_exec(
        *command, bootstrap, str(ITEMS), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=offline()
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), 120)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, err.decode()
    return [json.loads(line) for line in out.decode().splitlines()]


@pytest.mark.kafka
@pytest.mark.timeout(600)  # Go compiles its modules the first time
@pytest.mark.parametrize("language", [java, node, go], ids=["java", "node", "go"])
async def test_it_asks_joins_and_asks_again_for_nothing(
    language: Callable[[Path], list[str]], spine_bootstrap: str, tmp_path: Path
) -> None:
    command = language(tmp_path)
    stack = await make_stack(spine_bootstrap, tmp_path / "data")
    async with stack.spine() as spine:
        lines = await ran(command, spine_bootstrap)
        calls = spine.providers["fake"].counts.total.started
        again = await ran(command, spine_bootstrap)
        assert spine.providers["fake"].counts.total.started == calls == len(ITEM)
    assert [(line["key"], line["status"], line["error"]) for line in lines] == [
        (item["key"], "succeeded", None) for item in ITEM
    ]
    assert all(line["summary"] for line in lines)
    assert again == lines


@pytest.mark.kafka
@pytest.mark.timeout(600)  # Go compiles its modules the first time
@pytest.mark.parametrize("language", [java, node, go], ids=["java", "node", "go"])
async def test_a_higher_generation_replaces_an_older_one(
    language: Callable[[Path], list[str]], spine_bootstrap: str, tmp_path: Path
) -> None:
    """A failure, its redriven success, and the failure once more, as an at-least-once topic may give them."""
    command = language(tmp_path)
    stack = await make_stack(spine_bootstrap, tmp_path / "data")
    async with stack.spine():
        await ran(command, spine_bootstrap)
        seen = await stack.results()
    last = seen[-1]
    newer = {**last.json(), "generation": 2, "status": "failed", "output": None}
    newer["error"] = {"type": "timeout", "message": "too late", "retryable": True, "details": {}}
    for result in (newer, last.json()):
        await stack.produce(result, topic="genai.results", key=last.key, partition=last.partition)
    lines = await ran(command, spine_bootstrap)
    told = {line["key"]: (line["status"], line["summary"], line["error"]) for line in lines}
    assert last.key is not None
    assert told[last.key.decode()] == ("failed", None, newer["error"])
    assert sum(status == "succeeded" for status, _, _ in told.values()) == len(ITEM) - 1


@pytest.mark.kafka
async def test_the_faust_app_makes_silver_of_what_is_clean(spine_bootstrap: str, tmp_path: Path) -> None:
    stack = await make_stack(spine_bootstrap, tmp_path / "data")
    async with stack.spine():
        await feed(stack)
        app = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "faust", "-A", "enricher", "worker", "--without-web", "-l", "warn"),
            cwd=EXAMPLES / "faust",
            env=os.environ | {"SILVER_BROKERS": spine_bootstrap, "FAUST_DATADIR": str(tmp_path / "faust")},
        )
        try:
            silver = await silvered(spine_bootstrap)
        finally:
            app.terminate()
            await asyncio.wait_for(app.wait(), 30)
    assert {key: (item["feed"], item["error"]) for key, item in silver.items()} == {
        item["key"]: (item["feed"], None) for item in ITEM
    }
    assert all(item["summary"] for item in silver.values())


async def feed(stack: Stack) -> None:
    """The items as a cleaned feed, in topics made anew."""
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 2, 1) for name in ("feed.clean", "feed.silver")])
    finally:
        await admin.close()
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=stack.bootstrap)
    await producer.start()
    try:
        for item in ITEM:
            await producer.send_and_wait("feed.clean", json.dumps(item).encode(), item["key"].encode())
    finally:
        await producer.stop()


async def silvered(bootstrap: str) -> dict[str, dict[str, object]]:
    """Each item's record, once all are there."""
    consumer = aiokafka.AIOKafkaConsumer("feed.silver", bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    found: dict[str, dict[str, object]] = {}
    try:
        async with asyncio.timeout(120):
            while len(found) < len(ITEM):
                record = await consumer.getone()
                found[record.key.decode()] = json.loads(record.value)
    finally:
        await consumer.stop()
    return found
