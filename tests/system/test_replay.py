"""`genai-spine replay` on a real broker: what was recorded rebuilds what was lost, and what is asked anew stays aside."""

import asyncio
import contextlib
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from agents import OPERATIONS
from schemas.money import to_nano
from schemas.replay import Comparison, ReplayReport
from streams import topics
from streams.audit import audit, differences
from streams.errors import SpineError
from streams.replay import parts, running
from streams.replay.anew import Otherwise
from streams.replay.choosing import Told
from streams.replay.running import Job
from tests.system.conftest import MakeStack
from tests.system.stack import Seen, Stack, folded, request

pytestmark = pytest.mark.kafka

TOPIC = "genai.requests.summarize"


async def replayed(stack: Stack, job: Job) -> tuple[str, ReplayReport]:
    """As the command does it, beside whatever runs."""
    async with parts.opened(stack.settings, stack.bootstrap) as opened:
        wanted, missing = await running.choose(opened, job, stack.bootstrap, print)
        await running.counted(opened, job, wanted, missing)
        run = await running.begin(opened, job, wanted)
        return run.run, await running.feed(opened, run, print)


async def compared(stack: Stack, run: str) -> Comparison:
    async with parts.opened(stack.settings, None) as opened:
        return await running.compared(opened, run)


async def books_agree(stack: Stack) -> None:
    found: list[str] = []
    for _ in range(100):
        found = differences(await audit(stack.settings, stack.bootstrap))
        if not found:
            return
        await asyncio.sleep(0.1)
    raise AssertionError(found)


async def wiped(stack: Stack, *names: str) -> None:
    """Deleted, and made again as a worker's start makes them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics(list(names))
        while set(names) & set(await admin.list_topics()):
            await asyncio.sleep(0.05)
    finally:
        await admin.close()
    for _ in range(20):
        with contextlib.suppress(SpineError):  # the broker may still be deleting
            await topics.create(stack.bootstrap, stack.settings, OPERATIONS)
            break
        await asyncio.sleep(0.3)


def without_cost(seen: list[Seen]) -> Any:
    """What a reader that folds keeps of results, but for what says that they are given again."""
    return {key: {**result, "replayed": None, "usage": None} for key, result in folded(seen).items()}


def places(seen: list[Seen]) -> Any:
    return sorted((s.json()["id"], s.key, s.partition, sorted(s.headers.items())) for s in seen)


async def test_what_was_recorded_rebuilds_every_table_from_nothing(stack_of: MakeStack) -> None:
    stack = await stack_of()
    async with stack.spine():
        await stack.produce(*[request(f"r{i}") for i in range(4)], key=b"\xffk", partition=1, headers=[("h", b"v")])
        await stack.produce(request("bad", content=" "), request(metadata={"no": "id"}), partition=0)
        before = await stack.answered(6)
        usage = await stack.until(lambda found: len(found) == 5, topic=topics.USAGE)
        await books_agree(stack)
    await wiped(stack, topics.RESULTS, topics.USAGE, topics.COSTS)
    async with stack.spine() as spine:
        await stack.produce(request("live"))  # counted by the empty table before the replay comes
        await stack.answered(1)
        started = spine.providers["fake"].counts.total.started
        _, report = await replayed(stack, Job("recorded", Told()))
        after = await stack.answered(8)
        again = await stack.until(lambda found: len({s.json()["id"] for s in found}) == 6, topic=topics.USAGE)
        await books_agree(stack)
        await stack.produce(request("live too"))
        await stack.answered(9)
        await books_agree(stack)
        _, twice = await replayed(stack, Job("recorded", Told()))
        await books_agree(stack)
        assert spine.providers["fake"].counts.total.started == started + 1  # the last live one
    old = [s for s in after if s.json()["id"] not in {"live", "live too"}]
    assert (report.results, report.usage_events, twice.results, report.ended) == (7, 6, 8, True)
    assert without_cost(old) == without_cost(before)
    assert places(old) == places(before)
    assert {(s.json()["replayed"], s.json()["usage"]["calls"]) for s in old} == {(True, 0)}
    events = {s.json()["id"]: (s.partition, s.key, s.value) for s in again}
    assert {s.json()["id"]: (s.partition, s.key, s.value) for s in usage}.items() <= events.items()


async def test_what_failed_runs_again_under_its_own_identity_and_nothing_else_does(
    sqlite_stack_of: MakeStack,
) -> None:
    stack = await sqlite_stack_of(max_attempts=1)
    async with stack.spine() as spine:
        await stack.produce(request("good"), request("bad", content=" "))
        await stack.produce(
            {"input": {"content": "Pumps. [fake:overloaded*1]"}}, key=b"k", partition=1, headers=[("h", b"v")]
        )
        await stack.produce(request("late", deadline="2020-01-01T00:00:00Z"), partition=0)
        first = folded(await stack.answered(4))
        [nameless] = [id_ for _, _, id_ in first if id_ not in {"good", "bad", "late"}]
        _, dead = await replayed(stack, Job("again", Told(), dead=True))
        await stack.answered(5)
        _, rest = await replayed(stack, Job("again", Told()))
        seen = await stack.answered(6)
        assert spine.providers["fake"].counts.total.started == 4
    last = {id_: (r["status"], r["generation"]) for (_, _, id_), r in folded(seen).items()}
    assert last == {
        "good": ("succeeded", 1),
        "bad": ("failed", 1),
        nameless: ("succeeded", 2),
        "late": ("succeeded", 2),
    }
    assert (dead.sent, rest.sent, rest.left_alone) == (1, 1, 3)
    [redone] = [s for s in seen if s.json()["id"] == nameless and s.json()["generation"] == 2]
    assert (redone.key, redone.partition, redone.headers["h"]) == (b"k", 1, b"v")


async def test_asked_anew_beside_with_a_budget_and_a_diff(sqlite_stack_of: MakeStack) -> None:
    stack = await sqlite_stack_of()
    texts = [f"Acme sold {n} pumps. It was a good year." for n in range(6)]
    async with stack.spine():
        await stack.produce(*[request(f"r{n}", text, run_id="nightly") for n, text in enumerate(texts)], key=b"k")
        await stack.produce(request("hard", "One. [fake:refused*9]"), key=b"k")
        before = await stack.answered(7)
        letters = len(await stack.letters())
        job = Job("anew", Told(), otherwise=Otherwise(model="fake"), budget_nano=0)
        none, report = await replayed(stack, job)
        assert (report.sent, report.left_out, report.spent_usd) == (0, 7, "0.000000")
        async with parts.opened(stack.settings, stack.bootstrap) as opened:
            report = await running.feed(opened, await running.reopened(opened, none, to_nano(1)), print)
            assert (report.sent, report.left_out) == (7, 0)
            report = await running.feed(opened, await running.reopened(opened, none, to_nano(2)), print)
        aside = await stack.until(lambda found: len(found) >= 7, topic=topics.REPLAYS)
        await asyncio.sleep(0.5)
        assert len(await stack.results()) == len(before)
        assert len(await stack.letters()) == letters
        usage = await stack.until(lambda found: len(found) == 12, topic=topics.USAGE)
        await books_agree(stack)
    found = await compared(stack, none)
    assert found.counts == {"same": 6, "changed": 0, "failed": 1, "unfinished": 0, "left_out": 0}
    assert found.original.cost_usd == found.replay.cost_usd == report.spent_usd != "0.000000"
    assert {s.json()["run_id"] for s in aside} == {none}
    assert {s.json()["id"] for s in aside} == {f"{none}/{s.json()['id']}" for s in before}
    assert {s.key for s in aside} == {b"k"}
    assert sum(1 for s in usage if s.json()["run_id"] == none) == 6
