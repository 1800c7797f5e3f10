"""Pipelines whose process dies, is left, or is one of two: whoever goes on pays nothing a second time."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas.pipelines import Declared, Pipeline, Step
from store import killpoint
from streams.runs import parts
from streams.settings import Settings
from tests.streams.commands import served
from tests.streams.test_runs_lives import ON_BOTH, booked, ended, settings, url
from tests.streams.webs import client, opened

__all__ = ["settings", "url"]  # fixtures

DIGEST = {"kind": "pipeline", "name": "digest", "params": {"texts": ["One.", "Two.", "Three."]}}
CALLED: list[int] = []
GATE = asyncio.Event()


async def counted(number: int) -> int:
    """Ten times as much; the fourth waits for the gate."""
    CALLED.append(number)
    if number == 3:
        await GATE.wait()
    return number * 10


FUNCTIONS = {"counted": counted}
PIPELINES = [
    Pipeline(
        name="tens",
        inputs={"numbers": Declared(type="list", of="integer")},
        steps=(Step(name="ten", use="counted", map="${inputs.numbers}", with_={"number": "${item}"}),),
    )
]


async def killed(folder: Path, url: str) -> str:
    """The run that a process was at when it died between two steps."""
    with served(folder, "web", GENAI_DATABASE_URL=url, GENAI_POLL_S="0.1", GENAI_KILL_AT="computed:1") as first:
        api_url = first.said("the API listens")["url"]
        first.said("ready")
        async with httpx.AsyncClient(base_url=api_url) as api:
            told = (await api.post("/v1/runs", json=DIGEST, timeout=30)).json()
        assert await asyncio.to_thread(first.process.wait, 60) == -signal.SIGKILL
    return str(told["run_id"])


async def gone_on_with(settings: Settings, run_id: str) -> dict[str, Any]:
    async with opened(settings.model_copy(update={"lease_s": 2.0})) as (front, _), client(front) as api:
        run = await ended(api, run_id)
        run["costs"] = (await api.get("/v1/costs")).json()["totals"]
        return run


@ON_BOTH
async def test_a_process_that_dies_between_two_steps_calls_nothing_twice(
    url: str, settings: Settings, tmp_path: Path
) -> None:
    run_id = await killed(tmp_path / "first", url)
    before = await booked(url)
    run = await gone_on_with(settings, run_id)
    assert (before, await booked(url)) == ((3, 3, 3), (4, 4, 4))
    assert (run["status"], run["cost_usd"], len(run["result"]["summaries"])) == (
        "succeeded",
        run["costs"]["cost_usd"],
        3,
    )


@ON_BOTH
async def test_requests_that_were_made_and_of_which_nobody_knew_are_not_made_again(
    url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[str] = []

    def once(name: str) -> None:
        passed.append(name)
        if name == "fed" and passed.count("fed") == 1:
            raise ConnectionResetError

    monkeypatch.setattr(killpoint, "passing", once)
    async with opened(settings) as (front, _), client(front) as api:
        run = await ended(api, (await api.post("/v1/runs", json=DIGEST)).json()["run_id"])
    assert (passed.count("fed"), await booked(url), run["status"]) == (3, (4, 4, 4), "succeeded")


@ON_BOTH
async def test_a_question_to_documents_that_breaks_at_each_kind_of_step_pays_each_call_once(
    url: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[str] = []

    def once(name: str) -> None:
        passed.append(name)
        if name in {"fed", "computed"} and passed.count(name) == 1:
            raise ConnectionResetError

    monkeypatch.setattr(killpoint, "passing", once)
    params = {"query": "What was the revenue?", "documents": ["Ships sail at noon.", "Revenue was 4.2 billion."]}
    body = {"kind": "pipeline", "name": "rag_pipeline", "params": params | {"most_sources": 1}}
    async with opened(settings) as (front, _), client(front) as api:
        run = await ended(api, (await api.post("/v1/runs", json=body)).json()["run_id"])
    assert (run["status"], await booked(url)) == ("succeeded", (4, 4, 4))
    assert {each["document"] for each in run["result"]["sources"]} <= {"document 2"}


@ON_BOTH
async def test_two_processes_share_runs_and_one_goes_on_with_what_the_other_leaves(
    settings: Settings, url: str
) -> None:
    slow = DIGEST | {"params": {"texts": [f"Text {n}. [fake:sleep:0.1]" for n in range(8)]}, "id": "slow"}
    async with opened(settings) as (one, _), client(one) as a:
        async with opened(settings) as (two, _), client(two) as b:
            await b.post("/v1/runs", json=slow)
            while (await a.get("/v1/runs/slow")).json()["steps"][0]["succeeded"] == 0:
                await asyncio.sleep(0.02)
        run = await ended(a, "slow")
    assert (run["status"], await booked(url)) == ("succeeded", (9, 9, 9))


@pytest.mark.parametrize("on", ["sqlite"])
async def test_what_a_function_gave_is_kept_and_the_rest_is_gone_on_with(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "MOST", 2)
    CALLED.clear()
    GATE.clear()
    with_functions = settings.model_copy(update={"pipelines_modules": __name__})
    body = {"kind": "pipeline", "name": "tens", "params": {"numbers": [0, 1, 2, 3, 4]}, "id": "tens"}
    async with opened(with_functions) as (front, _), client(front) as api:
        await api.post("/v1/runs", json=body)
        while CALLED[-1:] != [3]:
            await asyncio.sleep(0.01)
    GATE.set()
    async with opened(with_functions) as (front, _), client(front) as api:
        run = await ended(api, "tens")
    assert (run["status"], run["result"], CALLED) == ("succeeded", [0, 10, 20, 30, 40], [0, 1, 2, 3, 2, 3, 4])


@pytest.mark.parametrize("on", ["sqlite"])
async def test_a_process_without_the_function_says_so(settings: Settings) -> None:
    with_functions = settings.model_copy(update={"pipelines_modules": __name__})
    GATE.clear()
    body = {"kind": "pipeline", "name": "tens", "params": {"numbers": [3]}, "id": "tens"}
    async with opened(with_functions) as (front, _), client(front) as api:
        await api.post("/v1/runs", json=body)
    async with opened(settings) as (front, _), client(front) as api:
        run = await ended(api, "tens")
    assert "knows no function 'counted'" in run["result"]["error"]["message"]
