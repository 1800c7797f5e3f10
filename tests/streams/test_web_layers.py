"""What lies around every route."""

import asyncio
import gzip
import json
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import structlog

from agents import OPERATIONS
from streams.logging import configure
from streams.web import looking, shapes
from streams.web.app import make_api, make_small
from streams.web.front import Front
from tests.parts.kafka import make_settings
from tests.streams.webs import client, opened, web_settings

pytestmark = pytest.mark.fast

ORIGIN = "https://app.example.org"


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    async with opened(web_settings(tmp_path)) as (made, _):
        yield made


def routes() -> list[tuple[str, str]]:
    app = make_api(Front(make_settings(), "web"))
    return sorted(
        {(route.path, method) for route in app.routes for method in route.methods if method != "HEAD"}  # type: ignore[attr-defined]
    )


async def test_each_route_refuses_another_method_and_an_unknown_parameter_as_a_problem(front: Front) -> None:
    async with client(front) as api:
        for route, method in routes():
            path = re.sub(r"{[^}]+}", "x", route)
            wrong = await api.request("PATCH", path)
            shape = "application/json" if shapes.of(route) else "application/problem+json"
            assert (wrong.status_code, wrong.headers["content-type"]) == (405, shape), route
            assert method in wrong.headers["allow"]
            unknown = await api.request(method, f"{path}?nonsense=1", json={} if method == "POST" else None)
            told = unknown.json() if "json" in unknown.headers["content-type"] else {}
            assert unknown.status_code in {200, 400, 404, 422, 503} or shapes.of(route), route
            assert unknown.status_code == 200 or told.get("error", {}).get("type") or "parts" in told, route


POSTS = [  # path, body, what is known there
    *((f"/v1/{name.replace('_', '-')}", {}, "wait, lane") for name in OPERATIONS),
    ("/execute-prompt", {}, "wait, lane"),
    ("/v1/routes/explain", {"prompt": "x"}, "lane"),
    ("/v1/keys", {"name": "x", "tenant": "t"}, "there are none here"),
    ("/v1/runs", {"kind": "task"}, "wait"),
    ("/v1/prompts/tone/rollback", {"label": "x", "why": "x"}, "tenant"),
    ("/v1/prompts/tone/restore", {}, "tenant"),
    ("/v1/requests/x/cancel", {}, "tenant, operation, wait"),
]


async def test_a_post_refuses_parameters_that_it_does_not_know_and_names_those_that_it_does(front: Front) -> None:
    async with client(front) as api:
        for path, body, known in POSTS:
            reply = await api.post(f"{path}?bogus=1", json=body)
            told = reply.json()
            assert (reply.status_code, reply.headers["content-type"]) == (422, "application/problem+json"), path
            assert told["detail"].startswith("The parameter 'bogus' is not known; ") and known in told["detail"], path
        twice = await api.post("/v1/summarize?wait=1&wait=2", json={"content": "One."})
        assert (await api.get("/v1/requests")).json()["items"] == []
    assert (twice.status_code, "stands there twice" in twice.json()["detail"]) == (422, True)


async def test_paths_of_others_sdks_pass_over_parameters(front: Front) -> None:
    turns = [{"role": "user", "content": "Hi."}]
    asked = [
        ("/v1/chat/completions?api-version=2024-10-21", {"model": "fake", "messages": turns}),
        ("/v1/completions?api-version=2024-10-21", {"model": "fake", "prompt": "Hi."}),
        ("/v1/embeddings?api-version=2024-10-21", {"model": "fake-embed", "input": "Hi."}),
        ("/v1/responses?api-version=preview", {"model": "fake", "input": "Hi."}),
        ("/v1/messages?beta=true", {"model": "fake", "max_tokens": 9, "messages": turns}),
        ("/v1/messages/count_tokens?beta=true", {"model": "fake", "messages": turns}),
    ]
    async with client(front) as api:
        assert {path: (await api.post(path, json=body)).status_code for path, body in asked} == dict.fromkeys(
            (path for path, _ in asked), 200
        )


async def test_head_is_get_without_a_body(front: Front) -> None:
    async with client(front) as api:
        for path in sorted(route for route, method in routes() if method == "GET" and "{" not in route):
            get, head = await api.get(path), await api.head(path)
            same = ("content-type", "content-length", "etag")
            told = [
                (reply.status_code, *map(reply.headers.get, same[: 1 if path == "/metrics" else 3]))
                for reply in (get, head)
            ]
            assert (told[0], head.content) == (told[1], b""), path
        refused = await api.head("/v1/summarize")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")


async def test_head_of_a_stream_ends_with_its_headers(front: Front) -> None:
    assert front.spine is not None
    front.spine.engine.draining = True
    async with client(front) as api:
        await api.post("/v1/summarize?wait=0", json={"content": "later", "id": "a"})
        head = await asyncio.wait_for(api.head("/v1/requests/a/events"), 10)
    assert (head.status_code, head.headers["content-type"].partition(";")[0]) == (200, "text/event-stream")


async def test_small_doors_have_head_too(front: Front) -> None:
    transport = httpx.ASGITransport(make_small(front))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as api:
        found = [(await api.head(path)).status_code for path in ("/health", "/ready", "/metrics")]
    assert found[::2] == [200, 200]
    assert found[1] in {200, 503}


GIVEN = [
    ("abc-123/x=", True),
    ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
    ("", False),
    ("a b", False),
    ("x" * 129, False),
    ("<script>", False),
    ("ä", False),
]


async def test_a_request_id_is_taken_over_when_it_is_sane_and_always_answered(front: Front) -> None:
    async with client(front) as api:
        for given, taken in GIVEN:
            for path in ("/health", "/nothing", "/v1/requests?limit=0"):
                told = (await api.get(path, headers={"x-request-id": given.encode()})).headers["x-request-id"]
                assert (told == given, 0 < len(told) <= 128) == (taken, True)


async def test_a_defect_answers_with_the_request_id_too(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(looking, "named", broken)
    async with client(front) as api:
        reply = await api.get("/v1/requests/x", headers={"x-request-id": "mine"})
    assert (reply.status_code, reply.headers["x-request-id"], "secret" in reply.text) == (500, "mine", False)


async def test_the_id_stands_on_lines_logged_for_the_request(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("info", "json")
    try:
        structlog.contextvars.clear_contextvars()
        front = Front(web_settings(tmp_path), "web")
        async with client(front) as api:
            await api.get("/health", headers={"x-request-id": "mine"})
        structlog.get_logger("x").info("said")
        assert json.loads(capsys.readouterr().err.splitlines()[-1])["x_request_id"] == "mine"
    finally:
        structlog.contextvars.clear_contextvars()
        structlog.reset_defaults()
        logging.getLogger().handlers.clear()


async def test_what_is_large_is_compressed_for_who_asks_and_its_tag_stays(front: Front) -> None:
    async with client(front) as api:
        for number in range(12):
            await api.post("/v1/summarize", json={"content": "One.", "id": str(number)})
        whole, packed = [
            await api.get("/v1/requests", headers={"accept-encoding": coding}) for coding in ("identity", "gzip")
        ]
        small = await api.get("/health", headers={"accept-encoding": "gzip"})
        again = {"accept-encoding": "gzip", "if-none-match": packed.headers["etag"]}
        known = await api.get("/v1/requests", headers=again)
    assert (packed.headers["content-encoding"], "content-encoding" in whole.headers) == ("gzip", False)
    assert (packed.content, packed.headers["etag"]) == (whole.content, whole.headers["etag"])
    assert int(packed.headers["content-length"]) < len(gzip.compress(whole.content, 1)) * 1.1
    assert ("content-encoding" in small.headers, known.status_code) == (False, 304)


@pytest.mark.parametrize("path", ["/openapi.json", "/v1/models", "/v1/models/fake", "/v1/requests", "/docs"])
async def test_who_has_an_answer_already_is_told_so(front: Front, path: str) -> None:
    async with client(front) as api:
        whole = await api.get(path)
        again = await api.get(path, headers={"if-none-match": whole.headers["etag"]})
        other = await api.get(path, headers={"if-none-match": 'W/"other"'})
    assert (whole.status_code, again.status_code, again.content, other.status_code) == (200, 304, b"", 200)
    assert again.headers["etag"] == whole.headers["etag"]


async def test_other_origins_are_not_told_anything_by_default(front: Front) -> None:
    async with client(front) as api:
        reply = await api.get("/health", headers={"origin": ORIGIN})
    assert "access-control-allow-origin" not in reply.headers


async def test_an_origin_of_the_settings_may_read_and_ask(tmp_path: Path) -> None:
    settings = web_settings(tmp_path, cors_origins=f"{ORIGIN}, http://localhost:3000", api_key="k")
    async with client(Front(settings, "web")) as api:
        asks = {"origin": ORIGIN, "access-control-request-method": "POST"}
        first = await api.options("/v1/summarize", headers=asks | {"access-control-request-headers": "x-api-key"})
        mine = await api.get("/health", headers={"origin": ORIGIN})
        other = await api.get("/health", headers={"origin": "https://evil.example.org"})
    assert (first.status_code, first.headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert "x-request-id" in mine.headers["access-control-expose-headers"].lower()
    assert "access-control-allow-credentials" not in mine.headers
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    "told", ["app.example.org", "https://app.example.org/", "https://a b", "ftp://x", "*.example.org"]
)
def test_what_is_no_origin_is_refused_at_the_start(told: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        make_settings(cors_origins=told)
