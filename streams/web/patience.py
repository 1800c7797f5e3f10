"""Slow clients are cut: whoever opens a connection must say what he wants, and must take what he is sent.

uvicorn waits for ever for the end of a request's head, and for room in a connection whose other end does not read. A body has
its own limit (`bodies`). A stream that says little is no slow client: only bytes that cannot be sent count.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

HEAD_S = 15.0
"""From the opening of a connection, or the first byte of a further request, to the end of its head."""
HEAD_BYTES = 64 * 1024
UNREAD_S = 60.0
"""How long a connection may stay full (64 kB that were not taken)."""


class Patient(AutoHTTPProtocol):  # type: ignore[misc,valid-type] # which class it is hangs on what is installed
    """uvicorn's protocol, with an end to its patience."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._heard = 0

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_asked():
            self._stop()
            return
        self._heard += len(data)
        if self._heard > HEAD_BYTES:
            self.transport.close()
        elif self._head is None:
            self._wait()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = asyncio.get_running_loop().call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def _wait(self) -> None:
        self._head = asyncio.get_running_loop().call_later(HEAD_S, self._give_up)

    def _stop(self) -> None:
        self._heard = 0
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _give_up(self) -> None:
        if not self._is_asked():
            self.transport.close()

    def _is_asked(self) -> bool:
        """A request's head was whole, and its answer is not."""
        return self.cycle is not None and not self.cycle.response_complete
