"""Pipelines over HTTP, over SQLite and the double."""

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import yaml

from streams.runs import parts as run_parts
from streams.runs import walking
from streams.spine import Spine
from streams.web.front import Front
from tests.streams.webs import client, opened, web_settings

pytestmark = pytest.mark.asyncio(loop_scope="module")

PIPELINES: dict[str, dict[str, Any]] = {
    "lenient": {
        "inputs": {"texts": {"type": "list", "of": "text"}},
        "steps": [
            {
                "name": "each",
                "use": "summarize",
                "map": "${inputs.texts}",
                "when": {"value": "${item}", "not_equals": ""},
                "with": {"content": "${item}", "max_sentences": 1},
                "on_error": "skip",
            },
            {
                "name": "kind",
                "use": "classify",
                "map": "${steps.each.output}",
                "with": {"content": "Number ${index}: ${item.summary}", "categories": ["a", "b"]},
            },
        ],
        "collect": {"kinds": "${steps.kind.output[*].category}", "status": "${steps.each.status}"},
    },
    "either": {
        "inputs": {"text": {}, "long": {"type": "boolean", "default": False}},
        "steps": [
            {"name": "short", "use": "summarize", "when": "${inputs.long}", "with": {"content": "${inputs.text}"}},
            {
                "name": "risky",
                "use": "complete",
                "with": {"prompt": "${inputs.text}"},
                "on_error": "default",
                "default": {"content": "none"},
            },
        ],
        "collect": {"short": "${steps.short.output.summary}", "risky": "${steps.risky.output.content}"},
    },
    "slow": {
        "inputs": {"texts": {"type": "list"}},
        "steps": [
            {"name": "one", "use": "summarize", "map": "${inputs.texts}", "with": {"content": "${item}"}},
            {"name": "two", "use": "unique", "with": {"items": "${steps.one.output[*].summary}"}},
        ],
    },
    "wrong_inside": {
        "inputs": {"deep": {"type": "object"}},
        "steps": [{"name": "a", "use": "unique", "with": {"items": "${inputs.deep.list}"}}],
    },
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def parts(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Front, Spine]]:
    """One process for all of them: what they count is of their own runs."""
    data = tmp_path_factory.mktemp("data")
    folder = data / "pipelines"
    folder.mkdir()
    for name, told in PIPELINES.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **told}, sort_keys=False))
    async with opened(web_settings(data, pipelines_dir=str(folder))) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(parts: tuple[Front, Spine]) -> AsyncIterator[httpx.AsyncClient]:
    async with client(parts[0]) as made:
        yield made


async def submit(api: httpx.AsyncClient, name: str, params: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = {"kind": "pipeline", "name": name, "params": params, **more}
    told: dict[str, Any] = (await api.post("/v1/runs?wait=20", json=body)).json()
    return told


async def ended(api: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
    told: dict[str, Any] = (await api.get(f"/v1/runs/{run_id}?wait=20")).json()
    assert told["ended_at"] is not None, told
    return told


async def totals(api: httpx.AsyncClient) -> dict[str, Any]:
    return dict((await api.get("/v1/costs")).json()["totals"])


def steps(run: dict[str, Any], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(step[name] for name in ("name", *names)) for step in run["steps"]]


async def test_steps_run_one_after_another_and_their_requests_are_the_runs_items(api: httpx.AsyncClient) -> None:
    run = await submit(api, "genai.digest", {"texts": ["The ferry is late.", "Fares rise."]}, metadata={"feed": "x"})
    items = (await api.get(f"/v1/runs/{run['run_id']}/items")).json()["items"]
    assert (run["status"], run["progress"]["total"], run["progress"]["share"]) == ("succeeded", 3, 1.0)
    assert steps(run, "use", "status", "total", "done") == [
        ("each", "summarize", "succeeded", 2, 2),
        ("together", "join", "succeeded", 1, 1),
        ("whole", "summarize", "succeeded", 1, 1),
    ]
    assert run["result"]["summaries"] == [items[0]["output"]["summary"], items[1]["output"]["summary"]]
    assert run["result"]["summary"] == items[2]["output"]["summary"]
    assert [(item["step"], item["index"], item["metadata"]) for item in items] == [
        ("each", 0, {"feed": "x"}),
        ("each", 1, {"feed": "x"}),
        ("whole", 0, {"feed": "x"}),
    ]


async def test_what_a_run_costs_is_what_its_steps_cost_and_the_books_say(api: httpx.AsyncClient) -> None:
    before = await totals(api)
    run = await submit(api, "digest", {"texts": ["The ferry is late.", "Fares rise."]})
    costs = await totals(api)
    assert Decimal(run["cost_usd"]) == Decimal(costs["cost_usd"]) - Decimal(before["cost_usd"]) > 0
    assert run["tokens"] == sum(costs[each] - before[each] for each in ("input_tokens", "output_tokens"))
    assert sum(step["tokens"] for step in run["steps"]) == run["tokens"]


async def test_items_that_fail_or_have_nothing_to_do_leave_null_in_their_places(api: httpx.AsyncClient) -> None:
    run = await submit(api, "lenient", {"texts": ["One.", "", "Two. [fake:rejected]", "Three."]})
    kinds = run["result"]["kinds"]
    assert (run["status"], run["result"]["status"], [kind in {"a", "b"} for kind in kinds]) == (
        "succeeded",
        "succeeded",
        [True, False, False, True],
    )
    assert steps(run, "status", "succeeded", "failed", "passed") == [
        ("each", "succeeded", 2, 1, 1),
        ("kind", "succeeded", 2, 0, 2),
    ]
    assert "the first, [2]" in run["steps"][0]["error"]


async def test_a_list_is_fed_in_pages_and_mapped_from_the_ledger(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_parts, "MOST", 4)
    monkeypatch.setattr(walking, "WINDOW", 6)
    run = await submit(api, "lenient", {"texts": [f"Text {number}." for number in range(15)]})
    ids = [
        item["id"].rpartition("/")[0][-4:]
        for item in (await api.get(f"/v1/runs/{run['run_id']}/items")).json()["items"]
    ]
    assert (run["status"], len(run["result"]["kinds"]), ids.count("each"), ids.count("kind")) == (
        "succeeded",
        15,
        15,
        15,
    )


async def test_a_condition_skips_a_step_and_a_default_stands_for_one_that_failed(api: httpx.AsyncClient) -> None:
    run = await submit(api, "either", {"text": "x [fake:rejected]"})
    assert (run["status"], run["result"], steps(run, "status")) == (
        "succeeded",
        {"short": None, "risky": "none"},
        [("short", "skipped"), ("risky", "defaulted")],
    )


async def test_a_failed_step_ends_the_run_and_a_retry_pays_only_what_failed(api: httpx.AsyncClient) -> None:
    run = await submit(api, "digest", {"texts": ["fine", "x [fake:rejected*1]", "fine too"]})
    before = (await totals(api))["calls"]
    retried = (await api.post(f"/v1/runs/{run['run_id']}/retry")).json()
    again = await ended(api, run["run_id"])
    refused = await api.post(f"/v1/runs/{run['run_id']}/retry")
    assert steps(run, "status") == [("each", "failed"), ("together", "cancelled"), ("whole", "cancelled")]
    assert (run["status"], run["result"]["error"]["step"], retried["retried"]) == ("failed", "each", 1)
    assert "1 of 3 items did not succeed; the first, [1]:" in run["result"]["error"]["message"]
    assert (again["status"], again["progress"]["succeeded"], len(again["result"]["summaries"])) == ("succeeded", 3, 3)
    assert (await totals(api))["calls"] == before + 2
    assert refused.status_code == 409


async def test_a_reference_that_leads_to_nothing_fails_its_step_and_costs_nothing(api: httpx.AsyncClient) -> None:
    run = await submit(api, "wrong_inside", {"deep": {"other": 1}})
    assert (run["status"], run["result"]["error"]) == (
        "failed",
        {
            "type": "invalid_request",
            "message": "the step 'a' failed: ${inputs.deep.list}: there is no 'list' in it; there are other",
            "step": "a",
        },
    )


async def test_a_users_text_is_no_reference(api: httpx.AsyncClient) -> None:
    evil = "${inputs.max_sentences} ${steps.whole.output}"
    run = await submit(api, "digest", {"texts": [evil]})
    body = (await api.get(f"/v1/requests/{run['run_id']}/each/0")).json()
    assert (run["status"], body["status"]) == ("succeeded", "succeeded")


async def test_a_cancelled_run_asks_nothing_more_and_a_retry_finishes_it(api: httpx.AsyncClient) -> None:
    before = (await totals(api))["calls"]
    body = {"kind": "pipeline", "name": "slow", "params": {"texts": [f"x {n} [fake:sleep:0.1]" for n in range(24)]}}
    run_id = (await api.post("/v1/runs", json=body)).json()["run_id"]
    while not (await api.get(f"/v1/runs/{run_id}")).json()["steps"][0]["succeeded"]:
        await asyncio.sleep(0.02)
    assert (await api.post(f"/v1/runs/{run_id}/cancel")).status_code == 202
    run = await ended(api, run_id)
    calls = (await totals(api))["calls"] - before
    assert (run["status"], steps(run, "status")) == ("cancelled", [("one", "cancelled"), ("two", "cancelled")])
    assert calls < 24
    await api.post(f"/v1/runs/{run_id}/retry")
    assert (await ended(api, run_id))["status"] == "succeeded"


async def test_a_deadline_that_passes_expires_it(api: httpx.AsyncClient) -> None:
    run = await submit(api, "slow", {"texts": ["x"]}, deadline="2020-01-01T00:00:00Z")
    assert (run["status"], steps(run, "status")) == ("expired", [("one", "cancelled"), ("two", "cancelled")])


async def test_lane_and_options_go_to_every_request(api: httpx.AsyncClient) -> None:
    run = await submit(api, "digest", {"texts": ["One."], "max_tokens": 33}, priority="low", options={"model": "fake"})
    items = (await api.get(f"/v1/requests?run_id={run['run_id']}")).json()["items"]
    assert {(item["lane"], item["model"]) for item in items} == {("batch", "fake")}


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("digset", {}, "There is no pipeline 'digset'; there are digest, either, lenient, rag_pipeline, slow, wrong_inside"),
        ("digest", {}, "`params.texts` is missing; the pipeline needs it (list)."),
        ("digest", {"texts": "x"}, "`params.texts` is a text; give a list."),
        ("digest", {"texts": ["a", 1]}, "`params.texts` at [1] is an integer; give a text."),
        ("digest", {"texts": [], "max_sentences": 1.5}, "`params.max_sentences` is a number; give an integer."),
        ("digest", {"texts": [], "sentences": 1}, "`params.sentences` is no input of 'digest' (did you mean 'max_sentences'?)"),
        ("digest", {"texts": ["a"], "provider": "nobody"}, "The step 'each': "),
    ],
)  # fmt: skip
async def test_what_cannot_run_is_refused_before_it_is_kept(
    api: httpx.AsyncClient, name: str, params: dict[str, Any], words: str
) -> None:
    reply = await api.post("/v1/runs", json={"kind": "pipeline", "name": name, "params": params})
    assert (reply.status_code, reply.json()["detail"][: len(words)]) == (422, words)


async def test_the_same_key_gives_the_same_run(api: httpx.AsyncClient) -> None:
    first, again = [await submit(api, "digest", {"texts": ["One."]}, idempotency_key="k") for _ in range(2)]
    other = await api.post(
        "/v1/runs", json={"kind": "pipeline", "name": "digest", "params": {"texts": ["Two."]}, "idempotency_key": "k"}
    )
    assert (first["run_id"], other.status_code) == (again["run_id"], 409)


async def test_pipelines_are_listed_with_their_inputs_and_drawn(api: httpx.AsyncClient) -> None:
    listed = (await api.get("/v1/pipelines")).json()["items"]
    one = (await api.get("/v1/pipelines/digest")).json()
    none = await api.get("/v1/pipelines/nope")
    assert [each["name"] for each in listed] == ["digest", "either", "lenient", "rag_pipeline", "slow", "wrong_inside"]
    assert (one["inputs"]["texts"]["of"], one["mermaid"].splitlines()[0], none.status_code) == (
        "text",
        "flowchart TD",
        404,
    )


async def test_events_tell_each_step_and_the_end(api: httpx.AsyncClient) -> None:
    body = {"kind": "pipeline", "name": "digest", "params": {"texts": ["a"]}}
    run_id = (await api.post("/v1/runs", json=body)).json()["run_id"]
    text = (await api.get(f"/v1/runs/{run_id}/events")).text
    last = text.strip().split("\n\n")[-1].splitlines()
    assert (last[0], json.loads(last[2].removeprefix("data: "))["progress"]["done"]) == ("event: end", 3)


async def test_a_key_that_is_not_for_a_steps_operation_may_not_run_it(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path)) as (front, _), client(front) as api:
        made = await _keys(api)
        body = {"kind": "pipeline", "name": "digest", "params": {"texts": ["a"], "model": "fake:other"}}
        heads = [{"authorization": f"Bearer {made[name]}"} for name in ("some", "one", "admin")]
        replies = [await api.post("/v1/runs", json=body, headers=head) for head in heads]
    assert [reply.status_code for reply in replies] == [403, 403, 202]
    assert ["operation" in replies[0].json()["detail"], "model" in replies[1].json()["detail"]] == [True, True]


async def test_a_keys_minute_and_a_runs_budget_bound_its_steps(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path)) as (front, _), client(front) as api:
        admin = {"authorization": f"Bearer {(await _keys(api))['admin']}"}
        told = {"name": "slow", "rpm": 120}
        key = (await api.post("/v1/keys", json=told, headers=admin)).json()["key"]
        head = {"authorization": f"Bearer {key}"}
        body = {"kind": "pipeline", "name": "digest", "params": {"texts": ["a", "b"]}}
        run = (await api.post("/v1/runs?wait=20", json=body, headers=head)).json()
        poor = (await api.post("/v1/runs?wait=20", json=body | {"budget_usd": "0.0000001"}, headers=admin)).json()
    assert (run["status"], run["progress"]["succeeded"]) == ("succeeded", 3)
    assert (poor["status"], poor["result"]["error"]["type"]) == ("failed", "budget_exceeded")


async def _keys(api: httpx.AsyncClient) -> dict[str, str]:
    made: dict[str, str] = {}
    for name, told in {
        "admin": {"admin": True},
        "some": {"operations": ["embed"]},
        "one": {"models": ["fake/fake"]},
    }.items():
        head = {"authorization": f"Bearer {made['admin']}"} if made else {}
        reply = await api.post("/v1/keys", json={"name": name, **told}, headers=head)
        made[name] = reply.json()["key"]
    return made
