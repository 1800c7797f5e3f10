"""An answer sent while it is made, as server-sent events.

The status waits for the first piece, so that what fails before is an ordinary refusal; whoever waits long for a slot gets
comments. A stream that ends without `[DONE]` ends with an error.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from providers.calls import Delta, Spent
from schemas.errors import ErrorType
from streams.web.along import Reader
from streams.web.openai.answers import Sent, choices, own
from streams.web.problems import Problem

KEEP_ALIVE_S = 10.0
SLOW_S = 60.0
"""A client that takes nothing for so long is cut: what it does not read is kept in memory."""
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
_NOTHING = Delta()


class Chunks(Protocol):
    """How a door words its chunks."""

    def first(self, prompt: Spent | None) -> list[dict[str, Any]]:
        """Before the first piece. `prompt`: what it came to, where its provider has counted it by then."""

    def piece(self, delta: Delta, sent: Sent) -> list[dict[str, Any]]:
        """`sent` is what was told before it."""

    def last(self, result: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Why it ended, and what it used."""

    def error(self, problem: Problem) -> dict[str, Any]:
        """Instead of the end."""

    def event(self, told: dict[str, Any]) -> bytes:
        """On the wire."""

    def done(self) -> bytes:
        """Behind everything that is whole."""


class Streaming(Response):
    """Does its work while it is sent. A `Problem` before the first byte is answered as any other."""

    def __init__(self, work: Callable[[Send], Awaitable[None]]) -> None:
        super().__init__()
        self._work = work

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's
        await self._work(send)


class Pen:
    """Writes events; the first one begins the response."""

    def __init__(self, send: Send, headers: Mapping[str, str], chunks: Chunks) -> None:
        self._send, self._chunks = send, chunks
        head = Response(headers={**_HEADERS, **headers}, media_type="text/event-stream; charset=utf-8").raw_headers
        self._head = [(name, value) for name, value in head if name != b"content-length"]
        self.started, self.sent = False, Sent()
        self.named = False
        """Whether anything of the answer was sent."""

    def word(self, chunks: Chunks) -> None:
        """So, as it is known who answers; before anything of the answer was sent."""
        assert not self.named
        self._chunks = chunks

    async def comment(self) -> None:
        """Nothing new; the line is kept open."""
        await self._write(b": still waiting\n\n")

    async def begin(self) -> None:
        """That it is there, before anything of the answer is."""
        await self._write(self._first())

    async def pieces(self, deltas: Iterable[Delta]) -> None:
        """Of the answer, in one packet."""
        new = list(deltas)
        if new:
            await self._write(self._first(new[0].prompt) + b"".join(map(self._piece, new)))

    def _piece(self, delta: Delta) -> bytes:
        made = self._events(self._chunks.piece(delta, self.sent))
        self.sent.add(delta)
        return made

    async def end(self, result: Mapping[str, Any], rest: Delta) -> None:
        """What is missing of it, and that it is whole."""
        first = self._first(own(result["usage"]))
        made = b"" if rest == _NOTHING else self._piece(rest)
        made += self._events(self._chunks.last(result)) + self._chunks.done()
        await self._write(first + made, more=False)

    async def close(self, told: list[dict[str, Any]]) -> None:
        """These are the last ones, of what has no answer."""
        await self._write(self._first() + self._events(told) + self._chunks.done(), more=False)

    async def fail(self, problem: Problem) -> None:
        """The last event; raised where nothing was sent yet."""
        if not self.started:
            raise problem
        await self._write(self._chunks.event(self._chunks.error(problem)), more=False)

    def _first(self, prompt: Spent | None = None) -> bytes:
        if self.named:
            return b""
        self.named = True
        return self._events(self._chunks.first(prompt))

    def _events(self, told: list[dict[str, Any]]) -> bytes:
        return b"".join(map(self._chunks.event, told))

    async def _write(self, data: bytes, *, more: bool = True) -> None:
        if not self.started:
            self.started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": self._head})
        try:
            async with asyncio.timeout(SLOW_S):
                await self._send({"type": "http.response.body", "body": data, "more_body": more})
        except TimeoutError:
            raise Slow from None


class Slow(Exception):
    """The client does not read; the server cuts a line whose response ends in the middle."""


class BrokenOff(Exception):
    """Another attempt began to answer anew, and pieces of the one before were sent."""


async def follow(
    pen: Pen, reader: Reader, ending: asyncio.Future[bytes | None], begins: Callable[[], Awaitable[None]]
) -> bytes | None:
    """Sends pieces until the request has ended; its result, or None where it takes too long. `begins` is called before the first one.
    Raises BrokenOff.
    """
    ending.add_done_callback(lambda _: reader.along.wake())
    while True:
        ended, new = ending.done(), reader.new()
        if not reader.along.anew:
            if new and not pen.named:
                await begins()
            await pen.pieces(new)
        if ended:
            return ending.result()
        if reader.along.anew and pen.named:
            raise BrokenOff
        if not await reader.wait(KEEP_ALIVE_S):
            await pen.comment()


async def finish(pen: Pen, result: Mapping[str, Any]) -> None:
    """The rest of an answer, whoever made it."""
    rest = pen.sent.rest(choices(result)[0])
    if rest is None:
        await pen.fail(begun_anew())
    else:
        await pen.end(result, rest)


def begun_anew() -> Problem:
    """What was sent is not the beginning of the answer that there is now."""
    words = "The provider broke off in the middle of its answer, and another try began anew. Ask again."
    return Problem(502, words, error=ErrorType.UNREACHABLE, code="broken_off")
