"""HTTP clients: made here and nowhere else, and their errors put into the port's words.

aiohttp does the work, and answers are httpx's: httpx's own pool collapses from about 64 calls at once, and its client over
another's pool costs each call twice what that one does alone; `bench/clients.py` measures it. Nothing here retries: a retry
below the ledger is a payment outside our books.
"""

import asyncio
import base64
import contextlib
import functools
import math
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.http_exceptions import ContentEncodingError
from yarl import URL

from providers.errors import Disconnected, ProviderError, Refused, TimedOut, Unreachable, Unreadable
from providers.outbound import OPERATOR, Guard

CONNECT_S = 2.0
IDLE_S = 4.0
"""An idle connection is closed before a usual server (uvicorn: 5 s, nginx: 75 s) closes it: see `_why`."""

_NEVER_CONNECTED = (
    aiohttp.ClientConnectorError,  # refused, no route, no such name, no TLS
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
)


class Forbidden(OSError):
    """An address that we do not connect to; its words say why."""


class _Guarded(aiohttp.TCPConnector):
    """The address that was judged is the one that is connected to, however its name was spelt and whatever it means later."""

    def __init__(self, guard: Guard, tls: ssl.SSLContext, resolver: AbstractResolver | None) -> None:
        super().__init__(limit=0, keepalive_timeout=IDLE_S, ssl=tls, resolver=resolver)
        self._guard = guard

    async def _resolve_host(
        self, host: str, port: int, traces: Sequence[aiohttp.tracing.Trace] | None = None
    ) -> list[ResolveResult]:
        """One that may be reached is enough; the others are left out."""
        found = await super()._resolve_host(host, port, traces)  # a name's addresses are kept for 10 s
        refusals = [self._guard.refusal(host, each["host"]) for each in found]
        may = [each for each, refused in zip(found, refusals, strict=True) if refused is None]
        if found and not may:
            raise Forbidden(f"{refusals[0]}; it is not connected to unless GENAI_OUTBOUND_ALLOW lists it")
        return may

    async def addresses(self, host: str, port: int) -> list[str]:
        """Those that a connection to `host` is made to. Raises OSError."""
        return [each["host"] for each in await self._resolve_host(host, port)]


_STRANGER = Guard("stranger")


class Client:
    """As many connections as there are calls: slots are counted by the engine. Proxies of the environment are ignored.

    `guard` judges each address before it is connected to; `resolver`: another way to find addresses. `extra`: headers of the
    operator's own, any of which may be a password.
    """

    def __init__(self, guard: Guard, resolver: AbstractResolver | None, extra: Mapping[str, str]) -> None:
        self._guard, self._resolver, self._tls = guard, resolver, _tls()
        self.extra = extra
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """Made with the first call, in its loop."""
        if self._session is None:
            connector = _Guarded(self._guard, self._tls, self._resolver)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
            )
        return self._session

    async def is_inside(self, base: str) -> bool:
        """Whether the server at `base` has any address that is not public, or none that is known: what it fetches by itself it
        fetches from there, where a stranger's URL may mean a neighbour.
        """
        try:
            parts = _as_written(base)
            async with asyncio.timeout(CONNECT_S):
                found = await self._connector().addresses(parts.host or "", parts.port or 0)
        except (aiohttp.ClientError, OSError):  # a TimeoutError is an OSError
            return True
        return not found or any(_STRANGER.refusal("", each) is not None for each in found)

    def _connector(self) -> _Guarded:
        assert isinstance(self.session.connector, _Guarded)
        return self.session.connector

    async def aclose(self) -> None:
        """Every connection is let go of."""
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def client(
    guard: Guard = OPERATOR, resolver: AbstractResolver | None = None, extra: Mapping[str, str] | None = None
) -> Client:
    """Whoever makes it closes it."""
    return Client(guard, resolver, extra or {})


@functools.cache
def _tls() -> ssl.SSLContext:
    """One for all clients: to read the authorities takes 20 ms, and there is a client for each provider."""
    return httpx.create_ssl_context(trust_env=False)


async def send(
    using: Client,
    method: str,
    url: str,
    *,
    timeout_s: float,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    heard: Callable[[bytes], None] | None = None,
) -> httpx.Response:
    """The whole answer, whatever its status. Raises Unreachable, TimedOut, Disconnected, Unreadable.

    `heard` gets each piece of the body as it comes. Redirects are not followed.

    `timeout_s` bounds all of it. Connecting may take half of that at most, so that a node that cannot be reached is
    never mistaken for one that answers slowly. A cancelled task closes its connection: that is how a server is told.
    """
    connect_s = min(CONNECT_S, timeout_s / 2)
    limits = aiohttp.ClientTimeout(connect=connect_s, sock_connect=connect_s)
    try:
        async with (
            asyncio.timeout(timeout_s),
            using.session.request(
                method, _as_written(url), data=content or None, headers=headers, timeout=limits, allow_redirects=False
            ) as reply,
        ):
            body = await (reply.read() if heard is None else _heard(reply.content, heard))
            return _answer(reply, body, headers or {}, using.extra)
    except aiohttp.ClientError as error:  # first: one that could not connect in time is a TimeoutError too
        raise _why(error, origin(url)) from error
    except TimeoutError:
        raise TimedOut(f"{origin(url)} gave no whole answer within {timeout_s:g} s.") from None
    except OSError as error:
        raise _why(error, origin(url)) from error


_PORTS = 65_535


@functools.lru_cache(256)
def _as_written(url: str) -> URL:
    """Not tidied up, as aiohttp would: a signature may be over each letter of it."""
    try:
        parts = httpx.URL(url)
        if (parts.port or 0) <= _PORTS:
            return URL(str(parts), encoded=True)
    except (httpx.InvalidURL, ValueError) as error:
        raise aiohttp.InvalidURL(url, str(error)) from error
    raise aiohttp.InvalidURL(url, f"there is no port {parts.port}")


_SECRETS = ("authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "x-amz-security-token")
_LEAST_SECRET, _LEAST_IN_ANSWER = 6, 16
"""Characters. A password may be a word that an answer holds for reasons of its own; a key is not."""


def _answer(
    reply: aiohttp.ClientResponse, body: bytes, headers: Mapping[str, str], extra: Mapping[str, str]
) -> httpx.Response:
    kept = [(name, value) for name, value in reply.raw_headers if name.lower() not in _OF_THE_WIRE]
    content = masked(body, headers, extra, good=httpx.codes.is_success(reply.status))
    return httpx.Response(reply.status, headers=kept, content=content)


_OF_THE_WIRE = frozenset({b"content-encoding", b"content-length", b"transfer-encoding"})


def masked(content: bytes, headers: Mapping[str, str], extra: Mapping[str, str], *, good: bool) -> bytes:
    """What a server says is shown to users and logged; it, or a proxy before it, may have put our key into its words.

    Of `extra` nobody knows which are secret: a refusal shows none of them, an answer may hold what is no token by its looks,
    such as the address of an application.
    """
    found = {each for name, value in headers.items() if name.lower() in _SECRETS for each in _forms(value)}
    more = {each for value in extra.values() for each in _forms(value)}
    found |= {each for each in more if _TOKEN.fullmatch(each)} if good else more
    least = _LEAST_IN_ANSWER if good else _LEAST_SECRET
    for secret in sorted((each.encode() for each in found), key=len, reverse=True):
        if len(secret) >= least and secret in content:
            content = content.replace(secret, b"***")
    return content


_TOKEN = re.compile(r"(?=.*\d)[\w.~+/=-]+")
"""One word, with a digit in it."""


def _forms(value: str) -> set[str]:
    """As which a secret may be quoted: with its scheme and without; of a user and a password, the password too."""
    scheme, _, rest = value.partition(" ")
    found = {value, rest or value}
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            user = base64.b64decode(rest).decode()
            found |= {user, user.partition(":")[2]}
    return found


async def _heard(content: aiohttp.StreamReader, heard: Callable[[bytes], None]) -> bytes:
    parts: list[bytes] = []
    async for part in content.iter_any():
        heard(part)
        parts.append(part)
    return b"".join(parts)


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
    what = str(error) or type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, Forbidden):
        return Refused(f"{node} is not called: {error.os_error}.")
    if isinstance(error, _NEVER_CONNECTED):
        return Unreachable(f"No connection to {node}: {what}. Is it running, is the address right?")
    if isinstance(error, aiohttp.ClientResponseError) or isinstance(error.__cause__, ContentEncodingError):
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
