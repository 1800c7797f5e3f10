"""HTTP clients: made here and nowhere else, and their errors put into the port's words.

httpx is the interface, aiohttp does the work (`httpx-aiohttp`): httpx's own pool collapses from about 64 calls at once;
`bench/clients.py` measures it. Nothing here retries: a retry below the ledger is a payment outside our books.

httpx-aiohttp calls *any* lost connection `ConnectTimeout` or `ConnectError`, one lost inside an answer too. Believed,
that would say "surely not paid" of a call that may well have been. So the error that caused it is looked at instead.
"""

import asyncio
import base64
import functools
import math
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from providers.base import Disconnected, ProviderError, TimedOut, Unreachable, Unreadable

CONNECT_S = 2.0
IDLE_S = 4.0
"""An idle connection is closed before a usual server (uvicorn: 5 s, nginx: 75 s) closes it: see `_why`."""

_NEVER_CONNECTED = (
    aiohttp.ClientConnectorError,  # refused, no route, no such name, no TLS
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
)


def client() -> httpx.AsyncClient:
    """As many connections as there are calls: slots are counted by the engine. Proxies of the environment are ignored."""
    tls = _tls()

    def session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S, ssl=tls)
        return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)

    return httpx.AsyncClient(transport=AiohttpTransport(verify=tls, client=session), trust_env=False)


@functools.cache
def _tls() -> ssl.SSLContext:
    """One for all clients: to read the authorities takes 20 ms, and there is a client for each provider."""
    return httpx.create_ssl_context(trust_env=False)


async def send(
    using: httpx.AsyncClient,
    method: str,
    url: str,
    *,
    timeout_s: float,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    heard: Callable[[bytes], None] | None = None,
) -> httpx.Response:
    """The whole answer, whatever its status. Raises Unreachable, TimedOut, Disconnected, Unreadable.

    `heard` gets each piece of the body as it comes.

    `timeout_s` bounds all of it. Connecting may take half of that at most, so that a node that cannot be reached is
    never mistaken for one that answers slowly. A cancelled task closes its connection: that is how a server is told.
    """
    connect_s = min(CONNECT_S, timeout_s / 2)
    limits = httpx.Timeout(None, connect=connect_s, pool=connect_s)
    try:
        async with asyncio.timeout(timeout_s):
            if heard is None:
                return await using.request(method, url, content=content, headers=headers, timeout=limits)
            async with using.stream(method, url, content=content, headers=headers, timeout=limits) as reply:
                return await _heard(reply, heard)
    except TimeoutError:
        raise TimedOut(f"{origin(url)} gave no whole answer within {timeout_s:g} s.") from None
    except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError) as error:
        raise _why(error, origin(url)) from error


async def _heard(reply: httpx.Response, heard: Callable[[bytes], None]) -> httpx.Response:
    parts: list[bytes] = []
    async for part in reply.aiter_bytes():
        heard(part)
        parts.append(part)
    of_the_wire = {"content-encoding", "content-length", "transfer-encoding"}
    kept = [(name, value) for name, value in reply.headers.items() if name not in of_the_wire]
    return httpx.Response(reply.status_code, headers=kept, content=b"".join(parts))


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address without the user and the password in it; those are in `headers`. `name` may be shown."""

    name: str
    base: str
    headers: Mapping[str, str]


def address(url: str) -> Address:
    """Aiohttp and httpx both turn a user in an address into a header, and fail over each other; so it is done here."""
    base = url.rstrip("/")
    before, at, host = base.rpartition("@")
    if not at:
        return Address(origin(base), base, {})
    scheme, _, user = before.rpartition("//")
    base = f"{scheme}//{host}"
    secret = base64.b64encode(unquote(user).encode()).decode()
    return Address(origin(base), base, {"authorization": f"Basic {secret}"})


def header_safe(tag: str) -> str:
    """A request's id may hold any Unicode; a header may not."""
    return tag.encode("ascii", "backslashreplace").decode().strip()


def origin(url: str) -> str:
    """Scheme, host and port: what may be shown and counted."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        return "an address that is no URL"
    return f"{parts.scheme}://{parts.netloc.decode()}"


def _why(error: Exception, node: str) -> ProviderError:
    """A connection that was lost after it stood may have carried the call to its end: `Disconnected`, maybe paid.

    That holds for the well-known race too, in which the server closes an idle connection while our request is under
    way. From here it looks just like a server that took the call, ran it and died before the first byte of its answer,
    so it is not called "surely not run". `IDLE_S` makes it rare.
    """
    cause = error.__cause__ if isinstance(error, httpx.HTTPError) and error.__cause__ else error
    what = str(cause) or type(cause).__name__
    if isinstance(cause, _NEVER_CONNECTED) or isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
        return Unreachable(f"No connection to {node}: {what}. Is it running, is the address right?")
    if isinstance(cause, aiohttp.ClientResponseError) or isinstance(error, httpx.DecodingError):
        return Unreadable(f"{node} answered something that is not HTTP: {what[:300]}")
    return Disconnected(f"{node} ended the connection before its answer was whole: {what}.")


def retry_after(value: str | None, now: datetime) -> float | None:
    """The header `Retry-After` in seconds from `now`, given as seconds or as an HTTP date; None: absent or nonsense."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_until(value, now)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(date: str, now: datetime) -> float:
    try:
        return (parsedate_to_datetime(date) - now).total_seconds()
    except (ValueError, TypeError):  # TypeError: a date without a zone
        return math.nan
