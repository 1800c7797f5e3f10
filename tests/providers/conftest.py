"""What provider tests share: the double as a server, and a server that replays what a real Ollama 0.17.4 said."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from providers import fake, fake_server
from providers.calls import ChatCall, Message
from providers.double.faults import Behaviour
from providers.double.http1 import Connection, Request, Response
from providers.ollama import OllamaProvider

REPLIES = Path(__file__).parent / "replies"


def recorded(name: str) -> Response:
    """A recorded reply: status and content type from its headers, and its body."""
    head = (REPLIES / f"{name}.headers").read_text().splitlines()
    kind = next(line.split(": ", 1)[1] for line in head if line.lower().startswith("content-type"))
    return Response((REPLIES / f"{name}.body").read_bytes(), int(head[0].split()[1]), kind)


class Replay:
    """Answers every path with one reply, but `pages` with their own."""

    def __init__(self, reply: Response, pages: dict[str, Response] | None = None) -> None:
        self.reply = reply
        self.pages = pages or {}
        self.requests: list[Request] = []
        self.url = ""

    def received(self, connection: Connection, request: Request) -> None:
        self.requests.append(request)
        connection.answer(self.pages.get(request.path, self.reply))

    def left(self, connection: Connection) -> None: ...


@pytest.fixture
async def replay() -> AsyncIterator[Callable[..., Awaitable[Replay]]]:
    """Start a replay server, of a recorded reply's name or of a Response."""
    import asyncio

    servers = []

    async def begin(reply: str | Response, **pages: str) -> Replay:
        known = {f"/api/{path}": recorded(name) for path, name in pages.items()}
        handler = Replay(recorded(reply) if isinstance(reply, str) else reply, known)
        server = await asyncio.get_running_loop().create_server(lambda: Connection(handler), "127.0.0.1", 0)
        handler.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        servers.append(server)
        return handler

    yield begin
    for server in servers:
        server.close()


@pytest.fixture
async def double() -> AsyncIterator[fake_server.FakeServer]:
    """The fake server in this process, without latency."""
    async with await fake_server.start(how=Behaviour(context_tokens=2000)) as server:
        yield server


@pytest.fixture
async def ollama(double: fake_server.FakeServer) -> AsyncIterator[OllamaProvider]:
    """The real Ollama provider, at the double."""
    provider = fake.at_server(double.url)
    yield provider
    await provider.aclose()


@pytest.fixture
def ask() -> Callable[..., ChatCall]:
    """A chat with one user message."""

    def make(
        text: str = "Tell me about foxes.", model: str = "fake", timeout_s: float = 5.0, **wishes: object
    ) -> ChatCall:
        return ChatCall(model, (Message("user", text),), timeout_s, **wishes)  # type: ignore[arg-type]

    return make
