"""The API's own description, as OpenAPI 3.1: each route's parameters, bodies, answers and refusals, with examples."""

import re
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from agents.base import Operation
from schemas.prompts import Edit, Move, NewPrompt, Render, Rollback, Stand
from schemas.request import MAX_NAME, Lane, Request
from schemas.result import Result
from schemas.runs import NewRun
from schemas.schedules import NewSchedule
from store.ledger.books import GROUPS
from streams.budgets import Budget
from streams.web import answering
from streams.web.examples import answers, bodies, operations, orders
from streams.web.messages import describing as messages
from streams.web.messages import shape as messages_shape
from streams.web.openai import describing as openai
from streams.web.openai import shape as openai_shape

BODIES: tuple[type[BaseModel], ...] = (NewPrompt, Edit, Move, Stand, Rollback, Render, NewRun, NewSchedule)
"""What is written besides requests."""
_BRACED = re.compile(r"{(\w+)}")
_REF = "#/components/schemas/{model}"
_DAY = {"type": "string"}
_NAME = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
_LANES = {"type": "string", "enum": [lane.name.lower() for lane in Lane]}

PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "most": ({"type": "integer", "minimum": 1, "maximum": 10_000, "default": 100}, "How many at most."),
    "few": ({"type": "integer", "minimum": 1, "maximum": 100, "default": 20}, "How many at most."),
    "purpose": ({"type": "string"}, "Only files of this purpose."),
    "after": ({"type": "string"}, "The last id of the page before."),
    "by": ({"type": "string"}, f"What to group by: some of {', '.join(GROUPS)}, separated by commas."),
    "from": (_DAY, "The first UTC day, YYYY-MM-DD; of requests also a moment with its zone."),
    "to": (_DAY, "The last UTC day, included; of requests also a moment, not included."),
    "format": ({"type": "string", "enum": ["json", "csv"]}, "Goes before the header `Accept`."),
    "state": ({"type": "string"}, "Some of `unfinished`, `finished` and the states, separated by commas."),
    "status": ({"type": "string"}, "Another name of `state`."),
    "operation": (_NAME, "Only this operation."),
    "tenant": (_NAME, "Only this tenant."),
    "run_id": (_NAME, "Only this run."),
    "provider": (_NAME, "Only this provider."),
    "model": (_NAME, "Only this model."),
    "lane": (_LANES, "How urgent."),
    "limit": ({"type": "integer", "minimum": 1, "maximum": 500, "default": 50}, "How many at most."),
    "cursor": ({"type": "string"}, "What `next` said on the page before."),
    "wait": ({"type": "number", "minimum": 0, "maximum": 3600}, "Seconds to wait for the result; then 202."),
    "name": ({"type": "string"}, "Only this name."),
    "budget_usd": ({"type": "string"}, "Dollars that all of the run may cost, with what it has cost already."),
    "q": ({"type": "string"}, "Words in the slug, the name or the description."),
    "category": ({"type": "string"}, "Only this category."),
    "tag": ({"type": "string"}, "Only those with this tag."),
    "archived": ({"type": "string", "enum": ["true", "false"]}, "Those that were put away instead."),
    "at": ({"type": "string"}, "A moment with its zone, or a day: what the labels said then."),
    "overlap": ({"type": "string", "default": "24h"}, "So long the key before works too, such as `1h` or `0`."),
    "next": ({"type": "integer", "minimum": 1, "maximum": 100, "default": 5}, "How many of its next firings."),
    "part": ({"type": "string", "enum": ["main"]}, "Only what changes."),
}


_WAIT = {
    "anyOf": [{"type": "boolean"}, {"type": "number", "minimum": 0, "maximum": 3600}, {"type": "null"}],
    "description": "As the parameter `wait`; true: as long as usual, false: not at all.",
}
_SAID = {"most": "limit", "few": "limit"}
"""Parameters that are called alike and bounded otherwise."""


def query(*names: str) -> dict[str, Any]:
    """Parameters of a route, by name."""
    return {
        "parameters": [
            {
                "name": _SAID.get(name, name),
                "in": "query",
                "schema": PARAMETERS[name][0],
                "description": PARAMETERS[name][1],
            }
            for name in names
        ]
    }


def answered(path: str, *names: str, csv: bool = False) -> dict[str, Any]:
    """A `GET` with an example of its answer."""
    content: dict[str, Any] = {"application/json": {"schema": {"type": "object"}, "example": answers.ANSWERS[path]}}
    if csv:
        content["text/csv"] = {"schema": {"type": "string"}}
    return {**query(*names), "responses": {"200": {"description": "The answer.", "content": content}}}


_EVENT = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "id": {"type": "string"}, "data": {"type": "string"}},
    "description": "Each server-sent event; `data` is JSON.",
}


def streamed(*names: str) -> dict[str, Any]:
    """A `GET` that goes on answering."""
    content = {"text/event-stream": {"schema": _EVENT}}
    ended = {"description": "`Last-Event-ID` names the end: there is nothing more."}
    told = {"200": {"description": "Events until the end.", "content": content}, "204": ended}
    return {**query(*names), "responses": told}


def ordered(path: str, *names: str) -> dict[str, Any]:
    """A `POST` without a body, with an example of its answer."""
    status, words, example = orders.ORDERS[path]
    content = {"application/json": {"schema": {"type": "object"}, "example": example}}
    return {**query(*names), "responses": {status: {"description": words, "content": content}}}


def also(described: dict[str, Any], status: str, words: str) -> dict[str, Any]:
    """The same answer under another status."""
    (told,) = described["responses"].values()
    return {**described, "responses": {**described["responses"], status: {**told, "description": words}}}


def plain(media_type: str, words: str, *names: str) -> dict[str, Any]:
    """A `GET` whose answer is no JSON."""
    content = {media_type: {"schema": {"type": "string"}}}
    return {**query(*names), "responses": {"200": {"description": words, "content": content}}}


def written(model: type[BaseModel], status: int = 200) -> dict[str, Any]:
    """A route that takes a body of this form."""
    body = {"schema": {"$ref": _REF.format(model=model.__name__)}, "example": bodies.BODIES[model.__name__]}
    return {
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {str(status): {"description": "What it has become."}},
        **query("tenant"),
    }


def given(path: str) -> dict[str, Any]:
    """A `POST` with a body, with an example of both."""
    body = {"application/json": {"schema": {"type": "object"}, "example": bodies.BODIES[path]}}
    return {**ordered(path), "requestBody": {"required": True, "content": body}}


def wished(example: dict[str, Any]) -> dict[str, Any]:
    """The JSON body of an order that has one."""
    content = {"application/json": {"schema": {"type": "object"}, "example": example}}
    return {"requestBody": {"required": True, "content": content}}


def asked(operation: Operation) -> dict[str, Any]:
    """A `POST` of an operation: its flat body and its result."""
    body = {"schema": {"$ref": _REF.format(model=_body_name(operation))}}
    example = operations.INPUTS.get(operation.name)
    shown = body if example is None else body | {"example": example}
    result = {"schema": {"$ref": _REF.format(model="Result")}, "example": operations.result(operation.name)}
    return {
        "requestBody": {"required": True, "content": {"application/json": shown}},
        "responses": {
            "200": {"description": "The result.", "content": {"application/json": result}},
            "202": {
                "description": "Not finished yet; ask again at `status_url`.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            "default": {
                "description": "A refusal, as RFC 9457 says; or the result of a request that was taken and did not succeed.",
                "content": {**_REFUSAL["content"], "application/json": {"schema": result["schema"]}},
            },
        },
        **query("wait", "lane"),
    }


def stored(path: str, model: str) -> dict[str, Any]:
    """A `PUT` with its body, and an example of its answer."""
    body = {"schema": {"$ref": _REF.format(model=model)}, "example": bodies.BODIES[path]}
    content = {"application/json": {"schema": {"type": "object"}, "example": answers.ANSWERS[path]["items"][0]}}
    return {
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {"200": {"description": "As it stands now.", "content": content}},
    }


def describer(app: FastAPI, operations: dict[str, Operation]) -> Callable[[], dict[str, Any]]:
    """What `app.openapi` becomes: FastAPI's own, with our schemas among the components and the refusals on each route."""

    def describe() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            made.setdefault("components", {})["schemas"] = _schemas(operations)
            made["components"]["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            made["security"] = [{}, {"bearer": []}, {"header": []}]
            for path, methods in made["paths"].items():
                for route in methods.values():
                    route["parameters"] = _in_path(path) + route.get("parameters", [])
                    _drop_the_usual(route["responses"])
                    route["responses"].setdefault("default", _refusal(path))
            answering.point(made, _REF)
            app.openapi_schema = made
        return app.openapi_schema

    return describe


def _drop_the_usual(responses: dict[str, Any]) -> None:
    """What the framework says of every route: a 200 with any JSON beside another good answer, and a 422 in a form that is not ours."""
    responses.pop("422", None)
    content = responses["200"].get("content", {})
    if len(content) > 1 and content.get("application/json") == {"schema": {}}:
        del content["application/json"]
    if responses["200"]["description"] == "Successful Response" and responses.keys() & {"201", "202"}:
        del responses["200"]


def _refusal(path: str) -> dict[str, Any]:
    """In the shape of its path."""
    if path in messages_shape.PATHS:
        return messages.REFUSAL
    is_theirs = path in openai_shape.PATHS or path.startswith(openai_shape.BELOW)
    return openai.REFUSAL if is_theirs else _REFUSAL


def _in_path(path: str) -> list[dict[str, Any]]:
    """FastAPI sees none: our handlers take the request as it is."""
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in _BRACED.findall(path)
    ]


_REFUSAL: dict[str, Any] = {
    "description": "A refusal, as RFC 9457 says.",
    "content": {
        "application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}, "example": answers.PROBLEM}
    },
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "error"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "error": {"type": "object", "properties": {"type": {"type": "string"}, "message": {"type": "string"}}},
    },
}


def _schemas(operations: dict[str, Operation]) -> dict[str, Any]:
    found: dict[str, Any] = {"Problem": _PROBLEM}
    _add(found, "Result", Result, "serialization")
    for model in BODIES:
        _add(found, model.__name__, model, "validation")
    _add(found, "Budget", Budget, "validation")
    around = _add(found, "Request", Request, "validation")["properties"]
    del found["Request"], around["input"]
    for operation in operations.values():
        name = _body_name(operation)
        shape = _add(found, name, operation.input, "validation")
        shape["properties"] = shape.get("properties", {}) | around | {"wait": _WAIT}
        shape["title"] = name
    return found


def _add(found: dict[str, Any], name: str, model: type[BaseModel], mode: Any) -> dict[str, Any]:
    """A model under a name of its own, and what it is made of."""
    shape = model.model_json_schema(ref_template=_REF, mode=mode)
    for below, schema in shape.pop("$defs", {}).items():
        found.setdefault(below, schema)
    found[name] = shape
    return shape


def _body_name(operation: Operation) -> str:
    return "".join(part.capitalize() for part in operation.name.split("_"))
