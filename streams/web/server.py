"""uvicorn inside our own event loop, on a socket that is ours, without its signal handlers."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn

from streams.errors import SpineError
from streams.web.patience import Patient

_GRACE_S = 5


class PortTaken(SpineError):
    """Another program listens there; the message says which setting names another port."""


def bind(host: str, port: int, setting: str) -> socket.socket:
    """A listening socket; port 0: any free one. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(1024)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"Port {port} is taken by another program. Free it, or set {setting} to another port (0: any free one)."
            ) from error
        raise SpineError(f"Cannot listen on {host}:{port} ({error.strerror}). Set {setting} to another one.") from error
    made.setblocking(False)
    return made


def address(sock: socket.socket) -> str:
    """`http://host:port`, as a client writes it."""
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - shown, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process's own handlers stay."""
        yield


@contextlib.asynccontextmanager
async def serving(app: Any, sock: socket.socket) -> AsyncIterator[None]:
    """Answers inside; leaving, open requests get a few seconds to end."""
    config = uvicorn.Config(
        app,
        http=Patient,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
        timeout_keep_alive=30,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve([sock]), name="http")
    try:
        yield
    finally:
        server.should_exit = True
        await asyncio.wait([task], timeout=_GRACE_S + 5)
