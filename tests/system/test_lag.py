"""What is in Kafka and not in the ledger, asked of a real broker."""

import asyncio
import time

import httpx
import pytest
from aiokafka.client import AIOKafkaClient

from agents import OPERATIONS
from schemas.request import Lane
from streams import lag
from streams.web.app import make_small
from streams.web.front import Front
from tests.streams.webs import client, opened
from tests.system.conftest import MakeStack
from tests.system.stack import Stack, request

pytestmark = pytest.mark.kafka

DAY_S = 86_400


async def look(stack: Stack, *, ages: bool = False) -> lag.Lag:
    return await lag.look(stack.bootstrap, stack.settings.kafka_group, OPERATIONS, ages=ages)


def counted(found: lag.Lag) -> dict[tuple[int, str], int]:
    return {(lane, name): many for lane, by in found.records.items() for name, many in by.items() if many}


async def test_unread_records_are_counted_by_lane_and_operation_until_a_worker_has_read_them(
    sqlite_stack_of: MakeStack,
) -> None:
    stack = await sqlite_stack_of()
    await stack.produce(*(request(f"a{n}") for n in range(5)))
    old = {"timestamp_ms": int((time.time() - 6 * DAY_S) * 1000)}
    await stack.produce(request("old"), topic="genai.requests.classify.batch", **old)
    found = await look(stack, ages=True)
    assert counted(found) == {(Lane.NORMAL, "summarize"): 5, (Lane.BATCH, "classify"): 1}
    assert 0 <= found.age_s[Lane.NORMAL] < 60
    assert found.age_s[Lane.BATCH] == pytest.approx(6 * DAY_S, abs=60)
    assert found.retention[Lane.BATCH] == pytest.approx(6 / 7, abs=0.01)
    assert "lane batch has reached 86%" in found.danger()

    async with opened(stack.settings) as (front, _), client(front) as api:  # a web process asks by itself
        told = (await api.get("/v1/queue")).json()
    lanes = {lane["lane"]: lane for lane in told["lanes"]}
    assert (told["kafka"]["ok"], told["all"]["in_kafka"], lanes["normal"]["in_kafka"]) == (True, 6, 5)
    assert lanes["batch"]["in_kafka_by_operation"] == {"classify": 1}

    async with stack.spine():
        await stack.answered(6)
        for _ in range(100):  # the group's commit comes a moment later
            found = await look(stack, ages=True)
            if not counted(found):
                break
            await asyncio.sleep(0.1)
    assert (counted(found), found.age_s, found.danger()) == ({}, {}, "")


async def test_a_worker_says_when_retention_is_near(
    sqlite_stack_of: MakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.web.front._UNREAD_FIRST_S", 0.0)
    stack = await sqlite_stack_of()
    old = {"timestamp_ms": int((time.time() - 6 * DAY_S) * 1000)}
    await stack.produce(request("old"), topic="genai.requests.classify.batch", **old)
    settings = stack.settings
    front = Front(settings, "worker", bootstrap=stack.bootstrap)
    async with opened(settings) as (_, spine), front.open(spine):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(make_small(front)), base_url="http://test") as small:
            for _ in range(200):
                part = (await small.get("/ready")).json()["parts"]["retention"]
                if not part["ok"]:
                    break
                await asyncio.sleep(0.05)
            figures = (await small.get("/metrics")).text
    assert (part["ok"], part["needed"], "Kafka deletes" in part["why"]) == (False, False, True)
    assert 'genai_unread_retention_ratio{lane="batch"} 0.857' in figures


async def test_where_all_topics_are_is_one_question(
    sqlite_stack_of: MakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiokafka would ask for each topic by itself, a tenth of a second apart."""
    asked: list[int] = []
    update = AIOKafkaClient._metadata_update

    async def counted(client: AIOKafkaClient, cluster: object, topics: set[str]) -> bool:
        asked.append(len(topics))
        return bool(await update(client, cluster, topics))

    stack = await sqlite_stack_of()
    monkeypatch.setattr(AIOKafkaClient, "_metadata_update", counted)
    await look(stack)
    assert set(asked) == {len(OPERATIONS) * len(Lane)}


async def test_kafka_away_is_said_and_not_raised() -> None:
    found = await lag.look("127.0.0.1:1", "g", OPERATIONS)
    assert (found.records, "No Kafka broker answers at 127.0.0.1:1" in found.why) == ({}, True)
