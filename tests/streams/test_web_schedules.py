"""Schedules and jobs over HTTP, over SQLite and the double."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import generate_latest
from sqlalchemy import Connection, update

from providers import fake_server
from schemas.answers import ScheduleList
from schemas.books import Corrections
from store.tables import daily_corrections, daily_costs, executions
from streams.spine import Spine
from streams.web.front import Front
from tests.streams.webs import client, opened, web_settings

ROLLUP: dict[str, Any] = {
    "cron": "10 0 * * *",
    "run": {
        "kind": "task",
        "name": "genai.aggregate_costs",
        "params": {"period": "daily", "date": "${yesterday}"},
        "idempotency_key": "cost_rollup_${yesterday}",
    },
}
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Front, Spine]]:
    async with opened(web_settings(tmp_path, retry_base_s=0.01, max_attempts=2)) as made:
        yield made


@pytest.fixture
async def api(parts: tuple[Front, Spine]) -> AsyncIterator[httpx.AsyncClient]:
    async with client(parts[0]) as made:
        yield made


async def job(api: httpx.AsyncClient, name: str, **params: Any) -> dict[str, Any]:
    body = {"kind": "task", "name": name, "params": params}
    told: dict[str, Any] = (await api.post("/v1/runs?wait=20", json=body)).json()
    return told


async def test_a_schedule_is_made_shown_paused_resumed_run_and_removed(api: httpx.AsyncClient) -> None:
    made = await api.put("/v1/schedules/cost_rollup", json=ROLLUP)
    told = made.json()
    assert (made.status_code, told["source"], told["timezone"], told["last"], len(told["next"])) == (
        200,
        "api",
        "UTC",
        None,
        5,
    )
    assert told["next_at"] == told["next"][0]
    paused = (await api.post("/v1/schedules/cost_rollup/pause")).json()
    assert (paused["paused"], paused["next_at"], paused["next"]) == (True, None, [])
    resumed = (await api.post("/v1/schedules/cost_rollup/resume")).json()
    assert (resumed["paused"], resumed["next_at"]) == (False, told["next_at"])
    run = (await api.post("/v1/schedules/cost_rollup/run")).json()["last"]
    ended = (await api.get(f"/v1/runs/{run['run_id']}?wait=20")).json()
    assert (ended["status"], ended["result"]["from"], ended["progress"]["total"]) == ("succeeded", str(YESTERDAY), 1)
    same = {"kind": "task", **ROLLUP["run"], "idempotency_key": f"cost_rollup_{YESTERDAY}"}
    same["params"] = {"period": "daily", "date": str(YESTERDAY)}
    again = (await api.post("/v1/runs", json=same)).json()
    assert again["run_id"] == run["run_id"]  # as the seed's own call says it
    listed = (await api.get("/v1/schedules")).json()
    ScheduleList.model_validate(listed)
    (item,) = listed["items"]
    assert (item["last"]["status"], item["fired"], item["next_at"]) == ("succeeded", 1, told["next_at"])
    assert (await api.delete("/v1/schedules/cost_rollup")).json() == {"name": "cost_rollup", "removed": True}
    assert (await api.get("/v1/schedules")).json()["items"] == []
    assert (await api.get(f"/v1/runs/{run['run_id']}")).status_code == 200


async def test_while_its_last_run_goes_on_a_schedule_is_not_run_again(parts: tuple[Front, Spine]) -> None:
    async with client(parts[0]) as api:
        run = {"kind": "workflow", "name": "batch_summarize", "params": {"texts": ["x [fake:latency=30]"] * 3}}
        assert (await api.put("/v1/schedules/slow", json={"cron": "0 0 1 1 *", "run": run})).status_code == 200
        first = (await api.post("/v1/schedules/slow/run")).json()["last"]["run_id"]
        second = await api.post("/v1/schedules/slow/run")
        assert (second.status_code, f"goes on ({first})" in second.json()["detail"]) == (409, True)
        await api.post(f"/v1/runs/{first}/cancel")


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("x", ROLLUP | {"cron": "0 0 31 2 *"}, 422, "`cron`: '0 0 31 2 *' never fires"),
        ("x", ROLLUP | {"timezone": "Mars/Base"}, 422, "`timezone`: there is no time zone 'Mars/Base'"),
        ("x", ROLLUP | {"run": {"kind": "task", "name": "sumarize"}}, 422, "did you mean 'summarize'?"),
        (
            "x",
            ROLLUP | {"run": {"kind": "task", "name": "summarize"}},
            422,
            "`run.params`: `input.content`: Field required",
        ),
        (
            "x",
            ROLLUP | {"run": {"kind": "task", "name": "execute_prompt", "params": {"prompt": "nope"}}},
            422,
            "nope",
        ),
        ("x", ROLLUP | {"run": {"kind": "task", "name": "prune"}}, 422, "it names no days"),
        ("x", ROLLUP | {"run": ROLLUP["run"] | {"options": {"model": "m"}}}, 422, "`options` are of calls"),
        ("x", ROLLUP | {"overlap": "both"}, 422, "`overlap`"),
        ("x", {"cron": "0 0 * * *"}, 422, "`run`: Field required"),
        ("X%20Y", ROLLUP, 422, "A schedule's name has small letters"),
    ],
)
async def test_what_cannot_be_used_is_refused(
    api: httpx.AsyncClient, path: str, body: dict[str, Any], status: int, words: str
) -> None:
    reply = await api.put(f"/v1/schedules/{path}", json=body)
    assert (reply.status_code, words in reply.json()["detail"]) == (status, True), reply.json()["detail"]
    assert (await api.get("/v1/schedules")).json()["items"] == []


async def test_a_schedule_that_there_is_not_is_unknown(api: httpx.AsyncClient) -> None:
    replies = [await api.get("/v1/schedules/nope"), await api.delete("/v1/schedules/nope")]
    replies += [await api.post(f"/v1/schedules/nope/{order}") for order in ("pause", "resume", "run")]
    assert {reply.status_code for reply in replies} == {404}


async def test_a_schedule_of_the_file_is_fired_and_changed_there_only(tmp_path: Path) -> None:
    file = tmp_path / "schedules.yaml"
    file.write_text('schedules: {a: {cron: "* * * * *", run: {kind: task, name: check_prices}}}')
    async with opened(web_settings(tmp_path, schedules_file=str(file))) as (front, spine), client(front) as api:
        until = time.monotonic() + 20
        while (await api.get("/v1/schedules/a")).status_code != 200 and time.monotonic() < until:
            await asyncio.sleep(0.02)
        spine.schedules.clock = lambda _: time.time() + 120
        while (await api.get("/v1/schedules/a")).json()["last"] is None and time.monotonic() < until:
            await asyncio.sleep(0.02)
        told = (await api.get("/v1/schedules")).json()
        last = told["items"][0]["last"]
        assert (await api.get(f"/v1/runs/{last['run_id']}?wait=20")).json()["status"] == "succeeded"
        assert (told["leader"]["worker"], told["file"]) == (spine.worker, {"ok": True, "why": ""})
        refused = [await api.put("/v1/schedules/a", json=ROLLUP), await api.delete("/v1/schedules/a")]
        assert {(each.status_code, "change it there" in each.json()["detail"]) for each in refused} == {(409, True)}
        counted = generate_latest(spine.metrics.registry).decode()
        assert 'genai_schedule_fired_total{schedule="a"} 1.0' in counted and "genai_schedule_leader 1.0" in counted


async def test_the_secret_of_a_webhook_is_not_shown(api: httpx.AsyncClient) -> None:
    secret = "whsec_" + "YWJj" * 8
    run = ROLLUP["run"] | {"webhook": {"url": "https://example.org/hook", "secret": secret}}
    told = await api.put("/v1/schedules/a", json=ROLLUP | {"run": run})
    assert (told.json()["run"]["webhook"]["url"], secret in told.text) == ("https://example.org/hook", False)


def _yesterday(conn: Connection) -> None:
    """What was called now was called then."""
    conn.execute(update(executions).values(closed_at=executions.c.closed_at - 86_400))
    conn.execute(update(daily_costs).values(date=str(YESTERDAY)))


def _falsified(conn: Connection) -> None:
    _yesterday(conn)
    conn.execute(update(daily_costs).values(cost_nano=daily_costs.c.cost_nano + 5_000, calls=7))


async def test_a_day_that_was_falsified_is_put_right_and_told(parts: tuple[Front, Spine]) -> None:
    front, spine = parts
    async with client(front) as api:
        await api.post("/v1/summarize", json={"content": "The ferry is late.", "tenant": "t"})
        true = (await api.get("/v1/costs")).json()["totals"]
        await spine.database.write(_falsified)
        first = await job(api, "aggregate_costs", period="daily", date=str(YESTERDAY))
        second = await job(api, "aggregate_costs", days=3)
        corrected = (await api.get(f"/v1/costs/corrections?from={YESTERDAY}")).json()["items"]
        Corrections.model_validate({"from": "", "to": "", "items": corrected})
        (day,) = first["result"]["days"]
        assert (first["status"], first["result"]["differences"], first["result"]["difference_usd"]) == (
            "succeeded",
            1,
            "0.000005",
        )
        assert (day["date"], day["cost_usd"], day["corrected"][0]["difference_usd"], day["corrected"][0]["more"]) == (
            str(YESTERDAY),
            true["cost_usd"],
            "-0.000005",
            {"calls": -6},
        )
        assert (second["result"]["differences"], len(second["result"]["days"])) == (0, 3)
        assert [(each["run_id"], each["tenant"]) for each in corrected] == [(first["run_id"], "t")]
        assert (await api.get("/v1/costs")).json()["totals"] == true
        assert "genai_cost_rollup_differences_total 1.0" in generate_latest(spine.metrics.registry).decode()


@pytest.mark.parametrize(
    ("name", "params", "words"),
    [
        ("aggregate_costs", {"date": str(YESTERDAY + timedelta(days=1))}, "has not ended (UTC)"),
        ("aggregate_costs", {"date": "tomorrow"}, "`date`"),
        ("aggregate_costs", {"period": "weekly"}, "`period`"),
        ("warm_models", {}, "`models`: Field required"),
        ("prune", {"bodies_days": 0}, "`bodies_days`"),
        ("check_prices", {"dayz": 3}, "`dayz`"),
    ],
)
async def test_a_job_that_says_nonsense_is_refused(
    api: httpx.AsyncClient, name: str, params: dict[str, Any], words: str
) -> None:
    reply = await api.post("/v1/runs", json={"kind": "task", "name": name, "params": params})
    assert (reply.status_code, words in reply.json()["detail"]) == (422, True), reply.json()


async def test_prices_that_are_missing_or_changed_are_told(parts: tuple[Front, Spine]) -> None:
    front, spine = parts

    def use(conn: Connection) -> None:
        sums = dict.fromkeys(("calls", "input_tokens", "output_tokens", "cached_tokens", "cost_nano"), 1)
        for provider in ("fake", "nobody"):
            row = {
                "date": str(datetime.now(UTC).date()),
                "provider": provider,
                "model": "m",
                "tenant": "t",
                "unpriced_calls": 0,
            }
            conn.execute(daily_costs.insert(), row | sums)

    await spine.database.write(use)
    async with client(front) as api:
        first = (await job(api, "check_prices"))["result"]
        again = (await job(api, "check_prices"))["result"]
        assert (first["models"], first["unpriced"], first["changed"], again["changed"]) == (2, ["nobody/m"], [], [])
        assert first["prices"]["fake/m"]["output_per_million"] == "0.6"
    dear = web_settings(spine.settings.data_dir, prices={"fake/m": {"input_per_million": "1"}})
    async with opened(dear) as (front, _), client(front) as api:
        (changed,) = (await job(api, "check_prices"))["result"]["changed"]
        assert (changed["model"], changed["was"]["input_per_million"], changed["now"]["input_per_million"]) == (
            "fake/m",
            "0.15",
            "1",
        )


async def test_prune_takes_away_what_it_is_told_to(api: httpx.AsyncClient) -> None:
    told = (await api.post("/v1/summarize", json={"content": "The ferry is late.", "id": "old"})).json()
    bad = await job(api, "warm_models", models=["a"], nodes=["http://nobody:1"])
    await asyncio.sleep(0.1)  # more than those days
    run = await job(api, "prune", bodies_days=0.000001)
    asked = await api.get("/v1/requests/old")
    retried = await api.post(f"/v1/runs/{bad['run_id']}/retry")
    still = await api.get(f"/v1/runs/{bad['run_id']}")
    await asyncio.sleep(0.1)
    again = await job(api, "prune", bodies_days=0.000001)
    first = await api.get(f"/v1/runs/{run['run_id']}")
    assert (bad["status"], retried.status_code, "no longer kept" in retried.json()["detail"]) == ("failed", 409, True)
    assert still.json()["status"] == "failed"  # nothing was opened
    assert (again["result"]["gone"]["bodies"], first.json()["status"], first.json()["result"]) == (1, "succeeded", None)
    assert (run["status"], run["result"]["gone"]["bodies"] >= 1) == ("succeeded", True)
    assert (told["status"], "output" in asked.json() and asked.json()["output"] is not None) == ("succeeded", False)


async def test_models_are_warmed_and_a_node_that_is_away_is_tried_again_and_told(tmp_path: Path) -> None:
    async with await fake_server.start(models=("a:latest",)) as server:
        urls = f"{server.url},http://127.0.0.1:1"
        settings = web_settings(tmp_path, ollama_url=urls, retry_base_s=0.01, max_attempts=2)
        async with opened(settings) as (front, _), client(front) as api:
            good = await job(api, "warm_models", models=["a:latest"], nodes=[server.url])
            bad = await job(api, "warm_models", models=["a:latest"])
            retried = await api.post(f"/v1/runs/{bad['run_id']}/retry")
            again = (await api.get(f"/v1/runs/{bad['run_id']}?wait=20")).json()
    assert (good["status"], good["result"]["loaded"]) == ("succeeded", {"a:latest": [server.url]})
    assert (bad["status"], bad["result"]["error"]["type"], bad["progress"]["failed"]) == ("failed", "unreachable", 1)
    assert "127.0.0.1:1" in bad["result"]["error"]["message"]
    assert (retried.status_code, retried.json()["retried"], again["status"]) == (202, 1, "failed")


async def test_a_job_is_cancelled(tmp_path: Path) -> None:
    async with await fake_server.start(models=("a:latest",)) as server:
        away = web_settings(tmp_path, ollama_url="http://127.0.0.1:1", retry_base_s=30.0, retry_cap_s=60.0)
        async with opened(away) as (front, _), client(front) as api:
            body = {"kind": "task", "name": "warm_models", "params": {"models": ["a"]}}
            told = (await api.post("/v1/runs", json=body)).json()
            assert (await api.post(f"/v1/runs/{told['run_id']}/cancel")).status_code == 202
            ended = (await api.get(f"/v1/runs/{told['run_id']}?wait=20")).json()
    assert (ended["status"], ended["progress"]["cancelled"], server.url != "") == ("cancelled", 1, True)


async def test_jobs_and_schedules_are_for_the_operator_and_corrections_for_their_tenant(tmp_path: Path) -> None:
    def correct(conn: Connection) -> None:
        sums = dict.fromkeys(
            ("calls", "input_tokens", "output_tokens", "cached_tokens", "cost_nano", "unpriced_calls"), 1
        )
        line = {"date": str(YESTERDAY), "provider": "p", "model": "m", "run_id": "r", "at": 1.0, **sums}
        conn.execute(daily_corrections.insert(), [line | {"tenant": each} for each in ("default", "t")])

    async with opened(web_settings(tmp_path, api_key="op")) as (front, spine), client(front) as api:
        await spine.database.write(correct)
        head = {"authorization": "Bearer op"}
        key = (await api.post("/v1/keys", json={"name": "k", "tenant": "default"}, headers=head)).json()["key"]
        theirs = {"authorization": f"Bearer {key}"}
        body = {"kind": "task", "name": "aggregate_costs", "params": {"date": "2026-01-01", "days": 1}}
        run = (await api.post("/v1/runs?wait=20", json=body, headers=head)).json()
        replies = [
            await api.post("/v1/runs", json=body, headers=theirs),
            await api.put("/v1/schedules/a", json=ROLLUP, headers=theirs),
            await api.get("/v1/schedules", headers=theirs),
        ]
        path = f"/v1/costs/corrections?from={YESTERDAY}"
        seen = [
            [each["tenant"] for each in (await api.get(path, headers=who)).json()["items"]] for who in (head, theirs)
        ]
    assert ({reply.status_code for reply in replies}, run["status"]) == ({403}, "succeeded")
    assert seen == [["default", "t"], ["default"]]
