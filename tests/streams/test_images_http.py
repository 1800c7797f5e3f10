"""Pictures from the door to the model: bombs and addresses of ours end as one clear refusal, pictures arrive."""

from pathlib import Path
from typing import Any

import pytest

from providers import fake_server
from tests.providers.test_images import data_url, png
from tests.streams.webs import client, opened, web_settings

pytestmark = pytest.mark.fast


def asked(url: str, **options: str) -> dict[str, Any]:
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    return {"messages": [{"role": "user", "content": parts}], "options": options}


async def test_what_must_not_be_fetched_or_unpacked_is_refused_once_and_named(tmp_path: Path) -> None:
    """By the double's provider and by Ollama's; no model is called, and nothing is tried again."""
    async with await fake_server.start() as server:
        settings = web_settings(tmp_path, ollama_url=server.url)
        async with opened(settings) as (front, _), client(front) as api:
            at_ollama = {"provider": "ollama", "model": "llama3.2"}
            bodies = [
                asked(data_url(png(100_000, 100_000)), provider="fake"),
                asked(data_url(png(100_000, 100_000)), **at_ollama),
                asked("https://169.254.169.254/latest/meta-data/iam", **at_ollama),
                asked("https://localhost/secret.png", **at_ollama),
                asked("http://images.example.org/a.png", **at_ollama),
            ]
            replies = [await api.post("/v1/complete", json=body) for body in bodies]
            seen = await api.post("/v1/complete", json=asked(data_url(png(640, 480)), **at_ollama))
    for reply in replies:
        told = reply.json()
        assert (reply.status_code, told["error"]["type"], told["attempts"]) == (422, "invalid_request", 1), told
        assert told["error"]["details"] == {"fields": ["image_url"]}
    assert seen.json()["status"] == "succeeded"
    assert seen.json()["usage"]["input_tokens"] == 3 + 100  # words, and a picture
    assert server.counts.total.started == 1
