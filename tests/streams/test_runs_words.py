"""Runs keep the words of their acceptance, whatever is done to prompts and labels before their items become requests."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import select

from schemas.pin import Pin, pins
from store.registry import read
from store.tables import requests
from streams.runs import runner, walking
from streams.settings import Settings
from streams.spine import Spine
from streams.web.front import Front
from tests.streams.test_own_prompts import USER as SUMMARIZE
from tests.streams.test_runs_lives import ON_BOTH, ended, settings, url
from tests.streams.webs import client, opened, web_settings

__all__ = ["settings", "url"]  # fixtures

ITEMS = [{"content": f"Ferry {number} is late."} for number in range(3)]


@contextlib.contextmanager
def unfed() -> Iterator[None]:
    """No item becomes a request."""
    with pytest.MonkeyPatch.context() as patch:
        for room in (runner, walking):
            patch.setattr(room, "WINDOW", 0)
        yield


async def written(api: httpx.AsyncClient, slug: str, **more: Any) -> None:
    told = {"slug": slug, "template": "{{ content }}", "variables": [{"name": "content", "type": "content"}]}
    (await api.post("/v1/prompts", json=told | more)).raise_for_status()


async def edited(api: httpx.AsyncClient, slug: str, **change: Any) -> None:
    (await api.put(f"/v1/prompts/{slug}", json=change)).raise_for_status()


async def moved(api: httpx.AsyncClient, slug: str, label: str = "production", **to: Any) -> None:
    (await api.put(f"/v1/prompts/{slug}/labels/{label}", json=to | {"why": "x"})).raise_for_status()


async def submitted(api: httpx.AsyncClient, id_: str, name: str = "batch_execute_prompt", **params: Any) -> None:
    kind = "pipeline" if name == "digest" else "workflow"
    reply = await api.post("/v1/runs", json={"id": id_, "kind": kind, "name": name, "params": params})
    assert reply.status_code == 202, reply.text


async def accepted_with(spine: Spine, run_id: str) -> list[Pin]:
    """The first pin of each item, in the order of the items; of a pipeline, of the steps."""
    asked = select(requests.c.pinned).where(requests.c.run_id == run_id).order_by(requests.c.pk)
    found = await spine.database.read(lambda conn: conn.execute(asked).scalars().all())
    return [pins(pinned)[0] for pinned in found]


async def words(spine: Spine, api: httpx.AsyncClient, run_id: str) -> tuple[str, set[tuple[int, str]]]:
    """How the run ended, and the versions and labels of all of its items."""
    run = await ended(api, run_id)
    return run["status"], {(pin.version, pin.label) for pin in await accepted_with(spine, run_id)}


async def _prepared(api: httpx.AsyncClient) -> None:
    for slug in ("moved", "tied", "archived", "removed", "newer", "named"):
        await written(api, slug)
    for slug in ("moved", "removed", "tied"):
        await edited(api, slug, template="Again: {{ content }}")
    await moved(api, "moved", version=1)
    await moved(api, "removed", "canary", version=1)
    await moved(api, "tied", weights={"1": 1, "2": 3})
    await edited(api, "summarize", template=SUMMARIZE, notes="Shorter.")
    await moved(api, "summarize", version=2)


async def _accepted(api: httpx.AsyncClient) -> None:
    await submitted(api, "moved", prompt="moved", variables=ITEMS)
    await submitted(api, "tied", prompt="tied", variables=ITEMS)
    await submitted(api, "archived", prompt="archived", variables=ITEMS)
    await submitted(api, "removed", prompt="removed", label="canary", variables=ITEMS)
    await submitted(api, "newer", prompt="newer", variables=ITEMS)
    await submitted(api, "named", prompt="named", label="latest", variables=ITEMS)
    await submitted(api, "own", "batch_summarize", texts=["One.", "Two."])
    await submitted(api, "steps", "digest", texts=["One.", "Two."])


async def _changed(api: httpx.AsyncClient) -> None:
    for version in (2, 1, 2):
        await moved(api, "moved", version=version)
    await moved(api, "tied", weights={"1": 3, "2": 1})
    await moved(api, "tied", version=1)
    (await api.delete("/v1/prompts/archived")).raise_for_status()
    (await api.delete("/v1/prompts/removed/labels/canary")).raise_for_status()
    told = [{"name": "content", "type": "content"}, {"name": "k", "type": "text"}]
    for slug in ("newer", "named"):
        await edited(api, slug, template="{{ content }} {{ k }}", variables=told)
    await moved(api, "newer", version=2)
    await edited(api, "summarize", template=f"Kindly: {SUMMARIZE}", notes="Kinder.")
    await moved(api, "summarize", version=3)


@ON_BOTH
async def test_another_process_asks_all_items_by_the_labels_of_their_acceptance(
    settings: Settings,
) -> None:
    with unfed():
        async with opened(settings) as (one, spine), client(one) as api:
            await _prepared(api)
            arms = await _drawn(spine, 3)
            await _accepted(api)
            await _changed(api)
    async with opened(settings) as (two, spine), client(two) as api:
        found = {run: await words(spine, api, run) for run in ("moved", "archived", "removed", "newer", "named")}
        operations = {run: await words(spine, api, run) for run in ("own", "steps")}
        await ended(api, "tied")
        tied = [(pin.version, pin.label, pin.of) for pin in await accepted_with(spine, "tied")]
    assert found == {
        "moved": ("succeeded", {(1, "production")}),
        "archived": ("succeeded", {(1, "")}),
        "removed": ("succeeded", {(1, "canary")}),
        "newer": ("succeeded", {(1, "")}),
        "named": ("succeeded", {(1, "latest")}),
    }
    assert operations == dict.fromkeys(("own", "steps"), ("succeeded", {(2, "production")}))
    assert tied == [(version, "production", 4) for version in arms]


async def _drawn(spine: Spine, count: int) -> list[int]:
    """The arms of the items of the run `tied`, as any request with such an id gets them."""
    index = await spine.database.read(lambda conn: read.index(conn, {}))
    id_ = next(row.id for row in index.prompts if row.slug == "tied")
    entry = spine.registry._known[id_]
    return [entry.arm("production", f"tied/{number}").version for number in range(count)]


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Front, Spine]]:
    async with opened(web_settings(tmp_path)) as made:
        yield made


@pytest.fixture
async def api(parts: tuple[Front, Spine]) -> AsyncIterator[httpx.AsyncClient]:
    async with client(parts[0]) as made:
        yield made


async def test_an_upload_is_asked_by_the_labels_of_its_beginning(
    parts: tuple[Front, Spine], api: httpx.AsyncClient
) -> None:
    await written(api, "moved")
    line = orjson.dumps({"input": {"prompt": "moved", "variables": ITEMS[0]}}) + b"\n"

    async def lines() -> AsyncIterator[bytes]:
        yield line
        await edited(api, "moved", template="Again: {{ content }}")
        await moved(api, "moved", version=2)
        yield line

    kind = {"content-type": "application/x-ndjson"}
    told = await api.post("/v1/runs?name=batch_execute_prompt&id=up", content=lines(), headers=kind)
    assert told.status_code == 202, told.text
    assert await words(parts[1], api, "up") == ("succeeded", {(1, "")})
    await submitted(api, "later", prompt="moved", variables=ITEMS)
    assert await words(parts[1], api, "later") == ("succeeded", {(2, "production")})


async def test_an_item_that_runs_again_keeps_the_words_of_its_run_and_one_that_had_none_gets_those_of_now(
    parts: tuple[Front, Spine], api: httpx.AsyncClient
) -> None:
    """`breaks` failed when it was called; `unknown` could not be asked."""
    await written(api, "breaks", template="{{ content }} [fake:rejected*1]")
    await submitted(api, "breaks", prompt="breaks", variables=ITEMS)
    await submitted(api, "unknown", prompt="breaks", label="canary", variables=ITEMS)
    before = [(await ended(api, run))["status"] for run in ("breaks", "unknown")]
    await edited(api, "breaks", template="Again: {{ content }}")
    for label in ("production", "canary"):
        await moved(api, "breaks", label, version=2)
    for run in ("breaks", "unknown"):
        (await api.post(f"/v1/runs/{run}/retry")).raise_for_status()
    after = [await words(parts[1], api, run) for run in ("breaks", "unknown")]
    assert before == ["failed", "failed"]
    assert after == [("succeeded", {(1, "")}), ("succeeded", {(2, "canary")})]
