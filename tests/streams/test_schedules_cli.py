"""`genai-spine schedules`, and schedules whose processes are killed."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Connection

from store.database import Database, parse_url
from store.migrate import migrate
from store.tables import daily_costs
from streams.cli import app
from tests.streams.commands import served
from tests.streams.test_cancel_cli import Ended, invoke
from tests.streams.webs import client, opened, web_settings

FILE = """schedules:
  often: {cron: "* * * * *", timezone: Europe/Vienna, run: {kind: task, name: check_prices}}
"""


def run(folder: Path, *arguments: str, **changes: str) -> Ended:
    return invoke(app, folder, ["schedules", *arguments], **changes)


@pytest.mark.fast
@pytest.mark.parametrize(
    ("was", "now", "code", "words"),
    [
        ("", "", 0, "schedules.yaml: 1 schedule, in order."),
        ("* * * * *", "0 0 30 2 *", 1, "schedules.yaml:2:11: `often`: '0 0 30 2 *' never fires"),
        ("name: check_prices", "name: summarize", 1, "schedules.yaml:2:55: `often`: `input.content`: Field required"),
    ],
)
def test_a_file_is_checked_before_anybody_reads_it(tmp_path: Path, was: str, now: str, code: int, words: str) -> None:
    (tmp_path / "schedules.yaml").write_text(FILE.replace(was, now) if was else FILE)
    found = [run(tmp_path, "check", "schedules.yaml"), run(tmp_path, "check", GENAI_SCHEDULES_FILE="schedules.yaml")]
    assert [(each.code, words in "".join(each.out) + each.err) for each in found] == [(code, True)] * 2, found


@pytest.mark.fast
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check"], "There is no file of schedules"),
        (["next"], "Name a schedule, or give an expression"),
        (["next", "--cron", "0 0 30 2 *"], "'0 0 30 2 *' never fires"),
        (["next", "--cron", "0 0 1 * *", "--timezone", "Europe/Viena"], "did you mean Europe/Vienna"),
    ],
)
def test_what_cannot_be_asked_says_why(tmp_path: Path, arguments: list[str], words: str) -> None:
    found = run(tmp_path, *arguments)
    assert (found.code, words in found.err) == (2, True), found


@pytest.mark.fast
def test_an_expression_tells_its_firings_in_its_zone_and_in_utc(tmp_path: Path) -> None:
    found = run(tmp_path, "next", "--cron", "30 12 1 7 *", "--timezone", "Europe/Vienna", "-n", "2")
    assert (len(found.out), found.out[0][4:]) == (2, f"-07-01 12:30 CEST ({found.out[0][:4]}-07-01T10:30:00Z)")


async def test_processes_that_die_in_a_firing_and_in_its_work_leave_one_run_that_tells_all(tmp_path: Path) -> None:
    """A day's sums were falsified: they are put right once, and the run says so, whoever ends it."""
    url, day = f"sqlite:///{tmp_path / 'ledger.db'}", "2026-11-20"
    await _falsified(url, day)
    work = {
        "kind": "task",
        "name": "aggregate_costs",
        "params": {"date": day},
        "idempotency_key": "cost_rollup_${date}",
    }
    with served(tmp_path / "one", "web", GENAI_DATABASE_URL=url, GENAI_KILL_AT="scheduled:2") as one:
        at = one.said("the API listens")["url"]
        one.said("ready")
        async with httpx.AsyncClient(base_url=at) as api:
            await api.put(
                "/v1/schedules/prices", json={"cron": "0 0 1 1 *", "run": {"kind": "task", "name": "check_prices"}}
            )
            await api.put("/v1/schedules/rollup", json={"cron": "0 0 1 1 *", "run": work})
        await asyncio.to_thread(_looks_after_them, tmp_path, at)
        killed = await asyncio.to_thread(run, tmp_path, "run", "rollup", "--url", at)
        ends = [await asyncio.to_thread(one.process.wait, 60)]
    with served(tmp_path / "two", "web", GENAI_DATABASE_URL=url, GENAI_KILL_AT="rolled_up:1") as two:
        ends.append(await asyncio.to_thread(two.process.wait, 60))
    async with opened(web_settings(tmp_path, database_url=url)) as (front, _), client(front) as api:
        told, _ = (await api.get("/v1/runs")).json()["items"]
        ended = (await api.get(f"/v1/runs/{told['run_id']}?wait=30")).json()
        shown = (await api.get("/v1/schedules/rollup")).json()
        totals = (await api.get(f"/v1/costs?from={day}&to={day}")).json()["totals"]
    assert (ends, killed.code) == ([-signal.SIGKILL] * 2, 1)
    assert (ended["status"], ended["result"]["difference_usd"], totals["cost_usd"]) == (
        "succeeded",
        "0.000009",
        "0.000000",
    )
    assert (shown["fired"], shown["last"]["run_id"], shown["last"]["status"]) == (1, told["run_id"], "succeeded")


def _looks_after_them(folder: Path, url: str) -> None:
    """As an operator does."""

    def told(*arguments: str) -> list[str]:
        found = run(folder, *arguments, "--url", url)
        assert found.code == 0, found
        return found.out

    assert told("pause", "prices") == ["prices is paused."]
    assert "  paused" in told("show", "prices") and told("next", "prices") == ["It is paused, or never fires again."]
    assert told("resume", "prices")[0].startswith("prices fires next at ")
    fired = json.loads(told("run", "prices", "--json")[0])
    items: list[dict[str, Any]] = json.loads(told("list", "--json")[0])["items"]
    assert [(each["name"], (each["last"] or {}).get("run_id")) for each in items] == [
        ("prices", fired["run_id"]),
        ("rollup", None),
    ]
    assert run(folder, "show", "nope", "--url", url).code == 1


async def _falsified(url: str, day: str) -> None:
    database = Database(parse_url(url))
    await migrate(database)
    line: dict[str, Any] = {
        "date": day,
        "provider": "fake",
        "model": "m",
        "tenant": "t",
        "calls": 1,
        "cost_nano": 9_000,
    }
    line |= dict.fromkeys(("input_tokens", "output_tokens", "cached_tokens", "unpriced_calls"), 0)

    def work(conn: Connection) -> None:
        conn.execute(daily_costs.insert().values(line))

    await database.write(work)
    await database.aclose()
