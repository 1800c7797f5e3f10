"""100,000 batch records wait; realtime and normal still flow, and what waits in Kafka is not poured into the ledger."""

import asyncio
import time

import aiokafka
import orjson
import pytest

from store.ledger import queries
from tests.system.conftest import MakeStack
from tests.system.stack import request

pytestmark = pytest.mark.kafka


FLOOD = 100_000
REALTIME = 20
WINDOW = 2_000


async def flood(bootstrap: str) -> None:
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, max_batch_size=512_000)
    await producer.start()
    futures = []
    for i in range(FLOOD):
        futures.append(
            await producer.send("genai.requests.summarize.batch", orjson.dumps(request(f"b{i}")), str(i).encode())
        )
        if len(futures) == 5_000:
            await asyncio.gather(*futures)
            futures.clear()
    await asyncio.gather(*futures)
    await producer.stop()


async def test_realtime_flows_past_a_flood_of_batch(stack_of: MakeStack) -> None:
    stack = await stack_of(ledger_window=WINDOW, fake_slots=5, fake_latency_s=0.2, fake_tail=0.05)
    await flood(stack.bootstrap)
    async with stack.spine() as spine:
        for _ in range(300):
            if spine.intake.lanes[2].held:
                break
            await asyncio.sleep(0.1)
        assert spine.intake.lanes[2].held, "the batch lane was never held back"
        started = time.monotonic()
        await stack.produce(*[request(f"rt{i}") for i in range(REALTIME)], topic="genai.requests.summarize.realtime")
        await stack.produce(*[request(f"n{i}") for i in range(REALTIME)])
        wanted = {f"rt{i}" for i in range(REALTIME)} | {f"n{i}" for i in range(REALTIME)}
        await stack.until(lambda seen: {s.json()["id"] for s in seen} >= wanted, timeout_s=60)
        took = time.monotonic() - started
        waiting, _ = (await spine.database.read(queries.waiting_by_lane))[2]
        lag = spine.intake.lag()
    print({"answered": len(wanted), "after_s": round(took, 1), "batch rows waiting in the ledger": waiting, "lag": lag})
    fetched = stack.settings.intake_window + 2_000  # what Kafka's client and Faust had in their hands when it was held
    assert waiting <= WINDOW + fetched
    assert lag["batch"] >= FLOOD - WINDOW - 2 * fetched
    urgent = [s for s in await stack.results() if s.json()["id"].startswith(("rt", "n"))]
    assert {s.json()["status"] for s in urgent} == {"succeeded"}


async def test_after_a_hold_every_record_of_the_lane_is_still_answered_once(stack_of: MakeStack) -> None:
    """Holding a lane back must not drop what Faust has fetched already."""
    n = 3_000
    stack = await stack_of(ledger_window=400, intake_window=400, fake_slots=32, fake_latency_s=0.0)
    await stack.produce(*[request(f"b{i}") for i in range(n)], topic="genai.requests.summarize.batch")
    async with stack.spine():
        seen = await stack.until(lambda found: len({s.json()["id"] for s in found}) >= n, timeout_s=90)
    assert len(seen) == n
    assert len({s.json()["id"] for s in seen}) == n
