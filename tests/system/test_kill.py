"""One worker on SQLite, killed at every point between intake and relay, with a long-tailed double that outlives it.

`tests/chaos` does the same to several workers on PostgreSQL.

The oracle reads only topics, the double's count and SQL. Lost: 0. One terminal result per identity and generation after
de-duplication. Paid twice: at most the calls that were under way at the kills, each of which the ledger has counted. The
four totals of cost agree. With even latencies such a test proves nothing, so one call in twenty takes ten times as long.
"""

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from schemas.money import from_usd
from store.database import Database, parse_url
from store.ledger import queries
from store.tables import executions
from streams import topics
from streams.where import ledger_url
from tests.chaos.double import Double, double, executed
from tests.system.conftest import MakeStack
from tests.system.killable import POINTS
from tests.system.stack import Stack, read_all, request

pytestmark = [pytest.mark.kafka, pytest.mark.chaos]


RECORDS = 150
SLOTS = 8


def environment(stack: Stack) -> dict[str, str]:
    told = stack.settings.model_dump(exclude_unset=True)
    return {
        **os.environ,
        **{f"GENAI_{name.upper()}": str(value) for name, value in told.items() if not isinstance(value, dict)},
    }


async def start(stack: Stack, point: str, count: int, log: Path) -> asyncio.subprocess.Process:
    with log.open("ab") as out:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.system.killable",
            point,
            str(count),
            env=environment(stack),
            stdout=out,
            stderr=out,
        )


async def kill_again_and_again(stack: Stack, fake: Double, chance: random.Random, log: Path) -> int:
    """One life per point, in a random order, and one killed at a random moment; returns the greatest number of calls that
    may have been under way at all those deaths."""
    under_way = 0
    lives = [(point, chance.randint(1, 4 if point in {"accepted", "leased", "published"} else 12)) for point in POINTS]
    chance.shuffle(lives)
    for point, count in [*lives, ("none", 0)]:
        process = await start(stack, point, count, log)
        try:
            await asyncio.wait_for(process.wait(), chance.uniform(3.0, 4.5) if point == "none" else 12)
        except TimeoutError:  # nothing left to pass that point with, or it was the random one's time
            process.send_signal(signal.SIGKILL)
        code = await process.wait()
        assert code == -signal.SIGKILL, f"{point}: exit {code}\n{log.read_text()[-3000:]}"
        under_way += 2 * SLOTS  # in flight, and answered but not yet recorded
    return under_way


async def test_a_worker_killed_at_every_point_loses_nothing_and_pays_nothing_twice_uncounted(
    sqlite_stack_of: MakeStack, tmp_path: Path
) -> None:
    seed = int(os.environ.get("GENAI_TEST_SEED") or time.time_ns() % 10**6)
    print(f"seed {seed}: GENAI_TEST_SEED={seed} repeats this run")
    chance = random.Random(seed)
    async with double(0.1, seed) as fake:
        stack = await sqlite_stack_of(
            fake_url=fake.url, fake_slots=SLOTS, fake_paid=True, kafka_session_timeout_s=2.0, lease_s=1.5
        )
        ids = [f"r{i}" for i in range(RECORDS)]
        await stack.produce(*[request(id_, content=f"Acme sold {id_} pumps. A good year.") for id_ in ids])
        bound = await kill_again_and_again(stack, fake, chance, tmp_path / "worker.log")
        process = await start(stack, "none", 0, tmp_path / "worker.log")
        try:
            seen = await stack.until(lambda found: {s.json()["id"] for s in found} >= set(ids), timeout_s=90)
            totals = await equal_totals(stack)
        finally:
            process.kill()
            await process.wait()
        counts = await fake.counts()
    await check(stack, ids, seen, counts, bound)
    print({"results": len(seen), "executed": counts["finished"] + counts["aborted"], "cost": totals})


async def check(stack: Stack, ids: list[str], seen: list[Any], counts: dict[str, Any], bound: int) -> None:
    terminal = Counter((s.json()["id"], s.json()["generation"], s.value) for s in seen)
    assert {id_ for id_, _, _ in terminal} == set(ids), "lost"
    assert len(terminal) == len(ids), "two different terminal results for one identity"
    paid_twice = sum(n - 1 for n in executed(counts).values() if n > 1)
    db = Database(parse_url(ledger_url(stack.settings)))
    ambiguous = await db.read(
        lambda conn: conn.execute(
            select(func.count()).select_from(executions).where(executions.c.error_type == "ambiguous")
        ).scalar_one()
    )
    await db.aclose()
    assert paid_twice <= ambiguous <= bound, (paid_twice, ambiguous, bound)
    print({"paid twice": paid_twice, "ambiguous": ambiguous, "bound": bound})


async def equal_totals(stack: Stack, timeout_s: float = 30) -> Mapping[str, int]:
    """SQL daily_costs = sum of the journal = genai.usage folded by id = the Faust table, in nano-dollars."""
    db = Database(parse_url(ledger_url(stack.settings)))
    until = time.monotonic() + timeout_s
    while True:
        journal = {key: nano for key, (_, nano) in (await db.read(queries.journal_days)).items()}
        days: Counter[tuple[str, str, str]] = Counter()
        for row in await db.read(lambda conn: queries.days(conn, "2000", "3000")):
            days[row.provider, row.model, row.tenant] += row.cost_nano
        events = {s.json()["id"]: s.json() for s in await read_all(stack.bootstrap, topics.USAGE)}
        folded: Counter[tuple[str, str, str]] = Counter()
        for event in events.values():
            folded[event["provider"], event["model"], event["tenant"]] += from_usd(event["cost_usd"]) or 0
        latest = {s.key: s.json() for s in await read_all(stack.bootstrap, topics.COSTS)}
        table: Counter[tuple[str, str, str]] = Counter()
        for key, total in latest.items():
            _, provider, model, tenant = (key or b"").decode().split("|")
            table[provider, model, tenant] += from_usd(total["cost_usd"]) or 0
        if journal == days == folded == table:
            await db.aclose()
            return {"|".join(key): nano for key, nano in journal.items()}
        assert time.monotonic() < until, {"journal": journal, "days": days, "usage": folded, "table": table}
        await asyncio.sleep(0.3)
