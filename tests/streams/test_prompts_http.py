"""Library prompts over HTTP: refused at the door, or run in the version of their acceptance."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from streams.app import running
from tests.streams.webs import client, opened, web_settings


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with opened(web_settings(tmp_path)) as (front, _), client(front) as made:
        yield made


async def test_a_library_prompt_is_run_under_both_spellings_of_its_path(api: httpx.AsyncClient) -> None:
    body = {"prompt": "tone", "variables": {"content": "Sales rose."}}
    replies = [(await api.post(f"/v1/{path}", json=body)).json() for path in ("execute-prompt", "execute_prompt")]
    for told in replies:
        assert (told["status"], told["output"]["prompt"]) == (
            "succeeded",
            {"id": "library/tone", "slug": "tone", "version": 1, "label": None},
        )
        assert told["output"]["parsed"] == orjson.loads(told["output"]["content"])
        assert told["output"]["parsed"]["tone"] in {"positive", "neutral", "negative"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            {"prompt": "tones"},
            "there is no prompt 'tones'; there are answer_from_sources, classify, compare, extract, extract_data, ",
        ),
        ({"prompt": "tones"}, "(did you mean 'tone'?)"),
        ({"prompt": "tone", "version": 2}, "the prompt 'tone' has no version 2; it has 1"),
        ({"prompt": "tone", "variables": {"contents": "x"}}, "it has content, about (did you mean 'content'?)"),
        ({"prompt": "tone", "label": "production"}, "the prompt 'tone' has no label 'production'; it has latest"),
    ],
)
async def test_a_prompt_that_cannot_be_run_is_refused_at_the_door(
    api: httpx.AsyncClient, body: dict[str, Any], says: str
) -> None:
    reply = await api.post("/v1/execute-prompt", json=body)
    told = reply.json()
    assert (reply.status_code, told["error"]["type"], told["usage"]["calls"]) == (422, "invalid_request", 0)
    assert says in told["error"]["message"]


@pytest.mark.parametrize("depth", [300, 600])
async def test_variables_nested_too_deeply_are_refused(api: httpx.AsyncClient, depth: int) -> None:
    schema = "[" * depth + "]" * depth
    body = f'{{"prompt": "extract_data", "variables": {{"content": "x", "schema": {schema}}}}}'
    reply = await api.post("/v1/execute-prompt", content=body, headers={"content-type": "application/json"})
    assert (reply.status_code, "nested too deeply" in reply.json()["detail"]) == (400, True)


GREET = "slug: greet\nversions: [{versions}]\n"
V1, V2 = "{version: 1, user: Say hello., notes: n}", "{version: 2, user: Say ciao., notes: n}"


@pytest.mark.parametrize(
    "later",
    [(V1, V2), (V2,), (V1.replace("hello", "boo"), V2)],
    ids=["a newer version came", "the file has lost it", "the file was edited in place"],
)
async def test_a_request_runs_the_version_that_it_was_accepted_with_whatever_its_workers_files_say(
    tmp_path: Path, later: tuple[str, ...]
) -> None:
    """The registry keeps every wording that was ever there, under the number that it was accepted with."""
    folders = [tmp_path / "accepts", tmp_path / "runs"]
    for folder, versions in zip(folders, ((V1,), later), strict=True):
        folder.mkdir()
        (folder / "greet.yaml").write_text(GREET.format(versions=", ".join(versions)), encoding="utf-8")
    accepts, runs = (web_settings(tmp_path, prompts_dir=str(folder)) for folder in folders)
    async with opened(accepts) as (front, spine):
        spine.engine.draining = True  # this one takes the request and runs nothing
        async with client(front) as api:
            taken = await api.post("/v1/execute-prompt?wait=0", json={"prompt": "greet", "id": "a"})
            assert taken.status_code == 202
            async with running(runs, bootstrap=None):
                while (told := (await api.get(taken.headers["location"])).json())["status"] == "unfinished":
                    await asyncio.sleep(0.02)
                shown = (await api.get("/v1/prompts/greet/versions/1")).json()
    assert (told["status"], told["output"]["prompt"]["version"], shown["template"]) == ("succeeded", 1, "Say hello.")
