"""A registry that is larger than what a process keeps of it: everything can be asked for all the same."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from prompts import UnknownPrompt, Wish
from store.registry import read, write
from streams.spine import Spine
from streams.web.front import Front
from tests.streams.webs import client, opened, web_settings

pytestmark = pytest.mark.fast
VERSIONS = 12


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Front, Spine]]:
    """There is room for about two versions of the prompt `ship`."""
    async with opened(web_settings(tmp_path, poll_s=0.02, prompts_max_bytes=5_000)) as found:
        yield found


@pytest.fixture
async def api(parts: tuple[Front, Spine]) -> AsyncIterator[httpx.AsyncClient]:
    async with client(parts[0]) as made:
        yield made


async def filled(api: httpx.AsyncClient) -> None:
    told: dict[str, Any] = {"variables": [{"name": "name", "type": "text"}], "notes": "n"}
    for number in range(1, VERSIONS + 1):
        text = {"template": f"{number}: {'x' * 2_000} {{{{ name }}}}"}
        if number == 1:
            (await api.post("/v1/prompts", json=told | text | {"slug": "ship"})).raise_for_status()
        else:
            (await api.put("/v1/prompts/ship", json=told | text)).raise_for_status()


def kept(spine: Spine) -> int:
    return spine.registry._kept.size


async def test_every_version_of_a_registry_that_does_not_fit_into_memory_is_asked_by(
    parts: tuple[Front, Spine], api: httpx.AsyncClient
) -> None:
    await filled(api)
    asked = [
        api.post("/v1/execute-prompt", json={"prompt": "ship", "version": number, "variables": {"name": "Elin"}})
        for number in range(1, VERSIONS + 1)
    ]
    told = [reply.json() for reply in await asyncio.gather(*asked)]
    assert [(each["status"], each["output"]["prompt"]["version"]) for each in told] == [
        ("succeeded", number) for number in range(1, VERSIONS + 1)
    ]
    shown = await api.post("/v1/prompts/ship/render", json={"version": 1, "variables": {"name": "Elin"}})
    assert shown.json()["user"].startswith("1: xxx")
    wrong = await api.post("/v1/execute-prompt", json={"prompt": "ship", "version": 1, "variables": {}})
    assert "needs the variable 'name'" in wrong.text
    missing = await api.post("/v1/execute-prompt", json={"prompt": "ship", "version": 99, "variables": {}})
    assert "has no version 99" in missing.text
    assert kept(parts[1]) <= 5_000


async def test_items_of_a_run_are_asked_by_versions_that_are_read_for_them(api: httpx.AsyncClient) -> None:
    await filled(api)
    for number in (1, 5):
        task = {"prompt": "ship", "version": number, "variables": {"name": "Elin"}}
        reply = await api.post("/v1/runs?wait=30", json={"kind": "task", "name": "execute_prompt", "params": task})
        assert (reply.json()["status"], reply.json()["result"]["prompt"]["version"]) == ("succeeded", number), (
            reply.text
        )


async def test_what_waits_is_run_in_words_that_were_forgotten_meanwhile(
    parts: tuple[Front, Spine], api: httpx.AsyncClient
) -> None:
    await filled(api)
    parts[1].engine.draining = True
    task = {"prompt": "ship", "version": 3, "variables": {"name": "Elin"}}
    taken = await api.post("/v1/execute-prompt?wait=0", json=task)
    for number in range(4, 9):
        await api.post("/v1/prompts/ship/render", json={"version": number, "variables": {"name": "Elin"}})
    parts[1].engine.draining = False
    parts[1].writer.claim_soon()
    told = taken.json()
    while told["status"] not in {"succeeded", "failed"}:
        await asyncio.sleep(0.02)
        told = (await api.get(taken.headers["location"])).json()
    assert (told["status"], told["output"]["prompt"]["version"]) == ("succeeded", 3)


async def test_operations_never_wait_for_the_words_of_an_operator(
    parts: tuple[Front, Spine], api: httpx.AsyncClient
) -> None:
    await filled(api)
    stands = {"version": 1, "why": "try"}
    (await api.put("/v1/prompts/summarize/labels/production", json=stands)).raise_for_status()
    for number in range(1, 5):
        await api.post("/v1/prompts/ship/render", json={"version": number, "variables": {"name": "Elin"}})
    assert parts[1].decoder.library.own(["summarize"], "a") is not None


async def test_a_former_state_is_the_same_in_every_process_whatever_each_has_seen_and_clocks_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One made all the changes, in one tick; the other has not looked since it began."""
    monkeypatch.setattr(write, "now", lambda _: 1_800_000_000.0)
    settings = web_settings(tmp_path, poll_s=60)
    async with opened(settings) as (front, one), opened(settings) as (_, two), client(front) as api:
        await filled(api)
        stands = "/v1/prompts/ship/labels/production"
        expected = {await one.database.read(read.revision): (VERSIONS, "")}
        for version in (1, 2, 1):
            (await api.put(stands, json={"version": version, "why": "x"})).raise_for_status()
            expected[await one.database.read(read.revision)] = (version, "production")
        (await api.delete(stands)).raise_for_status()
        (await api.put("/v1/prompts/ship", json={"template": "last"})).raise_for_status()
        expected[await one.database.read(read.revision)] = (VERSIONS + 1, "")
        for _ in range(2):
            (await api.delete("/v1/prompts/ship")).raise_for_status()
        found = [{revision: await _stood(spine, revision) for revision in expected} for spine in (one, two)]
        newest = await one.database.read(read.revision)
        with pytest.raises(UnknownPrompt, match="archived"):
            await _stood(two, newest)
    assert found == [expected] * 2


async def _stood(spine: Spine, revision: int) -> tuple[int, str]:
    """Version and label of `ship` then."""
    library = await spine.registry.as_of(revision)
    _, found = await spine.registry.decoded(partial(library.chosen, "ship", Wish(tenant="default")))
    return found.version, found.label
