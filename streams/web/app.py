"""The two HTTP doors: the API, and the worker's own small one. Routes derive from `OPERATIONS`."""

from collections.abc import Awaitable, Callable, Coroutine
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from agents import OPERATIONS
from schemas.prompts import Edit, Move, NewPrompt, Render, Rollback, Stand
from schemas.runs import NewRun
from streams import queueing
from streams.web import (
    asking,
    books,
    budgets,
    events,
    keys,
    listing,
    looking,
    metrics,
    models,
    orders,
    pipelines,
    prompts,
    queue,
    routing,
    runs,
    schedules,
    submitting,
)
from streams.web.bodiless import Heads
from streams.web.describing import (
    also,
    answered,
    asked,
    describer,
    given,
    ordered,
    plain,
    query,
    stored,
    streamed,
    wished,
    written,
)
from streams.web.examples import answers, bodies
from streams.web.front import Front
from streams.web.health import health_response, ready_response
from streams.web.ids import Identified
from streams.web.layers import keyed, layers
from streams.web.messages import describing as told_of_messages
from streams.web.messages import door as messages
from streams.web.openai import batches, describing, door, files
from streams.web.page import Page
from streams.web.problems import Problem, on_defect, on_http, on_problem
from streams.web.reference import document_of, page_of
from streams.web.rendering import FILES, asset
from streams.web.responses import describing as told_of_responses
from streams.web.responses import door as responses
from streams.web.responses import stored as kept_responses

Handler = Callable[[Request], Awaitable[Response]]
Look = Callable[[Front, Request], Awaitable[Response]]


class Plain(APIRoute):
    """Our handlers take the request as it is: nothing is looked up for them, and nothing is made of what they answer."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


def make_api(front: Front) -> FastAPI:
    """Everything over HTTP; works from the first moment, and says 503 until the parts are there."""
    app = FastAPI(
        title="GenAI Spine",
        version=_version(),
        description="Requests in, answers and their exact costs out.",
        middleware=layers(front),
        exception_handlers={Problem: on_problem, HTTPException: on_http, Exception: on_defect},
        openapi_url=None,  # ours has a tag
    )
    app.router.route_class = Plain
    for path, handler in _common(front).items():
        described = answered(path) if path in answers.ANSWERS else plain("text/plain", "As Prometheus reads it.")
        app.add_api_route(
            path, handler, methods=["GET"], tags=["state"], summary=handler.__doc__, openapi_extra=described
        )
    _pages(app, front)
    for path, (tag, order, described) in (_OPENAI | _ORDERS).items():
        handler = _get(front, order)
        app.add_api_route(path, handler, methods=["POST"], tags=[tag], summary=order.__doc__, openapi_extra=described)
    for method, path, look, described in _BUDGETS:
        handler = _get(front, look)
        app.add_api_route(
            path, handler, methods=[method], tags=["budgets"], summary=look.__doc__, openapi_extra=described
        )
    for path, (tag, look, described) in _LOOKS.items():
        handler = _get(front, look)
        app.add_api_route(path, handler, methods=["GET"], tags=[tag], summary=look.__doc__, openapi_extra=described)
    for (method, path), (tag, change, described) in {
        **_REGISTRY,
        **_RUNS,
        **_PIPELINES,
        **_BATCHES,
        **_RESPONSES,
        **_SCHEDULES,
    }.items():
        handler = _get(front, change)
        if tag == "runs":
            app.add_api_route(path.removeprefix("/v1"), handler, methods=[method], include_in_schema=False)
        app.add_api_route(path, handler, methods=[method], tags=[tag], summary=change.__doc__, openapi_extra=described)
    _operations(app, front)
    app.openapi = describer(app, OPERATIONS)  # type: ignore[method-assign]  # as FastAPI's own documentation does
    return app


_LOOKS: dict[str, tuple[str, Look, dict[str, Any]]] = {
    "/v1/usage": ("books", books.usage, answered("/v1/usage", *books.PARAMETERS, csv=True)),
    "/v1/costs": ("books", books.costs, answered("/v1/costs", *books.PARAMETERS, csv=True)),
    "/v1/costs/corrections": ("books", books.corrections, answered("/v1/costs/corrections", "from", "to")),
    "/v1/models": ("models", models.models, answered("/v1/models")),
    "/v1/models/{model:path}": ("models", models.one_model, {}),
    "/v1/routes": ("models", routing.routes, answered("/v1/routes")),
    "/v1/requests": ("requests", listing.requests, answered("/v1/requests", *listing.PARAMETERS)),
    "/v1/queue": ("queue", queue.queue, answered("/v1/queue", *queueing.FILTERS)),
    "/v1/requests/{request_id:path}/queue": (
        "queue",
        queue.one_place,
        answered("/v1/requests/{request_id}/queue", "tenant", "operation"),
    ),
    "/v1/requests/{request_id:path}/events": ("requests", events.stream, streamed("tenant", "operation")),
    "/v1/requests/{request_id:path}": (
        "requests",
        looking.one_request,
        answered("/v1/requests/{request_id}", "tenant", "operation"),
    ),
    "/v1/keys": ("keys", keys.every, answered("/v1/keys")),
    "/v1/keys/{key_id}": ("keys", keys.one, answered("/v1/keys/{key_id}")),
}
"""What can be looked at: path to its tag, its handler and its description."""

_ORDERS: dict[str, tuple[str, Look, dict[str, Any]]] = {
    "/v1/requests/{request_id:path}/cancel": (
        "requests",
        orders.cancel_request,
        also(
            ordered("/v1/requests/{request_id}/cancel", "tenant", "operation", "wait"),
            "202",
            "Its call is being aborted, or nobody knows the id yet.",
        ),
    ),
    "/v1/requests/{request_id:path}/retry": (
        "requests",
        orders.retry,
        ordered("/v1/requests/{request_id}/retry", "tenant", "operation"),
    ),
    "/v1/requests/{request_id:path}/drop": (
        "requests",
        orders.drop,
        ordered("/v1/requests/{request_id}/drop", "tenant", "operation"),
    ),
    "/v1/keys": ("keys", keys.create, given("/v1/keys")),
    "/v1/keys/{key_id}/rotate": ("keys", keys.rotate, ordered("/v1/keys/{key_id}/rotate", "overlap")),
    "/v1/keys/{key_id}/revoke": ("keys", keys.revoke, ordered("/v1/keys/{key_id}/revoke")),
    "/v1/routes/explain": (
        "models",
        routing.explain,
        ordered("/v1/routes/explain", "lane") | wished(bodies.EXPLAINED),
    ),
}
"""What can be said about a request that was sent; before the looks, whose ids may end in the same words."""


_PROMPT = "/v1/prompts/{prompt}"
_REGISTRY: dict[tuple[str, str], tuple[str, Look, dict[str, Any]]] = {
    ("GET", "/v1/prompts"): ("prompts", prompts.listed, answered("/v1/prompts", *prompts.LISTED)),
    ("POST", "/v1/prompts"): ("prompts", prompts.create, written(NewPrompt, 201)),
    ("GET", f"{_PROMPT}/versions"): ("prompts", prompts.versions, query("tenant")),
    ("GET", f"{_PROMPT}/versions/{{version}}"): ("prompts", prompts.one_version, query("tenant")),
    ("GET", f"{_PROMPT}/diff"): ("prompts", prompts.diff, query("tenant", "from", "to")),
    ("GET", f"{_PROMPT}/labels"): ("prompts", prompts.labels, query("tenant", "at")),
    ("POST", f"{_PROMPT}/labels"): ("prompts", prompts.move, written(Move)),
    ("PUT", f"{_PROMPT}/labels/{{label}}"): ("prompts", prompts.stand, written(Stand)),
    ("GET", f"{_PROMPT}/labels/{{label}}/arms"): ("prompts", prompts.arms, query("tenant", "from", "to")),
    ("DELETE", f"{_PROMPT}/labels/{{label}}"): ("prompts", prompts.unlabel, query("tenant")),
    ("POST", f"{_PROMPT}/rollback"): ("prompts", prompts.rollback, written(Rollback)),
    ("POST", f"{_PROMPT}/render"): ("prompts", prompts.render, written(Render)),
    ("POST", f"{_PROMPT}/restore"): ("prompts", prompts.restore, query("tenant")),
    ("GET", f"{_PROMPT}/executions"): ("prompts", prompts.executions, query("tenant", "from")),
    ("GET", _PROMPT): ("prompts", prompts.one, query("tenant")),
    ("PUT", _PROMPT): ("prompts", prompts.edit, written(Edit)),
    ("DELETE", _PROMPT): ("prompts", prompts.archive, query("tenant")),
}
_RUN = "/v1/runs/{run_id}"
_RUNS: dict[tuple[str, str], tuple[str, Look, dict[str, Any]]] = {
    ("GET", "/v1/runs"): ("runs", runs.listed, answered("/v1/runs", *runs.LISTED)),
    ("POST", "/v1/runs"): (
        "runs",
        submitting.create,
        also(written(NewRun, 202), "200", "It was there, and has ended."),
    ),
    ("GET", f"{_RUN}/items"): ("runs", runs.items, query("tenant", "status", "limit", "cursor")),
    ("GET", f"{_RUN}/results"): ("runs", runs.results, plain("application/x-ndjson", "An item a line.", "tenant")),
    ("GET", f"{_RUN}/events"): ("runs", runs.events, streamed("tenant")),
    ("POST", "/v1/runs/{run_id:path}/cancel"): ("runs", runs.cancel, ordered("/v1/runs/{run_id}/cancel", "tenant")),
    ("POST", f"{_RUN}/retry"): ("runs", runs.retry, query("tenant", "budget_usd")),
    ("GET", _RUN): ("runs", runs.one, query("tenant", "wait")),
}
"""Runs: method and path; each also without `/v1`. Only requests name runs whose ids hold a slash, and those can be cancelled."""
_PIPELINES: dict[tuple[str, str], tuple[str, Look, dict[str, Any]]] = {
    ("GET", "/v1/pipelines"): ("pipelines", pipelines.listed, {}),
    ("GET", "/v1/pipelines/{pipeline}"): ("pipelines", pipelines.one, {}),
}
_BATCHES: dict[tuple[str, str], tuple[str, Look, dict[str, Any]]] = {
    ("POST", "/v1/files"): ("openai", files.upload, describing.UPLOAD),
    ("GET", "/v1/files"): ("openai", files.listed, query("purpose", "after", "most")),
    ("GET", "/v1/files/{file_id}"): ("openai", files.one, {}),
    ("DELETE", "/v1/files/{file_id}"): ("openai", files.delete, {}),
    ("GET", "/v1/files/{file_id}/content"): (
        "openai",
        files.content,
        plain("application/octet-stream", "What is in it."),
    ),
    ("POST", "/v1/batches"): ("openai", batches.create, describing.BATCH),
    ("GET", "/v1/batches"): ("openai", batches.listed, query("after", "few")),
    ("GET", "/v1/batches/{batch_id}"): ("openai", batches.one, {}),
    ("POST", "/v1/batches/{batch_id}/cancel"): ("openai", batches.cancel, {}),
}
_RESPONSE = "/v1/responses/{response_id}"
_RESPONSES: dict[tuple[str, str], tuple[str, Look, dict[str, Any]]] = {
    ("POST", "/v1/responses"): ("openai", responses.create, told_of_responses.CREATE),
    ("POST", f"{_RESPONSE}/cancel"): ("openai", kept_responses.cancel, told_of_responses.CHANGED),
    ("GET", f"{_RESPONSE}/input_items"): ("openai", kept_responses.input_items, told_of_responses.ITEMS),
    ("GET", _RESPONSE): ("openai", kept_responses.one, told_of_responses.ONE),
    ("DELETE", _RESPONSE): ("openai", kept_responses.delete, told_of_responses.CHANGED),
}
_SCHEDULE = "/v1/schedules/{schedule}"
_SCHEDULES: dict[tuple[str, str], tuple[str, Look, dict[str, Any]]] = {
    ("GET", "/v1/schedules"): ("schedules", schedules.listed, answered("/v1/schedules")),
    ("GET", _SCHEDULE): ("schedules", schedules.one, answered(_SCHEDULE, "next")),
    ("PUT", _SCHEDULE): ("schedules", schedules.put, stored("/v1/schedules", "NewSchedule")),
    ("DELETE", _SCHEDULE): ("schedules", schedules.remove, {}),
    ("POST", f"{_SCHEDULE}/pause"): ("schedules", schedules.pause, {}),
    ("POST", f"{_SCHEDULE}/resume"): ("schedules", schedules.resume, {}),
    ("POST", f"{_SCHEDULE}/run"): ("schedules", schedules.run, {}),
}
"""Schedules: method and path."""

"""The registry of prompts: method and path. Ids of prompts that come with the program have a slash: those go by slug."""
_BUDGETS: tuple[tuple[str, str, Look, dict[str, Any]], ...] = (
    ("GET", "/v1/budgets", budgets.listed, answered("/v1/budgets")),
    ("PUT", "/v1/budgets", budgets.put, stored("/v1/budgets", "Budget")),
    ("GET", "/v1/budgets/{budget}", budgets.shown, answered("/v1/budgets/{budget}")),
    ("DELETE", "/v1/budgets/{budget}", budgets.remove, answered("/v1/budgets/{budget}")),
)
_OPENAI: dict[str, tuple[str, Look, dict[str, Any]]] = {
    "/v1/chat/completions": ("openai", door.chat_completions, describing.CHAT),
    "/v1/completions": ("openai", door.old_completions, describing.OLD),
    "/v1/embeddings": ("openai", door.embed, describing.EMBEDDINGS),
    "/v1/moderations": ("openai", door.moderate, describing.MODERATIONS),
    "/v1/messages": ("anthropic", messages.messages, told_of_messages.MESSAGES),
    "/v1/messages/count_tokens": ("anthropic", messages.count_tokens, told_of_messages.COUNT),
}
"""What OpenAI's and Anthropic's clients ask for; before the operations, which take any name."""


def _pages(app: FastAPI, front: Front) -> None:
    """For people, and what describes them to programs."""
    shown = {"/": Page(front, _version()).page, "/docs": page_of(app), "/openapi.json": document_of(app)}
    for path, handler in shown.items():
        app.add_api_route(path, handler, methods=["GET"], include_in_schema=False)
    for name in FILES:
        app.add_api_route(f"/assets/{name}", asset, methods=["GET"], include_in_schema=False)


_SHORT = {"execute_prompt": ("/execute-prompt",)}
"""Operations that the first application had at other paths."""


def _operations(app: FastAPI, front: Front) -> None:
    for name, operation in OPERATIONS.items():
        handler = asking.route(front, name)
        paths = dict.fromkeys((f"/v1/{name}", f"/v1/{name.replace('_', '-')}", *_SHORT.get(name, ())))
        for number, path in enumerate(paths):
            app.add_api_route(
                path,
                handler,
                methods=["POST"],
                tags=["operations"],
                summary=handler.__doc__,
                include_in_schema=number == 0,
                openapi_extra=asked(operation),
            )
    app.add_api_route("/v1/{operation}", _no_such_operation, methods=["POST"], include_in_schema=False)


def make_small(front: Front) -> Starlette:
    """The worker's own door: its state and its metrics."""
    return Starlette(
        routes=[Route(path, handler, methods=["GET"]) for path, handler in _common(front).items()],
        middleware=[Middleware(Heads), Middleware(Identified), keyed(front)],
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


def _get(front: Front, look: Look) -> Handler:
    async def handler(request: Request) -> Response:
        return await look(front, request)

    handler.__name__ = look.__name__
    handler.__doc__ = look.__doc__
    return handler


async def _no_such_operation(request: Request) -> Response:
    """Unless something else is there, which is not asked in this way."""
    if any(route.matches(request.scope)[0] is Match.PARTIAL for route in request.app.routes):
        raise HTTPException(405)
    raise asking.unknown(request.path_params["operation"])


def _version() -> str:
    try:
        return version("genai-spine")
    except PackageNotFoundError:
        return "0"
