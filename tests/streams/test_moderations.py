"""`/v1/moderations`: to a model that is made for it, or by a prompt; never an answer of our own."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from providers.double.faults import Behaviour
from providers.fake import FakeProvider
from providers.fake_server import FakeServer
from schemas.moderate import CATEGORIES, MAX_TEXTS
from tests.streams.webs import client, opened, web_settings

pytestmark = pytest.mark.fast

PATH = "/v1/moderations"
THREAT = "There will be violence at the ferry."


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with FakeServer(Behaviour(), slots=0, models=()) as openai:
        await openai.listen("127.0.0.1", 0)
        settings = web_settings(
            tmp_path,
            request_max_bytes=4096,
            openai_api_key="sk-fake",
            openai_base_url=f"{openai.url}/v1",
            moderation_model="openai/omni-moderation-latest",
        )
        async with opened(settings) as (front, _), client(front) as found:
            yield found


async def test_a_model_that_is_made_for_it_answers_in_openais_shape(api: httpx.AsyncClient) -> None:
    reply = await api.post(PATH, json={"input": [THREAT, "The ferry was late."]})
    told = reply.json()
    kept = (await api.get(f"/v1/requests/{told['id']}")).json()
    assert (reply.status_code, told["model"], reply.headers["x-genai-cost-usd"]) == (
        200,
        "openai/omni-moderation-latest",
        "0.000000",
    )
    first, second = told["results"]
    assert (first["flagged"], second["flagged"]) == (True, False)
    assert [name for name, is_found in first["categories"].items() if is_found] == ["violence"]
    assert first["category_scores"]["violence"] > 0.9 > second["category_scores"]["violence"]
    assert set(first["categories"]) == set(first["category_applied_input_types"]) == set(CATEGORIES)
    assert (kept["operation"], kept["usage"]["calls"], kept["provider"]) == ("moderate", 1, "openai")


async def test_what_the_request_names_goes_before_the_settings_and_is_asked_by_a_prompt(api: httpx.AsyncClient) -> None:
    told = (await api.post(PATH, json={"input": THREAT, "model": "fake"})).json()
    kept = (await api.get(f"/v1/requests/{told['id']}")).json()
    scores = kept["output"]["results"][0]["scores"]
    assert (told["model"], kept["provider"], kept["usage"]["calls"]) == ("fake", "fake", 1)
    assert told["results"][0]["category_scores"] == scores


async def test_parts_are_one_text(api: httpx.AsyncClient) -> None:
    parts = [{"type": "text", "text": "No"}, {"type": "text", "text": THREAT}]
    told = (await api.post(PATH, json={"input": parts})).json()
    assert [each["flagged"] for each in told["results"]] == [True]


async def test_the_operation_itself_says_the_same(api: httpx.AsyncClient) -> None:
    told = (await api.post("/v1/moderate", json={"texts": [THREAT]})).json()
    assert (told["status"], told["model"]) == ("succeeded", "omni-moderation-latest")
    assert told["output"]["results"][0]["flagged"] is True


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
WRONG: list[tuple[dict[str, Any], int, str | None]] = [
    ({}, 400, "input"),
    ({"input": ""}, 400, "input"),
    ({"input": []}, 400, "input"),
    ({"input": 5}, 400, "input"),
    ({"input": ["x", 5]}, 400, "input[0]"),
    ({"input": ["x", " "]}, 400, "input[1]"),
    ({"input": [PICTURE]}, 400, "input[0]"),
    ({"input": [{"type": "text"}]}, 400, "input[0].text"),
    ({"input": [{"type": "text", "text": "x", "colour": 1}]}, 400, "input[0].colour"),
    ({"input": ["x"] * (MAX_TEXTS + 1)}, 400, "input"),
    ({"input": "x", "model": 5}, 400, "model"),
    ({"input": "x", "stream": True}, 400, "stream"),
    ({"messages": [{"role": "user", "content": "x"}]}, 400, "messages"),
    ({"input": "x", "model": "fake-embed"}, 400, "model"),  # it only embeds
    ({"input": "x", "model": "fakee"}, 404, "model"),
    ({"input": "x" * 5000}, 413, None),
]


async def test_what_is_wrong_is_named(api: httpx.AsyncClient) -> None:
    for body, status, param in WRONG:
        reply = await api.post(PATH, json=body)
        error = reply.json()["error"]
        assert (reply.status_code, error["param"]) == (status, param), (str(body)[:200], error)
    deep = orjson.dumps({"input": 1}).replace(b"1", b"[" * 300 + b"]" * 300)
    reply = await api.post(PATH, content=deep, headers={"content-type": "application/json"})
    assert (reply.status_code, set(reply.json()["error"])) == (400, {"message", "type", "param", "code"})


async def test_an_unknown_model_is_told_with_names_that_are_near(api: httpx.AsyncClient) -> None:
    error = (await api.post(PATH, json={"input": "x", "model": "fakee"})).json()["error"]
    assert error["code"] == "model_not_found" and "Did you mean fake" in error["message"]


async def test_a_chat_is_refused_by_a_model_that_only_moderates(api: httpx.AsyncClient) -> None:
    chat = {"model": "openai/omni-moderation-latest", "messages": [{"role": "user", "content": "x"}]}
    reply = await api.post("/v1/chat/completions", json=chat)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "model")


async def test_without_a_setting_the_default_provider_is_asked(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path)) as (front, spine), client(front) as plain:
        told = (await plain.post(PATH, json={"input": THREAT})).json()
        fake = spine.providers["fake"]
        assert isinstance(fake, FakeProvider)
        calls = fake.counts.total.started
    assert (told["model"], calls) == ("fake/fake", 1)
