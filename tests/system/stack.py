"""The whole spine in the test's own process, on a real broker and a real database: what a producer and a consumer see."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient

from agents import OPERATIONS
from store.database import Database, parse_url
from streams import topics
from streams.app import running
from streams.settings import Settings
from streams.spine import Spine
from streams.where import ledger_url
from tests.parts.kafka import make_settings
from tests.parts.ledgers import migrate


@dataclass(frozen=True)
class Seen:
    """A record as a consumer sees it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]

    def json(self) -> Any:
        return json.loads(self.value or b"null")


async def fresh_topics(bootstrap: str, settings: Settings) -> dict[str, int]:
    """All topics made anew; their partition counts."""
    await made_anew(
        bootstrap, settings, {name for name in await topics.list_topics(bootstrap) if name.startswith("genai.")}
    )
    return await widths(bootstrap)


async def made_anew(bootstrap: str, settings: Settings, names: Collection[str]) -> None:
    """Deleted, and made again as a worker's start makes them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        if names:
            await admin.delete_topics(list(names))
        until = time.monotonic() + 20
        while set(names) & set(await admin.list_topics()) and time.monotonic() < until:
            await asyncio.sleep(0.05)
    finally:
        await admin.close()
    for _ in range(20):
        try:
            await topics.create(bootstrap, settings, OPERATIONS)
            break
        except Exception:  # the broker may still be deleting
            await asyncio.sleep(0.3)


async def widths(bootstrap: str) -> dict[str, int]:
    return {name: found.partitions for name, found in (await topics.list_topics(bootstrap)).items()}


async def read_all(bootstrap: str, topic: str) -> list[Seen]:
    """Everything in a topic up to its present end, in the order of each partition.

    Asked anew when the client does not come to an end: one that met a topic while it was made may wait for ever for a
    leader that is not there any more.
    """
    for attempt in range(5):
        try:
            async with asyncio.timeout(10 * (attempt + 1)):
                return await _read_once(bootstrap, topic)
        except (TimeoutError, aiokafka.errors.KafkaError):
            if attempt == 4:
                raise
    raise AssertionError(topic)


async def _read_once(bootstrap: str, topic: str) -> list[Seen]:
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=bootstrap, auto_offset_reset="earliest", max_partition_fetch_bytes=32 * 1024 * 1024
    )
    await consumer.start()
    try:
        tps = [
            aiokafka.TopicPartition(topic, p)
            for p in sorted(consumer.partitions_for_topic(topic) or await _partitions(bootstrap, topic))
        ]
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        seen: list[Seen] = []
        until = time.monotonic() + 60
        while [tp for tp in tps if await consumer.position(tp) < ends[tp]]:
            assert time.monotonic() < until, f"{topic} could not be read to its end"
            for records in (await consumer.getmany(timeout_ms=300)).values():
                seen += [Seen(r.topic, r.partition, r.offset, r.key, r.value, dict(r.headers)) for r in records]
        return seen
    finally:
        await consumer.stop()


async def _partitions(bootstrap: str, topic: str) -> range:
    return range((await widths(bootstrap))[topic])


@dataclass
class Stack:
    """One set of topics, one group, one database; `spine()` may be entered again and again, as restarts."""

    bootstrap: str
    settings: Settings
    widths: dict[str, int] = field(default_factory=dict)

    @contextlib.asynccontextmanager
    async def spine(self, **changes: Any) -> AsyncIterator[Spine]:
        settings = self.settings.model_copy(update=changes)
        async with running(settings, bootstrap=self.bootstrap, widths=self.widths) as spine:
            yield spine

    async def produce(self, *values: Any, topic: str = "genai.requests.summarize", **options: Any) -> list[Any]:
        """JSON for objects, bytes as they are; returns where they are."""
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=self.bootstrap, max_request_size=8 * 1024 * 1024)
        await producer.start()
        try:
            sent = [
                await producer.send(
                    topic, v if v is None or isinstance(v, bytes) else json.dumps(v).encode(), **options
                )
                for v in values
            ]
            return [await future for future in sent]
        finally:
            await producer.stop()

    async def results(self) -> list[Seen]:
        return await read_all(self.bootstrap, topics.RESULTS)

    async def letters(self) -> list[Seen]:
        return await read_all(self.bootstrap, topics.DLQ)

    async def until(
        self, done: Callable[[list[Seen]], bool], timeout_s: float = 30, topic: str = topics.RESULTS
    ) -> list[Seen]:
        """The topic's records, once `done` says so."""
        until = time.monotonic() + timeout_s
        while True:
            seen = await read_all(self.bootstrap, topic)
            if done(seen):
                return seen
            assert time.monotonic() < until, (
                f"after {timeout_s} s {topic} holds {[s.value for s in seen][-5:]} ({len(seen)} records)"
            )
            await asyncio.sleep(0.1)

    async def answered(self, n: int, timeout_s: float = 30) -> list[Seen]:
        """All results, once there are at least `n`."""
        return await self.until(lambda seen: len(seen) >= n, timeout_s)


def request(
    id_: str | None = None, content: str = "Acme sold 12 pumps. It was a good year.", **more: Any
) -> dict[str, Any]:
    body: dict[str, Any] = {"input": {"content": content}, **more}
    return body if id_ is None else {"id": id_, **body}


async def make_stack(bootstrap: str, data: Path, database: str = "", **changes: Any) -> Stack:
    """Fresh topics, a group of its own, an empty and migrated database."""
    given: dict[str, Any] = {
        "data_dir": data,
        "database_url": database,
        "kafka_brokers": bootstrap,
        "kafka_group": f"g-{uuid.uuid4().hex[:8]}",
        "default_provider": "fake",
        "fake_latency_s": 0.02,
        "fake_slots": 4,
        "poll_s": 0.2,
        "lease_s": 2.0,
        "retry_base_s": 0.05,
        "retry_cap_s": 0.5,
        "drain_s": 5.0,
        "partitions": 2,
        "cache_ttl_s": 0.0,  # tests count calls of equal texts
    }
    settings = make_settings(**{**given, **changes})
    made = Stack(bootstrap, settings, await fresh_topics(bootstrap, settings))
    db = Database(parse_url(ledger_url(settings)))
    await migrate(db)
    await db.aclose()
    return made


def folded(seen: Sequence[Seen]) -> Mapping[tuple[str, str, str], dict[str, Any]]:
    """As readers fold: by (tenant, operation, id), the highest generation; of equal ones the first that is no replay."""
    best: dict[tuple[str, str, str], dict[str, Any]] = {}
    for record in seen:
        result = record.json()
        key = (result["tenant"], result["operation"], result["id"])
        if key not in best or result["generation"] > best[key]["generation"]:
            best[key] = result
    return best
