"""What lies around every route, from the outside in: request ids, other origins, compression, the key."""

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware

from streams.settings import Settings
from streams.web.auth import Keyed
from streams.web.ids import HEADER, Identified

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
_TOLD = (HEADER, "etag", "link", "location", "retry-after", "x-genai-request-id", "x-genai-cost-usd", "x-genai-cache")


def layers(settings: Settings) -> list[Middleware]:
    """For the API; other origins only where `GENAI_CORS_ORIGINS` names them, and never with credentials of a browser."""
    found = [Middleware(Identified)]
    if origins := settings.origins():
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
    return [*found, Middleware(GZipMiddleware, minimum_size=_WORTH_IT, compresslevel=_LEVEL), keyed(settings)]


def keyed(settings: Settings) -> Middleware:
    """The key, where there is one."""
    return Middleware(Keyed, key=settings.api_key.get_secret_value() if settings.api_key else None)
