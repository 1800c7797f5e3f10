"""A worker that dies at a named point, as by `kill -9`; run as a process of its own by `test_kill`.

    python -m tests.system.killable POINT COUNT

`POINT` none: it serves until it is killed. The points are the product's (`store.killpoint`).
"""

import asyncio
import sys

from store import killpoint
from streams.app import running
from streams.settings import Settings
from tests.system.stack import widths

POINTS = ("accepted", "leased", "intended", "called", "answered", "recording", "recorded", "published")


def arm(point: str, count: int) -> None:
    killpoint.arm("" if point == "none" else f"{point}:{count}")


async def main(point: str, count: int) -> None:
    arm(point, count)
    settings = Settings()
    async with running(settings, bootstrap=settings.kafka_brokers, widths=await widths(settings.kafka_brokers)):
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
