"""The state table's lines on a real broker: redelivery, reset, repetition, redriving, cancelling."""

import asyncio

import aiokafka
import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from store.database import Database, parse_url
from store.tables import intake_progress
from streams import topics
from streams.where import ledger_url
from tests.system.conftest import MakeStack
from tests.system.stack import Stack, folded, request

pytestmark = pytest.mark.kafka


async def group_offsets(stack: Stack) -> dict[TopicPartition, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap)
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(stack.settings.kafka_group)
        return {tp: meta.offset for tp, meta in found.items()}
    finally:
        await admin.close()


async def move_offsets(stack: Stack, topic: str, to: int) -> None:
    """As `kafka-consumer-groups --reset-offsets` does: in the group's name, while nobody is in it."""
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=stack.bootstrap, group_id=stack.settings.kafka_group, enable_auto_commit=False
    )
    await consumer.start()
    tps = [TopicPartition(topic, p) for p in range(stack.widths[topic])]
    consumer.assign(tps)
    await consumer.commit(dict.fromkeys(tps, to))
    await consumer.stop()


async def committed(stack: Stack, topic: str, n: int) -> None:
    """Until the group has committed `n` records of a topic."""
    for _ in range(100):
        if sum(offset for tp, offset in (await group_offsets(stack)).items() if tp.topic == topic) >= n:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"the group never committed {n} records of {topic}: {await group_offsets(stack)}")


async def test_a_record_comes_back_as_one_result_with_its_key_partition_headers_and_metadata(
    stack_of: MakeStack,
) -> None:
    stack = await stack_of()
    async with stack.spine():
        [sent] = await stack.produce(
            request("feed-42/7", metadata={"feed": "sec-8k"}, mystery=1),
            key=b"\xffkey",
            partition=1,
            headers=[("traceparent", b"00-ab")],
        )
        [seen] = await stack.answered(1)
        [usage] = await stack.until(lambda found: len(found) == 1, topic=topics.USAGE)
    result = seen.json()
    assert (seen.key, seen.partition, seen.headers["traceparent"]) == (b"\xffkey", 1, b"00-ab")
    assert (result["id"], result["status"], result["metadata"], result["attempts"]) == (
        "feed-42/7",
        "succeeded",
        {"feed": "sec-8k"},
        1,
    )
    assert result["source"] == {"topic": "genai.requests.summarize", "partition": 1, "offset": sent.offset}
    assert result["warnings"] == ["unknown fields were ignored: mystery"]
    assert usage.json()["cost_usd"] == result["usage"]["cost_usd"] != "0.000000"
    assert (usage.key, usage.json()["request_id"], usage.json()["outcome"]) == (b"fake|fake", "feed-42/7", "ok")


async def test_a_record_without_an_id_is_known_by_its_place(stack_of: MakeStack) -> None:
    stack = await stack_of()
    async with stack.spine():
        [sent] = await stack.produce(request(), partition=0)
        [seen] = await stack.answered(1)
    assert seen.json()["id"] == f"genai.requests.summarize/0/{sent.offset}/{sent.timestamp}"
    assert seen.key == seen.json()["id"].encode()


async def test_a_redelivery_is_nothing(stack_of: MakeStack) -> None:
    """The group's offset lags behind the ledger, as after a kill between the commit of rows and of offsets."""
    stack = await stack_of()
    async with stack.spine() as spine:
        await stack.produce(*[request(f"r{i}") for i in range(6)])
        await stack.answered(6)
        await committed(stack, "genai.requests.summarize", 6)
        spine.faust.commits.clear()

    db = Database(parse_url(ledger_url(stack.settings)))
    await db.write(lambda conn: conn.execute(intake_progress.update().values(committed_seen=0)))
    await db.aclose()
    await move_offsets(stack, "genai.requests.summarize", 0)
    async with stack.spine() as spine:
        await stack.produce(request("after"))
        seen = await stack.until(lambda found: any(s.json()["id"] == "after" for s in found))
        await asyncio.sleep(0.5)
        assert len(await stack.results()) == len(seen) == 7
        assert spine.costs.folded <= 7


async def test_offsets_moved_back_by_an_operator_replay_recorded_results_without_cost(stack_of: MakeStack) -> None:
    stack = await stack_of()
    topic = "genai.requests.summarize"
    async with stack.spine():
        await stack.produce(
            *[request(f"r{i}", metadata={"n": i}) for i in range(5)], request("bad", content=" "), key=b"k"
        )
        await stack.answered(6)
        await committed(stack, topic, 6)
        await asyncio.sleep(1.0)
    usage_before = len(await stack.until(lambda found: len(found) == 5, topic=topics.USAGE))
    await move_offsets(stack, topic, 0)
    async with stack.spine():
        seen = await stack.answered(12)
        await asyncio.sleep(0.5)
        assert len(await stack.results()) == 12
    replays = [s.json() for s in seen if s.json()["replayed"]]
    assert sorted(r["id"] for r in replays) == ["bad", "r0", "r1", "r2", "r3", "r4"]
    assert {r["usage"]["cost_usd"] for r in replays} == {"0.000000"}
    assert {s.key for s in seen} == {b"k"}
    assert len(await stack.until(lambda found: True, topic=topics.USAGE)) == usage_before


async def test_the_same_record_again_gives_the_recorded_result_to_the_new_place(stack_of: MakeStack) -> None:
    stack = await stack_of()
    async with stack.spine():
        await stack.produce(request("r", metadata={"try": 1}), key=b"a", partition=0)
        await stack.answered(1)
        await stack.produce(request("r", metadata={"try": 2}), key=b"b", partition=1)
        seen = await stack.answered(2)
        usage = await stack.until(lambda found: len(found) >= 1, topic=topics.USAGE)
    again = next(s for s in seen if s.json()["replayed"])
    assert (again.key, again.partition, again.json()["metadata"], again.json()["generation"]) == (
        b"b",
        1,
        {"try": 2},
        1,
    )
    assert len(usage) == 1


async def test_the_same_id_with_another_payload_is_a_conflict_and_leaves_the_first_alone(stack_of: MakeStack) -> None:
    stack = await stack_of()
    async with stack.spine():
        await stack.produce(request("r"))
        await stack.answered(1)
        await stack.produce(request("r", content="Something else entirely."))
        seen = await stack.answered(2)
    conflict = next(s.json() for s in seen if s.json()["status"] == "failed")
    assert (conflict["error"]["type"], conflict["generation"]) == ("idempotency_conflict", 0)
    assert folded(seen)["default", "summarize", "r"]["status"] == "succeeded"


async def test_an_invalid_request_binds_its_id_to_nothing(stack_of: MakeStack) -> None:
    stack = await stack_of()
    async with stack.spine():
        await stack.produce(request("r", content="  "))
        [first] = await stack.answered(1)
        await stack.produce(request("r"))
        seen = await stack.answered(2)
        letters = await stack.letters()
    assert (first.json()["status"], first.json()["error"]["type"]) == ("failed", "invalid_request")
    assert (
        folded(seen)["default", "summarize", "r"]["status"],
        folded(seen)["default", "summarize", "r"]["generation"],
    ) == ("succeeded", 2)
    assert letters == []


async def test_redriving_a_dead_letter_runs_it_again_under_its_own_identity(stack_of: MakeStack) -> None:
    stack = await stack_of(max_attempts=2)
    text = "Pumps sold well. [fake:overloaded*2]"
    async with stack.spine():
        await stack.produce({"input": {"content": text}}, key=b"k", headers=[("h", b"v")])
        [failed] = await stack.answered(1)
        [letter] = await stack.until(lambda found: len(found) == 1, topic=topics.DLQ)
        assert letter.key == b"k"
        await stack.produce(letter.value, key=letter.key, headers=list(letter.headers.items()))
        seen = await stack.answered(2)
    assert (failed.json()["error"]["type"], failed.json()["attempts"]) == ("overloaded", 2)
    assert letter.headers["genai-error-type"] == b"overloaded"
    assert letter.headers["genai-id"].decode() == failed.json()["id"]
    assert letter.headers["h"] == b"v"
    [result] = folded(seen).values()
    assert (result["status"], result["generation"], result["id"]) == ("succeeded", 2, failed.json()["id"])


async def test_a_cancel_before_its_request_is_kept_and_applied_on_arrival(stack_of: MakeStack) -> None:
    stack = await stack_of()
    async with stack.spine() as spine:
        await stack.produce({"operation": "summarize", "id": "r"}, topic=topics.CONTROL)
        for _ in range(100):
            if spine.intake.control.taken:
                break
            await asyncio.sleep(0.05)
        await stack.produce(request("r"), request("other"))
        seen = folded(await stack.answered(2))
    assert seen["default", "summarize", "r"]["status"] == "cancelled"
    assert seen["default", "summarize", "other"]["status"] == "succeeded"


async def test_a_cancel_during_the_call_aborts_it_and_books_it_as_wasted(stack_of: MakeStack) -> None:
    stack = await stack_of(fake_latency_s=20.0, fake_tail=0.0)
    async with stack.spine() as spine:
        await stack.produce(request("r"))
        for _ in range(200):
            if spine.engine.tasks and spine.providers["fake"].counts.total.started:
                break
            await asyncio.sleep(0.05)
        await stack.produce({"operation": "summarize", "id": "r"}, topic=topics.CONTROL)
        [seen] = await stack.answered(1, timeout_s=10)
        [usage] = await stack.until(lambda found: len(found) == 1, topic=topics.USAGE)
    assert seen.json()["status"] == "cancelled"
    assert usage.json()["outcome"] == "wasted"


async def test_a_deadline_that_has_passed_costs_nothing(stack_of: MakeStack) -> None:
    stack = await stack_of()
    async with stack.spine():
        await stack.produce(request("r", deadline="2020-01-01T00:00:00Z"), request("ok"))
        seen = folded(await stack.answered(2))
    assert (seen["default", "summarize", "r"]["status"], seen["default", "summarize", "r"]["usage"]["calls"]) == (
        "expired",
        0,
    )


async def test_a_topic_made_anew_is_read_from_its_start(sqlite_stack_of: MakeStack) -> None:
    from tests.system.stack import fresh_topics

    stack = await sqlite_stack_of()
    async with stack.spine():
        await stack.produce(*[request(f"old{i}") for i in range(8)])
        await stack.answered(8)
    await asyncio.sleep(0.1)
    await fresh_topics(stack.bootstrap, stack.settings)
    await stack.produce(*[request(f"new{i}") for i in range(4)])
    async with stack.spine():
        seen = await stack.answered(4)
    assert sorted(s.json()["id"] for s in seen) == [f"new{i}" for i in range(4)]
