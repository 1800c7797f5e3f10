"""A result in one line, for people; and text from strangers so that a terminal shows it and does nothing else."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

_WIDTH = 100
_ACTS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""Terminals obey control characters, right-to-left overrides turn what follows around, lone surrogates cannot be written."""


def plain(text: str, keep: str = "") -> str:
    """What a terminal would obey is written out, an escape as its four letters. `keep`: characters to be left."""
    return _ACTS.sub(lambda found: found[0] if found[0] in keep else _written(found[0]), text)


def _written(char: str) -> str:
    return char.encode("unicode_escape").decode()


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
    line = plain(" ".join(text.split()))
    return line if len(line) <= width else f"{line[: width - 1]}…"


def line(result: Mapping[str, Any]) -> str:
    """Status, operation, id, answer."""
    again = " (recorded before)" if result.get("replayed") else " (cached)" if result.get("cached") else ""
    names = (plain(str(result[name])) for name in ("status", "operation", "id"))
    return "{:<9} {:<9} {:<34} {}{}".format(*names, answer(result), again)
