"""`/v1/budgets`, and what a budget does to whoever asks: through the whole door and the engine behind it."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams.spine import Spine
from streams.web import again
from tests.streams.webs import client, opened, web_settings

Api = tuple[httpx.AsyncClient, Spine]


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with opened(web_settings(tmp_path, fake_slots=4)) as (front, spine), client(front) as made:
        yield made, spine


async def _put(http: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    reply = await http.put("/v1/budgets", json={"tenant": "t", **body})
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def _ask(http: httpx.AsyncClient, text: str = "One. Two.", **more: Any) -> httpx.Response:
    return await http.post("/v1/summarize", json={"content": text, "tenant": "t", **more})


async def _stands(http: httpx.AsyncClient) -> dict[str, Any]:
    (found,) = (await http.get("/v1/budgets")).json()["items"]
    return {name: found[name] for name in ("spent_usd", "reserved_usd", "overrun_usd")}


async def test_a_budget_is_set_seen_changed_and_removed(api: Api) -> None:
    http, _ = api
    made = await _put(http, limit_usd="12.50", per="day")
    assert (made["id"], made["limit_usd"], made["left_usd"], made["hard"]) == (1, "12.500000", "12.500000", True)
    changed = await _put(http, limit_usd=3, per="day", hard=False)
    assert (changed["id"], changed["limit_usd"], changed["hard"]) == (1, "3.000000", False)
    shown = (await http.get("/v1/budgets/1")).json()
    assert [(each["event"], each["who"], each["limit_usd"]) for each in shown["history"]] == [
        ("set", "http", "3.000000"),
        ("set", "http", "12.500000"),
    ]
    assert (await http.delete("/v1/budgets/1")).json()["removed"]
    assert (await http.get("/v1/budgets")).json() == {"items": []}
    assert (await http.delete("/v1/budgets/1")).status_code == 404


BAD = [  # a body, and what its refusal says
    ({"limit_usd": "1"}, "say whose costs it counts"),
    ({"limit_usd": "1", "tenant": "t", "everything": True}, "say whose costs it counts"),
    ({"limit_usd": "much", "tenant": "t"}, "'much' is no amount of dollars"),
    ({"limit_usd": "-1", "tenant": "t"}, "'-1' is no amount of dollars"),
    ({"limit_usd": "NaN", "tenant": "t"}, "'NaN' is no amount of dollars"),
    ({"limit_usd": "1e30", "tenant": "t"}, "is no amount of dollars"),
    ({"limit_usd": True, "tenant": "t"}, "is no amount of dollars"),
    ({"tenant": "t"}, "`limit_usd`: Field required"),
    ({"limit_usd": "1", "tenant": "t", "per": "week"}, "`per`: Input should be 'day', 'month' or 'total'"),
    ({"limit_usd": "1", "model": "gpt"}, "'gpt' names no model"),
    ({"limit_usd": "1", "tenant": "a\nb"}, "`tenant`"),
    ({"limit_usd": "1", "tenant": "t", "color": "red"}, "`color`: Extra inputs are not permitted"),
]


@pytest.mark.parametrize(("body", "words"), BAD)
async def test_what_is_no_budget_is_refused_by_name(api: Api, body: dict[str, Any], words: str) -> None:
    reply = await api[0].put("/v1/budgets", json=body)
    assert (reply.status_code, words in reply.json()["detail"]) == (422, True), reply.text


@pytest.mark.parametrize("name", ["0", "99", "x", "-1", "9" * 30])
async def test_a_budget_that_there_is_not_is_404(api: Api, name: str) -> None:
    assert (await api[0].get(f"/v1/budgets/{name}")).status_code == 404


async def test_what_a_request_cost_is_spent_and_nothing_stays_reserved(api: Api) -> None:
    http, _ = api
    await _put(http, limit_usd="10")
    answers = [await _ask(http, f"One. Two {i}.") for i in range(3)]
    cost = sum(Decimal(each.json()["usage"]["cost_usd"]) for each in answers)
    told = await _stands(http)
    assert (Decimal(told["spent_usd"]), told["reserved_usd"]) == (cost, "0.000000")
    assert cost > 0


async def test_over_its_budget_a_request_is_402_with_what_is_left(api: Api) -> None:
    http, _ = api
    await _put(http, limit_usd="0.000001", per="day")
    reply = await _ask(http)
    told = reply.json()
    assert (reply.status_code, told["status"], told["error"]["type"]) == (402, "failed", "budget_exceeded")
    assert told["error"]["details"]["left_usd"] == "0.000001"
    assert told["error"]["details"]["resets_at"].endswith("T00:00:00Z")
    assert abs(int(reply.headers["retry-after"]) - (86_400 - time.time() % 86_400)) < 60
    assert (await http.post("/v1/summarize", json={"content": "One.", "tenant": "other"})).status_code == 200


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("per", ["month", "total"])
async def test_every_door_says_when_a_budget_begins_anew_if_it_does(api: Api, path: str, per: str) -> None:
    http, _ = api
    await _put(http, limit_usd="0", per=per)
    body = {"model": "fake", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi."}]}
    reply = await http.post(path, json=body, headers={"x-genai-tenant": "t"})
    assert reply.status_code in {402, 429} and reply.headers["x-should-retry"] == "false"
    assert (0 < int(reply.headers.get("retry-after", 0)) <= 31 * 86_400) == (per == "month")


_SPENT = "2026-11-22T00:00:00Z"


@pytest.mark.parametrize(
    ("failure", "told"),
    [  # it is 23:59:00, sixty seconds before
        (("budget_exceeded", _SPENT), {"Retry-After": "60"}),
        (("budget_exceeded", "2026-11-21T23:59:00Z"), {}),  # it has begun anew
        (("budget_exceeded", None), {}),
        (("rate_limited", _SPENT), {}),
    ],
)
def test_when_to_come_again(failure: tuple[str, str | None], told: dict[str, str]) -> None:
    now = datetime(2026, 11, 21, 23, 59, tzinfo=UTC).timestamp()
    assert again.header({"type": failure[0], "details": {"resets_at": failure[1]}}, now) == told


def test_who_did_not_fail_is_not_told_to_come_again() -> None:
    assert again.header(None, 0.0) == {}


async def test_what_is_feared_at_the_door_is_never_less_than_what_its_first_call_fears(api: Api) -> None:
    """Else a request that was let in would find no room when its turn comes."""
    http, spine = api
    await _put(http, limit_usd="10")
    bodies: dict[str, dict[str, Any]] = {
        "summarize": {"content": "The ferry was late. " * 40},
        "extract": {"content": "Aurora left Bergen on Friday. " * 10, "entity_types": ["ship", "place"]},
        "classify": {"content": "I was charged twice.", "categories": {"billing": "money", "praise": "thanks"}},
        "compare": {"items": ["Fares rise by 4%.", "A ticket costs 4% more."]},
        "rewrite": {"content": "Fog held the ferry. " * 20, "tone": "plain"},
        "complete": {"messages": [{"role": "user", "content": "漢字 und Größe {1, 2, 3}"}] * 3, "max_tokens": 5},
        "embed": {"texts": ["a", "b" * 50, "123 456"]},
        "execute_prompt": {"prompt": "summarize", "variables": {"content": "x " * 99, "max_sentences": 1}},
    }
    held: dict[str, int | None] = {}
    feared: dict[str, int | None] = {}
    step = spine.engine.tools.commit

    async def listening(each: Any) -> Any:
        if each.opens is not None and each.opens.number == 1:
            held[each.claim.operation], feared[each.claim.operation] = each.claim.budget_nano, each.opens.estimate_nano
        return await step(each)

    object.__setattr__(spine.engine.tools, "commit", listening)
    spine.engine.earlies._room = lambda _: 0  # those intents stand with their acceptance, and pass by here
    for name, body in bodies.items():
        reply = await http.post(f"/v1/{name}", json={**body, "tenant": "t"})
        assert reply.status_code == 200, (name, reply.text)
    assert set(held) == set(bodies)
    assert all((held[name] or 0) >= (feared[name] or 0) > 0 for name in bodies), (held, feared)


async def test_of_many_at_once_as_many_are_answered_as_fit(api: Api) -> None:
    http, _ = api
    slow = "One. Two. [fake:sleep:1.5]"
    await _put(http, limit_usd="10", per="total")
    first = asyncio.create_task(_ask(http, slow))
    while not (hold := Decimal((await _stands(http))["reserved_usd"])):
        await asyncio.sleep(0.01)
    await first
    spent = Decimal((await _stands(http))["spent_usd"])
    await _put(http, limit_usd=str(spent + 2 * hold), per="total")
    found = await asyncio.gather(*(_ask(http, slow) for _ in range(4)))
    assert sorted(each.status_code for each in found) == [200, 200, 402, 402]
    assert (await _stands(http))["reserved_usd"] == "0.000000"


async def test_metrics_tell_how_budgets_stand_and_a_share_is_told(api: Api) -> None:
    http, spine = api
    await _put(http, limit_usd="0.01", per="total")
    reply = await _ask(http)
    cost = reply.json()["usage"]["cost_usd"]
    await _put(http, limit_usd=cost, per="total")
    await spine.keeper._watch_budgets()
    told = (await http.get("/metrics")).text
    labels = 'budget="1",hard="true",period="total",whose="tenant t"'
    assert f"genai_budget_limit_usd{{{labels}}} {float(cost)}" in told
    assert f"genai_budget_spent_usd{{{labels}}} {float(cost)}" in told
    assert 'genai_budget_shares_total{budget="1",share="100"} 1.0' in told
    assert (await http.get("/v1/budgets/1")).json()["history"][0]["event"] == "100 %"
