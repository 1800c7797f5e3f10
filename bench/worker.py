"""Our worker as a process that says when it reads, and nothing more: `python -m bench.worker`, settings as ever."""

import asyncio
import signal

from agents import OPERATIONS
from store.database import Database, parse_url
from store.migrate import migrate
from streams import runtime, topics
from streams.app import running
from streams.logging import configure
from streams.settings import Settings, load
from streams.where import ledger_url

_ASKING_S = 0.02


async def main(settings: Settings) -> None:
    database = Database(parse_url(ledger_url(settings)))
    await migrate(database)
    await database.aclose()
    await topics.create(settings.kafka_brokers, settings, OPERATIONS)
    widths = {name: found.partitions for name, found in (await topics.list_topics(settings.kafka_brokers)).items()}
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with running(settings, bootstrap=settings.kafka_brokers, widths=widths) as spine:
        assert spine.faust is not None
        while True:
            consumer = spine.faust.consumer
            if consumer.assignment() and not getattr(consumer, "unplanned", True):
                break
            await asyncio.sleep(_ASKING_S)
        print("reads", flush=True)
        await stop.wait()


if __name__ == "__main__":
    found = load()
    configure(found.log_level, "json")
    with runtime.runner() as runner:
        runner.run(main(found))
