"""`/v1/usage` and `/v1/costs` by any group, as JSON and CSV."""

import asyncio
import csv
import io
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from schemas.money import from_usd
from store.ledger.books import GROUPS
from streams.bookkeeping import as_csv
from tests.streams.webs import client, opened, web_settings


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with opened(web_settings(tmp_path)) as (front, _), client(front) as made:
        for number in range(3):
            tenant = "=SUM(A1)" if number else "t"
            body = {"content": f"One {number}.", "tenant": tenant, "run_id": "r" if number == 2 else None}
            await made.post("/v1/summarize", json=body)
        await made.post("/v1/embed", json={"content": "One.", "tenant": "t"})
        await made.post("/v1/summarize", json={"content": "x [fake:refused]", "tenant": "t"})
        yield made


async def test_each_grouping_adds_up_to_the_same_costs(api: httpx.AsyncClient) -> None:
    whole = (await api.get("/v1/costs")).json()["totals"]
    for by in (*GROUPS, "day,model", "tenant,operation,run"):
        told = (await api.get(f"/v1/costs?by={by}")).json()
        assert (told["by"], told["totals"]) == (by, whole)
        assert sum(from_usd(item["cost_usd"]) or 0 for item in told["items"]) == from_usd(whole["cost_usd"])
        assert all(set(by.split(",")) <= item.keys() for item in told["items"])


async def test_groups_are_named_by_their_values(api: httpx.AsyncClient) -> None:
    day = datetime.now(UTC).date().isoformat()
    told = (await api.get("/v1/costs?by=day,model")).json()["items"]
    assert [(each["day"], each["model"], each["calls"]) for each in told] == [(day, "fake", 3), (day, "fake-embed", 1)]
    runs = (await api.get("/v1/usage?by=run")).json()["items"]
    assert {each["run"]: each["calls"] for each in runs} == {None: 4, "r": 1}


async def test_usage_counts_what_cost_nothing_too(api: httpx.AsyncClient) -> None:
    used, cost = [(await api.get(f"/v1/{what}?by=operation")).json()["totals"] for what in ("usage", "costs")]
    assert (used["calls"], cost["calls"], used["cost_usd"]) == (5, 4, cost["cost_usd"])


async def test_days_outside_are_left_out(api: httpx.AsyncClient) -> None:
    for by in ("model", "operation"):
        told = (await api.get(f"/v1/costs?by={by}&from=2020-01-01&to=2020-12-31")).json()
        assert (told["items"], told["totals"]["calls"]) == ([], 0)


@pytest.mark.parametrize(
    ("query", "headers"),
    [("format=csv", {}), ("", {"accept": "text/csv"}), ("", {"accept": "text/csv;q=0.9, text/plain"})],
)
async def test_csv_by_parameter_or_by_header(api: httpx.AsyncClient, query: str, headers: dict[str, str]) -> None:
    reply = await api.get(f"/v1/costs?by=tenant&{query}".rstrip("&"), headers=headers)
    lines = list(csv.reader(io.StringIO(reply.text)))
    assert reply.headers["content-type"] == "text/csv; charset=utf-8"
    assert lines[0][:3] == ["tenant", "calls", "input_tokens"]
    assert [line[:2] for line in lines[1:]] == [["'=SUM(A1)", "2"], ["t", "2"]]


async def test_the_daily_costs_are_a_table_too(api: httpx.AsyncClient) -> None:
    lines = list(csv.DictReader(io.StringIO((await api.get("/v1/costs?format=csv")).text)))
    days = (await api.get("/v1/costs?format=json", headers={"accept": "text/csv"})).json()["days"]
    assert [line["cost_usd"] for line in lines] == [day["cost_usd"] for day in days]


async def test_requests_are_answered_while_reports_wait(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path)) as (front, spine), client(front) as api:
        ended = threading.Event()
        lane = asyncio.create_task(spine.database.report(lambda _: ended.wait(30)))
        asked = ("usage", "usage?by=operation", "costs?by=run", "costs?by=day,operation", "usage?by=run")
        reports = [asyncio.create_task(api.get(f"/v1/{each}")) for each in asked]
        answered = await api.post("/v1/summarize", json={"content": "One."})
        assert (answered.status_code, [each.done() for each in reports]) == (200, [False] * len(reports))
        ended.set()
        assert {each.status_code for each in await asyncio.gather(*reports)} == {200}
        await lane


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "\nx"])
def test_no_cell_is_a_formula(text: str) -> None:
    ((cell,),) = csv.reader(io.StringIO(as_csv([{"a": text}], ["a"]).decode().split("\r\n", 1)[1], newline=""))
    assert cell == f"'{text}"


REFUSED = [
    ("by=colour", "day, provider, model, tenant, operation, run"),
    ("by=day,day", "twice"),
    ("by=day,", "by='' is not known"),
    ("by=", "empty"),
    ("from=yesterday", "YYYY-MM-DD"),
    ("from=2026-02-30", "YYYY-MM-DD"),
    ("to=0001-01-01", "1970-01-01 to 9998-12-31"),
    ("to=9999-12-31", "1970-01-01 to 9998-12-31"),
    ("from=2026-02-01&to=2026-01-01", "exchange them"),
    ("format=xml", "json, csv"),
    ("form=2026-01-01", "known are by, from, to, format"),
]


@pytest.mark.parametrize("what", ["usage", "costs"])
async def test_bad_questions_are_told_clearly(api: httpx.AsyncClient, what: str) -> None:
    for query, says in REFUSED:
        reply = await api.get(f"/v1/{what}?{query}")
        assert (reply.status_code, reply.headers["content-type"]) == (422, "application/problem+json"), query
        assert says in reply.json()["detail"], query
