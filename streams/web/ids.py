"""Each request's own id: the caller's `x-request-id`, or a new one; in the answer and on every line logged for it."""

import re

import structlog
import uuid_utils
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "x-request-id"
KEY = "x_request_id"
"""Its name in log lines and in a request's scope; a `request_id` is something else, a request in the ledger."""
_SANE = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class Identified:
    """ASGI middleware. What does not look like an id is not taken over: it would end in logs and in other systems."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        id_ = given if _SANE.fullmatch(given) else str(uuid_utils.uuid7())
        scope[KEY] = id_
        structlog.contextvars.bind_contextvars(**{KEY: id_})  # never unbound: the server runs each request as a task

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = id_
            await send(message)

        await self.app(scope, receive, told)
