"""A pool's slots bound its calls in flight, however quickly they are handed on."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from providers.fake import FakeProvider
from schemas.request import Lane
from store.database import Database, parse_url
from store.ledger import queries
from store.ledger.types.arrivals import Arrival
from streams.app import running
from streams.settings import Settings
from streams.spine import Spine
from streams.where import ledger_url
from tests.parts.ledgers import migrate

SLOTS, REQUESTS = 3, 60

pytestmark = pytest.mark.fast


def arrival(spine: Spine, i: int) -> Arrival:
    value = json.dumps({"id": f"r-{i}", "input": {"content": "Apple shipped phones. It was a record."}}).encode()
    ask = spine.decoder.ask("summarize", Lane.NORMAL, value, [], place=f"p/{i}", tenant="t")
    return Arrival(ask, None, b"k", value, b"[]")


@contextlib.asynccontextmanager
async def spine_of(folder: Path, **changes: Any) -> AsyncIterator[tuple[Spine, FakeProvider]]:
    """A process on an empty ledger, whose pool of slots is there."""
    settings = Settings(
        data_dir=folder,
        default_provider="fake",
        fake_slots=SLOTS,
        fake_tail=0.0,
        cache_ttl_s=0.0,
        _env_file=None,
        **changes,
    )
    database = Database(parse_url(ledger_url(settings)))
    await migrate(database)
    await database.aclose()
    async with running(settings, bootstrap=None) as spine:
        model = spine.providers["fake"]
        assert isinstance(model, FakeProvider)
        await spine.engine.pools.ensure(("fake", "fake"))
        yield spine, model


@pytest.mark.dear
async def test_never_more_calls_than_slots_and_every_slot_comes_back(tmp_path: Path):
    async with spine_of(tmp_path, fake_latency_s=0.005) as (spine, model):
        await spine.writer.accept([arrival(spine, i) for i in range(REQUESTS)])
        for _ in range(400):
            pools = await spine.database.read(queries.running)
            if model.counts.total.finished == REQUESTS and pools[0].used == 0:
                break
            await asyncio.sleep(0.025)
        found = (model.counts.max_in_flight, model.counts.total.finished, [tuple(pool) for pool in pools])
    assert found == (SLOTS, REQUESTS, [("fake", "fake", SLOTS, 0)])


@pytest.mark.dear
@pytest.mark.parametrize("burst", range(4))
async def test_no_slot_stands_idle_until_somebody_looks(tmp_path: Path, burst: int):
    """Requests that come one by one, and calls so short that slots are given back while a claim is on its way."""
    async with spine_of(tmp_path, fake_latency_s=0.0, poll_s=30.0) as (spine, model):
        await asyncio.gather(*(spine.engine.accept([arrival(spine, i)]) for i in range(100 * burst, 100 * burst + 80)))
        for _ in range(200):
            if model.counts.total.finished == 80:
                break
            await asyncio.sleep(0.025)
    assert model.counts.total.finished == 80
