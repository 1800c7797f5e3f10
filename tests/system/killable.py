"""A worker that kills itself at a named point, as `kill -9` would; run as a process of its own by `test_kill`.

    python -m tests.system.killable POINT COUNT

`POINT` none: it serves until it is killed. The points wrap the real parts from outside; the product knows nothing of them.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from store.ledger.types import End, Step, Stepped
from store.ledger.writer import Committed
from streams.app import Spine, running
from streams.settings import Settings
from tests.system.stack import widths

POINTS = (
    "before_accept",  # read, not yet in the ledger
    "after_accept",  # in the ledger, offset not acked
    "after_claim",  # leased
    "after_intent",  # the journal knows, the first byte has not left
    "after_answer",  # answered and paid, not recorded
    "after_end",  # recorded, not published
    "before_mark",  # published, not marked
    "after_mark",
)


class Bomb:
    """Kills this process when its point is passed for the `count`th time."""

    def __init__(self, point: str, count: int) -> None:
        self.point, self.left = point, count

    def passing(self, point: str) -> None:
        if point == self.point:
            self.left -= 1
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


def arm(spine: Spine, bomb: Bomb) -> None:
    """Wrap the parts of one worker."""
    writer, engine = spine.writer, spine.engine
    accept, mark, step = writer.accept, writer.mark, writer.step

    async def accept_(arrivals: Any) -> Any:
        bomb.passing("before_accept")
        found = await accept(arrivals)
        bomb.passing("after_accept")
        return found

    async def mark_(pks: Any) -> None:
        bomb.passing("before_mark")
        await mark(pks)
        bomb.passing("after_mark")

    async def step_(taken: Step) -> Stepped:
        found = await step(taken)
        bomb.passing("after_intent" if taken.opens is not None else "none")
        bomb.passing("after_end" if isinstance(taken.then, End) else "none")
        return found

    def claimed(done: Committed) -> None:
        if done.claims is not None and done.claims.rows:
            bomb.passing("after_claim")

    writer.accept, writer.mark, writer.step = accept_, mark_, step_  # type: ignore[method-assign]
    engine.tools = replace(engine.tools, commit=step_)
    writer.listeners.insert(0, claimed)
    provider = spine.providers["fake"]
    provider.chat = _after(provider.chat, lambda: bomb.passing("after_answer"))  # type: ignore[method-assign]


def _after(call: Callable[..., Awaitable[Any]], done: Callable[[], None]) -> Callable[..., Awaitable[Any]]:
    async def wrapped(*args: Any) -> Any:
        answer = await call(*args)
        done()
        return answer

    return wrapped


async def main(point: str, count: int) -> None:
    settings = Settings()
    async with running(
        settings, bootstrap=settings.kafka_brokers, widths=await widths(settings.kafka_brokers)
    ) as spine:
        arm(spine, Bomb(point, count))
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
