"""`costs reprice`: differences are booked beside what stands, once, and all books say the same."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import Connection, select, update

from providers import prices
from providers.listed import Listed
from schemas.money import from_usd
from store import tables
from store.database import Database
from store.ledger import books, queries, recorded
from store.ledger.corrections import Span
from store.rows import unpack_headers
from streams import audit, bookkeeping
from streams.cli import app
from streams.repricing import Report, reprice
from streams.spine import Spine
from streams.tables import fold, key_of
from tests.streams.test_cancel_cli import invoke
from tests.streams.webs import client, opened, web_settings


def today() -> date:
    return datetime.now(UTC).date()


def span() -> Span:
    return Span(today(), today())


CALLS = 4


def _table(dollars: str) -> prices.PriceTable:
    """What a million tokens of the double's model cost."""
    line = {"input_per_million": dollars, "output_per_million": dollars}
    return prices.table({"fake/*": line}, f"at {dollars}", Listed({}))


@pytest.fixture
async def spine(tmp_path: Path) -> AsyncIterator[tuple[Spine, httpx.AsyncClient]]:
    async with opened(web_settings(tmp_path)) as (front, made), client(front) as http:
        for number in range(CALLS):
            body = {"content": f"One. Two. {number}", "tenant": "ab"[number % 2], "run_id": "r" if number else None}
            assert (await http.post("/v1/summarize", json=body)).status_code == 200
        yield made, http


async def _run(spine: Spine, dollars: str, *, apply: bool = True) -> Report:
    return await reprice(spine.database, spine.routes, _table(dollars), span(), apply=apply)


def _usage(conn: Connection) -> list[Any]:
    o = tables.outbox
    return list(conn.execute(select(o).where(o.c.topic == "genai.usage").order_by(o.c.partition, o.c.number)))


async def _books(database: Database) -> audit.Audit:
    """As `costs --check` has them; what waits to be published stands for the topic."""
    days = await database.read(lambda conn: queries.days(conn, "0000-00-00", "9999-99-99"))
    journal = await database.read(queries.journal_by_day)
    usage: dict[str, int] = {}
    totals: dict[str, Any] = {}
    for row in await database.read(_usage):
        told = orjson.loads(row.value)
        usage[key_of(told)] = usage.get(key_of(told), 0) + (from_usd(told["cost_usd"]) or 0)
        folded = fold(totals.get(key_of(told)), told, f"l/{row.partition}", row.number, (row.partition, row.pk))
        totals[key_of(told)] = folded
    return audit.Audit(
        {
            audit.SQL: {"|".join((d.date, d.provider, d.model, d.tenant)): d.cost_nano for d in days},
            audit.JOURNAL: {"|".join(key): nano for key, nano in journal.items()},
            audit.USAGE: usage,
            audit.TABLE: {key: from_usd(total["cost_usd"]) or 0 for key, total in totals.items()},
        }
    )


async def _sum(database: Database) -> int:
    found = await _books(database)
    assert audit.differences(found) == []
    return sum(found.books[audit.SQL].values())


def _costs(report: Report) -> tuple[int, int]:
    lines = report.lines.values()
    return sum(line.booked_nano for line in lines), sum(line.anew_nano for line in lines)


async def test_a_dry_run_says_the_difference_and_books_nothing(spine: tuple[Spine, httpx.AsyncClient]) -> None:
    before = await _sum(spine[0].database)
    report = await _run(spine[0], "3", apply=False)
    told = report.told(span(), applied=False)
    booked, anew = _costs(report)
    assert (booked, told["totals"]["calls"], told["totals"]["changed"]) == (before, CALLS, CALLS)
    assert from_usd(told["totals"]["difference_usd"]) == anew - booked != 0
    assert [(item["day"], item["provider"]) for item in told["items"]] == [(str(today()), "fake")]
    assert told["prices"] == [{"source": "settings", "version": "at 3"}]
    assert (await _sum(spine[0].database), report.corrected) == (before, 0)


async def test_applied_all_books_say_the_new_costs_and_a_second_time_changes_nothing(
    spine: tuple[Spine, httpx.AsyncClient],
) -> None:
    """Up, down, and up again: each is a correction of its own."""
    calls = sum(day.calls for day in await spine[0].database.read(lambda c: queries.days(c, "0", "9")))
    for dollars in ("3", "0.01", "3"):
        report = await _run(spine[0], dollars)
        assert report.corrected == CALLS
        assert await _sum(spine[0].database) == _costs(report)[1]
        assert (await _run(spine[0], dollars)).corrected == 0
    days = await spine[0].database.read(lambda c: queries.days(c, "0", "9"))
    assert sum(day.calls for day in days) == calls == CALLS


async def test_two_who_apply_at_once_book_each_difference_once(spine: tuple[Spine, httpx.AsyncClient]) -> None:
    reports = await asyncio.gather(*(_run(spine[0], "3") for _ in range(3)))
    assert sum(report.corrected for report in reports) == CALLS
    assert await _sum(spine[0].database) == max(_costs(report)[1] for report in reports)


async def test_a_correction_tells_whose_call_it_corrects_by_which_price(
    spine: tuple[Spine, httpx.AsyncClient],
) -> None:
    await _run(spine[0], "3")
    events = [orjson.loads(row.value) for row in await spine[0].database.read(_usage)]
    first = {each["id"]: each for each in events if each["corrects"] is None}
    corrected = [each for each in events if each["corrects"] is not None]
    assert {each["corrects"] for each in corrected} == set(first)
    for each in corrected:
        call = first[each["corrects"]]
        assert (each["id"], each["request_id"], each["tenant"]) == (
            f"{call['id']}~1",
            call["request_id"],
            call["tenant"],
        )
        assert (each["price"], each["input_tokens"]) == ({"source": "settings", "version": "at 3"}, 0)


async def test_every_grouping_of_costs_holds_the_corrections(spine: tuple[Spine, httpx.AsyncClient]) -> None:
    await _run(spine[0], "3")
    whole = await _sum(spine[0].database)
    for by in books.GROUPS:
        found = await spine[0].database.read(lambda conn, by=by: books.costs_by(conn, [by], today(), today(), 100))
        told = bookkeeping.grouped([by], found, today(), today())
        assert (from_usd(told["totals"]["cost_usd"]), told["totals"]["calls"]) == (whole, CALLS), by


async def test_what_nothing_prices_now_stays_as_it_is_booked(spine: tuple[Spine, httpx.AsyncClient]) -> None:
    before = await _sum(spine[0].database)
    of_a_tier = update(tables.executions).values(tier="tomorrow")
    await spine[0].database.write(lambda conn: conn.execute(of_a_tier))
    report = await _run(spine[0], "3")
    assert (report.corrected, [line.unknown for line in report.lines.values()]) == (0, [CALLS])
    assert await _sum(spine[0].database) == before


async def test_other_days_and_providers_are_left_alone(spine: tuple[Spine, httpx.AsyncClient]) -> None:
    for other in (
        Span(date(2020, 1, 1), date(2020, 12, 31)),
        Span(today(), today(), "openai"),
        Span(today(), today(), "fake", "m"),
    ):
        report = await reprice(spine[0].database, spine[0].routes, _table("3"), other, apply=True)
        assert (report.corrected, dict(report.lines)) == (0, {})


async def test_a_replay_of_what_was_recorded_holds_the_corrections(spine: tuple[Spine, httpx.AsyncClient]) -> None:
    await _run(spine[0], "3")
    database, routes = spine[0].database, spine[0].routes
    before = {row.pk for row in await database.read(_usage)}
    pks = await database.read(lambda conn: list(conn.execute(select(tables.requests.c.pk)).scalars()))
    await database.write(lambda conn: recorded.publish(conn, routes, pks, 4))
    again = [row for row in await database.read(_usage) if row.pk not in before]
    assert sum(from_usd(orjson.loads(row.value)["cost_usd"]) or 0 for row in again) == await _sum_of(database)
    assert all(recorded.REPLAYED in dict(unpack_headers(row.headers)) for row in again)


async def _sum_of(database: Database) -> int:
    days = await database.read(lambda conn: queries.days(conn, "0000-00-00", "9999-99-99"))
    return sum(int(day.cost_nano) for day in days)


async def test_a_budget_counts_the_correction(spine: tuple[Spine, httpx.AsyncClient]) -> None:
    made, http = spine
    await http.put("/v1/budgets", json={"tenant": "a", "limit_usd": "9", "per": "day"})
    await http.post("/v1/summarize", json={"content": "One more.", "tenant": "a"})
    (before,) = (await http.get("/v1/budgets")).json()["items"]
    report = await _run(made, "3")
    assert report.corrected == CALLS + 1
    (after,) = (await http.get("/v1/budgets")).json()["items"]
    assert (from_usd(after["spent_usd"]) or 0) > (from_usd(before["spent_usd"]) or 0)


def test_on_the_command_line(tmp_path: Path) -> None:
    assert invoke(app, tmp_path, ["migrate"]).code == 0
    ended = invoke(app, tmp_path, ["costs", "reprice", "--from", str(today()), "--dry-run", "--json"])
    told = json.loads(ended.out[0])
    assert (told["items"], told["applied"], told["from"]) == ([], False, str(today()))
    refused = invoke(app, tmp_path, ["costs", "reprice", "--from", "yesterday"])
    assert (refused.code, "YYYY-MM-DD" in refused.err) == (2, True)
