"""`genai-spine doctor`: what is wrong, and how to mend it."""

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import aiokafka
import orjson
import pytest

from agents import OPERATIONS
from streams import doctor, topics, waiting
from streams.doctor import Finding, examine
from tests.parts.kafka import make_settings
from tests.streams.commands import run
from tests.streams.webs import client, opened, web_settings


async def _one(part: str, folder: Path, **changes: Any) -> Finding:
    settings = make_settings(**{"data_dir": folder / "data", "default_provider": "fake", **changes})
    return next(finding for finding in await examine(settings) if finding.part == part)


@pytest.mark.parametrize(
    ("part", "changes", "level", "says"),
    [
        ("python", {}, "ok", ""),
        ("disk", {}, "ok", ""),
        ("java", {}, "ok", ""),
        ("broker", {}, "note", "genai-spine broker start"),
        ("broker", {"kafka_brokers": "127.0.0.1:1"}, "bad", "GENAI_KAFKA_BROKERS"),
        ("database", {}, "note", "The first start makes it"),
        ("database", {"database_url": "postgresql://u:s@127.0.0.1:1/x"}, "bad", "GENAI_DATABASE_URL"),
        ("database", {"database_url": "mysql://x"}, "bad", ""),
        ("provider", {}, "ok", ""),
        ("provider", {"default_provider": "zz"}, "bad", "GENAI_DEFAULT_PROVIDER"),
        ("provider", {"default_provider": "ollama", "ollama_url": "http://127.0.0.1:1"}, "bad", "genai-spine up"),
        ("model", {}, "ok", ""),
        ("model", {"default_model": "zz"}, "bad", "GENAI_DEFAULT_MODEL"),
    ],
)
async def test_each_part_is_judged_and_its_mend_named(
    tmp_path: Path, part: str, changes: dict[str, Any], level: str, says: str
) -> None:
    found = await _one(part, tmp_path, **changes)
    assert (found.level, says in found.mend) == (level, True)


async def test_it_looks_and_makes_nothing(tmp_path: Path) -> None:
    await examine(make_settings(data_dir=tmp_path / "data", default_provider="fake"))
    assert not (tmp_path / "data").exists()


async def test_a_ledger_is_judged_by_its_schema(tmp_path: Path) -> None:
    settings = make_settings(data_dir=tmp_path / "data")
    await waiting.for_schema(settings, lambda _: None, may_migrate=True)
    assert (await _one("database", tmp_path)).level == "ok"


@pytest.mark.fast
@pytest.mark.parametrize(
    ("ahead", "level", "says"),
    [
        (1.9, "ok", "agrees"),
        (-1.9, "ok", "agrees"),
        (10.0, "note", "behind the"),
        (-10.0, "note", "ahead of the"),
        (60.0, "bad", "60 s"),
    ],
)
def test_a_clock_is_judged_by_its_distance(ahead: float, level: str, says: str) -> None:
    found = doctor._clock("the database", ahead)
    assert (found.level, says in found.words, bool(found.mend)) == (level, True, level != "ok")


async def test_schedules_that_nobody_fires_are_told_and_so_is_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    file = tmp_path / "schedules.yaml"
    file.write_text('schedules: {a: {cron: "0 0 1 1 *", run: {kind: task, name: check_prices}}}')
    told = {"data_dir": tmp_path / "data", "schedules_file": str(file)}
    async with opened(web_settings(tmp_path / "data", schedules_file=str(file))) as (front, _), client(front) as api:
        while (await api.get("/v1/schedules")).json()["leader"] is None:
            await asyncio.sleep(0.02)
        fired = await doctor._schedules(make_settings(**told))
    left = await doctor._schedules(make_settings(**told))
    file.write_text("schedules: {a: {}}")
    broken = await examine(make_settings(**told))
    found = [[each.level for each in said if each.part == "schedules"] for said in (fired, left, broken)]
    assert found == [["ok", "ok"], ["ok", "note"], ["bad"]]


async def test_a_ledger_written_tomorrow_tells_that_the_clock_was_set_back(tmp_path: Path) -> None:
    settings = make_settings(data_dir=tmp_path / "data")
    await waiting.for_schema(settings, lambda _: None, may_migrate=True)
    tomorrow = time.time() + 86_400
    os.utime(tmp_path / "data" / "genai.db", (tomorrow, tomorrow))
    assert (await _one("clock", tmp_path)).level == "bad"


@pytest.mark.kafka
async def test_a_record_from_the_future_tells_that_this_clock_is_behind(own_broker: str, tmp_path: Path) -> None:
    settings = make_settings(data_dir=tmp_path / "data", kafka_brokers=own_broker, partitions=1)
    await topics.create(own_broker, settings, OPERATIONS)
    levels = []
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=own_broker)
    await producer.start()
    for ahead in (0, 100):
        at = round(1000 * (time.time() + ahead))
        await producer.send_and_wait(topics.request_topic("embed"), b"x", timestamp_ms=at)
        levels.append((await _one("clock", tmp_path, kafka_brokers=own_broker, partitions=1)).level)
    await producer.stop()
    assert levels == ["ok", "bad"]


async def test_a_ledger_without_its_schema_wants_a_migration(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "genai.db").touch()
    found = await _one("migrations", tmp_path)
    assert (found.level, found.mend) == ("bad", "Run `genai-spine migrate`.")


@pytest.mark.fast
async def test_a_room_from_another_package_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").touch()
    for name in [name for name in sys.modules if name.partition(".")[0] == "agents"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    (found,) = await doctor._python(make_settings())
    assert (found.level, "agents" in found.words) == ("bad", True)


def test_a_program_reads_it(tmp_path: Path) -> None:
    found = run(tmp_path / "data", "doctor", "--json", GENAI_DEFAULT_PROVIDER="zz")
    told = orjson.loads(found.stdout)
    assert (found.returncode, told["ok"]) == (1, False)
