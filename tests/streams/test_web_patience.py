"""Slow clients, over a real socket: cut where they hold something, left alone where they do not."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streams.web import bodies, patience
from streams.web.app import make_api
from streams.web.server import bind, serving
from tests.streams.webs import opened, web_settings

SHORT_S = 0.2
HEAD = b"POST /v1/summarize HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
BODY = b'{"content": "A fox ran."}'
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((patience, "HEAD_S"), (patience, "UNREAD_S"), (bodies, "READ_S")):
        monkeypatch.setattr(module, name, SHORT_S)


@asynccontextmanager
async def door(tmp_path: Path) -> AsyncIterator[int]:
    async with opened(web_settings(tmp_path)) as (front, _):
        sock = bind("127.0.0.1", 0, "GENAI_API_PORT")
        async with serving(make_api(front), sock):
            yield sock.getsockname()[1]


async def said(reader: asyncio.StreamReader) -> bytes:
    """All until the other end closes; the test hangs, and fails, where it does not."""
    return await asyncio.wait_for(reader.read(), 20)


@pytest.mark.parametrize(
    "begun",
    [[b""], [b"GET /health HTTP/1.1\r\nHost: x\r\n"], [HEALTH, b"GET /hea"]],
    ids=["says nothing", "half a head", "half a second head"],
)
async def test_a_head_that_does_not_end_closes_the_connection(begun: list[bytes], tmp_path: Path) -> None:
    async with door(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for piece in begun:
            writer.write(piece)
            if piece is HEALTH:
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        answer = await said(reader)
        writer.close()
    assert b"HTTP/1.1 200" not in answer


async def test_a_head_without_an_end_is_cut_by_its_size(tmp_path: Path) -> None:
    async with door(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health HTTP/1.1\r\n" + b"X-Filler: y\r\n" * 10_000)
        try:
            answer = await said(reader)
        except ConnectionResetError:  # with our bytes unread
            answer = b""
        writer.close()
    assert b" 200 " not in answer.partition(b"\r\n")[0]


async def test_a_body_that_does_not_come_is_told_so_and_nothing_is_taken(tmp_path: Path) -> None:
    async with door(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HEAD % len(BODY) + BODY[:5])
        answer = await said(reader)
        writer.close()
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"5 bytes of it did" in answer


async def test_whoever_takes_his_time_between_requests_is_served(tmp_path: Path) -> None:
    """A connection at rest and an answer that takes long are no slow clients."""
    slow = b'{"content": "[fake:sleep:0.5] A fox ran."}'
    async with door(tmp_path) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in (HEAD % len(slow) + slow, HEALTH):
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
            assert head.startswith(b"HTTP/1.1 200")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            await asyncio.sleep(2 * SHORT_S)
        writer.close()


async def test_a_client_that_does_not_read_is_cut() -> None:
    """An answer without end; what it wrote into the connection is not taken."""
    ended = asyncio.Event()

    async def endless(scope: dict[str, object], receive: Callable[[], object], send: Callable[..., object]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[misc]
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})  # type: ignore[misc]
                message = asyncio.ensure_future(receive())  # type: ignore[arg-type]
                done, _ = await asyncio.wait([message], timeout=0.001)
                if done and message.result()["type"] == "http.disconnect":  # type: ignore[index]
                    return
                message.cancel()
        finally:
            ended.set()

    sock = bind("127.0.0.1", 0, "GENAI_API_PORT")
    async with serving(endless, sock):
        client = socket.create_connection(sock.getsockname())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(HEALTH)
        await asyncio.wait_for(ended.wait(), 20)
        client.close()
