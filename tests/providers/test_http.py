"""The transport: which errors say "surely not paid", and that whoever cancels is heard."""

import asyncio
import gzip
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest

from providers import http
from providers.calls import ChatCall
from providers.errors import Disconnected, NotRun, ProviderError, TimedOut, Unreachable, Unreadable
from providers.fake_server import FakeServer
from providers.ollama import OllamaProvider

pytestmark = pytest.mark.fast

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def _server(talk: Talk) -> AsyncIterator[str]:
    tasks = set()

    async def kept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(kept, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _says(answer: bytes, *, reset: bool = False, hang: bool = False) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        if hang:
            await asyncio.sleep(30)
        if reset:
            linger = writer.get_extra_info("socket")
            linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            writer.transport.abort()

    return talk


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"

LOST = [  # what the server does after it read the request, what that means: never "surely not paid"
    ("end before any byte", _says(b""), Disconnected),
    ("reset before any byte", _says(b"", reset=True), Disconnected),
    ("end in the head", _says(b"HTTP/1.1 200 OK\r\nContent-"), Disconnected),
    ("end in the body", _says(HALF), Disconnected),
    ("reset in the body", _says(HALF, reset=True), Disconnected),
    ("end in a chunked body", _says(CHUNKED), Disconnected),
    ("silence", _says(b"", hang=True), TimedOut),
    ("silence in the body", _says(HALF, hang=True), TimedOut),
    ("no HTTP", _says(b"220 mail.example ESMTP\r\n\r\n"), Unreadable),
    ("no gzip", _says(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi"), Unreadable),
]


@pytest.mark.parametrize(("talk", "meaning"), [row[1:] for row in LOST], ids=[row[0] for row in LOST])
@pytest.mark.parametrize("heard", [None, lambda _: None], ids=["whole", "in pieces"])
async def test_a_connection_that_once_stood_may_have_been_paid_for(
    talk: Talk, meaning: type[ProviderError], heard: Callable[[bytes], None] | None
) -> None:
    """Several of these look like a connection that was never made; taken for that, we would pay twice."""
    async with _server(talk) as url, http.client() as client:
        with pytest.raises(meaning) as caught:
            await http.send(client, "POST", url, timeout_s=0.2, content=b"{}", heard=heard)
    assert (type(caught.value), caught.value.maybe_paid) == (meaning, True)


async def test_a_body_that_is_heard_in_pieces_is_the_whole_body() -> None:
    """Also a compressed one, which is heard as it reads."""
    text = b"line\n" * 1000
    packed = gzip.compress(text)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nRetry-After: 7\r\nContent-Length: %d\r\n\r\n" % len(packed)
    pieces: list[bytes] = []
    async with _server(_says(head + packed)) as url, http.client() as client:
        reply = await http.send(client, "POST", url, timeout_s=2, content=b"{}", heard=pieces.append)
    assert (b"".join(pieces), reply.content, reply.headers["retry-after"]) == (text, text, "7")


@pytest.mark.parametrize(
    "path", ["/a%2Fb%3A?sig=a%2Fb%3D%3d&x=%7E+z", "/plain", "/"], ids=["what need not be escaped", "plain", "root"]
)
async def test_an_address_is_asked_for_as_it_is_written(path: str) -> None:
    """Whoever signed it, signed its letters."""
    asked: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(WHOLE)

    async with _server(talk) as url, http.client() as client:
        await http.send(client, "GET", url + path, timeout_s=2)
    assert asked[0].split()[1].decode() == path


async def test_an_idle_connection_that_the_server_closed_may_have_been_paid_for() -> None:
    """The request goes out while the server's close comes in. It looks as if the server had died while it worked."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(WHOLE)
        await reader.readuntil(b"\r\n\r\n")

    async with _server(talk) as url, http.client() as client:
        await http.send(client, "POST", url, timeout_s=1)
        with pytest.raises(Disconnected) as caught:
            await http.send(client, "POST", url, timeout_s=1)
    assert caught.value.maybe_paid


@pytest.mark.parametrize(
    ("status", "secret", "said"),
    [
        (b"401 Unauthorized", "sk-0123456789abcdef", "key *** is wrong"),
        (b"200 OK", "sk-0123456789abcdef", "key *** is wrong"),
        (b"401 Unauthorized", "foxes-1", "key *** is wrong"),
        (b"200 OK", "foxes-1", "key foxes-1 is wrong"),  # an answer may hold such a word for reasons of its own
    ],
)
@pytest.mark.parametrize("heard", [None, lambda _: None], ids=["whole", "in pieces"])
async def test_a_key_that_a_server_says_back_is_masked(
    status: bytes, secret: str, said: str, heard: Callable[[bytes], None] | None
) -> None:
    body = f"key {secret} is wrong".encode()
    answer = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)
    async with _server(_says(answer)) as url, http.client() as client:
        headers = {"Authorization": f"Bearer {secret}"}
        reply = await http.send(client, "POST", url, timeout_s=2, headers=headers, heard=heard)
    assert reply.text == said


@pytest.mark.parametrize(
    ("status", "value", "said"),
    [
        (b"400 Bad Request", "hdrsecret55", "token *** is wrong"),
        (b"400 Bad Request", "Team hdrsecret55", "token *** is wrong"),
        (b"400 Bad Request", "true", "token true is wrong"),
        (b"200 OK", "hdrsecret55hdrsecret55", "token *** is wrong"),
        (b"200 OK", "https://app.example.org/2", "token https://app.example.org/2 is wrong"),  # a model may name it
    ],
)
async def test_a_header_of_the_operators_that_a_server_says_back_is_masked(
    status: bytes, value: str, said: str
) -> None:
    body = f"token {value} is wrong".encode()
    answer = b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)
    extra = {"x-team-token": value}
    async with _server(_says(answer)) as url, http.client(extra=extra) as client:
        reply = await http.send(client, "POST", url, timeout_s=2, headers=extra)
    assert reply.text == said


def _closed_port() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.mark.parametrize(
    "url",
    [_closed_port(), "http://no-such-host.invalid:11434", "ftp://127.0.0.1", "http://127.0.0.1:99999", "http://[bad"],
    ids=["refused", "no such name", "no http", "no such port", "no URL"],
)
async def test_what_never_connected_was_surely_not_paid(url: str) -> None:
    async with http.client() as client:
        with pytest.raises(Unreachable) as caught:
            await http.send(client, "POST", url, timeout_s=4)
    assert isinstance(caught.value, NotRun)
    assert not caught.value.maybe_paid


async def test_a_node_that_does_not_take_connections_is_unreachable_and_not_slow() -> None:
    """Its queue of connections is full, so the handshake hangs: told after half of the time-out, at most 2 s."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    held = [socket.socket() for _ in range(3)]
    for one in held:
        one.setblocking(False)
        one.connect_ex(full.getsockname())
    began = time.perf_counter()
    async with http.client() as client:
        with pytest.raises(Unreachable):
            await http.send(client, "POST", f"http://127.0.0.1:{full.getsockname()[1]}", timeout_s=0.4)
    assert time.perf_counter() - began < 0.35
    for one in (*held, full):
        one.close()


@pytest.mark.parametrize("directive", ["[fake:sleep:30]", "[fake:stalled]"], ids=["before", "after the first byte"])
async def test_a_cancelled_call_closes_its_connection(
    directive: str, double: FakeServer, ollama: OllamaProvider, ask: Callable[..., ChatCall]
) -> None:
    """The double sees it within a tenth of a second: so Ollama frees the slot."""
    task = asyncio.create_task(ollama.chat(ask(directive, timeout_s=60, tag="r1"), double.url))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.1)
    assert (double.counts.in_flight, double.counts.requests["r1"].aborted) == (0, 1)


async def test_a_timed_out_call_closes_its_connection(
    double: FakeServer, ollama: OllamaProvider, ask: Callable[..., ChatCall]
) -> None:
    with pytest.raises(TimedOut):
        await ollama.chat(ask("[fake:timed_out]", timeout_s=0.1, tag="r1"), double.url)
    await asyncio.sleep(0.1)
    assert (double.counts.in_flight, double.counts.requests["r1"].aborted) == (0, 1)


async def test_three_hundred_calls_are_in_flight_at_once(
    double: FakeServer, ollama: OllamaProvider, ask: Callable[..., ChatCall]
) -> None:
    """The client has no limit of its own: the engine counts slots."""
    await asyncio.gather(*(ollama.chat(ask(f"[fake:sleep:0.3] {i}"), double.url) for i in range(300)))
    assert double.counts.max_in_flight == 300


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("12", 12.0),
        ("0.5", 0.5),  # not in the standard, but sent
        ("-3", 0.0),
        ("Sat, 21 Nov 2026 10:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 09:00:00 GMT", 0.0),  # past: now
        ("Saturday, 21-Nov-26 10:00:30 GMT", 30.0),  # the old form
        ("inf", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_read_in_both_forms(value: str | None, seconds: float | None) -> None:
    assert http.retry_after(value, datetime(2026, 11, 21, 10, 0, 0, tzinfo=UTC)) == seconds


async def test_proxies_of_the_environment_are_ignored(double: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with http.client() as client:
        reply = await http.send(client, "GET", double.url + "/api/version", timeout_s=2)
    assert reply.status_code == httpx.codes.OK
