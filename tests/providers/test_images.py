"""Pictures: bounded by what they declare, fetched from public addresses only."""

import asyncio
import base64
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from providers import http, images
from providers.able import check
from providers.base import Able
from providers.calls import ChatCall, Image, Message
from providers.double.http1 import Connection, Request, Response
from providers.errors import Refused, Rejected
from providers.outbound import Guard, listed

pytestmark = pytest.mark.fast


def png(width: int, height: int) -> bytes:
    """A header that declares so much, and next to nothing behind it."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + head
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", len(head)) + chunk + struct.pack(">I", zlib.crc32(chunk))


def jpeg(width: int, height: int) -> bytes:
    """With a segment of metadata before the frame."""
    exif = b"\xff\xe1" + struct.pack(">H", 300) + b"\xff\xc0" * 149
    return b"\xff\xd8" + exif + b"\xff\xc2\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03" * 12


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0" * 9


def webp(width: int, height: int) -> bytes:
    extended = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF\x30\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + extended


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize("make", [png, jpeg, gif, webp])
@given(width=st.integers(1, 65_535), height=st.integers(1, 65_535))
def test_the_declared_size_is_read(make: Callable[[int, int], bytes], width: int, height: int) -> None:
    assert images.dimensions(make(width, height)) == (width, height)


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe1", b"GIF89a", b"RIFF0000WEBPVP8 ", b"BM"]),
)
def test_any_bytes_have_a_size_or_none(tail: bytes, head: bytes) -> None:
    found = images.dimensions(head + tail)
    assert found is None or len(found) == 2


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (data_url(png(100_000, 10)), "declares 100000 x 10 pixels"),
        (data_url(png(10_000, 10_000)), "declares 10000 x 10000"),
        (data_url(png(2**31, 2**31)), "declares"),
        (data_url(png(0, 5)), "declares 0 x 5"),
        (data_url(b"<svg/>"), "is no PNG"),
        (data_url(b""), "is no PNG"),
        ("data:image/png;base64,!!!!", "is not base64"),
        ("data:image/png,abc", "not one of an image in base64"),
        ("data:text/html;base64,aaaa", "not one of an image in base64"),
        ("data:image/png;base64," + "A" * (images.MOST_BYTES // 3 * 4 + 8), "has more than"),
    ],
)
def test_a_bomb_is_refused_before_any_provider_is_called(url: str, words: str) -> None:
    """By what every provider asks first. The message holds neither the picture nor what stands behind it."""
    call = ChatCall("m", (Message("user", "what?", parts=("what?", Image(url))),), 1.0)
    with pytest.raises(Rejected, match=words) as refusal:
        check(call, Able())
    assert refusal.value.details == {"fields": ["image_url"]}
    assert len(refusal.value.message) < 300


def test_a_picture_passes() -> None:
    packed = base64.b64encode(png(640, 480)).decode()
    assert images.inline(f"data:image/png;base64,{packed}") == packed
    assert images.inline("https://example.org/a.png") is None


@asynccontextmanager
async def _site(pages: dict[str, Response]) -> AsyncIterator[str]:
    class Site:
        def received(self, connection: Connection, request: Request) -> None:
            connection.answer(pages[request.path])

        def left(self, connection: Connection) -> None: ...

    server = await asyncio.get_running_loop().create_server(lambda: Connection(Site()), "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


@asynccontextmanager
async def _fetcher(*words: str) -> AsyncIterator[images.Fetcher]:
    made = images.Fetcher(listed(words))
    try:
        yield made
    finally:
        await made.aclose()


def _moved(to: str) -> Response:
    return Response(b"", 302, headers=(("Location", to),))


async def test_a_listed_address_is_fetched_and_its_redirects_followed() -> None:
    pages = {"/a": _moved("/b"), "/b": Response(png(3, 4), kind="image/png")}
    async with _site(pages) as site, _fetcher("127.0.0.0/8") as fetcher:
        found = await fetcher.packed([f"{site}/a", f"{site}/a", data_url(png(1, 1))], 5.0)
    assert base64.b64decode(found[f"{site}/a"]) == png(3, 4)
    assert len(found) == 2


_NOT = "cannot be fetched|is no URL"
"""Which of the two depends on how the system reads such a name."""


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.org/a.png", "is not `https:`"),
        ("ftp://example.org/a.png", "is not `https:`"),
        ("https://user:geheim@example.org/a.png", "holds a user or a password"),
        ("https://127.0.0.1/a.png", "no public address"),
        ("https://[::1]/a.png", "no public address"),
        ("https://[::ffff:169.254.169.254]/latest/meta-data?token=geheim", "link-local"),
        ("https://169.254.169.254/latest/meta-data", "link-local"),
        ("https://10.0.0.8/a.png", "no public address"),
        ("https://0.0.0.0/a.png", "no public address"),
        ("https://localhost/a.png", "no public address"),
        ("https://localhost./a.png", _NOT),
        ("https://LOCALHOST/a.png", "no public address"),
        ("https://2130706433/a.png", _NOT),  # 127.0.0.1 as one number
        ("https://0x7f000001/a.png", _NOT),
        ("https://0177.0.0.1/a.png", _NOT),
        ("https://127.1/a.png", _NOT),
        ("https://127.0.0.1./a.png", _NOT),
        ("https://①②⑦.0.0.1/a.png", _NOT),
        ("https://[bad/a.png", _NOT),
    ],
)
async def test_a_strangers_address_reaches_nothing_of_ours(url: str, words: str) -> None:
    async with _fetcher() as fetcher:
        with pytest.raises(Rejected, match=words) as refusal:
            await fetcher.packed([url], 5.0)
    assert "geheim" not in refusal.value.message


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("http://169.254.169.254/latest/meta-data", "is not `https:`"),
        ("https://169.254.169.254/latest/meta-data", "link-local"),
        ("file:///etc/passwd", "is not `https:`"),
        ("/again", "status 302"),
    ],
)
async def test_a_redirect_is_judged_as_the_first_address_was(to: str, words: str) -> None:
    pages = {"/a": _moved(to), "/again": _moved("/again")}
    async with _site(pages) as site, _fetcher("127.0.0.1") as fetcher:
        with pytest.raises(Rejected, match=words):
            await fetcher.packed([f"{site}/a"], 5.0)


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (Response(b"gone", 404), "status 404"),
        (Response(b"<html>", kind="image/png"), "is no PNG"),
        (Response(png(60_000, 60_000)), "declares 60000 x 60000"),
        (Response(b"\0" * (images.MOST_BYTES + 1)), "has more than"),
    ],
)
async def test_what_comes_is_bounded(page: Response, words: str) -> None:
    async with _site({"/a": page}) as site, _fetcher("127.0.0.1") as fetcher:
        with pytest.raises(Rejected, match=words):
            await fetcher.packed([f"{site}/a"], 5.0)


async def test_a_call_does_not_fetch_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """By number, and by the sum of their bytes; the first that fails stops the others."""
    monkeypatch.setattr(images, "MOST_TOGETHER", 100)
    monkeypatch.setattr(images, "MOST_IMAGES", 4)
    page = Response(png(2, 2) + b"\0" * 20)
    async with _site({f"/{n}": page for n in range(5)}) as site, _fetcher("127.0.0.1") as fetcher:
        assert len(await fetcher.packed([f"{site}/0"], 5.0)) == 1
        with pytest.raises(Rejected, match="together may have 100 bytes"):
            await fetcher.packed([f"{site}/{n}" for n in range(4)], 5.0)
        with pytest.raises(Rejected, match="has 5 images; at most 4"):
            await fetcher.packed([f"{site}/{n}" for n in range(5)], 5.0)


class Names(AbstractResolver):
    """A name's owner who says something else each time he is asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:  # type: ignore[override]
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [ResolveResult(hostname=host, host=answer, port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None: ...


Talk = Callable[[str], Awaitable[None]]


@pytest.mark.parametrize("guard", [Guard("operator"), Guard("stranger")], ids=["operator", "stranger"])
async def test_the_address_that_is_judged_is_the_one_that_is_connected_to(guard: Guard) -> None:
    """A name that led to a public address when somebody looked leads to the cloud's metadata when it is connected to."""
    names = Names("8.8.8.8", "169.254.169.254")
    assert guard.refusal("rebind.test", (await names.resolve("rebind.test"))[0]["host"]) is None
    async with http.client(guard, names) as client:
        with pytest.raises(Refused, match="GENAI_OUTBOUND_ALLOW") as refusal:
            await http.send(client, "GET", "http://rebind.test/latest/meta-data", timeout_s=2.0)
    assert (refusal.value.maybe_paid, refusal.value.another_try_may_help) == (False, False)


async def test_a_listed_name_is_connected_to_wherever_it_leads() -> None:
    async with _site({"/a": Response(b"hello")}) as site:
        port = site.rsplit(":", 1)[1]
        guard = Guard("stranger", listed(["images.test"]))
        async with http.client(guard, Names("127.0.0.1")) as client:
            assert (await http.send(client, "GET", f"http://images.test:{port}/a", timeout_s=2.0)).text == "hello"
            with pytest.raises(Refused):
                await http.send(client, "GET", f"http://other.test:{port}/a", timeout_s=2.0)


@pytest.mark.parametrize(
    ("base", "answer", "inside"),
    [
        ("http://127.0.0.1:8000/v1", "", True),
        ("http://[::1]/v1", "", True),
        ("http://10.0.0.7/v1", "", True),
        ("http://169.254.1.1/v1", "", True),
        ("https://8.8.8.8/v1", "", False),
        ("http://gpu-1:8000/v1", "192.168.1.4", True),
        ("http://gpu-1:8000/v1", "169.254.169.254", True),
        ("https://api.example.com/v1", "8.8.8.8", False),
        ("no address", "", True),
    ],
)
async def test_a_server_is_inside_by_where_its_name_leads(base: str, answer: str, inside: bool) -> None:
    async with http.client(resolver=Names(answer)) as client:
        assert await client.is_inside(base) is inside
