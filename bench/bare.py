"""What the spine is held against: a careful aiokafka loop that makes the same calls, and keeps no books.

The same provider class, HTTP client, prompt and schema; 64 slots; a result and a usage event for each record, sent together
by an idempotent producer; offsets committed behind the oldest record in flight. It is as good as a loop without a ledger
gets: killed, it pays again for whatever was in flight, twice where a slow call holds the commit back.
"""

import asyncio
import signal
import sys
import time
from typing import Any

import aiokafka
import orjson
import uuid_utils
from aiokafka.structs import TopicPartition

from agents.summarize import _schema
from bench.ground import REQUESTS, RESULTS, SLOTS, USAGE
from prompts import Library
from providers import fake
from providers.base import ChatCall, messages
from streams import runtime

_COMMIT_S = 0.5
_SENTENCES = 3
_MAX_TOKENS = 330


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

    def __init__(self, bootstrap: str, url: str, group: str) -> None:
        self.library, self.model = Library.load(), fake.at_server(url, slots=SLOTS)
        self.producer = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, acks="all")
        self.consumer = aiokafka.AIOKafkaConsumer(
            REQUESTS,
            bootstrap_servers=bootstrap,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        self.slots = asyncio.Semaphore(SLOTS)
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
        request = orjson.loads(record.value)
        started = time.perf_counter()
        answer = await self.model.chat(self.call(request), self.model.nodes()[0])
        self.slots.release()
        latency = round((time.perf_counter() - started) * 1000)
        used = {"input_tokens": answer.spent.input_tokens, "output_tokens": answer.spent.output_tokens}
        result = {
            "id": request["id"],
            "operation": "summarize",
            "status": "succeeded",
            "output": orjson.loads(answer.text),
            "usage": used,
            "latency_ms": latency,
        }
        usage = {"id": str(uuid_utils.uuid7()), "request_id": request["id"], **used, "latency_ms": latency}
        sent = [
            await self.producer.send(RESULTS, orjson.dumps(result), record.key, partition=record.partition),
            await self.producer.send(USAGE, orjson.dumps(usage), b"fake|fake:latest"),
        ]
        await asyncio.gather(*sent)
        place.end(record.offset)

    def call(self, request: dict[str, Any]) -> ChatCall:
        """What `summarize` asks for."""
        content = request["input"]["content"]
        prompt = self.library.render("summarize", content=content, max_sentences=_SENTENCES, style=None, focus=None)
        return ChatCall(
            model="fake:latest",
            messages=messages(prompt.system, [("user", prompt.user)]),
            timeout_s=60.0,
            schema=_schema(_SENTENCES),
            max_tokens=_MAX_TOKENS,
            tag=request["id"],
        )

    async def commit(self) -> None:
        while True:
            await asyncio.sleep(_COMMIT_S)
            if self.places:
                await self.consumer.commit({tp: place.safe() for tp, place in self.places.items()})


async def main(bootstrap: str, url: str, group: str) -> None:
    loop = Loop(bootstrap, url, group)
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
    await loop.model.aclose()


if __name__ == "__main__":
    with runtime.runner() as runner:
        runner.run(main(*sys.argv[1:]))
