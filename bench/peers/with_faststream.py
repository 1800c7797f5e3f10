"""FastStream with `max_workers`, as its documentation has it: `python -m bench.peers.with_faststream BOOTSTRAP URL GROUP SLOTS`."""

import asyncio
import signal
import sys
from typing import Any

from faststream.kafka import KafkaBroker

from bench.ground import REQUESTS, RESULTS, USAGE
from bench.work import USAGE_KEY, Work
from streams import runtime


async def main(bootstrap: str, url: str, group: str, slots: str) -> None:
    work, broker = Work(url, int(slots)), KafkaBroker(bootstrap, enable_idempotence=True, acks="all", logger=None)

    async def untouched(message: Any) -> bytes:
        """The body as it came: by default it is parsed, and once more by us."""
        return bytes(message.body)

    async def handle(body: bytes) -> None:
        done = await work.one(body)
        await asyncio.gather(
            broker.publish(done.result, topic=RESULTS), broker.publish(done.usage, topic=USAGE, key=USAGE_KEY)
        )

    # the decorator of the documentation, called: it has no types
    reads = broker.subscriber(
        REQUESTS, group_id=group, max_workers=int(slots), auto_offset_reset="earliest", decoder=untouched
    )
    reads(handle)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await broker.start()
    subscriber: Any = broker.subscribers[0]
    while not subscriber.consumer.assignment():
        await asyncio.sleep(0.02)
    print("reads", flush=True)
    await stop.wait()
    await broker.stop()
    await work.aclose()


if __name__ == "__main__":
    with runtime.runner() as runner:
        runner.run(main(*sys.argv[1:]))
