"""OpenAI's and Anthropic's paths with an Idempotency-Key: which bodies are the same one."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams.spine import Spine
from tests.streams.talking import Talking, seat
from tests.streams.webs import client, opened, web_settings

KEY = {"idempotency-key": "k"}
CHAT = {"messages": [{"role": "user", "content": "One."}]}


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Spine]]:
    async with opened(web_settings(tmp_path)) as (front, spine), client(front) as api:
        yield api, spine


SAME = [
    ("/v1/chat/completions", CHAT, {**CHAT, "stream": True, "stream_options": {"include_usage": True}}, 1),
    ("/v1/completions", {"prompt": ["a", "b"]}, {"prompt": ["a", "b"]}, 2),
    ("/v1/completions", {"prompt": "a"}, {"prompt": "a", "stream": True}, 1),
]
OTHER = [
    ("/v1/completions", {"prompt": ["a", "b"]}, {"prompt": ["a"]}, 2),
    ("/v1/completions", {"prompt": ["a", "b"]}, {"prompt": "a"}, 2),
    ("/v1/completions", {"prompt": ["a"]}, {"prompt": ["a", "b"]}, 1),  # nothing of the second one is run
    ("/v1/chat/completions", CHAT, {**CHAT, "metadata": {"a": "b"}}, 1),
    ("/v1/messages", {**CHAT, "max_tokens": 9}, {**CHAT, "max_tokens": 9, "metadata": {"user_id": "u"}}, 1),
]


@pytest.mark.parametrize(
    ("path", "first", "second", "calls", "status"),
    [(*each, 200) for each in SAME] + [(*each, 422) for each in OTHER],
)
async def test_a_key_stands_for_one_body(
    parts: tuple[httpx.AsyncClient, Spine],
    path: str,
    first: dict[str, Any],
    second: dict[str, Any],
    calls: int,
    status: int,
) -> None:
    api, spine = parts
    double = seat(spine, Talking())
    replies = [await api.post(path, json={"model": "fake", **body}, headers=KEY) for body in (first, second)]
    assert ([reply.status_code for reply in replies], len(double.calls)) == ([200, status], calls)


async def test_the_id_of_several_prompts_is_that_of_the_first_ones_request(
    parts: tuple[httpx.AsyncClient, Spine],
) -> None:
    told = (await parts[0].post("/v1/completions", json={"model": "fake", "prompt": ["One.", "Two."]})).json()
    kept = [(await parts[0].get(f"/v1/requests/{told['id']}{behind}")).json() for behind in ("", "-1")]
    assert [each["output"]["content"] for each in kept] == [choice["text"] for choice in told["choices"]]
