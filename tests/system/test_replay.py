"""`genai-spine replay` on a real broker: what was recorded rebuilds what was lost, and what is asked anew stays aside."""

import asyncio
import json
import re
from typing import Any

import pytest
from typer.testing import CliRunner

from schemas.money import to_nano
from schemas.replay import Comparison, ReplayReport
from streams import cli, topics
from streams.audit import audit, differences
from streams.errors import SpineError
from streams.replay import parts, running
from streams.replay.anew import Otherwise
from streams.replay.choosing import Told
from streams.replay.running import Job
from tests.system.conftest import MakeStack
from tests.system.stack import Seen, Stack, folded, made_anew, request

pytestmark = pytest.mark.kafka

TOPIC = "genai.requests.summarize"
_LOGGED = re.compile(r"\d{4}-\d\d-\d\d \d\d:")


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
    await made_anew(stack.bootstrap, stack.settings, [topics.RESULTS, topics.USAGE, topics.COSTS])
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


async def test_a_replay_that_is_stopped_is_gone_on_with_and_does_nothing_twice(sqlite_stack_of: MakeStack) -> None:
    stack = await sqlite_stack_of()
    async with stack.spine():
        await stack.produce(*[request(f"r{n}") for n in range(5)])
        await stack.answered(5)
    async with parts.opened(stack.settings, stack.bootstrap) as opened:  # nobody publishes: it waits for a worker
        feeding = [await stopped(opened, Job("recorded", Told()))]
        feeding.append(await stopped(opened, Job("anew", Told(), budget_nano=to_nano(1))))
        async with stack.spine() as spine:
            reports = [
                await running.feed(opened, await running.reopened(opened, name, nano), print)
                for name, nano in zip(feeding, (None, to_nano(1)), strict=True)
            ]
            again = await stack.answered(10)
            aside = await stack.until(lambda found: len(found) >= 5, topic=topics.REPLAYS)
            assert spine.providers["fake"].counts.total.started == 5
        with pytest.raises(SpineError, match="has done all that was chosen"):
            await running.reopened(opened, feeding[0], None)
    assert [report.ended for report in reports] == [True, True]
    assert (len(again), len(aside)) == (10, 5)


async def stopped(opened: parts.Parts, job: Job) -> str:
    """The name of a run that was stopped, as Ctrl-C does it, when its first batch was in the ledger."""
    wanted, _ = await running.choose(opened, job, None, print)
    run = await running.begin(opened, job, wanted)
    feeding = asyncio.create_task(running.feed(opened, run, print))
    while (await running.load(opened, run.run)).sent < 5:
        await asyncio.sleep(0.05)
    feeding.cancel()
    await asyncio.gather(feeding, return_exceptions=True)
    return run.run


async def command(stack: Stack, *arguments: str) -> tuple[int, str, str]:
    """The command in this process; exit code, standard output (without what the spine beside it logs), standard error."""
    env = {
        "GENAI_DATA_DIR": str(stack.settings.data()),
        "GENAI_KAFKA_BROKERS": stack.bootstrap,
        "GENAI_DEFAULT_PROVIDER": "fake",
        "GENAI_PARTITIONS": "2",
    }
    found = await asyncio.to_thread(CliRunner().invoke, cli.app, ["replay", *arguments], env=env)
    if isinstance(found.exception, SpineError):
        return found.exception.exit_code, found.stdout, str(found.exception)
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        raise found.exception
    shown = [line for line in found.stdout.splitlines() if not _LOGGED.match(line)]
    return found.exit_code, "\n".join(shown), found.stderr


WRONG = [
    # what is written, exit code, what is said
    (["--from", "2026-11-22", "--to", "2026-11-21"], 2, "exchange them"),
    (["--from", "2020-01-01", "--to", "2020-01-02"], 1, "No request fits."),
    (["--topic", TOPIC, "--partition", "0", "--from-offset", "3", "--to-offset", "2"], 2, "exchange them"),
    (["--topic", TOPIC, "--partition", "0", "--from-offset", "77"], 1, "Nothing was read from offset 77"),
    (["--topic", TOPIC, "--partition", "9"], 2, "has read nothing of partition 9"),
    (["--topic", "genai.requests.embed"], 1, "has read nothing of genai.requests.embed"),
    (["--id", "nope"], 1, "No request has the id 'nope'"),
    (["--recorded", "--anew", "--budget", "1"], 2, "choose one"),
    (["--anew"], 2, "--anew needs --budget"),
    (["--budget", "1"], 2, "--budget goes with --anew"),
    (["--anew", "--budget", "-1"], 2, "write dollars from 0 on"),
    (["--anew", "--budget", "much"], 2, "is no number of dollars"),
    (
        ["--anew", "--budget", "1", "--provider", "nobody"],
        2,
        "There is no provider 'nobody'; there are anthropic, bedrock, ",
    ),
    (["--anew", "--budget", "1", "--model", "gpt-9"], 2, "fake has no model 'gpt-9'; it has fake"),
    (["--anew", "--budget", "1", "--prompt", "headline@99"], 2, "has no version 99; it has 1"),
    (["--recorded"], 2, "add --yes"),
    (["--recorded", "--json"], 2, "--json asks no question"),
    (["diff", "nope"], 1, "There is no replay 'nope'"),
    (["resume", "nope"], 1, "There is no replay 'nope'"),
]


async def test_the_command_says_what_it_would_do_does_it_and_compares(sqlite_stack_of: MakeStack) -> None:
    stack = await sqlite_stack_of()
    async with stack.spine():
        await stack.produce(request("a"), request("b"), partition=0)
        await stack.answered(2)
        for arguments, code, words in WRONG:
            found = await command(stack, *arguments)
            assert (found[0], words in found[2]) == (code, True), (arguments, found)
        assert len(await stack.results()) == 2
        code, said, _ = await command(
            stack, "--topic", TOPIC, "--partition", "0", "--to-offset", "0", "--dry-run", "--json"
        )
        told = json.loads(said)["plan"]
        assert (code, told["chosen"], told["recorded"]["requests"], told["again"]["requests"]) == (0, 1, 1, 0)
        code, said, _ = await command(stack, "--id", "a", "--recorded", "--yes", "--json")
        assert (code, json.loads(said)["report"]["results"]) == (0, 1)
        code, _, said = await command(stack, "--yes")
        assert (code, "Nothing of it can be run again" in said) == (0, True)
        code, _, said = await command(stack, "--anew", "--budget", "0", "--yes")
        assert (code, "only models that cost nothing" in said, "2 left out" in said) == (1, True, True)
    async with stack.spine(fake_seed=7):
        code, said, _ = await command(stack, "--anew", "--budget", "1", "--yes", "--json")
        found = json.loads(said)
        assert (code, sum(found["diff"]["counts"].values()), found["report"]["sent"]) == (0, 2, 2)
        run = found["report"]["run"].removeprefix("replay:")
        code, shown, _ = await command(stack, "diff", run, "--all")
        assert (code, "before" in shown, "anew" in shown, " → " in shown) == (0, True, True, True)
        code, said, _ = await command(stack, "diff", run, "--json")
        assert (code, json.loads(said)) == (0, found["diff"])
        code, shown, _ = await command(stack, "list")
        assert (code, [line.split()[1] for line in shown.splitlines()]) == (0, ["anew", "anew", "recorded"])


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
