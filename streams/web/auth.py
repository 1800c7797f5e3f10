"""Who may ask: on loopback everybody, elsewhere whoever has the key."""

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from schemas.errors import ErrorType
from streams.errors import SpineError
from streams.settings import Settings
from streams.web.problems import Problem

OPEN = ("/health", "/ready", "/docs", "/openapi.json", "/assets/page.css", "/assets/page.js")
"""Paths that need no key: probes have none, and these hold nothing of a user."""


def check_host(host: str, setting: str, settings: Settings) -> None:
    """Refuses to listen to a network without a key. Raises SpineError."""
    if is_loopback(host) or settings.api_key is not None or settings.allow_insecure:
        return
    raise SpineError(
        f"{setting}={host} is open to the network, and there is no key. Set GENAI_API_KEY to one that callers send, "
        "or GENAI_ALLOW_INSECURE=1 if something in front keeps strangers out."
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect there."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


class Keyed:
    """ASGI middleware: refuses a request without the key. `key` None: everybody may."""

    def __init__(self, app: ASGIApp, key: str | None, free: Iterable[str] = OPEN) -> None:
        self.app, self.key, self.free = app, key.encode() if key else None, frozenset(free)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.key is None or scope["path"] in self.free or self._fits(scope):
            await self.app(scope, receive, send)
            return
        words = "This needs the key of GENAI_API_KEY, as `Authorization: Bearer …` or `X-API-Key: …`."
        refusal = Problem(401, words, error=ErrorType.REFUSED, headers={"WWW-Authenticate": _challenge(scope)})
        await refusal.response()(scope, receive, send)

    def _fits(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
        if scheme.lower() == "basic" and scope["method"] in _READS:
            given = _password(token)
        assert self.key is not None
        return hmac.compare_digest(given.encode("latin-1", "replace"), self.key)


_READS = ("GET", "HEAD")
"""A browser sends a password that it knows with every request, also one that another site's page makes: so only to look."""


def _challenge(scope: Scope) -> str:
    """A person who looks at a page is asked for the key by the browser: any name, the key as password."""
    looks = scope["method"] in _READS and "text/html" in Headers(scope=scope).get("accept", "")
    return 'Basic realm="GenAI Spine", charset="UTF-8"' if looks else "Bearer"


def _password(token: str) -> str:
    try:
        return base64.b64decode(token.strip(), validate=True).decode("latin-1").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
