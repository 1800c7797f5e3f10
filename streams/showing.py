"""A result in one line, for people."""

from collections.abc import Mapping
from typing import Any

import orjson

_WIDTH = 100


def answer(result: Mapping[str, Any], width: int = _WIDTH) -> str:
    """What was answered, or why not."""
    if result["status"] != "succeeded":
        error = result.get("error")
        return _cut(f"{error['type']}: {error['message']}" if error else str(result["status"]), width)
    return _cut(_output(result.get("output") or {}), width)


def _output(output: Mapping[str, Any]) -> str:
    if "summary" in output:
        return str(output["summary"])
    if "entities" in output:
        named = ", ".join(f"{entity['text']} ({entity['type']})" for entity in output["entities"])
        data = "" if output.get("data") is None else orjson.dumps(output["data"]).decode()
        return "; ".join(filter(None, (named, data))) or "no entities"
    if "embeddings" in output:
        count = len(output["embeddings"])
        return f"{count} vector{'s' if count != 1 else ''} of {output['dimensions']} numbers"
    if output.get("categories"):
        return ", ".join(output["categories"])
    return str(output.get("category") or output.get("content") or output.get("verdict") or output)


def _cut(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 1]}…"


def line(result: Mapping[str, Any]) -> str:
    """Status, operation, id, answer."""
    again = " (recorded before)" if result.get("replayed") else ""
    return f"{result['status']:<9} {result['operation']:<9} {result['id']:<34} {answer(result)}{again}"
