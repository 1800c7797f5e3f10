"""Answers to `GET`: JSON or another text, with a tag by which a client that has them already is told so."""

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

_AGAIN = {"Cache-Control": "private, no-cache", "Vary": "Accept, Authorization, X-API-Key"}


def json(value: Any, status: int = 200) -> Response:
    """A plain JSON answer."""
    return Response(orjson.dumps(value), status, media_type="application/json")


def tagged(
    request: Request,
    body: bytes,
    media_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """200, or 304 when the caller's `If-None-Match` names this very body. The tag is weak: compressed, it stays the same."""
    tag = f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    more = {"ETag": tag, **_AGAIN, **(headers or {})}
    if _has(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=more)
    return Response(body, headers=more, media_type=media_type)


def _has(known: str, tag: str) -> bool:
    """As RFC 9110 compares: weakly, against any of the list."""
    return known.strip() == "*" or any(each.strip().removeprefix("W/") == tag[2:] for each in known.split(","))
