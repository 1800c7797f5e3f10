"""Guards by setting, from the door to the model and back."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from pydantic import ValidationError

from providers.base import Delta
from tests.streams.talking import Talking, seat
from tests.streams.webs import client, opened, web_settings

pytestmark = pytest.mark.fast

MAIL = "ann@example.org"
GUARDS = {"complete": ["email:mask"], "summarize": ["secrets:refuse"]}


async def test_verdicts_are_in_results_and_metrics(tmp_path: Path) -> None:
    """The double answers in the words that it read: with placeholders, which come back as what they stand for."""
    async with opened(web_settings(tmp_path, guards=GUARDS)) as (front, _), client(front) as api:
        masked = (await api.post("/v1/complete", json={"prompt": f"Write to {MAIL} about it."})).json()
        refused = await api.post("/v1/summarize", json={"content": "The key is sk-abcdEFGH12345678ijkl."})
        free = (await api.post("/v1/embed", json={"texts": ["sk-abcdEFGH12345678ijkl"]})).json()
        metrics = (await api.get("/metrics")).text
    assert MAIL in masked["output"]["content"]
    assert masked["warnings"] == ["guard `email`, before a call: found something, masked before the model read it"]
    error = refused.json()["error"]
    assert (refused.status_code, error["type"], error["details"]) == (
        422,
        "invalid_request",
        {"guard": "secrets", "when": "before"},
    )
    assert (free["status"], free["warnings"]) == ("succeeded", [])
    assert set(re.findall(r"^genai_guards_total\{(.*)\} 1\.0$", metrics, re.MULTILINE)) == {
        'done="mask",rule="email",when="before"',
        'done="refuse",rule="secrets",when="before"',
    }


@pytest.mark.parametrize(
    ("guards", "says"),
    [({"summarise": ["pii:mask"]}, "there is no operation summarise"), ({"*": ["pii:hide"]}, "what is to be done")],
)
def test_a_setting_that_is_wrong_ends_the_process_with_a_sentence(
    guards: dict[str, list[str]], says: str, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match=says):
        web_settings(tmp_path, guards=guards)


class Judge(Talking):
    """It finds violence where the word stands, and else only talks."""

    async def chat(self, call: Any, node: str) -> Any:
        answer = await super().chat(call, node)
        if call.schema is None:
            return answer
        found = [{"category": "violence", "confidence": 0.9}] if "violence will" in call.messages[-1].content else []
        return replace(answer, text=orjson.dumps({"found": found}).decode())


ROUTES = """
routes:
  safe: {targets: [fake/fake], guards: ["moderation:refuse:both"]}
  fast: {targets: [safe]}
  plain: fake/fake
"""


async def test_moderation_is_on_by_route(tmp_path: Path) -> None:
    """Also for what comes there by another route; an answer that was given without it serves nobody who asks with it."""
    (tmp_path / "routes.yaml").write_text(ROUTES)
    settings = web_settings(tmp_path, routes=str(tmp_path / "routes.yaml"), cache_ttl_s=60.0)
    async with opened(settings) as (front, spine), client(front) as api:
        double = seat(spine, Judge(pieces=(Delta("Fog."),)))

        async def asked(model: str, words: str, path: str = "/v1/complete") -> httpx.Response:
            return await api.post(path, json={"prompt": words, "options": {"model": model, "temperature": 0}})

        bad = "There violence will be."
        free, refused, through = [await asked(model, bad) for model in ("plain", "safe", "fast")]
        fine = (await asked("safe", "What is there?")).json()
        chat = {"model": "safe", "messages": [{"role": "user", "content": bad}], "max_tokens": 5}
        told = await api.post("/v1/chat/completions", json=chat)
        streamed = await api.post("/v1/chat/completions", json={**chat, "stream": True})
        metrics = (await api.get("/metrics")).text
    assert (free.json()["output"]["content"], fine["output"]["content"], fine["usage"]["calls"]) == ("Fog.", "Fog.", 3)
    for reply in (refused, through):
        error = reply.json()["error"]
        assert (reply.status_code, error["details"]) == (
            422,
            {"guard": "moderation", "when": "before", "categories": ["violence"]},
        )
    assert [(each.status_code, each.json()["error"]["type"]) for each in (told, streamed)] == [
        (400, "invalid_request_error")
    ] * 2
    judged = [call.max_tokens for call in double.calls if call.schema is not None]
    assert min(judged) > 5  # the request's own bound is for its answer
    assert 'genai_guards_total{done="refuse",rule="moderation",when="before"} 4.0' in metrics
