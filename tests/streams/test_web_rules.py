"""A rule for every route: whoever adds one says who may come to it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import Route

from agents import OPERATIONS
from streams.web.app import make_api, make_small
from streams.web.front import Front
from streams.web.layers import rules
from streams.web.rules import Rule, for_operations
from tests.streams.webs import client, opened, web_settings

pytestmark = pytest.mark.fast
_OPEN = {"/health", "/ready", "/docs", "/openapi.json", "/assets/page.css", "/assets/page.js"}


_NOBODYS = {
    "/v1/routes",
    "/v1/routes/explain",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/models",
    "/v1/models/{model:path}",
    "/v1/pipelines",
    "/v1/pipelines/{pipeline}",
    "/execute-prompt",
    "/v1/{operation}",
}
"""Any key may come, and nothing of a tenant is there."""
_HELD = {
    "/v1/usage",
    "/v1/costs",
    "/v1/costs/corrections",  # in `test_web_schedules.py`
    "/v1/requests",
    "/v1/queue",
    "/v1/requests/{request_id:path}",
    "/v1/requests/{request_id:path}/queue",
    "/v1/requests/{request_id:path}/events",
    "/v1/requests/{request_id:path}/cancel",
    "/v1/requests/{request_id:path}/retry",
    "/v1/requests/{request_id:path}/drop",
    *(path for path in rules() if "/runs" in path or path.startswith(("/v1/prompts", "/v1/files", "/v1/batches"))),
    *(path for path in rules() if path.startswith("/v1/responses")),
}
"""Tried with keys of two tenants in `test_web_keys.py` and `test_web_keys_more.py`, responses in `test_responses.py`; who adds a route
tries it there too.
"""


def _routes(folder: Path) -> list[str]:
    front = Front(web_settings(folder), "web")
    return [
        route.path for app in (make_api(front), make_small(front)) for route in app.routes if isinstance(route, Route)
    ]


def test_every_route_has_a_rule_and_every_rule_a_route(tmp_path: Path) -> None:
    routes = set(_routes(tmp_path))
    assert (sorted(routes - rules().keys()), sorted(rules().keys() - routes)) == ([], [])


def test_what_is_free_holds_nothing_of_a_user() -> None:
    assert {path for path, rule in rules().items() if rule is Rule.FREE} == _OPEN


def test_every_route_for_any_key_is_tried_with_two_tenants_or_has_nothing_of_one() -> None:
    own = {path for path, rule in rules().items() if rule is Rule.OWN}
    assert own - for_operations(list(OPERATIONS)).keys() == _NOBODYS | _HELD


def test_every_path_of_runs_works_without_v1_too(tmp_path: Path) -> None:
    api = make_api(Front(web_settings(tmp_path), "web"))
    routes = {
        (route.path, method): (route.endpoint, rules()[route.path])
        for route in api.routes
        if isinstance(route, Route) and "/runs" in route.path
        for method in route.methods or ()
    }
    short = {(path, method): told for (path, method), told in routes.items() if not path.startswith("/v1")}
    assert short == {
        (path.removeprefix("/v1"), method): told for (path, method), told in routes.items() if path.startswith("/v1")
    }


def _called(path: str) -> Iterator[tuple[str, str]]:
    for part in (
        "request_id:path",
        "run_id:path",
        "run_id",
        "file_id",
        "batch_id",
        "response_id",
        "prompt",
        "version",
        "label",
        "model:path",
        "key_id",
        "operation",
    ):
        path = path.replace(f"{{{part}}}", "x")
    for method in ("GET", "POST"):
        yield method, path


async def test_without_a_key_no_route_but_the_free_ones_says_anything(tmp_path: Path) -> None:
    async with opened(web_settings(tmp_path, api_key="k")) as (front, _), client(front) as api:
        for path in _routes(tmp_path):
            for method, at in _called(path):
                reply = await api.request(method, at)
                free = rules()[path] is Rule.FREE and method == "GET"
                assert (reply.status_code in {200, 503}) is free, (method, at, reply.status_code)
                assert free or path in _OPEN or reply.status_code == 401
