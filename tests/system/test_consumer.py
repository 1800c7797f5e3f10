"""Whatever Faust fetches and then drops is read again: every record reaches the ledger, and every usage event its total."""

import asyncio
import os
import random
import time

import aiokafka
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError
from faust.types import TP

from streams import topics
from streams.consumer import Planner, SpineConsumer
from streams.kafka import SpineApp
from tests.system.conftest import MakeStack
from tests.system.stack import read_all, request
from tests.system.totals import equal_totals

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]

RECORDS = 300


async def test_flows_that_stop_and_partitions_that_pause_lose_nothing(sqlite_stack_of: MakeStack) -> None:
    seed = int(os.environ.get("GENAI_TEST_SEED") or time.time_ns() % 10**6)
    print(f"seed {seed}: GENAI_TEST_SEED={seed} repeats this run")
    chance = random.Random(seed)
    stack = await sqlite_stack_of(fake_slots=32, fake_latency_s=0.0, fake_paid=True)
    ids = [f"r{i}" for i in range(RECORDS)]
    async with stack.spine() as spine:
        disturbing = asyncio.create_task(disturb(spine.faust, chance))
        for start in range(0, RECORDS, 10):
            await stack.produce(*[request(id_) for id_ in ids[start : start + 10]])
        disturbances = await disturbing
        await stack.until(lambda seen: {s.json()["id"] for s in seen} >= set(ids), timeout_s=60)
        await equal_totals(stack)
        costs = spine.costs.folded
    assert len(await stack.results()) == RECORDS
    assert costs == len(await read_all(stack.bootstrap, topics.USAGE)) == RECORDS
    print({"disturbances": disturbances})


async def test_partitions_that_are_taken_away_while_their_start_is_decided_end_nobody(
    sqlite_stack_of: MakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, begin = [], SpineConsumer._begin_at

    async def begin_at(self: SpineConsumer, tps: set[TP], planner: Planner) -> None:
        if len(taken) < 3:
            taken.append(tps)
            raise IllegalStateError("No current assignment")
        await begin(self, tps, planner)

    monkeypatch.setattr(SpineConsumer, "_begin_at", begin_at)
    stack = await sqlite_stack_of(fake_slots=8, fake_latency_s=0.0)
    async with stack.spine() as spine:
        await stack.produce(*[request(f"t{i}") for i in range(5)])
        await stack.answered(5)
        assert (len(taken), spine.faust.should_stop) == (3, False)


async def disturb(app: SpineApp, chance: random.Random) -> int:
    """What a rebalance and a full buffer do inside Faust, without the seek that usually follows."""
    consumer = app.consumer
    assert isinstance(consumer, SpineConsumer)
    done = 0
    until = time.monotonic() + 6
    while time.monotonic() < until:
        await asyncio.sleep(chance.uniform(0, 0.03))
        if consumer.unplanned:
            continue
        if chance.random() < 0.5:
            consumer.stop_flow()
            await asyncio.sleep(chance.uniform(0, 0.01))
            consumer.resume_flow()
        else:
            some = {tp for tp in consumer.assignment() if chance.random() < 0.5}
            consumer.pause_partitions(some)
            await asyncio.sleep(chance.uniform(0, 0.01))
            consumer.resume_partitions(some)
        done += 1
    return done


async def test_totals_are_whole_although_the_group_has_committed_what_a_kill_kept_from_the_table(
    sqlite_stack_of: MakeStack,
) -> None:
    stack = await sqlite_stack_of(fake_slots=8, fake_latency_s=0.0, fake_paid=True)
    async with stack.spine():
        await stack.produce(*[request(f"a{i}") for i in range(5)])
        await stack.answered(5)
        await equal_totals(stack)
    first = (await read_all(stack.bootstrap, topics.USAGE))[-1]
    event = {**first.json(), "id": "late", "cost_usd": "1.000000"}
    headers = [(name, b"6" if name == "genai-number" else value) for name, value in first.headers.items()]
    await stack.produce(event, topic=topics.USAGE, key=first.key, partition=first.partition, headers=headers)
    await commit_to_the_end(stack.bootstrap, stack.settings.kafka_group, TopicPartition(topics.USAGE, first.partition))
    async with stack.spine():
        await stack.until(lambda seen: bool(seen) and seen[-1].json()["calls"] == 6, topic=topics.COSTS)
    assert (await read_all(stack.bootstrap, topics.COSTS))[-1].json()["cost_usd"].startswith("1.0")


async def commit_to_the_end(bootstrap: str, group: str, tp: TopicPartition) -> None:
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([tp])
        await consumer.commit({tp: (await consumer.end_offsets([tp]))[tp]})
    finally:
        await consumer.stop()
