"""Records in, records out: what a measure produces, and when the answers came."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiokafka
import orjson
from aiokafka.structs import TopicPartition

from streams.settings import Settings

PARTITIONS = int(Settings.model_fields["partitions"].default)

_TEXT = (
    "Apple shipped {i} phones in the quarter, it said on Tuesday. It was a record. Analysts had expected fewer. "
    "The company's shares rose by two percent in late trading, and its suppliers' with them."
)


@dataclass(frozen=True)
class Mark:
    """Where a topic ended."""

    topic: str
    ends: dict[TopicPartition, int]

    def total(self) -> int:
        return sum(self.ends.values())


@dataclass(frozen=True)
class Answers:
    """`seconds`: from the first answer to the last, by the records' own times."""

    ids: set[str]
    seconds: float
    repeated: int
    failed: int


def request(run: str, i: int) -> bytes:
    return orjson.dumps({"id": f"{run}-{i}", "input": {"content": _TEXT.format(i=i)}})


async def produce(bootstrap: str, topic: str, run: str, count: int) -> None:
    """Gathered, over 97 keys."""
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5)
    await producer.start()
    try:
        sent = [await producer.send(topic, request(run, i), b"key-%d" % (i % 97)) for i in range(count)]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def mark(bootstrap: str, topic: str) -> Mark:
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        return await _mark(consumer, topic)
    finally:
        await consumer.stop()


async def _mark(consumer: Any, topic: str) -> Mark:
    return Mark(topic, await consumer.end_offsets([TopicPartition(topic, p) for p in range(PARTITIONS)]))


async def skip_to_end(bootstrap: str, group: str, topics: Sequence[str]) -> None:
    """A new group begins behind what earlier rounds have left."""
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        marks = [await _mark(consumer, topic) for topic in topics]
        ends = {tp: end for found in marks for tp, end in found.ends.items()}
        consumer.assign(list(ends))
        await consumer.commit(ends)
    finally:
        await consumer.stop()


async def wait_for(bootstrap: str, since: Mark, count: int, limit_s: float = 900.0) -> None:
    """Until `count` more records stand in the topic; asks for its end only, which costs nobody anything."""
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        until = time.monotonic() + limit_s
        while (await _mark(consumer, since.topic)).total() - since.total() < count:
            if time.monotonic() > until:
                raise TimeoutError(f"{since.topic} did not get {count} records in {limit_s:g} s")
            await asyncio.sleep(0.25)
    finally:
        await consumer.stop()


async def read(bootstrap: str, since: Mark) -> Answers:
    """All that came since, checked: each id once."""
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        ends = (await _mark(consumer, since.topic)).ends
        places = [tp for tp, end in ends.items() if end > since.ends[tp]]
        consumer.assign(places)
        for tp in places:
            consumer.seek(tp, since.ends[tp])
        left = sum(ends[tp] - since.ends[tp] for tp in places)
        ids: list[str] = []
        times: list[int] = []
        failed = 0
        while left > 0:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                left -= len(records)
                for record in records:
                    result = orjson.loads(record.value)
                    ids.append(result["id"])
                    times.append(record.timestamp)
                    failed += result["status"] != "succeeded"
    finally:
        await consumer.stop()
    return Answers(set(ids), (max(times) - min(times)) / 1000, len(ids) - len(set(ids)), failed)
