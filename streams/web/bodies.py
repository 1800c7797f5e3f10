"""Bodies: bounded while they are read, JSON, an object."""

import asyncio
import json
from typing import Any

import orjson
from starlette.requests import Request

from streams.web.problems import Problem

_JSON = "application/json"
READ_S = 60.0
"""For a whole body; 6 MB in it are 100 kB/s."""


async def read_object(request: Request, most: int) -> dict[str, Any]:
    """The body as a JSON object. Raises `Problem`: 400, 408, 413, 415, 422. Never keeps more than `most` bytes."""
    uncoded(request)
    _check_type(request.headers.get("content-type", ""))
    raw = await _read(request, most)
    if not raw.strip():
        raise Problem(400, 'The body is empty; send a JSON object such as {"content": "…"}.')
    try:
        loaded = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Problem(400, f"The body is not JSON: {_why(raw, error)}.") from None
    if not isinstance(loaded, dict):
        raise Problem(422, f'The body is a JSON {_kind(loaded)}; send an object such as {{"content": "…"}}.')
    return loaded


def uncoded(request: Request) -> None:
    """Raises `Problem` 415 for a body that is compressed."""
    coded = request.headers.get("content-encoding", "").strip().lower()
    if coded not in {"", "identity"}:
        words = f"The body is sent as content-encoding {coded[:100]!r}; bodies are taken as they are, send it without."
        raise Problem(415, words, headers={"Accept-Encoding": "identity"})


def _check_type(declared: str) -> None:
    kind = declared.partition(";")[0].strip().lower()
    if kind and kind != _JSON and not kind.endswith("+json"):
        raise Problem(415, f"The content type is {kind[:100]!r}; send JSON with the header `content-type: {_JSON}`.")


async def _read(request: Request, most: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(f"{int(declared)} bytes", most)
    found = bytearray()
    try:
        async with asyncio.timeout(READ_S):
            async for chunk in request.stream():
                if len(found) + len(chunk) > most:
                    raise _too_large("more", most)
                found += chunk
    except TimeoutError:
        words = f"The body did not come within {READ_S:g} s; {len(found)} bytes of it did. Nothing was taken; send it again."
        raise Problem(408, words, headers={"Connection": "close"}) from None
    return bytes(found)


def _too_large(size: str, most: int) -> Problem:
    words = f"The body has {size}; at most {most} bytes are taken. Split the text, or raise GENAI_REQUEST_MAX_BYTES."
    return Problem(413, words, max_bytes=most, headers={"Connection": "close"})


def _why(raw: bytes, error: Exception) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError as wrong:
        return f"it is not UTF-8 (byte {wrong.start})"
    try:
        json.loads(text, parse_constant=_refuse)
    except ValueError as wrong:
        return str(wrong)
    except RecursionError:
        return "it is nested too deeply"
    return str(error)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _kind(value: Any) -> str:
    return {list: "array", str: "string", bool: "boolean", type(None): "null"}.get(type(value), "number")
