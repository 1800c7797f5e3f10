"""What the spine is held against: a careful aiokafka loop that makes the same calls, and keeps no books.

The same provider class, HTTP client, prompt and schema; a result and a usage event for each record, sent together
by an idempotent producer; offsets committed behind the oldest record in flight. It is as good as a loop without a ledger
gets: killed, it pays again for whatever was in flight, twice where a slow call holds the commit back.
"""

import asyncio
import signal
import sys
from typing import Any

import aiokafka
from aiokafka.structs import TopicPartition

from bench.ground import REQUESTS, RESULTS, USAGE
from bench.work import USAGE_KEY, Work
from streams import runtime

_COMMIT_S = 0.5


class Behind:
    """A partition's oldest record in flight: what is before it may be committed."""

    def __init__(self) -> None:
        self.flying: dict[int, None] = {}
        self.next = 0

    def begin(self, offset: int) -> None:
        self.flying[offset] = None
        self.next = offset + 1

    def end(self, offset: int) -> None:
        del self.flying[offset]

    def safe(self) -> int:
        return next(iter(self.flying), self.next)


class Loop:
    """Reads, calls, publishes, commits. Whoever made it starts and stops its clients."""

    def __init__(self, bootstrap: str, url: str, group: str, slots: int) -> None:
        self.work = Work(url, slots)
        self.producer = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, acks="all")
        self.consumer = aiokafka.AIOKafkaConsumer(
            REQUESTS,
            bootstrap_servers=bootstrap,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        self.slots = asyncio.Semaphore(slots)
        self.places: dict[TopicPartition, Behind] = {}

    async def read(self) -> None:
        """A record is taken up when there is a slot for it."""
        running: set[asyncio.Task[None]] = set()
        while True:
            for tp, records in (await self.consumer.getmany(timeout_ms=200, max_records=500)).items():
                place = self.places.setdefault(tp, Behind())
                for record in records:
                    await self.slots.acquire()
                    place.begin(record.offset)
                    task = asyncio.create_task(self.one(place, record))
                    running.add(task)
                    task.add_done_callback(running.discard)

    async def one(self, place: Behind, record: Any) -> None:
        """The slot is free when the answer is here; the offset is, when both records are with the broker."""
        done = await self.work.one(record.value)
        self.slots.release()
        sent = [
            await self.producer.send(RESULTS, done.result, record.key, partition=record.partition),
            await self.producer.send(USAGE, done.usage, USAGE_KEY),
        ]
        await asyncio.gather(*sent)
        place.end(record.offset)

    async def commit(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_S)
            if self.places:
                await self.consumer.commit({tp: place.safe() for tp, place in self.places.items()})


async def main(bootstrap: str, url: str, group: str, slots: str) -> None:
    loop = Loop(bootstrap, url, group, int(slots))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await loop.producer.start()
    await loop.consumer.start()
    while not loop.consumer.assignment():
        await asyncio.sleep(0.02)
    print("reads", flush=True)
    tasks = [asyncio.create_task(loop.read()), asyncio.create_task(loop.commit()), asyncio.create_task(stop.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await loop.consumer.stop()
    await loop.producer.stop()
    await loop.work.aclose()


if __name__ == "__main__":
    with runtime.runner() as runner:
        runner.run(main(*sys.argv[1:]))
