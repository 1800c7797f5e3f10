"""Replay with Kafka's own tools, as the how-to says it: recorded answers, no cost, keys and headers kept."""

import asyncio
import subprocess

import pytest

from streams import topics
from tests.streams.test_kafka_tools import tool
from tests.system.conftest import MakeStack
from tests.system.stack import Seen, Stack, request
from tests.system.test_path import committed

pytestmark = pytest.mark.kafka

TOPIC = "genai.requests.summarize"
_NAMES = ("headers.separator=;;", "null.literal=NO_HEADERS")
_SHOWN = [f"--formatter-property={each}" for each in ("print.headers=true", "print.key=true", *_NAMES)]
_READ = [
    f"--reader-property={each}"
    for each in ("parse.headers=true", "parse.key=true", _NAMES[0], "null.marker=NO_HEADERS")
]


async def run(stack: Stack, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    found = await asyncio.to_thread(tool, stack.bootstrap, *arguments, stdin=stdin)
    assert found.returncode == 0, found.stderr
    return found


def given_again(seen: list[Seen]) -> list[tuple[str, bytes | None, dict[str, bytes], str | None]]:
    told = [(s.json(), s) for s in seen if s.json()["replayed"]]
    return sorted((result["id"], s.key, s.headers, result["usage"]["cost_usd"]) for result, s in told)


async def test_records_produced_again_and_offsets_moved_back_give_recorded_answers_for_nothing(
    sqlite_stack_of: MakeStack,
) -> None:
    stack = await sqlite_stack_of()
    async with stack.spine() as spine:
        await stack.produce(
            request("a", content="Ünï, a text. With a comma."), key=b"k|1", headers=[("trace", b"1,2"), ("h", b"v")]
        )
        await stack.produce(request("b"))
        await stack.answered(2)
        exported = await run(
            stack, "console-consumer", "--topic", TOPIC, "--from-beginning", "--max-messages", "2", *_SHOWN
        )
        await run(stack, "console-producer", "--topic", TOPIC, *_READ, stdin=exported.stdout)
        seen = await stack.answered(4)
        await committed(stack, TOPIC, 4)
        await asyncio.sleep(1.0)  # until the ledger has been told of the commit
        started = spine.providers["fake"].counts.total.started
    again = [
        ("a", b"k|1", {"trace": b"1,2", "h": b"v"}, "0.000000"),
        ("b", b"b", {}, "0.000000"),
    ]
    assert given_again(seen) == again
    reset = ("--group", stack.settings.kafka_group, "--topic", TOPIC, "--reset-offsets", "--to-earliest", "--execute")
    await run(stack, "consumer-groups", *reset)
    async with stack.spine() as spine:
        seen = await stack.answered(8)
        await asyncio.sleep(0.5)
        assert (len(await stack.results()), spine.providers["fake"].counts.total.started) == (8, 0)
    assert given_again(seen) == sorted(again * 3)  # once for each record of the topic, of which there are two each
    assert len(await stack.until(lambda found: True, topic=topics.USAGE)) == started == 2
