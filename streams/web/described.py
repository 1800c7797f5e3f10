"""An API whose description keeps every shape once, where OpenAPI's references look for it."""

from typing import Any

from fastapi import FastAPI

_FROM, _TO = "#/$defs/", "#/components/schemas/"


class Described(FastAPI):
    """The routes describe themselves by JSON Schemas with `$defs` inside; in a whole document those would be found nowhere."""

    def openapi(self) -> dict[str, Any]:
        """As `/openapi.json` serves it."""
        document = super().openapi()
        found: dict[str, Any] = {}
        _lift(document, found)
        if found:
            document.setdefault("components", {}).setdefault("schemas", {}).update(found)
        return document


def _lift(node: Any, found: dict[str, Any]) -> None:
    """Take every `$defs` out into `found`, and let what refers to it look there."""
    if isinstance(node, dict):
        for name, shape in node.pop("$defs", {}).items():
            _lift(shape, found)
            found[name] = shape
        reference = node.get("$ref")
        if isinstance(reference, str) and reference.startswith(_FROM):
            node["$ref"] = _TO + reference.removeprefix(_FROM)
    for below in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _lift(below, found)
