"""The smallest HTTP/1.1 server that a benchmark's double can do with: keep-alive and `Content-Length`, no pipelining.

Written on `asyncio.Protocol` because a web framework's share of a 0 ms call would be measured instead of the engine.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Protocol as Shape
from typing import cast

_MOST_HEAD = 1 << 16
_MOST_BODY = 1 << 26

_REASONS = {
    200: "OK",
    302: "Found",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    411: "Length Required",
    413: "Content Too Large",
    422: "Unprocessable Content",
    424: "Failed Dependency",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    529: "Overloaded",
}


@dataclass(frozen=True, slots=True)
class Request:
    """`tag` is the header `x-genai-request`."""

    method: str
    path: str
    query: str
    tag: str
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent; `body` may be a stretch of NDJSON."""

    body: bytes
    status: int = 200
    kind: str = "application/json; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = field(default=())

    def encode(self) -> bytes:
        extra = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        head = f"HTTP/1.1 {self.status} {_REASONS[self.status]}\r\nContent-Type: {self.kind}\r\n{extra}"
        return f"{head}Content-Length: {len(self.body)}\r\n\r\n".encode() + self.body


class Handler(Shape):
    """Who answers. It calls `connection.answer` once per request, now or later."""

    def received(self, connection: "Connection", request: Request) -> None: ...

    def left(self, connection: "Connection") -> None:
        """The connection is gone; a request on it may be unanswered."""


class Connection(asyncio.Protocol):
    """One client's connection: at most one request at a time is with the handler."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._buffer = bytearray()
        self._busy = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one without inheriting from it

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self._handler.left(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._take()

    def answer(self, response: Response) -> None:
        self.transport.write(response.encode())
        self._busy = False
        if self._buffer:
            self._take()

    def begin(self, kind: str) -> None:
        """The head of an answer that comes in pieces, by `more`, until `end`."""
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.transport.write(head.encode())

    def more(self, piece: bytes) -> None:
        if piece:
            self.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def end(self) -> None:
        self.transport.write(b"0\r\n\r\n")
        self._busy = False
        if self._buffer:
            self._take()

    def spoil(self, sent: bytes, *, then: str) -> None:
        """Send what is not a whole answer, `then` close, reset or hang."""
        if sent:
            self.transport.write(sent)
        if then == "close":
            self.transport.close()
        elif then == "reset":
            self.transport.abort()

    def _take(self) -> None:
        while not self._busy and not self.transport.is_closing():
            request = self._next()
            if request is None:
                return
            self._busy = True
            self._handler.received(self, request)

    def _next(self) -> Request | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MOST_HEAD:
                self.transport.abort()
            return None
        first, _, rest = self._buffer[:end].decode("latin-1").partition("\r\n")
        headers = _headers(rest)
        length = int(headers.get("content-length", "0") or "0")
        if "transfer-encoding" in headers or length > _MOST_BODY:
            self.transport.write(Response(b"", 413 if length else 411).encode())
            self.transport.close()
            return None
        if len(self._buffer) < end + 4 + length:
            if headers.get("expect", "").lower() == "100-continue" and len(self._buffer) == end + 4:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return None
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        method, _, target = first.partition(" ")
        path, _, query = target.rpartition(" ")[0].partition("?")
        return Request(method, path, query, headers.get("x-genai-request", ""), body, headers)


def _headers(text: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in text.split("\r\n"))
    return {name.lower(): value.strip() for name, _, value in pairs}
