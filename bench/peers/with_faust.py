"""A Faust agent with `concurrency`, as its documentation has it: `python -m bench.peers.with_faust BOOTSTRAP URL GROUP SLOTS`."""

import asyncio
import signal
import sys
import tempfile
from typing import Any

import faust

from bench.ground import REQUESTS, RESULTS, USAGE
from bench.load import PARTITIONS
from bench.work import USAGE_KEY, Work
from streams import runtime


async def main(bootstrap: str, url: str, group: str, slots: str, folder: str) -> None:
    work = Work(url, int(slots))
    app = faust.App(
        group,
        broker=f"kafka://{bootstrap}",
        value_serializer="raw",
        web_enabled=False,
        datadir=folder,
        topic_partitions=PARTITIONS,
        topic_disable_leader=True,
        producer_acks=-1,
    )
    asked, results, usage = (app.topic(name, value_type=bytes) for name in (REQUESTS, RESULTS, USAGE))

    @app.agent(asked, concurrency=int(slots))
    async def handle(stream: Any) -> None:
        async for body in stream:
            done = await work.one(body)
            await asyncio.gather(results.send(value=done.result), usage.send(key=USAGE_KEY, value=done.usage))

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await app.start()
    while not app.consumer.assignment():
        await asyncio.sleep(0.02)
    print("reads", flush=True)
    await stop.wait()
    await app.stop()
    await work.aclose()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made, runtime.runner() as runner:
        at, model, name, many = sys.argv[1:]
        runner.run(main(at, model, name, many, made))
