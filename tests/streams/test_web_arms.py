"""A label that stands for several versions: who gets which, where it is told, and what is said of them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from schemas.pin import pins
from schemas.request import Lane
from store.ledger.types.arrivals import Ask
from streams.spine import Spine
from streams.web.front import Front
from tests.streams.webs import client, opened, web_settings

SCHEMA = {"type": "object", "properties": {"tone": {"type": "string"}}, "required": ["tone"]}
NEW = {
    "slug": "port-news",
    "template": "{{ content }}",
    "variables": [{"name": "content", "type": "content"}],
    "output_schema": SCHEMA,
}
BROKEN = {"template": "{{ content }} [fake:gibberish*1]", "notes": "It answers in prose at first."}
LABEL = "/v1/prompts/port-news/labels/production"


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Front, Spine]]:
    async with opened(web_settings(tmp_path, poll_s=30.0)) as made:
        yield made


@pytest.fixture
async def api(parts: tuple[Front, Spine]) -> AsyncIterator[httpx.AsyncClient]:
    async with client(parts[0]) as made:
        (await made.post("/v1/prompts", json=NEW)).raise_for_status()
        (await made.put("/v1/prompts/port-news", json=BROKEN)).raise_for_status()
        yield made


async def stands(api: httpx.AsyncClient, weights: dict[str, int]) -> dict[str, Any]:
    reply = await api.put(LABEL, json={"weights": weights, "why": "compare"}, headers={"x-genai-user": "ada"})
    assert reply.status_code == 200, reply.text
    return dict(reply.json()["labels"])


async def asked(api: httpx.AsyncClient, key: str, **more: Any) -> dict[str, Any]:
    body = {"prompt": "port-news", "variables": {"content": "The ferry is late."}, "key": key, **more}
    return dict((await api.post("/v1/execute-prompt", json=body)).json())


async def test_a_key_gets_its_arm_and_the_result_names_it(api: httpx.AsyncClient) -> None:
    """Sixty keys: that none of them falls to the smaller arm, by the prompt's random id, is one run in a million."""
    labels = await stands(api, {"1": 4, "2": 1})
    told = [await asked(api, f"user-{n % 60}") for n in range(120)]
    arms = [each["prompts"][0]["arm"] for each in told]
    history = (await api.get("/v1/prompts/port-news/labels")).json()["history"]
    assert labels == {"production": {"1": 4, "2": 1}}
    assert (history[0]["to"], history[0]["who"], history[0]["why"]) == ({"1": 4, "2": 1}, "ada", "compare")
    assert arms[:60] == arms[60:]
    assert set(arms) == {"production/1", "production/2"}
    assert arms.count("production/1") > arms.count("production/2")
    assert {(each["prompts"][0]["version"], each["prompts"][0]["share"]) for each in told} == {(1, 0.8), (2, 0.2)}
    assert all(each["output"]["prompt"]["version"] == each["prompts"][0]["version"] for each in told)


async def test_one_that_fails_names_its_arm_and_one_without_an_experiment_none(api: httpx.AsyncClient) -> None:
    await stands(api, {"1": 1, "2": 1})
    failed = await asked(api, "a", variables={"content": "[fake:rejected]"})
    await api.put(LABEL, json={"version": 1, "why": "done"})
    plain = await asked(api, "a")
    assert (failed["status"], failed["prompts"][0]["arm"] in {"production/1", "production/2"}) == ("failed", True)
    assert (plain["prompts"][0]["label"], plain["prompts"][0]["arm"], plain["route"]) == ("production", None, None)


async def test_a_record_is_stuck_to_its_key_and_a_key_given_goes_first(
    parts: tuple[Front, Spine], api: httpx.AsyncClient
) -> None:
    await stands(api, {"1": 1, "2": 1})

    def version(id_: str, key: bytes | None, given: str | None) -> int:
        input_ = {"prompt": "port-news", "variables": {"content": "x"}} | ({"key": given} if given else {})
        value = orjson.dumps({"id": id_, "input": input_})
        found = parts[1].decoder.ask("execute_prompt", Lane.NORMAL, value, (), place=id_, tenant="default", key=key)
        assert isinstance(found, Ask)
        return pins(found.pinned)[0].version

    by_id = {id_: version(id_, None, None) for id_ in map(str, range(20))}
    assert set(by_id.values()) == {1, 2}
    assert {version(id_, b"7", None) for id_ in by_id} == {by_id["7"]}
    assert {version(id_, b"7", "3") for id_ in by_id} == {by_id["3"]}


async def test_the_report_says_which_arm_keeps_to_its_schema_and_that_it_is_more_than_noise(
    api: httpx.AsyncClient,
) -> None:
    await stands(api, {"1": 60, "2": 40})
    told = await asyncio.gather(*(asked(api, f"user-{n}") for n in range(60)))
    await asked(api, "nobody's", version=2)  # it named its version: nobody drew for it
    found = (await api.get(f"{LABEL}/arms")).json()
    first, second = found["arms"]
    drawn = [each["prompts"][0]["version"] for each in told]
    assert (first["requests"], second["requests"]) == (drawn.count(1), drawn.count(2))
    assert (found["against"], first["share"], second["arm"]) == (1, 0.6, "production/2")
    assert (first["success"]["share"], second["success"]["share"]) == (1.0, 1.0)
    assert (first["schema_valid"]["share"], second["schema_valid"]["share"]) == (1.0, 0.0)
    assert second["schema_valid"]["high"] < first["schema_valid"]["low"]
    costs = sum(float(each["usage"]["cost_usd"]) for each in told)
    assert sum(float(arm["cost_usd"]["total"]) for arm in found["arms"]) == pytest.approx(costs)
    assert first["latency_ms"]["p50"]["low"] <= first["latency_ms"]["p95"]["high"]
    real = {each["what"] for each in found["differences"] if each["more_than_noise"]}
    assert {"schema_valid", "cost_usd"} <= real
    assert "success" not in real
    assert "Version 2 keeps to its schema at once less often than version 1: 0.0 % of" in found["words"]


async def test_without_requests_the_report_says_so(api: httpx.AsyncClient) -> None:
    await stands(api, {"1": 1, "2": 1})
    found = (await api.get(f"{LABEL}/arms?from=2026-01-01&to=2026-01-31")).json()
    assert found["words"] == "No request that 'production' chose a version for was called in this time."
    assert [(arm["requests"], arm["success"]["share"]) for arm in found["arms"]] == [(0, None), (0, None)]
    assert all(each["more_than_noise"] is None for each in found["differences"])


BAD: list[tuple[str, str, Any, int, str]] = [
    ("PUT", "production", {"why": "x"}, 422, "either `version` or `weights`"),
    ("PUT", "production", {"version": 1, "weights": {"1": 1}, "why": "x"}, 422, "either `version` or `weights`"),
    ("PUT", "production", {"weights": {"1": 0, "2": 1}, "why": "x"}, 422, "greater than or equal to 1"),
    ("PUT", "production", {"weights": {"1": 1, "7": 1}, "why": "x"}, 404, "has no version 7; it has 1, 2"),
    ("PUT", "production", {"weights": {"one": 1}, "why": "x"}, 422, "integer"),
    ("PUT", "Not A Label", {"version": 1, "why": "x"}, 422, "`label`"),
    ("PUT", "latest", {"version": 1, "why": "x"}, 409, "nobody moves it"),
    ("PUT", "production", {"version": 1}, 422, "`why`"),
    ("GET", "beta/arms", None, 404, "has no label 'beta'; it has none"),
    ("GET", "production/arms?from=2026-11-21&to=2026-11-20", None, 422, "exchange them"),
    ("GET", "production/arms?since=1", None, 422, "since"),
]


async def test_bad_input_is_told_what_to_do(api: httpx.AsyncClient) -> None:
    wrong = []
    for method, path, body, status, says in BAD:
        reply = await api.request(method, f"/v1/prompts/port-news/labels/{path}", json=body)
        if reply.status_code != status or says not in reply.json()["detail"]:
            wrong.append((path, reply.status_code, reply.text))
    assert wrong == []
