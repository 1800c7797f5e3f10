"""What lies around every route, from the outside in: HEAD as GET, request ids, other origins, compression, the key."""

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from agents import OPERATIONS
from streams.web.auth import Keyed
from streams.web.bodiless import Heads
from streams.web.front import Front
from streams.web.ids import HEADER, Identified
from streams.web.limits import HEADERS
from streams.web.rules import RULES, Rule, for_operations

_WORTH_IT = 1400
"""Bytes: what fits into one packet does not get faster."""
_LEVEL = 5
_ASKED = (
    "authorization",
    "content-type",
    "x-api-key",
    HEADER,
    "genai-id",
    "genai-tenant",
    "genai-deadline",
    "traceparent",
    "idempotency-key",
    "x-genai-lane",
    "x-genai-tenant",
)
_OF_ANSWERS = ("x-genai-request-id", "x-genai-cost-usd", "x-genai-cache", "x-genai-warnings")
_TOLD = (HEADER, "etag", "link", "location", "retry-after", *HEADERS, *_OF_ANSWERS)


def layers(front: Front) -> list[Middleware]:
    """For the API; other origins only where `GENAI_CORS_ORIGINS` names them, and never with credentials of a browser."""
    found = [Middleware(Heads), Middleware(Identified)]
    if origins := front.settings.origins():
        found.append(
            Middleware(
                CORSMiddleware,
                allow_origins=origins,
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=_ASKED,
                expose_headers=_TOLD,
                max_age=3600,
            )
        )
    return [*found, Middleware(GZipMiddleware, minimum_size=_WORTH_IT, compresslevel=_LEVEL), keyed(front)]


def keyed(front: Front) -> Middleware:
    """Who may come in, and to what."""
    return Middleware(Keyed, front=front, rules=rules())


def rules() -> dict[str, Rule]:
    """Of every route."""
    return RULES | for_operations(list(OPERATIONS))
