"""The seeds' code, as written but for imports and address, against a spine whose model server has the models that they name."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from genai_spine_client import AsyncGenAIClient, Dispatcher, errors
from providers import fake_server
from streams.web import server
from streams.web.app import make_api
from tests.clients.snippets import blocks, run
from tests.parts.pdf import pdf
from tests.streams.webs import opened, web_settings

SNIPPETS = blocks(Path(__file__).with_name("snippets.md"))
TEXT = "The ferry Aurora was late on Friday. Fog lay over Bergen."
MODELS = ("claude-3-sonnet", "claude-3-opus", "llama3.2:latest", "nomic-embed-text:latest")
NAMES = {
    **{name: f"{TEXT} {name}" for name in ("text", "text1", "text2", "text3", "large_prompt")},
    "texts": [TEXT, f"{TEXT} Again."],
    "large_text_list": [TEXT, "Fares rise."],
}


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    async with await fake_server.start(models=MODELS) as models:
        settings = web_settings(tmp_path, default_provider="ollama", ollama_url=models.url, drain_s=0.1)
        async with opened(settings) as (front, _):
            sock = server.bind("127.0.0.1", 0, "GENAI_API_PORT")
            async with server.serving(make_api(front), sock):
                yield server.address(sock)


@pytest.fixture
async def dispatcher(url: str) -> AsyncIterator[Dispatcher]:
    async with Dispatcher(url) as made:
        yield made


async def test_a_batch_is_submitted_and_its_result_has_the_seeds_names(dispatcher: Dispatcher) -> None:
    submit, look = SNIPPETS["batch"]
    _, left = await run(submit, NAMES | {"dispatcher": dispatcher})
    await dispatcher.wait(left["run_id"], timeout=30)
    _, after = await run(look, {"dispatcher": dispatcher, "run_id": left["run_id"]})
    result = after["run"].result
    assert len([each for each in result["summaries"] if each]) == 3
    assert {"summaries", "count", "total_tokens", "cost"} <= result.keys()


async def test_a_long_generation_answers_at_once_and_is_asked_for_later(dispatcher: Dispatcher) -> None:
    told, _ = await run(*SNIPPETS["long"], NAMES | {"dispatcher": dispatcher})
    assert told["status"] == "queued"
    ended = await dispatcher.wait(told["run_id"], timeout=30)
    # no GPU is known of the model server here, and what asks for one is told so
    assert ended.status == "succeeded" or "GPU" in ended.result["error"]["message"]


async def test_priorities_and_lanes(dispatcher: Dispatcher) -> None:
    submitted: list[str] = []

    async def kept(submit: Any, *args: Any, **how: Any) -> str:
        submitted.append(await submit(*args, **how))
        return submitted[-1]

    keeper = SimpleNamespace(
        submit_task=lambda *args, **how: kept(dispatcher.submit_task, *args, **how),
        submit_workflow=lambda *args, **how: kept(dispatcher.submit_workflow, *args, **how),
    )
    await run(*SNIPPETS["lanes"], NAMES | {"dispatcher": keeper})
    ended = [await dispatcher.wait(each, timeout=30) for each in submitted]
    assert [each.name for each in ended] == ["summarize", "batch_embed", "batch_summarize"]
    assert (ended[0].status, ended[2].status) == ("succeeded", "succeeded")


async def test_the_pipeline_answers_from_files_that_were_uploaded(dispatcher: Dispatcher, url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as api:
        for name, words in {
            "10k_2025.pdf": "The company's revenue was 4.2 billion.",
            "10q_q3.pdf": "Two ships.",
        }.items():
            sent = {"data": {"purpose": "user_data"}, "files": {"file": (name, pdf([words]))}}
            assert (await api.post("/v1/files", **sent)).status_code == 200
    _, left = await run(*SNIPPETS["pipeline"], NAMES | {"dispatcher": dispatcher})
    ended = await dispatcher.wait(left["run_id"], timeout=30)
    assert (ended.status, ended.result["answer"] != "", [step.name for step in ended.steps if step.use == "embed"]) == (
        "succeeded",
        True,
        ["question", "embed"],
    )
    documents = {each["document"] for each in ended.result["sources"]}
    assert documents <= {"10k_2025.pdf", "10q_q3.pdf"} and bool(documents) == ended.result["found"]


@pytest.mark.parametrize("name", ["rollup"])
async def test_what_a_later_server_has(dispatcher: Dispatcher, name: str) -> None:
    """A kind that this server does not have yet is refused by its name."""
    try:
        _, left = await run(*SNIPPETS[name], NAMES | {"dispatcher": dispatcher})
    except errors.InvalidRequest as error:
        assert str(error).startswith("There is no ")
        pytest.skip(str(error))
    assert (await dispatcher.get_run(left["run_id"])).run_id == left["run_id"]


async def test_a_days_costs_are_added_up_once(dispatcher: Dispatcher) -> None:
    runs = [(await run(*SNIPPETS["rollup"], NAMES | {"dispatcher": dispatcher}))[1]["run_id"] for _ in range(2)]
    ended = await dispatcher.wait(runs[0], timeout=30)
    assert (runs[0], ended.status, ended.result["from"]) == (runs[1], "succeeded", "2026-01-15")


async def test_a_prompt_is_run_at_the_first_applications_path(url: str) -> None:
    body = {"prompt_id": "tone", "variables": {"content": TEXT}}
    async with httpx.AsyncClient(base_url=url, timeout=40) as api:
        waited = await api.post("/execute-prompt", json=body | {"wait": True})
        later = await api.post("/execute-prompt", json=body | {"wait": False})
        ended = await api.get(f"/v1/requests/{later.json()['request_id']}")
    told = waited.json()
    assert (waited.status_code, told["output"]["prompt"]["slug"], told["usage"]["cost_usd"] is not None) == (
        200,
        "tone",
        True,
    )
    assert (later.status_code, ended.status_code) == (202, 200)


async def test_the_endpoints(url: str) -> None:
    code = SNIPPETS["endpoints"][0].replace("http://genai:8100", url)
    said = []

    def post(*args: Any, **how: Any) -> httpx.Response:
        said.append(httpx.post(*args, **how, timeout=30))
        return said[-1]

    await asyncio.to_thread(lambda: asyncio.run(run(code, {"httpx": SimpleNamespace(post=post)})))
    chat, summary, found = said
    assert (summary.status_code, found.status_code) == (200, 200)
    assert (summary.json()["output"]["summary"] != "", "entities" in found.json()["output"]) == (True, True)
    async with AsyncGenAIClient(url) as client:
        assert (await client.requests.get(summary.json()["id"])).status == "succeeded"
    assert chat.json()["choices"][0]["message"]["content"]
