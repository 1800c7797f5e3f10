"""The HTTP API over PostgreSQL: two processes' parts on one database."""

import asyncio
from pathlib import Path

import pytest

from store import keys as rows
from streams import keys, waiting
from streams.app import running
from tests.streams.webs import client, opened, web_settings

pytestmark = pytest.mark.postgres


async def test_a_notification_wakes_who_waits_for_another_process(tmp_path: Path, postgres_database: str) -> None:
    settings = web_settings(tmp_path, database_url=postgres_database, poll_s=30.0)
    async with opened(settings) as (front, spine):
        spine.engine.draining = True  # this one takes the request and runs nothing
        await asyncio.sleep(0.3)  # until it listens
        async with (
            running(web_settings(tmp_path, database_url=postgres_database), bootstrap=None),
            client(front) as api,
        ):
            reply = await asyncio.wait_for(api.post("/v1/summarize?wait=10", json={"content": "One."}), 5)
    assert (reply.status_code, reply.json()["status"]) == (200, "succeeded")


async def test_web_waits_for_the_migrations_and_says_so(tmp_path: Path, postgres_database: str) -> None:
    settings = web_settings(tmp_path, database_url=postgres_database)
    said: list[str] = []
    waits = asyncio.create_task(waiting.for_schema(settings, said.append, may_migrate=False))
    await asyncio.sleep(0.5)
    assert not waits.done()
    assert "genai-spine migrate" in said[0]
    await waiting.for_schema(settings, said.append, may_migrate=True)
    await asyncio.wait_for(waits, 5)


async def test_usage_and_costs_are_the_same_there(tmp_path: Path, postgres_database: str) -> None:
    async with opened(web_settings(tmp_path, database_url=postgres_database)) as (front, _), client(front) as api:
        told = (await api.post("/v1/summarize", json={"content": "One."})).json()
        costs, usage = (await api.get("/v1/costs")).json(), (await api.get("/v1/usage?by=model")).json()
    cost = told["usage"]["cost_usd"]
    assert (costs["totals"]["cost_usd"], usage["totals"]["cost_usd"], usage["items"][0]["cost_usd"]) == (cost,) * 3


async def test_a_key_is_locked_beside_the_steps_of_the_same_batch(tmp_path: Path, postgres_database: str) -> None:
    """Many at once, while others are answered: of each key the last one stands, and nobody waits in a ring."""
    settings = web_settings(tmp_path, database_url=postgres_database, fake_slots=4)
    async with opened(settings) as (front, _), client(front) as api:

        async def post(number: int) -> str:
            body = {"content": f"One {number}.", "supersede_key": f"k{number % 3}"}
            return str((await api.post("/v1/summarize?wait=20", json=body)).json()["status"])

        found = await asyncio.gather(*map(post, range(60)))
    assert set(found) <= {"succeeded", "cancelled"}
    assert found.count("succeeded") >= 3


async def test_a_key_of_one_process_works_and_ends_on_another(tmp_path: Path, postgres_database: str) -> None:
    settings = web_settings(tmp_path, database_url=postgres_database)
    async with opened(settings) as (front, spine), opened(settings) as (_, other), client(front) as api:
        id_, key = keys.make()
        wish = keys.wish({"name": "n", "tenant": "b", "rpm": 60, "tpm": 100_000, "concurrency": 5})
        await other.database.write(lambda conn: rows.create(conn, id_, keys.secret(key), wish))
        await front.keys.look(spine.database)
        headers = {"x-api-key": key}
        asked = await api.post("/v1/summarize", json={"content": "One."}, headers=headers)
        books = [await api.get(f"/v1/{path}", headers=headers) for path in ("usage?by=tenant", "costs?by=run", "costs")]
        listed = await api.get("/v1/requests", headers=headers)
        await other.database.write(lambda conn: rows.revoke(conn, id_))
        async with asyncio.timeout(10):
            while (await api.get("/v1/requests", headers=headers)).status_code == 200:
                await asyncio.sleep(0.05)
    assert (asked.status_code, asked.headers["x-ratelimit-remaining-requests"]) == (200, "59")
    assert [reply.json()["totals"]["calls"] for reply in books] == [1, 1, 1]
    assert [item["tenant"] for item in listed.json()["items"]] == ["b"]


NEW = {"slug": "port-news", "template": "{{ content }}", "variables": [{"name": "content", "type": "content"}]}
WITH_NUL = [
    ("POST", "/v1/prompts", {**NEW, "notes": "a\0b"}),
    ("POST", "/v1/prompts", {**NEW, "description": "a\0b"}),
    ("POST", "/v1/runs", {"kind": "task", "operation": "summarize", "input": {"content": "a\0b"}, "name": "a\0b"}),
    (
        "POST",
        "/v1/runs",
        {"kind": "task", "operation": "summarize", "input": {"content": "x"}, "metadata": {"a": "\0"}},
    ),
    ("PUT", "/v1/budgets", {"tenant": "a\0b", "limit_usd": "1", "per": "day"}),
    ("POST", "/v1/keys", {"name": "a\0b"}),
    ("GET", "/v1/requests?tenant=a%00b", None),
    ("GET", "/v1/requests/a%00b", None),
    ("GET", "/v1/runs/a%00b", None),
    ("GET", "/v1/prompts/a%00b", None),
    ("GET", "/v1/prompts?q=a%00b", None),
    ("GET", "/v1/costs?tenant=a%00b", None),
    ("GET", "/v1/keys/a%00b", None),
    ("GET", "/v1/files/a%00b", None),
    ("GET", "/v1/batches?after=a%00b", None),
    ("POST", "/v1/requests/a%00b/cancel?operation=summarize", None),
]


async def test_a_character_that_postgres_cannot_keep_is_the_callers_mistake(
    tmp_path: Path, postgres_database: str
) -> None:
    async with opened(web_settings(tmp_path, database_url=postgres_database)) as (front, _), client(front) as api:
        told = [(path, (await api.request(method, path, json=body))) for method, path, body in WITH_NUL]
        wrong = [(path, reply.status_code, reply.text[:200]) for path, reply in told if reply.status_code >= 500]
        assert (wrong, (await api.get("/v1/prompts")).status_code) == ([], 200)


async def test_no_run_has_a_nul_in_its_id(tmp_path: Path, postgres_database: str) -> None:
    settings = web_settings(tmp_path, database_url=postgres_database)
    async with opened(settings) as (front, _), client(front) as api:
        paths = ("/v1/runs/%00", "/v1/runs/a%00/items", "/v1/runs/%00/results", "/v1/runs/%00/events")
        replies = [await api.get(path) for path in paths]
        replies += [await api.post(f"/v1/runs/%00/{order}") for order in ("cancel", "retry")]
    assert {(reply.status_code, "There is no run" in reply.json()["detail"]) for reply in replies} == {(404, True)}
