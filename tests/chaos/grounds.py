"""The two grounds: files that stand for topics, and a real broker."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiokafka

from streams import audit, reading, topics
from tests.chaos import traffic
from tests.chaos.lives import line_of, plain
from tests.chaos.oracle import Book, Seen
from tests.chaos.run import PARTITIONS
from tests.chaos.traffic import Record, Sent
from tests.system.stack import read_all

_MADE_AT = 1_700_000_000_000


class Files:
    """Without Kafka: `<folder>/<topic>-<partition>`, a record a line. Lives are short here, so hundreds fit into minutes."""

    name, entry = "without Kafka", "stage"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.places = [f"{topic}-{partition}" for topic in traffic.TOPICS for partition in range(PARTITIONS)]
        self._ends = dict.fromkeys(self.places, 0)

    def settings(self) -> dict[str, Any]:
        return {}

    def told(self, index: int, workers: int) -> dict[str, Any]:
        return {"folder": str(self.folder), "partitions": self.places[index::workers]}

    async def send(self, records: Sequence[Record]) -> list[Sent]:
        return [self._send(record) for record in records]

    def _send(self, record: Record) -> Sent:
        place = f"{record.topic}-{record.partition}"
        offset = self._ends[place]
        self._ends[place] += 1
        with (self.folder / place).open("ab") as file:
            file.write(line_of(record.key, record.value, at=_MADE_AT + offset))
        return Sent(record, offset)

    async def read(self, topic: str) -> list[Seen]:
        return await asyncio.to_thread(self._read, topic)

    def _read(self, topic: str) -> list[Seen]:
        return [
            _seen(topic, partition, offset, json.loads(line))
            for partition in range(PARTITIONS)
            if (path := self.folder / f"{topic}-{partition}").exists()
            for offset, line in enumerate(path.read_bytes().splitlines())
        ]

    async def table(self) -> Book | None:
        return None


def _seen(name: str, partition: int, offset: int, record: Mapping[str, Any]) -> Seen:
    headers = {header: plain(content) or b"" for header, content in record["h"]}
    return Seen(name, partition, offset, plain(record["k"]), plain(record["v"]), headers)


class Kafka:
    """A real broker with fresh topics. `workers_bootstrap`: where the workers find it, when that is another way."""

    name, entry = "full stack", "worker"

    def __init__(self, bootstrap: str, group: str, workers_bootstrap: str = "") -> None:
        self.bootstrap, self.group = bootstrap, group
        self.workers_bootstrap = workers_bootstrap or bootstrap

    def settings(self) -> dict[str, Any]:
        return {
            "kafka_brokers": self.workers_bootstrap,
            "kafka_group": self.group,
            "kafka_session_timeout_s": 4.0,
            "worker_port": 0,
        }

    def told(self, index: int, workers: int) -> dict[str, Any]:
        return {}

    async def send(self, records: Sequence[Record]) -> list[Sent]:
        producer = aiokafka.AIOKafkaProducer(bootstrap_servers=self.bootstrap)
        await producer.start()
        try:
            sent = [await producer.send(r.topic, r.value, r.key, partition=r.partition) for r in records]
            return [Sent(record, (await where).offset) for record, where in zip(records, sent, strict=True)]
        finally:
            await producer.stop()

    async def read(self, topic: str) -> list[Seen]:
        found = await read_all(self.bootstrap, topic)
        return [Seen(s.topic, s.partition, s.offset, s.key, s.value, s.headers) for s in found]

    async def table(self) -> Book | None:
        return audit.latest(await reading.whole(self.bootstrap, topics.COSTS))
