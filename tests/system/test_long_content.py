"""Content above the context, on the real engine and ledger: each part is a call of its own, and none is paid again.

The double runs as a server, with a context far below the one that its provider assumes: the first call is refused, which
costs nothing, and the refusal tells how long the parts may be.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, select

from providers import fake_server
from providers.double.faults import Behaviour
from providers.fake_server import FakeServer
from store.database import Database, parse_url
from store.ledger import queries
from store.tables import executions, requests
from streams.app import running
from streams.settings import Settings
from streams.spine import Spine
from streams.where import ledger_url
from tests.parts.kafka import make_settings
from tests.parts.ledgers import migrate
from tests.system.alone import accept

CONTEXT = 700
TEXT = "".join(f"Acme sold {number} pumps in the north and in the south. " for number in range(200))  # 2,200 words


@pytest.fixture
async def double() -> AsyncIterator[FakeServer]:
    async with await fake_server.start(how=Behaviour(context_tokens=CONTEXT)) as server:
        yield server


@pytest.fixture
async def settings(double: FakeServer, tmp_path: Path) -> Settings:
    made = make_settings(
        data_dir=tmp_path,
        default_provider="fake",
        fake_url=double.url,
        fake_paid=True,
        poll_s=0.05,
        lease_s=1.0,
        retry_base_s=0.01,
        prices={"fake/*": {"input_per_million": "1"}},
    )
    database = Database(parse_url(ledger_url(made)))
    await migrate(database)
    await database.aclose()
    return made


async def ended(spine: Spine) -> dict[str, Any]:
    """The one request's result."""
    async with asyncio.timeout(60):
        while not (body := await spine.database.read(_result)):
            await asyncio.sleep(0.02)
    return dict(orjson.loads(body))


def _result(conn: Connection) -> bytes | None:
    pk, generation = conn.execute(select(requests.c.pk, requests.c.generation)).one()
    return queries.result_of(conn, pk, generation)


async def outcomes(spine: Spine) -> list[tuple[int, str]]:
    """The journal: number and outcome of each call, in the order in which they were opened."""
    rows = await spine.database.read(
        lambda conn: conn.execute(select(executions.c.number, executions.c.outcome).order_by(executions.c.id)).all()
    )
    return [(row.number, row.outcome) for row in rows]


def parts_of(result: dict[str, Any]) -> int:
    [warning] = [text for text in result["warnings"] if "was read in" in text]
    return int(warning.split()[-2])


async def test_every_part_is_a_numbered_call_that_is_billed(settings: Settings, double: FakeServer) -> None:
    async with running(settings, bootstrap=None) as spine:
        await accept(spine, "summarize", "long", content=TEXT)
        result = await ended(spine)
        journal = await outcomes(spine)
    parts = parts_of(result)
    calls = parts + 1  # and the one that summarises the summaries
    assert (result["status"], parts >= 4, result["usage"]["calls"]) == ("succeeded", True, calls)
    assert journal == [(1, "error"), *[(number, "ok") for number in range(2, calls + 2)]]
    assert double.counts.requests["long"].finished == calls


async def test_an_entitys_offsets_are_those_of_the_whole_content(settings: Settings) -> None:
    async with running(settings, bootstrap=None) as spine:
        await accept(spine, "extract", "long", content=TEXT, entity_types=["organization"])
        result = await ended(spine)
    entities = result["output"]["entities"]
    assert [TEXT[found["start"] : found["end"]] for found in entities] == [found["text"] for found in entities]
    assert max(found["start"] for found in entities) > len(TEXT) / 2


async def test_a_second_attempt_takes_over_the_parts_that_were_paid(settings: Settings, double: FakeServer) -> None:
    """The third part makes the double break off, the first time."""
    broken = TEXT.replace("Acme sold 60 pumps", "[fake:disconnected*4] Acme sold 60 pumps")
    async with running(settings, bootstrap=None) as spine:
        await accept(spine, "summarize", "long", content=broken)
        result = await ended(spine)
        journal = await outcomes(spine)
    calls = parts_of(result) + 1
    tally = double.counts.requests["long"]
    assert (result["status"], result["attempts"], tally.finished, tally.broken) == ("succeeded", 2, calls, 1)
    assert sorted(number for number, outcome in journal if outcome == "ok") == list(range(2, calls + 2))


async def test_a_try_that_brings_a_new_part_does_not_count(settings: Settings, double: FakeServer) -> None:
    """Four parts break off once each, where three tries are the most for a call that ran and failed."""
    broken = TEXT
    for sentence, call in ((55, 4), (78, 7), (100, 10), (122, 13)):  # each try begins with one that is refused
        broken = broken.replace(f"Acme sold {sentence} ", f"[fake:server_error*{call}] Acme sold {sentence} ")
    async with running(settings.model_copy(update={"fake_paid": False}), bootstrap=None) as spine:
        await accept(spine, "summarize", "long", content=broken)
        result = await ended(spine)
    tally = double.counts.requests["long"]
    assert (result["status"], result["attempts"], tally.broken) == ("succeeded", 5, 4)
    assert tally.finished == parts_of(result) + 1


POINTS = [  # where a worker is killed in the middle of the parts, and how many calls may be made twice
    ("intended", 4, 0),  # the fourth call's first byte has not left
    ("answered", 3, 1),  # answered and paid, not recorded: nobody can know
]


@pytest.mark.chaos
@pytest.mark.parametrize(("point", "count", "twice"), POINTS, ids=[point for point, _, _ in POINTS])
async def test_a_crash_in_the_middle_pays_no_part_again(
    settings: Settings, double: FakeServer, point: str, count: int, twice: int
) -> None:
    async with running(settings, bootstrap=None) as spine:
        spine.engine.draining = True  # takes the request in, and leaves it to the one that dies
        await accept(spine, "summarize", "long", content=TEXT)
    assert await killed(settings, point, count) == -signal.SIGKILL
    before = double.counts.requests["long"].finished
    async with running(settings, bootstrap=None) as spine:
        spine.engine.look()
        result = await ended(spine)
        journal = await outcomes(spine)
    calls = parts_of(result) + 1
    assert (result["status"], result["attempts"], before > 0) == ("succeeded", 2, True)
    assert double.counts.requests["long"].finished == calls + twice
    assert sorted(number for number, outcome in journal if outcome == "ok") == list(range(2, calls + 2))
    assert [outcome for _, outcome in journal].count("wasted") == 1  # what was open at the death, by its estimate


async def killed(settings: Settings, point: str, count: int) -> int:
    told = settings.model_dump(mode="json", exclude_unset=True)
    environment = {f"GENAI_{name.upper()}": value for name, value in told.items() if isinstance(value, str)}
    environment |= {
        f"GENAI_{name.upper()}": orjson.dumps(v).decode() for name, v in told.items() if not isinstance(v, str)
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.system.alone", point, str(count), env={**os.environ, **environment}
    )
    try:
        return await asyncio.wait_for(process.wait(), 60)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
