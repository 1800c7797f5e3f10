"""How far long calls are, as records, on a real broker."""

import pytest

from streams import topics
from tests.system.conftest import MakeStack
from tests.system.stack import request

pytestmark = pytest.mark.kafka


async def test_a_long_call_of_a_run_says_on_the_runs_topic_how_far_it_is_and_a_short_one_does_not(
    sqlite_stack_of: MakeStack,
) -> None:
    stack = await sqlite_stack_of(progress_topic=True)
    async with stack.spine():
        await stack.produce(
            request("short", run_id="nightly"), request("long", "[fake:sleep:1.5] Acme sold pumps.", run_id="nightly")
        )
        await stack.until(lambda seen: len(seen) == 2)
        seen = await stack.until(lambda seen: len(seen) >= 3, topic=topics.RUNS)
    told = [record.json() for record in seen]
    tokens = [one["tokens"] for one in told]
    assert {(record.key, one["request_id"], one["run_id"]) for record, one in zip(seen, told, strict=True)} == {
        (b"nightly", "long", "nightly")
    }
    assert tokens == sorted(tokens)
