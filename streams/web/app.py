"""The two HTTP doors: the API, and the worker's own small one. Routes derive from `OPERATIONS`."""

from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agents import OPERATIONS
from agents.base import Operation
from schemas.request import Options
from schemas.result import Result
from streams.settings import Settings
from streams.web import asking, events, looking, metrics
from streams.web.auth import Keyed
from streams.web.front import Front
from streams.web.health import health_response, ready_response
from streams.web.problems import Problem, on_defect, on_http, on_problem

Handler = Callable[[Request], Awaitable[Response]]


def make_api(front: Front) -> FastAPI:
    """Everything over HTTP; works from the first moment, and says 503 until the parts are there."""
    app = FastAPI(
        title="GenAI Spine",
        version=_version(),
        description="Requests in, answers and their exact costs out.",
        middleware=[_keyed(front.settings)],
        exception_handlers={Problem: on_problem, HTTPException: on_http, Exception: on_defect},
        redoc_url=None,
    )
    for path, handler in _common(front).items():
        app.add_api_route(path, handler, methods=["GET"], tags=["state"], summary=handler.__doc__)
    app.add_api_route("/v1/usage", _get(front, looking.usage), tags=["books"], openapi_extra=_query("by", "from", "to"))
    app.add_api_route("/v1/costs", _get(front, looking.costs), tags=["books"], openapi_extra=_query("from", "to"))
    app.add_api_route(
        "/v1/requests/{request_id:path}/events",
        _get(front, events.stream),
        tags=["requests"],
        openapi_extra=_query("tenant", "operation"),
    )
    app.add_api_route(
        "/v1/requests/{request_id:path}",
        _get(front, looking.one_request),
        tags=["requests"],
        openapi_extra=_query("tenant", "operation"),
    )
    for name, operation in OPERATIONS.items():
        handler = asking.route(front, name)
        for number, path in enumerate(dict.fromkeys((name, name.replace("_", "-")))):
            app.add_api_route(
                f"/v1/{path}",
                handler,
                methods=["POST"],
                tags=["operations"],
                include_in_schema=number == 0,
                openapi_extra=_described(operation),
            )
    app.add_api_route("/v1/{operation}", _no_such_operation, methods=["POST"], include_in_schema=False)
    return app


def make_small(front: Front) -> Starlette:
    """The worker's own door: its state and its metrics."""
    return Starlette(
        routes=[Route(path, handler, methods=["GET"]) for path, handler in _common(front).items()],
        middleware=[_keyed(front.settings)],
        exception_handlers={Problem: on_problem, HTTPException: on_http, Exception: on_defect},
    )


def _common(front: Front) -> dict[str, Handler]:
    async def health(_: Request) -> Response:
        """Whether the process answers."""
        return health_response(front)

    async def ready(_: Request) -> Response:
        """Each part: whether it works, why not, since when."""
        return ready_response(front)

    async def figures(_: Request) -> Response:
        """Prometheus metrics."""
        return await metrics.response(front)

    return {"/health": health, "/ready": ready, "/metrics": figures}


def _get(front: Front, look: Callable[[Front, Request], Awaitable[Response]]) -> Handler:
    async def handler(request: Request) -> Response:
        return await look(front, request)

    handler.__name__ = look.__name__
    handler.__doc__ = look.__doc__
    return handler


async def _no_such_operation(request: Request) -> Response:
    raise asking.unknown(request.path_params["operation"])


def _keyed(settings: Settings) -> Middleware:
    return Middleware(Keyed, key=settings.api_key.get_secret_value() if settings.api_key else None)


def _version() -> str:
    try:
        return version("genai-spine")
    except PackageNotFoundError:
        return "0"


def _query(*names: str) -> dict[str, Any]:
    return {"parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]}


def _described(operation: Operation) -> dict[str, Any]:
    """The flat body, for /docs: the operation's input beside the envelope."""
    shape = operation.input.model_json_schema()
    fields = dict(shape.get("properties", {})) | {
        "id": {"type": "string"},
        "tenant": {"type": "string"},
        "options": Options.model_json_schema(),
        "metadata": {"type": "object"},
    }
    body = {"type": "object", "properties": fields, "required": shape.get("required", [])}
    if "$defs" in shape:
        body["$defs"] = shape["$defs"]
    answer = {"description": "The result.", "content": {"application/json": {"schema": Result.model_json_schema()}}}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {"200": answer, "202": {"description": "Not finished yet; ask again at `status_url`."}},
        **_query("wait", "lane"),
    }
