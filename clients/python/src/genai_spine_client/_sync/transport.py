# Made by `python -m scripts.client` from _async/transport.py; change it there.
"""One HTTP client, and the one place where calls are made again."""

import math
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any, TypeVar

import httpx

from genai_spine_client import errors, sse
from genai_spine_client.calls import Call
from genai_spine_client.retries import Again, Retries

T = TypeVar("T")
_CONNECT_S = 10.0
_GRACE_S = 30.0
"""How much longer than it was told to wait a server may take."""


class Transport:
    """Makes calls. `timeout`: seconds for one piece of work from its first try to its answer; None: no bound."""

    def __init__(
        self,
        url: str,
        key: str | None,
        timeout: float | None,
        retries: Retries,
        transport: httpx.BaseTransport | None,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"The address {url!r} has no scheme; write it as http://host:8100.")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self.timeout, self._retries = timeout, retries
        self._http = httpx.Client(base_url=url.rstrip("/"), headers=headers, transport=transport)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def until(self, asking: Mapping[str, Any]) -> float:
        """When patience ends, on the monotonic clock."""
        timeout: float | None = asking.get("timeout", self.timeout)
        return math.inf if timeout is None else time.monotonic() + timeout

    def call(self, call: Call[T], until: float | None = None) -> T:
        """Its answer, read. Raises `GenAIError`."""
        until = self.until({}) if until is None else until
        tried = 0
        while True:
            tried += 1
            try:
                reply = self._http.send(self._request(call, until))
                if reply.is_success:
                    return call.read(reply)
                problem = errors.of_reply(reply)
            except httpx.TransportError as error:
                problem = _lost(error)
            self._pause_or_raise(tried, problem, call.again, until)

    def send(self, call: Call[T], chunks: Iterator[bytes]) -> T:
        """With a body that comes in pieces, once: it cannot be said a second time."""
        headers = {"content-type": "application/x-ndjson", **call.headers}
        try:
            reply = self._http.request(
                call.method, call.path, params=dict(call.query), headers=headers, content=chunks, timeout=_GRACE_S
            )
        except httpx.TransportError as error:
            raise _lost(error) from error
        if not reply.is_success:
            raise errors.of_reply(reply)
        return call.read(reply)

    def lines(self, call: Call[Any]) -> Generator[str, None, None]:
        """The answer line by line. Made again only while nothing of it has come."""
        tried, begun = 0, False
        while True:
            tried += 1
            try:
                reply = self._http.send(self._request(call, math.inf), stream=True)
                try:
                    if not reply.is_success:
                        reply.read()
                        raise errors.of_reply(reply)
                    found = sse.Lines()
                    for chunk in reply.iter_bytes():
                        begun = True
                        for line in found.feed(chunk):
                            yield line
                    for line in found.rest():
                        yield line
                    return
                finally:
                    reply.close()
            except httpx.TransportError as error:
                problem: errors.GenAIError = _lost(error)
            except errors.GenAIError as error:
                problem = error
            if begun:
                raise problem
            self._pause_or_raise(tried, problem, call.again, self.until({}))

    def events(self, call: Call[Any], last: str) -> Generator[sse.Event, None, None]:
        """Server-sent events until the one named `last`; a stream that breaks off is gone on with."""
        had, failed = "", 0
        while True:
            reader = sse.Reader()
            headers = {**call.headers, "accept": "text/event-stream", **({"last-event-id": had} if had else {})}
            problem: errors.GenAIError = errors.Unreachable("The stream of events ended early.", sent=True)
            try:
                with closing(self.lines(replace(call, headers=headers))) as lines:
                    for line in lines:
                        for event in reader.line(line):
                            had, failed = event.id or had, 0
                            yield event
                            if event.event == last:
                                return
            except errors.Unreachable as error:
                problem = error
            failed += 1
            self._pause_or_raise(failed, problem, Again.ALWAYS, math.inf)

    def _request(self, call: Call[Any], until: float) -> httpx.Request:
        left = until - time.monotonic()
        read_s = min(call.wait_s + _GRACE_S, max(left, 0.0) + _CONNECT_S)
        return self._http.build_request(
            call.method,
            call.path,
            params=dict(call.query),
            json=call.body,
            headers=dict(call.headers),
            timeout=httpx.Timeout(read_s, connect=_CONNECT_S),
        )

    def _pause_or_raise(self, tried: int, problem: errors.GenAIError, again: Again, until: float) -> None:
        pause = self._retries.pause(tried, problem, again, until - time.monotonic())
        if pause is None:
            raise problem
        time.sleep(pause)


def _lost(error: httpx.TransportError) -> errors.Unreachable:
    """A connection that was never made has carried nothing."""
    unsent = isinstance(
        error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout | httpx.UnsupportedProtocol
    )
    words = str(error) or type(error).__name__
    where = f" at {error.request.url.copy_with(query=None)}" if error._request is not None else ""  # noqa: SLF001
    return errors.Unreachable(f"No answer{where}: {words}.", sent=not unsent)
