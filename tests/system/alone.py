"""An engine and its ledger without a broker, killed at a named point; run as a process of its own by `test_long_content`.

python -m tests.system.alone POINT COUNT
"""

import asyncio
import json
import sys
from typing import Any

from schemas.request import Lane
from store import killpoint
from store.ledger.types.arrivals import Arrival
from streams.app import running
from streams.settings import Settings
from streams.spine import Spine


async def accept(spine: Spine, operation: str, id_: str, **input_: Any) -> None:
    """One request, as the HTTP door takes it."""
    value = json.dumps({"id": id_, "input": input_}).encode()
    ask = spine.decoder.ask(operation, Lane.NORMAL, value, [], place="test/0", tenant="t")
    await spine.engine.pools.ensure(("fake", "fake"))
    await spine.engine.accept([Arrival(ask, None, b"k", value, b"[]")])


async def main(point: str, count: int) -> None:
    killpoint.arm("" if point == "none" else f"{point}:{count}")
    async with running(Settings(), bootstrap=None) as spine:
        spine.engine.look()
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
