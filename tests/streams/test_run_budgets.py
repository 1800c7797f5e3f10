"""A run that may spend only so much: what fits is run, what does not fails, and more money goes on."""

import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.ledger import budgets
from streams.runs.thrift import Room
from streams.spine import Spine
from streams.web.front import Front
from tests.streams.webs import client, opened, web_settings

estimates = st.none() | st.integers(0, 50)


@given(st.lists(estimates, max_size=40), st.integers(0, 100), st.integers(0, 100))
def test_what_is_asked_is_never_feared_to_cost_more_than_is_left(
    told: list[int | None], left: int, feared: int
) -> None:
    room = Room(left, feared)
    taken = [each for each in told if room.take(each)]
    fitting = [each for each in taken if each and each <= left]
    assert room.feared == feared + sum(fitting)
    assert not fitting or room.feared <= left


@given(st.lists(estimates, min_size=1, max_size=40), st.integers(0, 100))
def test_when_nothing_runs_the_next_one_is_asked(told: list[int | None], left: int) -> None:
    assert Room(left, 0).take(told[0])


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Front, Spine]]:
    async with opened(web_settings(tmp_path, poll_s=0.02)) as made:
        yield made


@pytest.fixture
async def api(parts: tuple[Front, Spine]) -> AsyncIterator[httpx.AsyncClient]:
    async with client(parts[0]) as made:
        yield made


def batch(count: int, **more: Any) -> dict[str, Any]:
    """One may be feared to cost ten times what it does."""
    texts = [f"Ferry {n} is late." for n in range(count)]
    params = {"texts": texts, "max_sentences": 1, "max_tokens": 40}
    return {"kind": "workflow", "name": "batch_summarize", "params": params, **more}


async def submitted(api: httpx.AsyncClient, count: int, **more: Any) -> dict[str, Any]:
    reply = await api.post("/v1/runs?wait=60", json=batch(count, **more))
    assert reply.is_success, reply.text
    return dict(reply.json())


async def cost_of_one(api: httpx.AsyncClient) -> Decimal:
    return Decimal((await submitted(api, 1))["cost_usd"])


async def test_a_run_ends_within_its_budget_says_so_and_goes_on_with_more(
    parts: tuple[Front, Spine], api: httpx.AsyncClient
) -> None:
    one = await cost_of_one(api)
    limit = one * 30
    run = await submitted(api, 40, budget_usd=str(limit))
    done, failed = run["progress"]["succeeded"], run["progress"]["failed"]
    assert (run["status"], done + failed, Decimal(run["budget"]["limit_usd"])) == ("partially_failed", 40, limit)
    assert 0 < Decimal(run["cost_usd"]) <= limit
    assert 15 < done < 30  # of all at once only three would have fitted
    assert run["note"].startswith(f"{failed} items failed since its budget of {run['budget']['limit_usd']} dollars")
    errors = [
        each["error"] for each in (await api.get(f"/v1/runs/{run['run_id']}/items?status=failed")).json()["items"]
    ]
    assert {each["type"] for each in errors} == {"budget_exceeded"}
    assert f"run {run['run_id']}" in errors[0]["message"]
    assert await parts[1].database.read(budgets.standing) == []  # it concerns nobody any more

    poor = await api.post(f"/v1/runs/{run['run_id']}/retry?budget_usd={one}")
    assert (poor.status_code, "dollars already" in poor.json()["detail"]) == (422, True)
    again = await api.post(f"/v1/runs/{run['run_id']}/retry?budget_usd={one * 60}")
    assert (again.status_code, again.json()["retried"]) == (202, failed)
    ended = (await api.get(f"/v1/runs/{run['run_id']}?wait=60")).json()
    assert (ended["status"], ended["progress"]["succeeded"], ended["note"]) == ("succeeded", 40, None)
    assert (
        Decimal(ended["budget"]["spent_usd"])
        == Decimal(ended["cost_usd"])
        == pytest.approx(one * 40, rel=Decimal("0.2"))
    )
    calls = (await api.get("/v1/costs")).json()["totals"]["calls"]
    assert calls == 41  # nothing was asked twice


async def test_a_budget_of_nothing_lets_nothing_through(api: httpx.AsyncClient) -> None:
    run = await submitted(api, 3, budget_usd=0)
    assert (run["status"], run["cost_usd"], run["progress"]["failed"]) == ("failed", "0.000000", 3)


async def test_while_it_runs_it_tells_what_is_spent_reserved_and_left(
    parts: tuple[Front, Spine], api: httpx.AsyncClient
) -> None:
    parts[1].engine.draining = True
    lines = "\n".join(json.dumps({"content": f"Ferry {n}."}) for n in range(3))
    sent = await api.post(
        "/v1/runs?name=batch_summarize&budget_usd=5", content=lines, headers={"content-type": "application/x-ndjson"}
    )
    run = sent.json()
    while Decimal(run["budget"]["reserved_usd"]) == 0:
        run = (await api.get(f"/v1/runs/{run['run_id']}")).json()
    told = {name: Decimal(value) for name, value in run["budget"].items()}
    assert (told["limit_usd"], told["spent_usd"]) == (5, 0)
    assert told["reserved_usd"] + told["left_usd"] == 5
    listed = (await api.get("/v1/budgets")).json()["items"]
    assert [(each["run"], each["per"], each["hard"]) for each in listed] == [(run["run_id"], "run", True)]
    parts[1].engine.draining = False
    parts[1].writer.claim_soon()
    assert (await api.get(f"/v1/runs/{run['run_id']}?wait=60")).json()["status"] == "succeeded"


async def test_an_operators_budget_of_the_run_stands_beside_its_own(api: httpx.AsyncClient) -> None:
    one = await cost_of_one(api)
    strict = {"tenant": "default", "run": "nightly", "limit_usd": str(one / 2), "per": "total"}
    (await api.put("/v1/budgets", json=strict)).raise_for_status()
    run = await submitted(api, 2, id="nightly", budget_usd=10)
    assert (run["status"], run["cost_usd"]) == ("failed", "0.000000")
    assert [each["per"] for each in (await api.get("/v1/budgets")).json()["items"]] == ["total"]


async def test_what_is_no_amount_is_refused(api: httpx.AsyncClient) -> None:
    wrong = []
    for told in ("-1", "much", "nan", 1e12, True, "0.0000000001"):
        reply = await api.post("/v1/runs", json=batch(1, budget_usd=told))
        if reply.status_code != 422 or "`budget_usd`" not in reply.json()["detail"]:
            wrong.append((told, reply.text))
    assert wrong == []
