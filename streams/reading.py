"""Topics read from outside a consumer group: all of one up to its end, its last records, or on and on."""

import contextlib
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import aiokafka
from aiokafka.errors import KafkaConnectionError

from streams import security, topics
from streams.topics_admin import Unreachable

_POLL_MS = 500


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it stands in its topic."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


@contextlib.asynccontextmanager
async def consumer(bootstrap: str) -> AsyncIterator[Any]:
    """One that joins no group and commits nothing. Raises Unreachable, NotLetIn."""
    made = aiokafka.AIOKafkaConsumer(
        **security.client(bootstrap),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=16 * 1024 * 1024,
    )
    try:
        await made.start()
        yield made
    except KafkaConnectionError as error:
        if (refusal := await security.refusal(bootstrap)) is not None:
            raise refusal from error
        raise Unreachable(
            f"No Kafka broker answers at {bootstrap}. Start one with `genai-spine broker start`, or mend "
            "GENAI_KAFKA_BROKERS."
        ) from error
    finally:
        await made.stop()


async def know(reader: Any, tps: Collection[aiokafka.TopicPartition]) -> None:
    """Have it ask where all of these are, before their offsets are asked for. By itself aiokafka asks for one topic after
    another, and rests a tenth of a second behind each; assigned ones it would fetch.
    """
    await reader._client.set_topics({tp.topic for tp in tps})  # noqa: SLF001 - as its `assign` does


async def places(bootstrap: str, topic: str) -> list[aiokafka.TopicPartition]:
    """Its partitions; none when there is no such topic, which asking in another way might make."""
    found = await topics.list_topics(bootstrap, topic)
    return [aiokafka.TopicPartition(topic, n) for n in range(found[topic].partitions)] if topic in found else []


async def ends(bootstrap: str, topic: str) -> dict[int, int]:
    """Partition -> the offset that its next record will have."""
    tps = await places(bootstrap, topic)
    if not tps:
        return {}
    async with consumer(bootstrap) as reader:
        await know(reader, tps)
        return {tp.partition: end for tp, end in (await reader.end_offsets(tps)).items()}


async def begins(bootstrap: str, topic: str) -> dict[int, int]:
    """Partition -> the offset of its first record that is still there."""
    tps = await places(bootstrap, topic)
    if not tps:
        return {}
    async with consumer(bootstrap) as reader:
        await know(reader, tps)
        return {tp.partition: first for tp, first in (await reader.beginning_offsets(tps)).items()}


async def whole(bootstrap: str, topic: str, *, last: int | None = None) -> list[Record]:
    """Every record that is there now, or at most the `last` of each partition."""
    tps = await places(bootstrap, topic)
    if not tps:
        return []
    found: list[Record] = []
    async with consumer(bootstrap) as reader:
        await know(reader, tps)
        begin, end = await reader.beginning_offsets(tps), await reader.end_offsets(tps)
        left = {tp for tp in tps if begin[tp] < end[tp]}
        reader.assign(list(left))
        for tp in left:
            reader.seek(tp, begin[tp] if last is None else max(begin[tp], end[tp] - last))
        while left:
            for tp, records in (await reader.getmany(*left, timeout_ms=_POLL_MS)).items():
                found += [_record(record) for record in records if record.offset < end[tp]]
            left = {tp for tp in left if await reader.position(tp) < end[tp]}
    return found


async def following(bootstrap: str, topic: str, starts: Mapping[int, int]) -> AsyncIterator[Record | None]:
    """From these offsets on, for ever; None when nothing came for a moment, so that the reader can look at its clock."""
    async with consumer(bootstrap) as reader:
        tps = {aiokafka.TopicPartition(topic, partition): offset for partition, offset in starts.items()}
        reader.assign(list(tps))
        for tp, offset in tps.items():
            reader.seek(tp, offset)
        while True:
            batch = await reader.getmany(timeout_ms=_POLL_MS)
            for records in batch.values():
                for record in records:
                    yield _record(record)
            if not batch:
                yield None


def _record(found: Any) -> Record:
    return Record(
        found.topic,
        found.partition,
        found.offset,
        found.timestamp,
        found.key,
        found.value,
        tuple((name, value or b"") for name, value in found.headers),
    )
