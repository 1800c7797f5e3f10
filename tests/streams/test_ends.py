"""Whatever is raised while a request is run, it ends, its calls are in the books, and its slot serves the next one."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from agents.engine import task
from schemas.result import Status
from store.errors import Away
from store.ledger import answers, queries
from store.tables import executions
from streams.spine import Spine
from tests.streams.webs import client, opened, web_settings

PAID = {"fake_slots": 1, "fake_paid": True, "prices": {"fake/*": {"input_per_million": "1", "output_per_million": "1"}}}


async def asked(api: httpx.AsyncClient, id_: str, **fields: Any) -> dict[str, Any]:
    reply = await api.post("/v1/summarize?wait=20", json={"id": id_, "content": "One.", **fields}, timeout=30)
    found: dict[str, Any] = reply.json()
    return found


async def booked(spine: Spine) -> list[tuple[str | None, int]]:
    """The calls so far: how each ended, and its cost."""
    e = executions.c
    rows = await spine.database.read(lambda conn: conn.execute(select(e.outcome, e.cost_nano)).all())
    return [(row.outcome, row.cost_nano) for row in rows]


async def test_an_answer_that_the_ledger_refuses_is_paid_for_and_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = answers.finished

    def finished(claim: Any, end: Any, at: float) -> Any:
        if claim.id == "odd" and end.status is Status.SUCCEEDED:
            raise ValueError("this cannot be written down")
        return made(claim, end, at)

    monkeypatch.setattr(answers, "finished", finished)
    async with opened(web_settings(tmp_path, **PAID)) as (front, spine), client(front) as api:
        told = await asked(api, "odd")
        calls = await booked(spine)
        assert (await asked(api, "next"))["status"] == "succeeded"
        journal = await spine.database.read(queries.journal_days)
    assert (told["status"], told["error"]["type"], told["usage"]["calls"]) == ("failed", "internal", 1)
    assert "this cannot be written down" in told["error"]["message"]
    ((outcome, cost),) = calls
    assert (outcome, told["usage"]["cost_usd"]) == ("wasted", f"{cost / 10**9:.9f}".rstrip("0").ljust(8, "0"))
    assert sum(count for count, _ in journal.values()) == 2


@pytest.mark.parametrize(
    ("where", "raised", "expected", "calls"),
    [
        ("_step", RuntimeError("a defect"), ("failed", "internal"), ["wasted"]),
        ("_warn", RuntimeError("a defect"), ("failed", "internal"), []),
        ("_warn", Away("no line"), ("succeeded", None), ["ok"]),
    ],
    ids=["after its call", "before its call", "the database is away"],
)
async def test_whatever_is_raised_beside_the_operation_leaves_no_request_without_an_end(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    raised: Exception,
    expected: tuple[str, str | None],
    calls: list[str],
) -> None:
    done, left = (
        getattr(task, where),
        [raised] * (1 + (where == "_warn")),
    )  # begun before it is accepted, it is begun anew

    def raising(*arguments: Any, **named: Any) -> Any:
        if left:
            raise left.pop()
        return done(*arguments, **named)

    monkeypatch.setattr(task, where, raising)
    async with opened(web_settings(tmp_path, **PAID)) as (front, spine), client(front) as api:
        told = await asked(api, "odd")
        assert [outcome for outcome, _ in await booked(spine)] == calls
        assert (await asked(api, "next"))["status"] == "succeeded"
    error: Mapping[str, Any] = told["error"] or {}
    assert (told["status"], error.get("type"), told["usage"]["calls"]) == (*expected, len(calls))
