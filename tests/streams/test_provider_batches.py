"""Requests whose calls wait in a provider's batch: answered at half the price, cancelled, given back, never handed over twice."""

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from providers import fake_server
from providers.double.faults import Behaviour
from providers.fake_server import FakeServer
from store.database import Database, parse_url
from store.migrate import migrate
from store.tables import batch_items, batches, executions, outbox, requests, slots
from streams.settings import Settings
from streams.spine import Spine
from tests.streams.commands import served
from tests.streams.webs import client, opened, web_settings

PRICE = {"input_per_million": "10", "output_per_million": "20"}
HALF = {"input_per_million": "5", "output_per_million": "10"}


@pytest.fixture
async def url(on: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Of a database whose schema is made."""
    found = (
        f"sqlite:///{tmp_path / 'ledger.db'}" if on == "sqlite" else str(request.getfixturevalue("postgres_database"))
    )
    database = Database(parse_url(found))
    await migrate(database)
    await database.aclose()
    return found


@pytest.fixture
async def double() -> AsyncIterator[FakeServer]:
    async with await fake_server.start() as server:
        yield server


def told(double: FakeServer) -> dict[str, Any]:
    """Settings of a process that batches at the double, and looks often."""
    return {
        "default_provider": "openai",
        "default_model": "fake:latest",
        "openai_api_key": "sk-test-secret",
        "openai_base_url": f"{double.url}/v1",
        "anthropic_api_key": "sk-ant-test",
        "anthropic_base_url": double.url,
        "prices": {
            name + tier: price
            for name in ("openai/fake:latest", "anthropic/fake:latest")
            for tier, price in (("", PRICE), ("@batch", HALF), ("@flex", HALF))
        },
        "batch_gather_s": 0.1,
        "batch_poll_s": 0.1,
        "batch_settle_s": 1.0,
        "retry_cap_s": 0.02,
        "lease_s": 1.5,
    }


@pytest.fixture
def settings(double: FakeServer, tmp_path: Path) -> Settings:
    return web_settings(tmp_path, **told(double))


def ask(id_: str, words: str = "", tier: str | None = "batch", **more: Any) -> dict[str, Any]:
    options = {} if tier is None else {"tier": tier}
    return {"id": id_, "content": f"A fox sleeps under the tree {id_}. {words}", "options": options | more}


async def taken(api: httpx.AsyncClient, *asked: dict[str, Any]) -> None:
    for body in asked:
        told = await api.post("/v1/summarize?wait=0", json=body, headers={"prefer": "respond-async"})
        assert told.status_code == 202, told.text


async def result(api: httpx.AsyncClient, id_: str, within_s: float = 20) -> dict[str, Any]:
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        told = (await api.get(f"/v1/requests/{id_}")).json()
        if told.get("status") in {"succeeded", "failed", "cancelled", "expired"}:
            return dict(told)
        await asyncio.sleep(0.05)
    raise AssertionError(told)


async def rows(spine: Spine, table: Any) -> list[Any]:
    return await spine.database.read(lambda conn: list(conn.execute(select(table))))


async def until(found: Any, within_s: float = 30) -> None:
    """`found`: a callable that gives, or awaits, something true."""
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        value = found()
        if await value if asyncio.iscoroutine(value) else value:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come")


def told_by(metrics: str, name: str) -> dict[str, float]:
    """Label sets of a metric that is not zero."""
    lines = [line.rpartition(" ") for line in metrics.splitlines() if line.startswith(name + "{")]
    return {labels.removeprefix(name): float(value) for labels, _, value in lines if float(value)}


async def test_the_flex_tier_costs_less_and_a_full_one_is_passed_by(settings: Settings, double: FakeServer) -> None:
    async with opened(settings) as (front, _), client(front) as api:
        flexed = (await api.post("/v1/summarize", json=ask("a", tier="flex"))).json()
        passed = (await api.post("/v1/summarize", json=ask("b", "[fake:rate_limited*1]", tier="flex"))).json()
        metrics, costs = (await api.get("/metrics")).text, (await api.get("/v1/costs")).json()
    assert (flexed["tier"]["name"], passed["tier"]["name"]) == ("flex", "standard")
    assert flexed["tier"]["saved_usd"] == flexed["usage"]["cost_usd"] != "0.000000"
    assert passed["tier"] == {
        "name": "standard",
        "why": "the flex tier refused it (rate_limited)",
        "saved_usd": None,
    }
    assert [(each["tier"], each["requests"]) for each in costs["savings"]["tiers"]] == [("flex", 1)]
    assert costs["savings"]["saved_usd"] == flexed["tier"]["saved_usd"]
    labels = '{model="fake:latest",provider="openai",tier="%s"}'
    assert told_by(metrics, "genai_tier_requests_total") == {labels % "flex": 1.0, labels % "standard": 1.0}
    saved = told_by(metrics, "genai_tier_saved_usd_total")[labels % "flex"]
    assert saved == pytest.approx(float(flexed["tier"]["saved_usd"]))


ROUTES = """
routes:
  nightly:
    tier: batch
    targets: [{model: ollama/llama3.2, wait_s: 0.2}]
    fallbacks: [openai/fake:latest]
"""


async def test_who_has_waited_in_vain_for_a_gpu_of_ours_goes_into_a_batch(
    settings: Settings, double: FakeServer, tmp_path: Path
) -> None:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    async with await fake_server.start(how=Behaviour(latency_s=30.0)) as ours:
        changes = {"routes": str(tmp_path / "routes.yaml"), "ollama_url": ours.url, "drain_s": 0.0}
        patient = settings.model_copy(update=changes)
        async with opened(patient) as (front, _), client(front) as api:
            await taken(api, *(ask(f"r{n}", tier=None, model="ollama/llama3.2") for n in range(2)))
            await taken(api, ask("a", tier=None, model="nightly"))
            found = await result(api, "a")
    assert (found["status"], found["provider"], found["tier"]["name"]) == ("succeeded", "openai", "batch")
    assert [each["waited"] for each in found["route"]["fallbacks"]] == [True]


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_it_costs_half_and_says_so_everywhere(settings: Settings, double: FakeServer, provider: str) -> None:
    async with opened(settings) as (front, spine), client(front) as api:
        await taken(api, *(ask(f"r{n}", provider=provider, model="fake:latest") for n in range(3)))
        found = [await result(api, f"r{n}") for n in range(3)]
        costs, metrics = (await api.get("/v1/costs")).json(), (await api.get("/metrics")).text
        calls, batch, left = [await rows(spine, table) for table in (executions, batches, batch_items)]
    assert [each["status"] for each in found] == ["succeeded"] * 3
    assert found[0]["tier"]["name"] == "batch"
    assert (found[0]["tier"]["why"], found[0]["tier"]["saved_usd"]) == ("asked for", found[0]["usage"]["cost_usd"])
    assert float(found[0]["usage"]["cost_usd"]) > 0
    assert [(each.kind, each.tier, each.outcome) for each in calls] == [("batch", "batch", "ok")] * 3
    assert sum(each.cost_nano for each in calls) == round(float(costs["totals"]["cost_usd"]) * 1e9)
    (tier,) = costs["savings"]["tiers"]
    assert (tier["tier"], tier["requests"], tier["saved_usd"]) == ("batch", 3, costs["totals"]["cost_usd"])
    assert sum(len(each["items"]) for each in double.batches.shown()) == 3 or provider == "anthropic"
    assert {each.state for each in batch} == {"ended"}
    assert left == []
    assert double.counts.total.started == 3
    assert double.batches.files == {}
    assert told_by(metrics, "genai_batches_total").keys() >= {f'{{event="sent",provider="{provider}"}}'}


async def test_while_it_waits_it_holds_no_slot_and_is_not_claimed(settings: Settings, double: FakeServer) -> None:
    double.batches.takes_s = None
    async with opened(settings) as (front, spine), client(front) as api:
        await taken(api, ask("a"))
        await until(lambda: bool(double.batches.shown()))
        here = (await api.post("/v1/summarize", json=ask("now", tier=None))).json()
        (row,) = [each for each in await rows(spine, requests) if each.id == "a"]
        held = [each for each in await rows(spine, slots) if each.owner is not None and each.provider == "openai"]
        assert (here["status"], here["tier"], row.state, row.owner) == ("succeeded", None, "calling", "batches")
        assert spine.engine.holds()[0] == set()
        assert held == [] or all(slot in spine.engine.holds()[1] for slot in held)
        metrics, place = (await api.get("/metrics")).text, (await api.get("/v1/requests/a/queue")).json()
        assert told_by(metrics, "genai_batch_calls") == {'{provider="openai",state="in_batch"}': 1.0}
        assert (place["position"], "provider's batch" in place["why"]) == (None, True)
        double.batches.finish()
        assert (await result(api, "a"))["status"] == "succeeded"


async def test_usage_events_are_of_the_kind_batch(settings: Settings) -> None:
    async with opened(settings) as (front, spine), client(front) as api:
        await taken(api, ask("a"))
        await result(api, "a")
        events = [row.value for row in await rows(spine, outbox) if row.topic == "genai.usage"]
    assert [b'"kind":"batch"' in event for event in events] == [True]


async def test_what_was_not_run_goes_into_another_batch_and_what_was_refused_fails(
    settings: Settings, double: FakeServer
) -> None:
    """Half of a batch comes back; what came back is not asked for again."""
    words = {"good": "", "late": "[fake:batch_expired]", "bad": "[fake:rejected]"}
    async with opened(settings) as (front, _), client(front) as api:
        await taken(api, *(ask(id_, each) for id_, each in words.items()))
        good, bad, late = [await result(api, id_) for id_ in ("good", "bad", "late")]
    assert (good["status"], bad["status"], bad["error"]["type"]) == ("succeeded", "failed", "invalid_request")
    # it expires in three batches, then it is asked for at the usual price
    assert (late["status"], late["tier"]["name"]) == ("succeeded", "standard")
    assert "came back from 3 batches" in late["tier"]["why"]
    assert double.counts.total.started == 3
    assert float(late["usage"]["cost_usd"]) > 1.9 * float(good["usage"]["cost_usd"])


async def test_an_answer_that_must_be_repaired_is_repaired_in_another_batch(
    settings: Settings, double: FakeServer
) -> None:
    """With the first answer taken over, which is not paid again; here the second one is no better."""
    async with opened(settings) as (front, spine), client(front) as api:
        await taken(api, ask("a", "[fake:gibberish]"))
        found = await result(api, "a")
        calls = await rows(spine, executions)
    assert (found["status"], found["error"]["type"], found["usage"]["calls"]) == ("failed", "invalid_answer", 2)
    assert sorted((each.number, each.kind, each.cost_nano > 0) for each in calls) == [
        (1, "batch", True),
        (2, "batch", True),
    ]
    assert (double.counts.total.started, len(double.batches.shown())) == (2, 2)


async def test_calls_of_a_batch_that_fails_as_a_whole_go_into_another_one(
    settings: Settings, double: FakeServer
) -> None:
    double.batches.takes_s = None
    async with opened(settings) as (front, spine), client(front) as api:
        await taken(api, ask("a"), ask("b"))
        await until(lambda: bool(double.batches.shown()))
        double.batches.takes_s = 0.0
        double.batches.finish("failed")
        found = [await result(api, id_) for id_ in "ab"]
        calls = await rows(spine, executions)
    assert [(each["status"], each["tier"]["name"]) for each in found] == [("succeeded", "batch")] * 2
    assert sorted((each.outcome, each.cost_nano > 0) for each in calls) == [("error", False)] * 2 + [("ok", True)] * 2


async def test_where_a_provider_takes_no_batches_calls_are_made_as_usual(
    settings: Settings, double: FakeServer
) -> None:
    double.batches.refuses = True
    async with opened(settings) as (front, _), client(front) as api:
        await taken(api, ask("a"))
        found = await result(api, "a")
    assert (found["status"], found["tier"]["name"]) == ("succeeded", "standard")
    assert double.batches.shown() == []


async def test_a_call_leaves_its_batch_in_time_for_its_deadline(settings: Settings, double: FakeServer) -> None:
    double.batches.takes_s, double.batches.run_share = None, 0.5
    near = (datetime.now(UTC) + timedelta(seconds=12)).isoformat()
    hasty = settings.model_copy(update={"batch_least_s": 10.0, "batch_reserve_s": 10.0})
    async with opened(hasty) as (front, _), client(front) as api:
        await taken(api, *(ask(id_) | {"deadline": near} for id_ in "ab"))
        found = [await result(api, id_) for id_ in "ab"]
    assert [each["status"] for each in found] == ["succeeded"] * 2
    assert sorted(each["tier"]["name"] for each in found) == ["batch", "standard"]  # none is paid twice
    assert double.counts.total.started == 2
    assert [each["ended"] for each in double.batches.shown()] == ["cancelled"]


async def test_a_cancel_reaches_it_and_what_was_run_is_wasted(settings: Settings, double: FakeServer) -> None:
    double.batches.takes_s = None
    async with opened(settings) as (front, spine), client(front) as api:
        await taken(api, ask("a"), ask("b"))
        await until(lambda: bool(double.batches.shown()))
        assert (await api.post("/v1/requests/a/cancel")).status_code in {200, 202}
        gone = await result(api, "a")
        double.batches.finish()
        await result(api, "b")
        await until(lambda: _all_closed(spine))
        calls = {each.outcome: each for each in await rows(spine, executions)}
        costs = (await api.get("/v1/costs")).json()["totals"]
    assert gone["status"] == "cancelled"
    assert "may still be paid" in gone["warnings"][0]
    assert set(calls) == {"ok", "wasted"}
    assert calls["wasted"].cost_nano > 0
    assert round(float(costs["cost_usd"]) * 1e9) == sum(each.cost_nano for each in calls.values())


async def _all_closed(spine: Spine) -> bool:
    return all(each.outcome is not None for each in await rows(spine, executions))


async def test_a_batch_that_nobody_waits_for_is_stopped(settings: Settings, double: FakeServer) -> None:
    double.batches.takes_s, double.batches.run_share = None, 0.0
    async with opened(settings) as (front, spine), client(front) as api:
        await taken(api, ask("a"))
        await until(lambda: bool(double.batches.shown()))
        assert (await api.post("/v1/requests/a/cancel")).status_code in {200, 202}
        await until(lambda: double.batches.shown()[0]["ended"] == "cancelled")
        await until(lambda: _all_closed(spine))
        (call,) = await rows(spine, executions)
    assert (call.outcome, call.cost_nano) == ("error", 0)


async def test_one_that_is_cancelled_before_it_is_handed_over_costs_nothing(
    settings: Settings, double: FakeServer
) -> None:
    async with opened(settings.model_copy(update={"batch_gather_s": 60.0})) as (front, spine), client(front) as api:
        await taken(api, ask("a"))
        await until(lambda: _parked(spine))
        assert (await api.post("/v1/requests/a/cancel")).status_code in {200, 202}
        gone = await result(api, "a")
        (call,) = await rows(spine, executions)
    assert (gone["status"], gone["warnings"], call.outcome, call.cost_nano) == ("cancelled", [], "error", 0)
    assert double.batches.shown() == []


async def _parked(spine: Spine) -> bool:
    return bool(await rows(spine, batch_items))


async def test_a_batch_that_its_provider_has_lost_may_have_been_paid(settings: Settings, double: FakeServer) -> None:
    double.batches.takes_s = None
    async with opened(settings) as (front, spine), client(front) as api:
        await taken(api, ask("a", on_ambiguous="fail"))
        await until(lambda: bool(double.batches.shown()))
        double.batches.batches.clear()
        found = await result(api, "a")
        (call,) = await rows(spine, executions)
    assert (found["status"], found["error"]["type"]) == ("failed", "ambiguous")
    assert (call.outcome, call.cost_nano) == ("wasted", call.estimate_nano)


def environment(double: FakeServer, url: str, kill: str) -> dict[str, str]:
    """Of a process that hands over once four calls are there."""
    named = {f"GENAI_{name.upper()}": value for name, value in told(double).items()}
    plain = {name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in named.items()}
    four = {"GENAI_BATCH_GATHER_S": "60", "GENAI_BATCH_MOST": "4", "GENAI_BATCH_POLL_S": "0.2"}
    return plain | four | {"GENAI_DATABASE_URL": url, "GENAI_POLL_S": "0.1", "GENAI_KILL_AT": kill}


@pytest.mark.parametrize(
    ("on", "provider", "kill", "ack_s"),
    [
        ("sqlite", "openai", "gathered:1", 0.0),  # nothing had left
        # the provider has it, nobody wrote down its name
        pytest.param("postgres", "openai", "handed_over:1", 0.0, marks=pytest.mark.postgres),
        ("sqlite", "anthropic", "handing_over:1", 0.3),  # and here it does not even know that the provider has it
        ("sqlite", "openai", "returned:1", 0.0),  # its answers were here
    ],
)
async def test_a_process_that_dies_between_handing_over_and_knowing_it_hands_nothing_over_twice(
    url: str, double: FakeServer, tmp_path: Path, provider: str, kill: str, ack_s: float
) -> None:
    double.batches.ack_s = ack_s
    changes = environment(double, url, kill)
    with served(tmp_path / "first", "web", **changes) as first:
        at = first.said("the API listens")["url"]
        first.said("ready")
        async with httpx.AsyncClient(base_url=at, timeout=30) as api:
            with contextlib.suppress(httpx.TransportError):
                await taken(api, *(ask(f"r{n}", provider=provider, model="fake:latest") for n in range(4)))
        assert await asyncio.to_thread(first.process.wait, 60) == -signal.SIGKILL
    double.batches.ack_s = 0.0
    settings = web_settings(tmp_path, **told(double) | {"database_url": url})
    async with opened(settings) as (front, spine), client(front) as api:
        found = [await result(api, f"r{n}") for n in range(4)]
        await until(lambda: _all_ended(spine))
        calls = await rows(spine, executions)
        costs = (await api.get("/v1/costs")).json()["totals"]
    assert [(each["status"], each["tier"]["name"]) for each in found] == [("succeeded", "batch")] * 4
    assert sorted(each.outcome for each in calls) == ["ok"] * 4
    assert (double.counts.total.started, double.counts.total.finished) == (4, 4)
    assert {tally.started for tally in double.counts.requests.values()} == {1}
    assert (costs["calls"], round(float(costs["cost_usd"]) * 1e9)) == (4, sum(each.cost_nano for each in calls))


async def _all_ended(spine: Spine) -> bool:
    return all(each.state == "ended" for each in await rows(spine, batches))
