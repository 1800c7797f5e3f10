"""`models pull|warm|unload|nodes`, as people call them."""

import asyncio
import json
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from providers import fake_server
from tests.streams.commands import here

NOBODY = "http://127.0.0.1:1"

pytestmark = pytest.mark.fast


async def _run(tmp_path: Path, url: str, *arguments: str) -> CompletedProcess[str]:
    return await asyncio.to_thread(here, tmp_path, "models", *arguments, GENAI_OLLAMA_URL=url)


async def test_a_model_is_pulled_loaded_seen_and_unloaded(tmp_path: Path) -> None:
    """One node is away: the other one is served, and the exit code says that not all were."""
    async with await fake_server.start(models=("a:latest",)) as server:
        both = f"{server.url},{NOBODY}"
        pulled = await _run(tmp_path, both, "pull", "b")
        warmed = await _run(tmp_path, both, "warm", "b", "--json", "--node", server.url.removeprefix("http://"))
        unloaded = await _run(tmp_path, both, "unload", "b", "--node", server.url)
        seen = await _run(tmp_path, both, "nodes", "--json")
    assert (pulled.returncode, pulled.stdout) == (1, f"{server.url}: b pulled\n")
    assert f"{server.url}: pulling manifest" in pulled.stderr
    assert f"No connection to {NOBODY}" in pulled.stderr
    assert (warmed.returncode, json.loads(warmed.stdout)) == (
        0,
        {"model": "b", "nodes": [{"node": server.url, "ok": True, "why": ""}]},
    )
    assert (unloaded.returncode, unloaded.stdout) == (0, f"{server.url}: b unloaded\n")
    told = json.loads(seen.stdout)
    assert (seen.returncode, [(each["node"], each["ok"]) for each in told["nodes"]]) == (
        1,
        [(server.url, True), (NOBODY, False)],
    )
    assert {each["model"]: each["loaded"] for each in told["models"]} == {"a:latest": True, "b:latest": False}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("pull", "nope"), 1, "finds no `nope` in its registry"),
        (("warm", "nope"), 1, "genai-spine models pull nope"),
        (("pull", "a", "--node", "gpu-9:11434"), 2, "http://gpu-9:11434 is not in GENAI_OLLAMA_URL"),
    ],
)
async def test_what_goes_wrong_is_one_sentence(
    arguments: tuple[str, ...], code: int, words: str, tmp_path: Path
) -> None:
    async with await fake_server.start(models=("a:latest",)) as server:
        ended = await _run(tmp_path, server.url, *arguments)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert words in ended.stderr


def test_an_address_that_is_no_network_is_refused_at_the_start(tmp_path: Path) -> None:
    ended = here(tmp_path, "models", "nodes", GENAI_OUTBOUND_ALLOW="10.1.2.3/8")
    assert ended.returncode == 1
    assert "GENAI_OUTBOUND_ALLOW" in ended.stderr and "10.1.0.0/16" in ended.stderr
