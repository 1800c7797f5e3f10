"""Prompts and runs behind keys of two tenants, and of one that is for little."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.streams.test_web_keys import Door, bearing, made
from tests.streams.webs import opened, web_settings

PROMPT = {"slug": "mine", "template": "{{ content }}", "variables": [{"name": "content", "type": "content"}]}
BATCH = {"kind": "workflow", "name": "batch_summarize", "params": {"texts": ["a", "b"]}}


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with opened(web_settings(tmp_path)) as parts:
        yield parts


async def test_another_tenants_prompts_are_unknown_and_the_programs_are_for_admins(door: Door) -> None:
    (a, id_), (b, _) = await made(door[1], tenant="a"), await made(door[1], tenant="b")
    admin, _ = await made(door[1], admin=True)
    async with bearing(door[0], a) as one, bearing(door[0], b) as other, bearing(door[0], admin) as chief:
        created = (await one.post("/v1/prompts", json=PROMPT)).json()
        moved = await one.post("/v1/prompts/mine/labels", json={"label": "production", "version": 1, "why": "x"})
        history = (await one.get("/v1/prompts/mine/labels")).json()["history"]
        paths = [
            "",
            "/versions",
            "/versions/1",
            "/diff?from=1&to=1",
            "/labels",
            "/executions",
            "/labels/production/arms",
        ]
        seen = [(await other.get(f"/v1/prompts/{created['id']}{path}")).status_code for path in paths]
        changes = [
            await other.put(f"/v1/prompts/{created['id']}", json={"name": "x"}),
            await other.delete("/v1/prompts/mine"),
            await other.post("/v1/prompts/mine/restore"),
            await other.post("/v1/prompts/mine/rollback", json={"why": "x"}),
            await other.delete("/v1/prompts/mine/labels/production"),
            await other.put("/v1/prompts/mine/labels/production", json={"version": 1, "why": "x"}),
        ]
        rendered = await other.post("/v1/prompts/mine/render", json={"variables": {"content": "x"}})
        listed = (await other.get("/v1/prompts?q=mine")).json()["items"]
        named = await other.get("/v1/prompts?tenant=a")
        shipped = [await each.put("/v1/prompts/tone", json={"name": "Tone"}) for each in (one, chief)]
    assert (created["tenant"], moved.status_code, history[0]["who"]) == ("a", 200, f"({id_})")
    assert (seen, [reply.status_code for reply in changes]) == ([404] * 7, [404] * 6)
    assert (rendered.status_code, listed, named.status_code) == (422, [], 403)
    assert [reply.status_code for reply in shipped] == [409, 200]


async def test_another_tenants_runs_are_unknown(door: Door) -> None:
    (a, id_), (b, _) = await made(door[1], tenant="a"), await made(door[1], tenant="b")
    async with bearing(door[0], a) as one, bearing(door[0], b) as other:
        run = (await one.post("/v1/runs?wait=20", json=BATCH)).json()
        paths = ["", "/items", "/results", "/events"]
        seen = [
            (await other.get(f"{root}/runs/{run['run_id']}{path}")).status_code
            for path in paths
            for root in ("", "/v1")
        ]
        orders = [(await other.post(f"/v1/runs/{run['run_id']}/{word}")).status_code for word in ("retry", "cancel")]
        listed = (await other.get("/v1/runs")).json()["items"]
        named = await other.post("/v1/runs", json=BATCH | {"tenant": "a"})
    keys = {row.key_id for row in await door[1].database.read(_rows)}
    assert (run["status"], run["tenant"], keys) == ("succeeded", "a", {id_})
    assert (seen, orders[0], listed, named.status_code) == ([404] * 8, 404, [], 403)


def _rows(conn: Any) -> Any:
    from sqlalchemy import select

    from store.tables import requests

    return conn.execute(select(requests.c.key_id)).all()


def _line(custom_id: str, model: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "x"}]}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body})


async def test_another_tenants_files_and_batches_are_unknown_and_a_key_is_for_its_models(door: Door) -> None:
    (a, id_), (b, _) = await made(door[1], tenant="a", models=["fake/fake"]), await made(door[1], tenant="b")
    async with bearing(door[0], a) as one, bearing(door[0], b) as other:
        lines = f"{_line('mine', 'fake')}\n{_line('not mine', 'fake/other')}".encode()
        form: dict[str, Any] = {"data": {"purpose": "batch"}, "files": {"file": ("in.jsonl", lines)}}
        file = (await one.post("/v1/files", **form)).json()["id"]
        order = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        batch = (await one.post("/v1/batches", json=order)).json()["id"]
        await one.get(f"/v1/runs/{batch}?wait=20")
        done = (await one.get(f"/v1/batches/{batch}")).json()
        errors = (await one.get(f"/v1/files/{done['error_file_id']}/content")).json()
        seen = [
            (await other.request(method, path)).status_code
            for method, path in [
                *(
                    ("GET", f"/v1/files/{id_}{rest}")
                    for id_ in (file, done["output_file_id"])
                    for rest in ("", "/content")
                ),
                ("DELETE", f"/v1/files/{file}"),
                ("GET", f"/v1/batches/{batch}"),
                ("POST", f"/v1/batches/{batch}/cancel"),
            ]
        ]
        made_of = (await other.post("/v1/batches", json=order)).status_code
        listed = [(await other.get(path)).json()["data"] for path in ("/v1/files", "/v1/batches")]
        named = await other.get("/v1/files", headers={"x-genai-tenant": "a"})
    assert {row.key_id for row in await door[1].database.read(_rows)} == {id_}
    assert done["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    assert errors["custom_id"] == "not mine"
    assert "not for the model" in errors["response"]["body"]["error"]["message"]
    assert (seen, made_of, listed, named.status_code) == ([404] * 7, 404, [[], []], 403)


async def test_a_run_is_held_against_what_its_key_is_for(door: Door) -> None:
    key, _ = await made(door[1], tenant="a", operations=["summarize"], models=["fake/fake"])
    lines = {"content-type": "application/x-ndjson"}
    async with bearing(door[0], key) as api:
        good = await api.post("/v1/runs?wait=20", json=BATCH)
        refused = [
            await api.post("/v1/runs", json={"kind": "workflow", "name": "batch_embed", "params": {"texts": ["a"]}}),
            await api.post("/v1/runs", json=BATCH | {"options": {"model": "other"}}),
            await api.post("/v1/runs?name=batch_summarize&model=other", content='"x"', headers=lines),
        ]
        item = '{"input": {"content": "x"}, "options": {"model": "other"}}\n"fine"'
        upload = (await api.post("/v1/runs?name=batch_summarize&wait=20", content=item, headers=lines)).json()
    assert (good.json()["status"], [reply.status_code for reply in refused]) == ("succeeded", [403, 403, 403])
    assert (upload["status"], upload["progress"]["failed"]) == ("partially_failed", 1)
