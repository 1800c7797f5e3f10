"""Pictures in a call: bounded before anything decodes them, and fetched for models that take bytes only.

What a picture declares about itself stands in its first bytes, uncompressed. A small file that declares a billion pixels is
refused for that, here, before it reaches whoever would unpack it.
"""

import asyncio
import base64
import binascii
import re
import struct
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin

import httpx

from providers import http
from providers.calls import ChatCall, Image
from providers.errors import ProviderError, Rejected, Unsupported
from providers.outbound import Guard, Listed

MOST_BYTES = 20 * 1024 * 1024
MOST_TOGETHER = 50 * 1024 * 1024
"""Of all pictures of a call that we fetch."""
MOST_IMAGES = 64
MOST_PIXELS = 50_000_000
MOST_SIDE = 16_384
FETCH_S = 10.0
_HOPS = 3
_AT_ONCE = 8
_HEAD = 4 << 16
"""Characters of base64 that mostly hold what a picture says of itself; the rest is decoded only where they do not."""
_DATA = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)
_REDIRECTS = (301, 302, 303, 307, 308)
_SHOWN = 80


def inline(url: str) -> str | None:
    """The base64 of a data URL; None: it is another URL. Raises Rejected for one that is no picture, or a bomb."""
    if url[:5].lower() != "data:":
        return None
    before = _DATA.match(url)
    if before is None:
        raise _wrong("is a data URL, but not one of an image in base64 (`data:image/png;base64,…`)", url)
    packed = url[before.end() :]
    if len(packed) > MOST_BYTES // 3 * 4 + 4:
        raise _wrong(f"has more than {MOST_BYTES} bytes", url)
    try:
        head = base64.b64decode(packed[:_HEAD], validate=True)
        check(head if dimensions(head) else base64.b64decode(packed, validate=True), url)
    except binascii.Error:
        raise _wrong("is not base64", url) from None
    return packed


_BEGINS = {"iVBOR": "png", "/9j/": "jpeg", "R0lG": "gif", "UklG": "webp", "Qk": "bmp"}


def data_url(packed: str) -> str:
    """Of a picture's base64, whose beginning tells its kind."""
    kind = next((kind for begins, kind in _BEGINS.items() if packed.startswith(begins)), "png")
    return f"data:image/{kind};base64,{packed}"


def check(data: bytes, url: str) -> None:
    """Raises Rejected: no picture, or one that declares too many pixels."""
    size = dimensions(data)
    if size is None:
        raise _wrong("is no PNG, JPEG, GIF, WebP or BMP", url)
    width, height = size
    if not (0 < width <= MOST_SIDE and 0 < height <= MOST_SIDE and width * height <= MOST_PIXELS):
        raise _wrong(
            f"declares {width} x {height} pixels; at most {MOST_SIDE} a side and {MOST_PIXELS} together are taken", url
        )


def dimensions(data: bytes) -> tuple[int, int] | None:
    """Width and height as the file declares them; None: no picture of a kind that is known."""
    reader = next((read for begins, read in _KINDS if begins.match(data)), None)
    try:
        return None if reader is None else reader(data)
    except struct.error:  # too short to say
        return None


def _png(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def _gif(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack("<HH", data[6:10])
    return width, height


def _bmp(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack("<ii", data[18:26])
    return abs(width), abs(height)


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """In its first frame header (SOF): other segments before it are skipped by their length."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        else:
            at += 2 if marker == 0x01 or 0xD0 <= marker <= 0xD7 else 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return None


def _webp(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack("<I", data[21:25])
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", data[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None


_KINDS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], tuple[int, int] | None]], ...] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    (re.compile(rb"\xff\xd8"), _jpeg),
    (re.compile(rb"GIF8[79]a"), _gif),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), _webp),
    (re.compile(rb"BM"), _bmp),
)


def far(call: ChatCall) -> list[str]:
    """The URLs of its pictures that are still to be fetched, by whoever it is."""
    urls = [part.url for message in call.messages for part in message.parts if isinstance(part, Image)]
    return [url for url in urls if url[:5].lower() != "data:"]


def check_near(call: ChatCall) -> None:
    """Raises Unsupported for a picture at a URL, where nothing can be waited for and another's server would fetch it."""
    if far(call):
        words = "A batch takes pictures by URL at the provider's own address only. Send them as data URLs, or leave `tier` out."
        raise Unsupported(words, {"fields": ["image_url"]})


class Fetcher:
    """Gets pictures from public `https:` addresses, or from listed ones; never from others. Whoever made it closes it."""

    def __init__(self, listed: Listed) -> None:
        self._listed = listed
        self._http: http.Client | None = None

    async def packed(self, urls: Iterable[str], timeout_s: float) -> dict[str, str]:
        """Each URL's picture in base64. Raises Rejected, and what else keeps a picture from coming (`ProviderError`)."""
        wanted = list(dict.fromkeys(urls))
        if len(wanted) > MOST_IMAGES:
            words = f"The call has {len(wanted)} images; at most {MOST_IMAGES} are taken."
            raise Rejected(words, {"fields": ["image_url"]})
        room, turns = _Room(MOST_TOGETHER), asyncio.Semaphore(_AT_ONCE)

        async def one(url: str) -> str:
            async with turns:
                return await self._packed(url, min(timeout_s, FETCH_S), room)

        found = await _all([one(url) for url in wanted])
        return dict(zip(wanted, found, strict=True))

    async def near(self, call: ChatCall) -> ChatCall:
        """The call with its pictures in it, as data URLs: nobody else is to fetch them. Raises what `packed` raises."""
        packed = await self.packed(far(call), call.timeout_s)
        turns = tuple(replace(turn, parts=tuple(_near(part, packed) for part in turn.parts)) for turn in call.messages)
        return replace(call, messages=turns)

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def _packed(self, url: str, timeout_s: float, room: "_Room") -> str:
        if (packed := inline(url)) is not None:
            return packed
        try:
            async with asyncio.timeout(timeout_s):
                data = await self._fetched(url, timeout_s, room)
        except TimeoutError:
            raise _wrong(f"did not come within {timeout_s:g} s", url) from None
        check(data, url)
        return base64.b64encode(data).decode()

    async def _fetched(self, url: str, timeout_s: float, room: "_Room") -> bytes:
        """Redirects are followed a few times, and each one's address is judged anew."""
        at = url
        for _ in range(_HOPS + 1):
            reply = await self._get(at, timeout_s, url, room)
            if reply.status_code not in _REDIRECTS:
                break
            at = urljoin(at, reply.headers.get("location", ""))
        if reply.status_code != httpx.codes.OK:
            raise _wrong(f"was answered with status {reply.status_code}", url)
        return reply.content

    async def _get(self, at: str, timeout_s: float, url: str, room: "_Room") -> httpx.Response:
        parts = _parsed(at, url)
        if parts.scheme != "https" and not (parts.scheme == "http" and self._listed.has_host(parts.host)):
            raise _wrong("is not `https:`; send such a URL, or the picture itself as a data URL", url)
        if self._http is None:
            self._http = http.client(Guard("stranger", self._listed))
        got = 0

        def heard(piece: bytes) -> None:
            nonlocal got
            got += len(piece)
            room.left -= len(piece)
            if got > MOST_BYTES:
                raise _wrong(f"has more than {MOST_BYTES} bytes", url)
            if room.left < 0:
                raise _wrong(f"is too much: all images of a call together may have {MOST_TOGETHER} bytes", url)

        bare = {"accept": "image/*", "accept-encoding": "identity"}
        try:
            return await http.send(self._http, "GET", at, timeout_s=timeout_s, headers=bare, heard=heard)
        except ProviderError as error:
            if type(error) is Rejected:
                raise
            raise _wrong(f"cannot be fetched: {error.message}", url) from None


def _near(part: str | Image, packed: dict[str, str]) -> str | Image:
    if isinstance(part, str) or part.url not in packed:
        return part
    return replace(part, url=data_url(packed[part.url]))


@dataclass(slots=True)
class _Room:
    """What the pictures of one call may still bring."""

    left: int


async def _all(works: list[Coroutine[Any, Any, str]]) -> list[str]:
    """The first that fails stops the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _parsed(at: str, url: str) -> httpx.URL:
    try:
        parts = httpx.URL(at)
    except httpx.InvalidURL:
        raise _wrong("is no URL", url) from None
    if parts.userinfo:
        raise _wrong("holds a user or a password", url)
    return parts


def _wrong(what: str, url: str) -> Rejected:
    return Rejected(f"The image `{_shown(url)}` {what}.", {"fields": ["image_url"]})


def _shown(url: str) -> str:
    """Without the picture, a user, a password or a signature in it."""
    if url[:5].lower() == "data:":
        return f"{url[:30].partition(',')[0]},…"
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return "…"
    shown = f"{http.origin(url)}{parts.path}"
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
