"""The HTTP API over SQLite and the double."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from agents import OPERATIONS
from schemas.errors import ErrorType
from store.errors import Away
from streams.app import running
from streams.spine import Spine
from streams.web import problems
from streams.web.app import make_api, make_small
from streams.web.auth import check_host
from streams.web.front import Front
from tests.parts.kafka import make_settings
from tests.streams.webs import client, opened, web_settings

JSON = {"content-type": "application/json"}


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Front, Spine]]:
    async with opened(web_settings(tmp_path, request_max_bytes=4096)) as made:
        yield made


@pytest.fixture
async def api(parts: tuple[Front, Spine]) -> AsyncIterator[httpx.AsyncClient]:
    async with client(parts[0]) as made:
        yield made


async def test_a_request_is_answered_with_its_result(api: httpx.AsyncClient) -> None:
    reply = await api.post("/v1/summarize", json={"content": "One. Two.", "id": "a/1", "tenant": "t"})
    told = reply.json()
    assert (reply.status_code, told["id"], told["tenant"], told["status"], told["source"]) == (
        200,
        "a/1",
        "t",
        "succeeded",
        None,
    )


async def test_the_same_request_again_is_the_recorded_answer_and_costs_nothing(api: httpx.AsyncClient) -> None:
    body = {"content": "One. Two.", "id": "a"}
    first, again = [(await api.post("/v1/summarize", json=body)).json() for _ in range(2)]
    assert again == first | {"replayed": True, "usage": again["usage"]}
    assert (again["usage"]["calls"], again["usage"]["cost_usd"]) == (0, "0.000000")


async def test_two_callers_of_one_unfinished_request_get_its_one_answer(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    body = {"content": "x [fake:sleep:0.2]", "id": "a"}
    replies = await asyncio.gather(*(api.post("/v1/summarize", json=body) for _ in range(2)))
    assert [reply.status_code for reply in replies] == [200, 200]
    costs = (await api.get("/v1/costs")).json()
    assert costs["totals"]["calls"] == 1


async def test_one_that_takes_longer_than_its_caller_waits_is_told_where_to_ask(api: httpx.AsyncClient) -> None:
    reply = await api.post("/v1/summarize?wait=0", json={"content": "x [fake:sleep:0.3]", "id": "slow one/ä?#"})
    assert (reply.status_code, reply.json()["request_id"]) == (202, "slow one/ä?#")
    url = reply.headers["location"]
    before = (await api.get(url)).json()
    assert (before["status"], before["lane"], before["attempts"] <= 1) == ("unfinished", "normal", True)
    while (after := (await api.get(url)).json())["status"] == "unfinished":
        await asyncio.sleep(0.02)
    assert (after["status"], after["id"]) == ("succeeded", "slow one/ä?#")


PROMPTED = {"prompt_id": "tone", "variables": {"content": "The ferry was late."}}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/execute-prompt", PROMPTED, 200),
        ("/execute-prompt", PROMPTED | {"wait": True}, 200),
        ("/execute-prompt", PROMPTED | {"wait": False}, 202),
        ("/execute-prompt?wait=5", PROMPTED, 200),
        ("/v1/execute-prompt", PROMPTED | {"wait": 5}, 200),
        ("/v1/summarize", {"text": "One.", "wait": True}, 200),
        ("/v1/summarize", {"content": "One.", "wait": "soon"}, 422),
        ("/v1/summarize?wait=5", {"content": "One.", "wait": True}, 422),
        ("/v1/summarize", {"content": "One.", "text": "Two."}, 422),
        ("/v1/complete", {"prompt_id": "tone"}, 422),  # its `prompt` is no name of one
    ],
)
async def test_the_first_applications_words_are_understood(
    api: httpx.AsyncClient, path: str, body: dict[str, Any], status: int
) -> None:
    reply = await api.post(path, json=body)
    assert (reply.status_code, {200: "output", 202: "status_url", 422: "error"}[status] in reply.json()) == (
        status,
        True,
    )


async def test_the_answer_of_another_process_is_found(tmp_path: Path) -> None:
    settings = web_settings(tmp_path)
    async with opened(settings) as (front, spine):
        spine.engine.draining = True  # this one takes the request and runs nothing
        async with running(settings, bootstrap=None), client(front) as api:
            reply = await api.post("/v1/summarize?wait=10", json={"content": "One."})
    assert (reply.status_code, reply.json()["status"]) == (200, "succeeded")


async def test_an_id_that_several_share_is_refused_and_they_are_named(api: httpx.AsyncClient) -> None:
    await api.post("/v1/summarize", json={"content": "One.", "id": "a"})
    await api.post("/v1/classify", json={"content": "One.", "id": "a", "categories": ["x", "y"]})
    reply = await api.get("/v1/requests/a")
    assert (reply.status_code, [each["operation"] for each in reply.json()["candidates"]]) == (
        409,
        ["summarize", "classify"],
    )
    for each in reply.json()["candidates"]:
        assert (await api.get(each["status_url"])).json()["operation"] == each["operation"]


async def test_headers_come_in_as_fields_and_keys_do_not(api: httpx.AsyncClient, parts: tuple[Front, Spine]) -> None:
    headers = {"genai-id": "h", "genai-tenant": "t2", "authorization": "Bearer secret", "traceparent": "00-1-2-01"}
    told = (await api.post("/v1/summarize", json={"content": "One."}, headers=headers)).json()
    assert (told["id"], told["tenant"]) == ("h", "t2")

    def stored(conn: Any) -> bytes:
        from sqlalchemy import select

        from store.tables import bodies

        return bytes(conn.execute(select(bodies.c.headers)).scalar_one())

    kept = await parts[1].database.read(stored)
    assert b"traceparent" in kept and b"authorization" not in kept


LARGE = orjson.dumps({"content": "x" * 5000})


@pytest.mark.parametrize(
    ("body", "status", "word", "says"),
    [
        (b"{", 400, "invalid_request", "not JSON"),
        (b"", 400, "invalid_request", "empty"),
        (b'{"content": NaN}', 400, "invalid_request", "NaN is no JSON number"),
        (b'{"content": "\xff"}', 400, "invalid_request", "not UTF-8 (byte 13)"),
        (b'{"content": "\\ud800"}', 400, "invalid_request", "not JSON"),
        (b"[" * 2000, 400, "invalid_request", "nested too deeply"),
        (b"[]", 422, "invalid_request", "array"),
        (b"null", 422, "invalid_request", "null"),
        (b"{}", 422, "invalid_request", "content"),
        (b'{"content": "  "}', 422, "invalid_request", "blank"),
        (b'{"content": 7}', 422, "invalid_request", "string"),
        (b'{"content": "x", "max_sentences": 0}', 422, "invalid_request", "greater than or equal to 1"),
        (
            b'{"content": "x", "options": {"provider": "zz"}}',
            422,
            "invalid_request",
            "known are anthropic, bedrock, fake",
        ),
        (b'{"content": "x", "options": {"model": "zz"}}', 404, "model_not_found", "fake"),
        (b'{"content": "x", "options": 3}', 422, "invalid_request", "options"),
        (b'{"content": "x", "id": "a\\u0001b"}', 422, "invalid_request", "`id`"),
        (b'{"content": "x", "id": "%s"}' % (b"i" * 3000), 422, "invalid_request", "`id`"),
        (b'{"content": "x", "deadline": "soon"}', 422, "invalid_request", "deadline"),
        (b'{"content": "x [fake:refused]"}', 502, "refused", "told to fail"),
        (b'{"content": "x [fake:context_too_long]"}', 413, "context_too_long", "context"),
        (LARGE, 413, "invalid_request", "5014 bytes; at most 4096"),
    ],
)
async def test_bad_input_is_told_clearly(
    api: httpx.AsyncClient, body: bytes, status: int, word: str, says: str
) -> None:
    reply = await api.post("/v1/summarize", content=body, headers=JSON)
    error = reply.json()["error"]
    assert (reply.status_code, error["type"]) == (status, word)
    assert says in error["message"]
    neighbour = await api.post("/v1/summarize", json={"content": "One."})
    assert neighbour.status_code == 200


async def test_a_body_without_a_length_is_cut_off_at_the_limit(api: httpx.AsyncClient) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1024
            yield b"x" * 1024

    reply = await api.post("/v1/summarize", content=endless(), headers=JSON)
    assert (reply.status_code, read) == (413, 5 * 1024)


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("POST", "/v1/nonsense", 404, f"there are {', '.join(sorted(OPERATIONS))}"),
        ("POST", "/v1/summarize?lane=fast", 422, "realtime, normal, batch"),
        ("POST", "/v1/summarize?wait=nan", 422, "from 0 to 3600"),
        ("POST", "/v1/summarize?wait=-1", 422, "from 0 to 3600"),
        ("GET", "/v1/requests/nobody", 404, "'nobody'"),
        ("GET", "/v1/usage?by=colour", 422, "day, provider, model, tenant, operation, run"),
        ("GET", "/v1/costs?from=yesterday", 422, "YYYY-MM-DD"),
        ("GET", "/v1/costs?from=2026-02-01&to=2026-01-01", 422, "exchange them"),
        ("GET", "/nothing", 404, "/docs"),
        ("DELETE", "/v1/costs", 405, "/docs"),
    ],
)
async def test_a_wrong_address_is_told_as_a_problem(
    api: httpx.AsyncClient, method: str, path: str, status: int, says: str
) -> None:
    reply = await api.request(method, path, json={"content": "x"} if method == "POST" else None)
    assert (reply.status_code, reply.headers["content-type"]) == (status, "application/problem+json")
    assert says in reply.json()["detail"]


async def test_another_content_type_is_refused(api: httpx.AsyncClient) -> None:
    reply = await api.post("/v1/summarize", data={"content": "x"})
    assert (reply.status_code, "content-type: application/json" in reply.json()["detail"]) == (415, True)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/summarize", "application/json"),
        ("/v1/runs?name=summarize", "application/x-ndjson"),
        ("/v1/files", "multipart/form-data; boundary=x"),
    ],
)
async def test_a_compressed_body_is_refused_as_such(api: httpx.AsyncClient, path: str, kind: str) -> None:
    headers = {"content-encoding": "gzip", "content-type": kind}
    reply = await api.post(path, content=gzip.compress(b'{"content": "x"}'), headers=headers)
    assert (reply.status_code, reply.headers["accept-encoding"], "'gzip'" in reply.text) == (415, "identity", True)


async def test_costs_and_usage_are_exact_decimal_strings(api: httpx.AsyncClient, parts: tuple[Front, Spine]) -> None:
    told = [(await api.post("/v1/summarize", json={"content": f"One {n}.", "tenant": "t"})).json() for n in range(3)]
    from schemas.money import from_usd, to_usd

    total = to_usd(sum(from_usd(each["usage"]["cost_usd"]) or 0 for each in told))
    costs = (await api.get("/v1/costs")).json()
    usage = (await api.get("/v1/usage?by=tenant")).json()
    assert (costs["totals"]["cost_usd"], costs["days"][0]["cost_usd"]) == (total, total)
    assert [(each["name"], each["calls"], each["cost_usd"]) for each in usage["items"]] == [("t", 3, total)]


async def test_every_operation_has_a_route_and_is_described(parts: tuple[Front, Spine]) -> None:
    described = make_api(parts[0]).openapi()["paths"]
    assert {f"/v1/{name}" for name in OPERATIONS} <= described.keys()


def test_every_word_of_the_contract_has_a_status() -> None:
    assert set(problems.STATUS) == set(ErrorType)


async def test_ready_says_what_is_away_and_health_always_answers(
    api: httpx.AsyncClient, parts: tuple[Front, Spine]
) -> None:
    await parts[1].keeper.aclose()
    parts[1].writer._is_away(Away("no route"))
    ready, health = await api.get("/ready"), await api.get("/health")
    database = ready.json()["parts"]["database"]
    assert (ready.status_code, database["ok"], database["why"], health.status_code) == (503, False, "no route", 200)


async def test_a_database_that_is_away_is_503_at_once(api: httpx.AsyncClient, parts: tuple[Front, Spine]) -> None:
    await parts[1].keeper.aclose()  # its heartbeat would meet a database that is there
    parts[1].writer._is_away(Away("no route"))
    reply = await asyncio.wait_for(api.post("/v1/summarize", json={"content": "One."}), 1)
    assert (reply.status_code, "retry-after" in reply.headers) == (503, True)


async def test_before_its_parts_are_there_it_says_what_it_waits_for(tmp_path: Path) -> None:
    front = Front(web_settings(tmp_path), "web")
    front.wait_for("waiting for the database x")
    async with client(front) as api:
        asked, ready = await api.post("/v1/summarize", json={"content": "x"}), await api.get("/ready")
        metrics = await api.get("/metrics")
    assert (asked.status_code, ready.status_code, "genai_up 0.0" in metrics.text) == (503, 503, True)
    assert "waiting for the database x" in asked.json()["detail"]


async def test_metrics_show_lanes_slots_and_the_ledger(api: httpx.AsyncClient) -> None:
    await api.post("/v1/summarize?lane=batch", json={"content": "One."})
    text = (await api.get("/metrics")).text
    for series in (
        'genai_waiting_requests{lane="batch"} 0.0',
        'genai_oldest_waiting_seconds{lane="realtime"} 0.0',
        'genai_slots_total{model="fake",provider="fake"} 4.0',
        "genai_ledger_ok 1.0",
        'genai_requests_total{lane="batch",operation="summarize",status="succeeded"} 1.0',
    ):
        assert series in text
    assert all(line.startswith(("#", "genai_")) for line in text.splitlines())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer k"}, 200),
        ({"authorization": "bearer  k "}, 200),
        ({"x-api-key": "k"}, 200),
        ({"x-api-key": "kk"}, 401),
        ({"authorization": "Basic k"}, 401),
    ],
)
async def test_with_a_key_nothing_but_probes_is_open(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    async with opened(web_settings(tmp_path, api_key="k")) as (front, _), client(front) as api:
        assert (await api.get("/v1/costs", headers=headers)).status_code == status
        assert (await api.get("/metrics", headers=headers)).status_code == status
        assert (await api.get("/health", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("host", "changes", "allowed"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("localhost", {}, True),
        ("0.0.0.0", {}, False),
        ("10.0.0.7", {}, False),
        ("example.org", {}, False),
        ("0.0.0.0", {"api_key": "k"}, True),
        ("0.0.0.0", {"allow_insecure": True}, True),
    ],
)
def test_a_network_is_served_only_with_a_key(host: str, changes: dict[str, Any], allowed: bool) -> None:
    from streams.errors import SpineError

    settings = make_settings(**changes)
    if allowed:
        check_host(host, "GENAI_API_HOST", settings)
    else:
        with pytest.raises(SpineError, match="GENAI_API_KEY"):
            check_host(host, "GENAI_API_HOST", settings)


async def test_the_small_door_has_state_and_metrics_only(parts: tuple[Front, Spine]) -> None:
    transport = httpx.ASGITransport(make_small(parts[0]))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as small:
        paths = ("/health", "/ready", "/metrics", "/v1/costs")
        assert [(await small.get(path)).status_code for path in paths] == [200, 200, 200, 404]
