"""Runs over HTTP, over SQLite and the double."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams.runs import runner
from streams.spine import Spine
from streams.web.front import Front
from tests.streams.webs import client, opened, web_settings

TEXTS = ["The ferry is late.", "Fares rise by 4%.", "A pump was sold."]
BATCH = {"kind": "workflow", "name": "genai.batch_summarize", "params": {"texts": TEXTS, "max_sentences": 1}}
LINES = {"content-type": "application/x-ndjson"}


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Front, Spine]]:
    async with opened(web_settings(tmp_path, request_max_bytes=4096)) as made:
        yield made


@pytest.fixture
async def api(parts: tuple[Front, Spine]) -> AsyncIterator[httpx.AsyncClient]:
    async with client(parts[0]) as made:
        yield made


async def ended(api: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    told = (await api.get(f"/v1/runs/{run_id}?wait=20")).json()
    assert told["ended_at"] is not None, told
    return told


async def test_a_batch_is_queued_and_its_answers_stand_in_the_order_of_the_input(api: httpx.AsyncClient) -> None:
    reply = await api.post("/v1/runs", json=BATCH)
    told = reply.json()
    run = await ended(api, told["run_id"])
    items = (await api.get(f"/v1/runs/{told['run_id']}/items")).json()["items"]
    assert (reply.status_code, told["status"], told["name"], told["progress"]["total"]) == (
        202,
        "queued",
        "batch_summarize",
        3,
    )
    assert (run["status"], run["progress"]["share"], run["result"]["count"]) == ("succeeded", 1.0, 3)
    assert run["result"]["summaries"] == [item["output"]["summary"] for item in items]
    assert [item["id"] for item in items] == [f"{told['run_id']}/{number}" for number in range(3)]
    costs = (await api.get("/v1/costs")).json()["totals"]
    assert (run["cost_usd"], run["result"]["cost"], run["result"]["total_tokens"]) == (
        costs["cost_usd"],
        costs["cost_usd"],
        costs["input_tokens"] + costs["output_tokens"],
    )


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("completion", {"prompt": "Hi", "model": "fake", "max_tokens": 5}, "text"),
        ("genai.summarize", {"text": "The ferry is late."}, "summary"),
        ("extract", {"text": "Tim was late.", "entity_types": ["person"]}, "entities"),
        ("embed", {"texts": ["a", "b"]}, "embeddings"),
        ("execute_prompt", {"prompt_id": "tone", "variables": {"content": "x"}}, "content"),
    ],
)
async def test_a_task_answers_with_its_output_its_tokens_and_its_cost(
    api: httpx.AsyncClient, name: str, params: dict[str, Any], expected: str
) -> None:
    told = (await api.post("/v1/runs?wait=20", json={"kind": "task", "name": name, "params": params})).json()
    assert (told["status"], expected in told["result"], "tokens" in told["result"], "cost" in told["result"]) == (
        "succeeded",
        True,
        True,
        True,
    )


async def test_the_same_key_gives_the_same_run_and_another_body_is_a_conflict(api: httpx.AsyncClient) -> None:
    first, again = [(await api.post("/v1/runs", json=BATCH | {"idempotency_key": "k"})).json() for _ in range(2)]
    other = await api.post("/v1/runs", json=BATCH | {"params": {"texts": ["x"]}}, headers={"idempotency-key": "k"})
    assert first["run_id"] == again["run_id"]
    assert (other.status_code, "stands for another run" in other.json()["detail"]) == (409, True)
    await ended(api, first["run_id"])
    assert (await api.get("/v1/costs")).json()["totals"]["calls"] == 3


async def test_priority_and_lane_take_the_words_of_others(api: httpx.AsyncClient) -> None:
    told = (await api.post("/v1/runs?wait=20", json=BATCH | {"priority": "low", "lane": "gpu"})).json()
    items = (await api.get(f"/v1/requests?run_id={told['run_id']}")).json()["items"]
    assert {item["lane"] for item in items} == {"batch"}
    assert told["status"] == "succeeded"


async def test_a_broken_line_fails_with_its_number_and_the_others_run(api: httpx.AsyncClient) -> None:
    lines = [json.dumps({"content": f"Line {number}."}) for number in range(1, 741)]
    lines[730] = '{"content": '
    lines[99] = json.dumps({"content": "x" * 5000})
    lines[9] = json.dumps(3)
    lines[19] = '{"content": ' + "[" * 300 + "]" * 300 + "}"
    lines[4] = json.dumps("Just a text.")
    reply = await api.post("/v1/runs?name=batch_summarize&wait=200", content="\n".join(lines), headers=LINES)
    told = reply.json()
    failed = (await api.get(f"/v1/runs/{told['run_id']}/items?status=failed")).json()["items"]
    assert (told["status"], told["progress"]["succeeded"], told["progress"]["failed"]) == ("partially_failed", 736, 4)
    assert [(item["index"], item["error"]["message"][:8]) for item in failed] == [
        (9, "line 10 "),
        (19, "line 20 "),
        (99, "line 100"),
        (730, "line 731"),
    ]
    found = (await api.get(f"/v1/runs/{told['run_id']}/results")).text.splitlines()
    assert [json.loads(line)["index"] for line in found] == list(range(740))


async def test_a_line_of_prompts_is_an_object_of_input_fields(api: httpx.AsyncClient) -> None:
    lines = [
        {"prompt": "tone", "variables": {"content": "Fares rise."}},
        {"prompt_id": "tone", "version": 1, "variables": {"content": "Fog."}},
        {"input": {"prompt": "tone", "variables": {"content": "A pump."}}},
    ]
    body = "\n".join(json.dumps(line) for line in lines)
    told = (await api.post("/v1/runs?name=batch_execute_prompt&wait=20", content=body, headers=LINES)).json()
    assert (told["status"], told["result"]["errors"], None in told["result"]["answers"]) == ("succeeded", [], False)


async def test_what_holds_for_every_line_is_said_once(api: httpx.AsyncClient) -> None:
    params = {"categories": ["sea", "land"], "model": "fake", "text": "Fog."}
    lines = ["The ferry.", {}, {"input": {"categories": ["a"], "text": "x"}}]
    told = (
        await api.post(
            "/v1/runs",
            params={"name": "batch_classify", "params": json.dumps(params), "wait": "20"},
            content="\n".join(json.dumps(line) for line in lines),
            headers=LINES,
        )
    ).json()
    items = (await api.get(f"/v1/runs/{told['run_id']}/items")).json()["items"]
    requests = [(await api.get(f"/v1/requests/{item['id']}")).json() for item in items]
    assert {item["output"]["category"] for item in items[:2]} <= {"sea", "land"}
    assert items[2]["output"]["category"] == "a"  # its own goes first
    assert {each["model"] for each in requests} == {"fake"}


async def test_a_cancelled_run_ends_soon_and_costs_nothing_more(api: httpx.AsyncClient) -> None:
    texts = [f"x {number} [fake:sleep:0.2]" for number in range(400)]
    told = (await api.post("/v1/runs", json=BATCH | {"params": {"texts": texts}})).json()
    await asyncio.sleep(0.5)
    cancelled = await api.post(f"/v1/runs/{told['run_id']}/cancel")
    run = await ended(api, told["run_id"])
    again = await api.post(f"/v1/runs/{told['run_id']}/cancel")
    assert (cancelled.status_code, run["status"], again.status_code) == (202, "cancelled", 409)
    assert run["progress"]["succeeded"] + run["progress"]["cancelled"] == 400
    assert run["progress"]["cancelled"] > 300


async def every(api: httpx.AsyncClient, run_id: str, **query: Any) -> list[dict[str, Any]]:
    found, cursor = list[dict[str, Any]](), {}
    while True:
        told = (await api.get(f"/v1/runs/{run_id}/items", params={**query, **cursor})).json()
        found += told["items"]
        if told["next"] is None:
            return found
        cursor = {"cursor": told["next"]}


async def test_items_that_are_no_requests_are_told_too(api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "WINDOW", 1)  # so that the second part of 500 and 300 waits
    texts = [f"x {number} [fake:gate]" for number in range(800)]
    run_id = (await api.post("/v1/runs", json=BATCH | {"params": {"texts": texts}})).json()["run_id"]
    running = await every(api, run_id, limit=130)
    await api.post(f"/v1/runs/{run_id}/cancel")
    run = await ended(api, run_id)
    after = await every(api, run_id, limit=130)
    lines = [json.loads(line) for line in (await api.get(f"/v1/runs/{run_id}/results")).text.splitlines()]
    stopped = await every(api, run_id, limit=500, status="cancelled")
    assert [each["index"] for each in running] == list(range(800))
    assert {each["status"] for each in running} == {"unfinished"}
    assert (lines, stopped, [each["index"] for each in after]) == (after, after, list(range(800)))
    assert ({frozenset(each) for each in after}, {each["status"] for each in after}) == (
        {frozenset(after[0])},
        {"cancelled"},
    )
    assert (run["progress"]["cancelled"], run["result"]["summaries"]) == (800, [None] * 800)
    assert [each["index"] for each in run["result"]["errors"]] == list(range(800))


async def test_a_list_of_items_goes_on_where_it_was_though_they_were_sent_meanwhile(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "WINDOW", 0)
    run_id = (await api.post("/v1/runs", json=BATCH)).json()["run_id"]
    first = (await api.get(f"/v1/runs/{run_id}/items?limit=2")).json()
    monkeypatch.setattr(runner, "WINDOW", 10)
    await ended(api, run_id)
    second = await every(api, run_id, limit=2, cursor=first["next"])
    assert [(each["index"], each["status"]) for each in first["items"] + second] == [
        (0, "unfinished"),
        (1, "unfinished"),
        (2, "succeeded"),
    ]


async def test_only_what_failed_is_run_again(api: httpx.AsyncClient) -> None:
    texts = ["fine", "x [fake:rejected*1]", "fine too"]
    told = (await api.post("/v1/runs?wait=20", json=BATCH | {"params": {"texts": texts}})).json()
    retried = await api.post(f"/v1/runs/{told['run_id']}/retry")
    run = await ended(api, told["run_id"])
    again = await api.post(f"/v1/runs/{told['run_id']}/retry")
    assert (told["status"], retried.json()["retried"], run["status"], again.status_code) == (
        "partially_failed",
        1,
        "succeeded",
        409,
    )


async def test_events_tell_progress_and_the_end(api: httpx.AsyncClient) -> None:
    told = (await api.post("/v1/runs", json=BATCH)).json()
    text = (await api.get(f"/v1/runs/{told['run_id']}/events")).text
    last = text.strip().split("\n\n")[-1].splitlines()
    assert (last[0], json.loads(last[2].removeprefix("data: "))["status"]) == ("event: end", "succeeded")
    mark = last[1].removeprefix("id: ")
    assert (await api.get(f"/v1/runs/{told['run_id']}/events", headers={"last-event-id": mark})).status_code == 204


async def test_runs_are_listed_by_status_and_name_also_without_v1(api: httpx.AsyncClient) -> None:
    ids = [(await api.post("/runs?wait=20", json=BATCH)).json()["run_id"] for _ in range(3)]
    first = (await api.get("/runs?status=succeeded&name=batch_summarize&limit=2")).json()
    second = (await api.get(f"/runs?status=succeeded&name=batch_summarize&limit=2&cursor={first['next']}")).json()
    assert [item["run_id"] for item in first["items"] + second["items"]] == ids[::-1]


@pytest.mark.parametrize("name", ["genai.batch_summarize", "batch-summarize", "genai.completion"])
async def test_a_list_takes_each_name_that_a_run_is_submitted_by(api: httpx.AsyncClient, name: str) -> None:
    task = {"kind": "task", "name": name, "params": {"prompt": "Hi"}}
    told = (await api.post("/v1/runs", json=task if "completion" in name else BATCH | {"name": name})).json()
    found = (await api.get("/v1/runs", params={"name": name})).json()["items"]
    assert [each["run_id"] for each in found] == [told["run_id"]]


async def test_another_process_goes_on_where_one_left(tmp_path: Path) -> None:
    settings = web_settings(tmp_path, fake_slots=2)
    texts = [f"x {number} [fake:sleep:0.02]" for number in range(200)]
    async with opened(settings) as (front, _), client(front) as api:
        told = (await api.post("/v1/runs", json=BATCH | {"params": {"texts": texts}})).json()
        await asyncio.sleep(0.3)
    async with opened(settings) as (front, _), client(front) as api:
        run = await ended(api, told["run_id"])
        costs = (await api.get("/v1/costs")).json()["totals"]
    assert (run["status"], run["progress"]["succeeded"]) == ("succeeded", 200)
    assert costs["cost_usd"] == run["cost_usd"]


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"kind": "task"}, 422, "name"),
    ({"kind": "job", "name": "summarize"}, 422, "kind"),
    ({"kind": "task", "name": "sumarize"}, 422, "did you mean 'summarize'?"),
    ({"kind": "workflow", "name": "summarize"}, 422, "batch_summarize"),
    ({"kind": "task", "name": "summarize", "params": {}}, 422, "`input.content`: Field required"),
    ({"kind": "task", "name": "summarize", "params": {"text": " "}}, 422, "is blank"),
    ({"kind": "workflow", "name": "batch_summarize", "params": {"texts": []}}, 422, "is empty"),
    ({"kind": "workflow", "name": "batch_summarize", "params": {"texts": "one"}}, 422, "no list"),
    (BATCH | {"priority": "realtime", "lane": "batch"}, 422, "different lanes"),
    (BATCH | {"lane": "fast"}, 422, "lane"),
    (BATCH | {"colour": "red"}, 422, "colour"),
    (BATCH | {"webhook": {"url": "ftp://x", "secret": "x" * 32}}, 422, "webhook"),
    (BATCH | {"deadline": "tomorrow"}, 422, "deadline"),
    (BATCH | {"id": "news/2026"}, 422, "`id`: is a part of addresses"),
    (BATCH | {"id": ".."}, 422, "`id`: is a part of addresses"),
]


async def test_bad_input_is_told_what_to_do(api: httpx.AsyncClient) -> None:
    told = []
    for body, status, words in BAD:
        reply = await api.post("/v1/runs", json=body)
        if (reply.status_code, words in reply.text) != (status, True):
            told.append((body, reply.status_code, reply.text))
    empty = await api.post("/v1/runs?name=batch_summarize", content="\n \n", headers=LINES)
    task = await api.post("/v1/runs?kind=task&name=summarize", content='"x"', headers=LINES)
    lost = await api.get("/v1/runs/nope")
    assert (told, empty.status_code, task.status_code, lost.status_code) == ([], 422, 422, 404)
    for params, words in (("{", "not JSON"), ("3", "dictionary"), ('{"texts": ["a"]}', "the lines are the items")):
        query = {"name": "batch_summarize", "params": params}
        reply = await api.post("/v1/runs", params=query, content='"x"', headers=LINES)
        assert (reply.status_code, words in reply.text) == (422, True), reply.text


async def test_any_other_id_leads_to_its_run(api: httpx.AsyncClient) -> None:
    told = (await api.post("/v1/runs?wait=20", json=BATCH | {"id": "a b%2Fc?d#e"})).json()
    found = [await api.get(told[name]) for name in ("items_url", "result_url")]
    again = await api.get(told["items_url"].partition("/items?")[0])
    assert ([each.status_code for each in found], again.json()["run_id"]) == ([200, 200], "a b%2Fc?d#e")


async def test_a_run_stays_within_the_budget_that_was_set_for_its_id(api: httpx.AsyncClient) -> None:
    await api.put("/v1/budgets", json={"run": "careful", "limit_usd": "0", "per": "total"})
    told = (await api.post("/v1/runs?wait=20", json=BATCH | {"id": "careful"})).json()
    (item, *_) = (await api.get("/v1/runs/careful/items")).json()["items"]
    assert (told["status"], told["cost_usd"], item["error"]["type"]) == ("failed", "0.000000", "budget_exceeded")
