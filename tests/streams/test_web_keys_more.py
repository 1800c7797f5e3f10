"""Prompts and runs behind keys of two tenants, and of one that is for little."""

from collections.abc import AsyncIterator
from pathlib import Path

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
        paths = ["", "/versions", "/versions/1", "/diff?from=1&to=1", "/labels", "/executions"]
        seen = [(await other.get(f"/v1/prompts/{created['id']}{path}")).status_code for path in paths]
        changes = [
            await other.put(f"/v1/prompts/{created['id']}", json={"name": "x"}),
            await other.delete("/v1/prompts/mine"),
            await other.post("/v1/prompts/mine/restore"),
            await other.post("/v1/prompts/mine/rollback", json={"why": "x"}),
            await other.delete("/v1/prompts/mine/labels/production"),
        ]
        rendered = await other.post("/v1/prompts/mine/render", json={"variables": {"content": "x"}})
        listed = (await other.get("/v1/prompts?q=mine")).json()["items"]
        named = await other.get("/v1/prompts?tenant=a")
        shipped = [await each.put("/v1/prompts/tone", json={"name": "Tone"}) for each in (one, chief)]
    assert (created["tenant"], moved.status_code, history[0]["who"]) == ("a", 200, f"({id_})")
    assert (seen, [reply.status_code for reply in changes]) == ([404] * 6, [404] * 5)
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


def _rows(conn):
    from sqlalchemy import select

    from store.tables import requests

    return conn.execute(select(requests.c.key_id)).all()


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
