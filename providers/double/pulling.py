"""How a double downloads a model: Ollama's lines of progress, one after the other, and its ways to fail."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from providers.double.http1 import Connection
from providers.double.ollama import NDJSON, digest

STEP_S = 0.01
_PARTS = 4
_SIZE = 4_000_000


def lines(model: str) -> list[dict[str, Any]]:
    """What `/api/pull` says. A model whose name begins with `nope` is in no registry; `lost…` breaks off in the middle."""
    if model.startswith("nope"):
        return [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}]
    layer = f"sha256:{digest(model)}"
    named = {"status": f"pulling {layer[7:19]}", "digest": layer, "total": _SIZE}
    told: list[dict[str, Any]] = [{"status": "pulling manifest"}]
    told += [named | {"completed": _SIZE * part // _PARTS} for part in range(1, _PARTS + 1)]
    if model.startswith("lost"):
        return told[: len(told) // 2]
    return told + [{"status": each} for each in ("verifying sha256 digest", "writing manifest", "success")]


def pull(connection: Connection, model: str, done: Callable[[], None]) -> None:
    """Streams the lines; `done` when the model is there."""
    connection.begin(NDJSON)
    _next(connection, lines(model), model, done)


def _next(connection: Connection, left: list[dict[str, Any]], model: str, done: Callable[[], None]) -> None:
    if connection.transport.is_closing():
        return
    if not left:
        connection.spoil(b"", then="close") if model.startswith("lost") else connection.end()
        return
    first, *rest = left
    if first.get("status") == "success":
        done()
    connection.more(orjson.dumps(first) + b"\n")
    asyncio.get_running_loop().call_later(STEP_S, _next, connection, rest, model, done)
