"""`/openapi.json`, and `/docs`: the same as a page of our own, without a script and without anybody else's server."""

import json
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from streams.web.queries import told
from streams.web.rendering import html
from streams.web.replies import tagged

_ORDER = ("operations", "requests", "books", "models", "state")


def page_of(app: FastAPI) -> Any:
    """The handler."""

    async def reference(request: Request) -> Response:
        """The API for people."""
        told(request, ())
        described = app.openapi()
        base = str(request.base_url).rstrip("/")
        return html(request, "reference.html", groups=groups(described, base), info=described["info"])

    return reference


def document_of(app: FastAPI) -> Any:
    """The handler."""

    async def document(request: Request) -> Response:
        """The API for programs."""
        return tagged(request, orjson.dumps(app.openapi()))

    return document


def groups(described: Mapping[str, Any], base: str) -> list[dict[str, Any]]:
    """Routes by tag, in an order that a reader can follow."""
    found: dict[str, list[dict[str, Any]]] = {}
    for path, methods in described["paths"].items():
        for method, route in methods.items():
            tag = (route.get("tags") or ["more"])[0]
            found.setdefault(tag, []).append(_route(method.upper(), path, route, described, base))
    known = [tag for tag in _ORDER if tag in found]
    return [{"name": tag, "routes": found[tag]} for tag in (*known, *sorted(found.keys() - set(known)))]


def _route(method: str, path: str, route: Mapping[str, Any], described: Mapping[str, Any], base: str) -> dict[str, Any]:
    body = route.get("requestBody", {}).get("content", {}).get("application/json", {})
    answers = [_answer(status, answer) for status, answer in route["responses"].items() if status != "default"]
    return {
        "id": f"{method.lower()}{path.replace('/', '-').replace('{', '').replace('}', '')}",
        "method": method,
        "path": path,
        "summary": (route.get("summary") or route.get("description") or "").replace("`", ""),
        "parameters": [_parameter(each) for each in route.get("parameters", ())],
        "fields": _fields(body.get("schema", {}), described),
        "curl": _curl(method, path, body.get("example"), base),
        "answers": answers,
    }


def _parameter(given: Mapping[str, Any]) -> dict[str, str]:
    where = "in the path" if given["in"] == "path" else ""
    return {
        "name": given["name"],
        "type": _type(given.get("schema", {})),
        "says": (given.get("description") or where).replace("`", ""),
    }


def _fields(schema: Mapping[str, Any], described: Mapping[str, Any]) -> list[dict[str, Any]]:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    shape = described["components"]["schemas"].get(name, schema)
    needed = shape.get("required", ())
    return [
        {"name": field, "type": _type(each), "needed": field in needed}
        for field, each in shape.get("properties", {}).items()
    ]


def _type(schema: Mapping[str, Any]) -> str:
    """In few words; the whole is in /openapi.json."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(each) for each in schema["anyOf"]))
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"array of {_type(schema.get('items', {}))}"
    bounds = [f"{word} {schema[name]}" for name, word in (("minimum", "from"), ("maximum", "to")) if name in schema]
    return " ".join((kind, *bounds))


def _curl(method: str, path: str, example: Any, base: str) -> str:
    if method == "GET":
        return f"curl '{base}{path}'" if "{" not in path else ""
    if example is None:
        return ""
    body = json.dumps(example, ensure_ascii=False).replace("'", "'\\''")
    return f"curl -H 'content-type: application/json' '{base}{path}' \\\n  -d '{body}'"


def _answer(status: str, answer: Mapping[str, Any]) -> dict[str, str]:
    content = answer.get("content", {})
    example = content.get("application/json", {}).get("example")
    shown = "" if example is None else json.dumps(example, indent=2, ensure_ascii=False)
    return {
        "status": status,
        "says": answer["description"].replace("`", ""),
        "kinds": ", ".join(content),
        "example": shown,
    }
