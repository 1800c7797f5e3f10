"""Rows that wait for rows, on a real broker: order in a key, one call for an idempotency key, one for equal texts."""

import pytest

from streams import topics
from tests.system.conftest import MakeStack
from tests.system.stack import folded, request

pytestmark = pytest.mark.kafka

ORDERED = {"ordered": True}


async def test_records_of_one_key_are_answered_in_the_order_of_their_offsets(stack_of: MakeStack) -> None:
    """The first ones are slow and one fails; another key passes them."""
    stack = await stack_of(fake_tail=0.0, max_attempts=2)
    texts = ["a [fake:sleep:0.6]", "b [fake:refused]", "c [fake:overloaded*1]", "d", "e"]
    async with stack.spine():
        asked = [request(f"r{i}", text, options=ORDERED) for i, text in enumerate(texts)]
        await stack.produce(*asked, key=b"k", partition=0)
        await stack.produce(request("free", options=ORDERED), key=b"other", partition=0)
        seen = await stack.answered(6)
    ids = [each.json()["id"] for each in seen]
    assert [id_ for id_ in ids if id_ != "free"] == ["r0", "r1", "r2", "r3", "r4"]
    assert ids[0] == "free"
    status = {key[2]: result["status"] for key, result in folded(seen).items()}
    assert {id_ for id_, each in status.items() if each == "failed"} == {"r1"}


async def test_records_with_one_idempotency_key_pay_once_and_each_gets_its_answer(stack_of: MakeStack) -> None:
    stack = await stack_of(fake_latency_s=0.3, fake_tail=0.0)
    async with stack.spine():
        await stack.produce(request("a", idempotency_key="k", metadata={"n": 1}), key=b"a", partition=0)
        await stack.produce(request("b", idempotency_key="k", metadata={"n": 2}), key=b"b", partition=1)
        await stack.answered(2)
        await stack.produce(request("c", idempotency_key="k"), request("d", "Else.", idempotency_key="k"), key=b"c")
        seen = await stack.answered(4)
        usage = await stack.until(lambda found: len(found) >= 1, topic=topics.USAGE)
    told = {each.json()["id"]: each for each in seen}
    lead = next(id_ for id_ in "ab" if not told[id_].json()["replayed"])
    other = "b" if lead == "a" else "a"
    assert (told["a"].key, told["a"].partition, told["b"].key, told["b"].partition) == (b"a", 0, b"b", 1)
    assert [told[id_].json()["metadata"] for id_ in "ab"] == [{"n": 1}, {"n": 2}]
    assert [(told[id_].json()["replayed"], told[id_].json()["cached"]["id"]) for id_ in (other, "c")] == [
        (True, lead),
        (True, lead),
    ]
    assert told["d"].json()["error"]["type"] == "idempotency_conflict"
    assert len(usage) == 1


async def test_a_dead_letter_of_a_key_that_is_redriven_is_run_once_for_all(stack_of: MakeStack) -> None:
    """Whichever it is: here it is the follower's."""
    stack = await stack_of(max_attempts=1, fake_latency_s=0.2)
    text = "Pumps sold well. [fake:overloaded*1]"
    async with stack.spine():
        await stack.produce(*[request(id_, text, idempotency_key="k") for id_ in "ab"], key=b"k")
        await stack.answered(2)
        letters = await stack.until(lambda found: len(found) == 2, topic=topics.DLQ)
        (letter,) = (each for each in letters if each.json()["id"] == "b")
        await stack.produce(letter.value, key=letter.key, headers=list(letter.headers.items()))
        seen = folded(await stack.answered(4))
        usage = await stack.until(lambda found: len(found) >= 1, topic=topics.USAGE)
    assert {(result["id"], result["status"], result["generation"]) for result in seen.values()} == {
        ("a", "succeeded", 2),
        ("b", "succeeded", 2),
    }
    assert len(usage) == 1


async def test_a_wire_story_under_many_ids_is_paid_once(stack_of: MakeStack) -> None:
    stack = await stack_of(cache_ttl_s=60.0, fake_latency_s=0.2)
    async with stack.spine() as spine:
        await stack.produce(*[request(f"r{i}") for i in range(20)])
        await stack.answered(20)
        await stack.produce(request("later"), request("own", options={"cache": "off"}))
        seen = await stack.answered(22)
        calls = spine.providers["fake"].counts.total.started
    told = [each.json() for each in seen]
    origins = {each["id"]: each["output"] for each in told if each["cached"] is None}
    assert (len(told), calls, len(origins)) == (22, 2, 2)
    assert all(each["output"] == origins[each["cached"]["id"]] for each in told if each["cached"])
    assert {each["usage"]["cost_usd"] for each in told if each["cached"]} == {"0.000000"}
