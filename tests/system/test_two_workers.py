"""Several workers on one PostgreSQL and one broker share the work with no further setting."""

import asyncio
from collections import Counter

import pytest

from providers import fake_server
from providers.double.faults import Behaviour
from tests.system.stack import make_stack, request

pytestmark = pytest.mark.kafka


async def test_two_workers_share_the_slots_and_answer_each_record_once(
    spine_bootstrap: str, tmp_path, postgres_database: str
) -> None:
    n, slots = 120, 6
    async with await fake_server.start(how=Behaviour(latency_s=0.05, tail=0.05)) as double:
        stack = await make_stack(
            spine_bootstrap,
            tmp_path / "data",
            postgres_database,
            fake_url=double.url,
            fake_slots=slots,
            kafka_session_timeout_s=6.0,
        )
        async with stack.spine() as one, stack.spine() as two:
            await asyncio.sleep(3)  # the group settles
            await stack.produce(*[request(f"r{i}") for i in range(n)])
            seen = await stack.answered(n, timeout_s=60)
            ran = {one.worker: one, two.worker: two}
    assert Counter(s.json()["id"] for s in seen) == Counter({f"r{i}": 1 for i in range(n)})
    assert double.counts.max_in_flight <= slots
    assert double.counts.total.started == n
    assert len(ran) == 2


async def test_a_worker_that_is_gone_is_taken_over(spine_bootstrap: str, tmp_path, postgres_database: str) -> None:
    """It stops without a word, as a killed one; its heart does not beat any more."""
    stack = await make_stack(
        spine_bootstrap, tmp_path / "data", postgres_database, fake_latency_s=30.0, fake_tail=0.0, lease_s=1.0
    )
    async with stack.spine(drain_s=0.0) as first:
        await stack.produce(request("r", options={"on_ambiguous": "fail"}))
        for _ in range(200):
            if first.providers["fake"].counts.total.started:
                break
            await asyncio.sleep(0.05)
        for task in first.keeper._tasks:
            task.cancel()
        async with stack.spine(kafka_group="another", fake_latency_s=0.0) as second:
            [seen] = await stack.answered(1, timeout_s=20)
            assert second.engine.metrics.ambiguous._value.get() == 1
        for task in first.engine.tasks.values():
            task.cancel()
    assert (seen.json()["status"], seen.json()["error"]["type"]) == ("failed", "ambiguous")
    assert seen.json()["usage"]["estimated"] is True
